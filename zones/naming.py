r"""Which files of a source are zones, and of what origin: the regexp and template of `directory`, as a pure function.

The regexp is matched against the whole base name (`db\.(.*)` does not take `db.example.bak~` for more than it says),
and `{1}` in the template is its first group. Deviates from CoreDNS, whose regexp matches anywhere in the name.
Invariant: a file that may be a zone and can't be served puts its origin among the held ones, so that a zone is never
taken for removed because its file became unreadable, doubled or a link.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine import NameSyntaxError, name_from_text, name_to_text
from zones.check import Finding, finding, merged
from zones.errors import NamingError, SourceError

DEFAULT_REGEXP: Final = r"db\.(.*)"
DEFAULT_TEMPLATE: Final = "{1}"
MAX_REGEXP: Final = 10_000

LEFTOVERS: Final = ("~", ".swp", ".swo", ".swx", ".bak", ".tmp", ".orig", ".rej", ".jnl")
"""How the names end that editors, merges and other name servers leave beside a file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a source: its name as blobs know it, and why it can't be read, as (rule, reason), if so."""

    name: str
    refused: tuple[str, str] | None = None

    @property
    def base(self) -> str:
        """The last component of the name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Naming:
    """How file names become origins."""

    regexp: re.Pattern[str]
    template: str

    def origin_text(self, base: str) -> str | None:
        """The origin's text for a base name, None where it is not a zone's."""
        match = self.regexp.fullmatch(base)
        if match is None:
            return None
        return re.sub(r"\{(\d+)\}", lambda number: match[int(number[1])] or "", self.template)


def naming(regexp: str = DEFAULT_REGEXP, template: str = DEFAULT_TEMPLATE) -> Naming:
    """The naming of a regexp and a template. Raises NamingError."""
    if len(regexp) > MAX_REGEXP:
        raise NamingError("naming-regexp", f"the regexp has {len(regexp)} characters, over the limit of {MAX_REGEXP}")
    try:
        pattern = re.compile(regexp)
    except re.error as error:
        raise NamingError("naming-regexp", f"the regexp {regexp!r} can't be read: {error}") from None
    for number in re.findall(r"\{(\d+)\}", template):
        if int(number) > pattern.groups:
            reason = f"the template names group {{{number}}}, the regexp has {pattern.groups}"
            raise NamingError("naming-template", reason)
    return Naming(pattern, template)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a source holds: files by origin, origins whose files can't be served and why, and all findings."""

    zones: Mapping[bytes, Entry]
    held: Mapping[bytes, tuple[Finding, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def removed(self, served: Collection[bytes], source: str) -> frozenset[bytes]:
        """Which of the origins that are served have no file any more.

        Raises SourceError (`source-emptied`) when that is all of them: a source that lost everything is taken for
        broken, and what was served goes on being served.
        """
        gone = frozenset(served) - self.zones.keys() - self.held.keys()
        if gone and not self.zones and not self.held:
            raise SourceError(source, "source-emptied", f"it holds no zone any more, {len(gone)} are served from it")
        return gone


def scan(entries: Iterable[Entry], rule: Naming, allowed: Sequence[bytes]) -> Scan:
    """Sort entries into zones by origin; origins must be at or below one of `allowed`, if any are named."""
    claims: dict[bytes, list[Entry]] = {}
    findings: list[Finding] = []
    for entry in sorted(entries, key=lambda one: one.name):
        if is_leftover(entry.base):
            continue
        if not is_showable(entry.name):
            findings.append(finding(shown(entry.name), "file-name", "the name has control characters or is not UTF-8"))
            continue
        origin = _origin(entry, rule, allowed, findings)
        if origin is not None:
            claims.setdefault(origin, []).append(entry)
    held = {origin: found for origin, files in claims.items() if (found := _objections(origin, files))}
    zones = {origin: files[0] for origin, files in claims.items() if origin not in held}
    return Scan(zones, held, merged(findings, *held.values()))


def is_leftover(base: str) -> bool:
    """Whether a base name is hidden or an editor's leftover; `4913` is vim's probe of a directory."""
    return base.startswith((".", "#")) or base.endswith(LEFTOVERS) or base == "4913"


def is_showable(name: str) -> bool:
    """Whether a name can be given to the engine and be shown in a log line."""
    return name.isprintable()


def shown(name: str) -> str:
    """A name with everything unprintable escaped; surrogates stand for octets that are not UTF-8."""
    octets = name.encode("utf-8", "surrogateescape")
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}" for octet in octets)


def _origin(entry: Entry, rule: Naming, allowed: Sequence[bytes], findings: list[Finding]) -> bytes | None:
    text = rule.origin_text(entry.base)
    if text is None:
        return None
    try:
        origin = name_from_text(text).lower()
    except NameSyntaxError as error:
        findings.append(finding(entry.name, "zone-name", f"it would be the zone {text!r}: {error}"))
        return None
    if text == "" or (allowed and not any(is_at_or_below(origin, one) for one in allowed)):
        names = " ".join(name_to_text(one) for one in allowed)
        reason = f"it would be the zone {name_to_text(origin)}, which is not below {names or 'any name'}"
        findings.append(finding(entry.name, "zone-not-allowed", reason))
        return None
    return origin


def _objections(origin: bytes, files: Sequence[Entry]) -> tuple[Finding, ...]:
    """Why the zone of these files can't be served; empty when there is one file and it is readable."""
    if len(files) > 1:
        names = ", ".join(entry.name for entry in files)
        reason = f"the zone {name_to_text(origin)} has several files: {names}"
        return tuple(finding(entry.name, "duplicate-origin", reason) for entry in files)
    return tuple(finding(entry.name, *entry.refused) for entry in files if entry.refused)


def is_at_or_below(name: bytes, ancestor: bytes) -> bool:
    """Whether a wire name is the other or below it, by whole labels."""
    name, ancestor = name.lower(), ancestor.lower()
    at = 0
    while len(name) - at > len(ancestor):
        at += name[at] + 1
    return name[at:] == ancestor
