"""Serial arithmetic (RFC 1982), and which serial a version is published with.

The source's serial and the published serial are two numbers: the published one only moves forward, whatever
happens to the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

SerialPolicy: TypeAlias = Literal["auto", "increment", "unixtime", "date"]
"""What the published serial is when what is served changes: the source's, one more, the time, the date and a count."""

MODULUS: Final = 1 << 32
HALF: Final = 1 << 31


def is_after(serial: int, other: int) -> bool:
    """Whether `serial` is greater than `other` (RFC 1982 section 3.2); False where the comparison is undefined."""
    return 0 < (serial - other) % MODULUS < HALF


def successor(serial: int) -> int:
    """The next serial; 0 is left out, as some secondaries take it for "no serial" (RFC 2136 section 4.2)."""
    return (serial + 1) % MODULUS or 1


def published_serial(
    source: int, last_published: int | None, *, changed: bool, policy: SerialPolicy = "auto", now: int = 0
) -> int:
    """The serial to publish with at `now`.

    What the policy says if nothing was published before or if it is after the last published one; else the last one's
    successor when what is served `changed`, and the last one itself when not. By `auto` the source's serial is what
    counts, also when only it was raised; by the other policies it counts at first sight, so that secondaries follow.
    """
    if policy == "auto":
        if last_published is None or is_after(source, last_published):
            return source
        return successor(last_published) if changed else last_published
    if last_published is None:
        wanted = _wanted(policy, source, now)
        return wanted if is_after(wanted, source) else source
    if not changed:
        return last_published
    wanted = _wanted(policy, last_published, now)
    return wanted if is_after(wanted, last_published) else successor(last_published)


def _wanted(policy: SerialPolicy, last: int, now: int) -> int:
    match policy:
        case "unixtime":
            return now % MODULUS or 1
        case "date":
            return int(datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")) * 100 % MODULUS
        case _:
            return last


@dataclass(frozen=True, slots=True)
class Serials:
    """The serials a version may be published with."""

    source: int
    last: int | None
    is_foreign: bool
    """The SOA is signed by somebody else: a serial of ours would make it bogus."""
    policy: SerialPolicy
    now: int

    @property
    def when_changed(self) -> int:
        """For content that was not served before."""
        return self._published(changed=True)

    @property
    def when_same(self) -> int:
        """For content that is what was published last."""
        return self._published(changed=False)

    def _published(self, *, changed: bool) -> int:
        if self.is_foreign:
            return self.source
        return published_serial(self.source, self.last, changed=changed, policy=self.policy, now=self.now)
