"""When a secondary asks its primaries, and how long its copy is good (RFC 1034 section 4.3.5), without a clock.

Words: the *copy* is what a secondary has of a zone; it is *confirmed* when a primary says that it is current, or gives
a newer one. A copy that nobody confirms for as long as its SOA's EXPIRE says *expires* and is served no more; a primary
that refuses or lies confirms nothing.

`jitter` is a number from 0 to 1 that spreads zones in time; it only ever makes a wait shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from zones.serial import is_after

SPREAD: Final = 0.1
"""The part of a wait that jitter may take away."""
WITHOUT_COPY_S: Final = 300
"""The longest wait between tries while there is no copy at all."""
_NUMBERS: Final = 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """(least, most) seconds of each timer, whatever the SOA says."""

    refresh: tuple[int, int] = (30, 86_400)
    retry: tuple[int, int] = (10, 86_400)
    expire: tuple[int, int] = (60, 60 * 86_400)


@dataclass(frozen=True, slots=True)
class Timers:
    """The timers of an SOA (RFC 1035 section 3.3.13), in seconds."""

    refresh: int
    retry: int
    expire: int

    @classmethod
    def from_soa(cls, rdata: bytes, bounds: Bounds) -> Timers:
        """Those of uncompressed SOA rdata, within bounds."""
        numbers = rdata[-_NUMBERS:]
        refresh, retry, expire = (int.from_bytes(numbers[at : at + 4], "big") for at in (4, 8, 12))
        return cls(_within(refresh, bounds.refresh), _within(retry, bounds.retry), _within(expire, bounds.expire))


def _within(value: int, bounds: tuple[int, int]) -> int:
    return min(max(value, bounds[0]), bounds[1])


@dataclass(frozen=True, slots=True)
class Standing:
    """How a secondary's zone stands: its timers, None without a copy; when it is to ask, and when it expires."""

    next_at: int
    timers: Timers | None = None
    confirmed_at: int | None = None
    expires_at: int | None = None
    failures: int = 0

    def has_expired(self, now: int) -> bool:
        """Whether the copy is too old to be served."""
        return self.expires_at is not None and self.expires_at <= now

    def confirmed(
        self, timers: Timers, now: int, jitter: float, *, expire: int | None = None, is_new: bool = False
    ) -> Standing:
        """After a primary said that the copy is current, or gave a newer one (`is_new`).

        `expire` is how long the primary's own copy is good, where it says so: it may be a secondary, too. RFC 7314
        section 4: what is transferred is good as long as that; what is confirmed no shorter than it was before.
        """
        good_for = timers.expire if expire is None else min(expire, timers.expire)
        expires_at = now + good_for
        if expire is not None and not is_new and self.expires_at is not None:
            expires_at = max(expires_at, self.expires_at)
        return Standing(now + spread(timers.refresh, jitter), timers, now, expires_at)

    def failed(self, now: int, jitter: float) -> Standing:
        """After no primary confirmed it: what was known goes on, and so does the time until it expires."""
        failures = self.failures + 1
        wait = self.timers.retry if self.timers is not None else min(1 << min(failures - 1, 16), WITHOUT_COPY_S)
        return replace(self, next_at=now + spread(wait, jitter), failures=failures)


def at_start(
    timers: Timers | None, confirmed_at: int | None, expires_at: int | None, now: int, jitter: float
) -> Standing:
    """How a zone stands whose copy was confirmed then, by what is remembered; without a copy it asks at once.

    What became due while nobody was here is spread over a tenth of the refresh time, so that not all zones ask at once.
    """
    if timers is None or confirmed_at is None:
        return Standing(now)
    confirmed_at = min(confirmed_at, now)  # a clock that ran ahead makes nothing good for longer
    good_until = confirmed_at + timers.expire
    expires_at = good_until if expires_at is None else min(expires_at, good_until)
    due_at = confirmed_at + spread(timers.refresh, jitter)
    late_at = now + int(timers.refresh * SPREAD * jitter)
    return Standing(due_at if due_at > now else late_at, timers, confirmed_at, expires_at)


def spread(wait: int, jitter: float) -> int:
    """A wait made shorter by its part of `SPREAD`; a second at least."""
    return max(1, round(wait * (1 - SPREAD * jitter)))


def compared(theirs: int, ours: int | None) -> Literal["newer", "current", "older"]:
    """What a primary's serial means to a copy's (RFC 1982); anything is newer than no copy."""
    if ours is None or is_after(theirs, ours):
        return "newer"
    return "current" if theirs == ours else "older"
