"""What UPDATE has of a zone: all of it, or an overlay, the names that patterns mean, on top of what a source says.

Words: an *overlay* is records at names of its own; it is *laid* over each version of the source. A name of the source
is the source's: where it has a record, the overlay's records of that name are *hidden*, and so they are below a cut of
the source's and below a DNAME, where nobody would see them. Nothing of a source is ever changed by an overlay.

Limits: `Updating.most` records in an overlay, or in a zone that is all UPDATE's; findings of names name a few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine import Version, name_to_text
from zones.check import Finding, finding
from zones.update import DNAME, NS, Changes, Record, records_of
from zones.updatepolicy import Pattern

MOST_OF_OVERLAY: Final = 10_000
MOST_OF_ZONE: Final = 2_000_000
NAMED: Final = 5
IN_SOURCE: Final = "overlay-name-in-source"
HIDDEN: Final = "overlay-hidden"


@dataclass(frozen=True, slots=True)
class Updating:
    """How a zone takes updates: names of an overlay, or without patterns all of it; how many records at most."""

    patterns: tuple[Pattern, ...] = ()
    most: int = MOST_OF_ZONE

    @property
    def is_overlay(self) -> bool:
        """Whether a source has the rest."""
        return bool(self.patterns)

    def holds(self, owner: bytes) -> bool:
        """Whether a name is UPDATE's as far as the patterns go."""
        return not self.patterns or any(pattern.holds(owner, None) for pattern in self.patterns)


class Nothing:
    """A content without records."""

    def rrset(self, _owner: bytes, _rtype: int) -> None:
        """None there."""

    def rtypes(self, _owner: bytes) -> Sequence[int]:
        """None there."""
        return ()


@dataclass(frozen=True, slots=True)
class Laid:
    """A source's version with an overlay over it; for a zone that is all UPDATE's, its content as it is.

    `own` is the overlay's records, hidden ones too. It is a content for updates to be judged by.
    """

    updating: Updating
    source: Version
    version: Version
    own: Changes
    hidden: frozenset[bytes] = frozenset()
    findings: tuple[Finding, ...] = ()

    def rrset(self, owner: bytes, rtype: int) -> tuple[int, Sequence[bytes]] | None:
        """As a content."""
        return self._of(owner).rrset(owner, rtype)

    def rtypes(self, owner: bytes) -> Sequence[int] | None:
        """As a content."""
        return self._of(owner).rtypes(owner)

    def _of(self, owner: bytes) -> Changes | Version:
        key = owner.lower()
        return self.own if key in self.own.names and key not in self.hidden else self.version

    def is_updatable(self, owner: bytes) -> bool:
        """Whether UPDATE may change what a name has."""
        if not self.updating.is_overlay:
            return True
        return self.updating.holds(owner) and not is_the_source_s(self.source, owner)

    def permitting(self, may: Callable[[bytes, int], bool]) -> Callable[[bytes, int], bool]:
        """What a client may that the rules allow something."""
        return lambda owner, rtype: may(owner, rtype) and self.is_updatable(owner)

    def after(self, changes: Changes) -> Laid:
        """What it is when updates were carried out."""
        version = self.version.edited(_edits(changes))
        if not self.updating.is_overlay:
            return Laid(self.updating, version, version, self.own)
        return Laid(self.updating, self.source, version, _after(self.own, changes), self.hidden, self.findings)

    def is_hidden(self, owner: bytes) -> bool:
        """Whether the overlay's records of a name are kept and not served."""
        return owner.lower() in self.hidden

    @property
    def records(self) -> tuple[Record, ...]:
        """All records of the overlay, hidden ones too."""
        return self.own.difference().new


def whole(updating: Updating, version: Version) -> Laid:
    """A zone that is all UPDATE's."""
    return Laid(updating, version, version, Changes(Nothing()))


def lay(updating: Updating, source: Version, own: Changes, file: str = "") -> Laid:
    """The overlay `own` over a source's version; `file` is what findings name."""
    hidden = frozenset(owner for owner in own.names if is_the_source_s(source, owner) or not updating.holds(owner))
    shown = {owner: types for owner, types in own.names.items() if owner not in hidden}
    version = source.edited(_edits(Changes(Nothing(), shown))) if shown else source
    findings = [*_in_source(updating, source, file), *_hidden(own, hidden, file)]
    return Laid(updating, source, version, own, hidden, tuple(findings))


def without(version: Version, own: Changes) -> Version:
    """The version without an overlay that is laid over it, as far as that can be told from the source's records."""
    laid: list[tuple[bytes, int, int, list[bytes]]] = [
        (owner, rtype, 0, [])
        for owner, rtype, rrset in own.rrsets
        if rrset.rdatas and (there := version.rrset(owner, rtype)) and set(there[1]) == set(rrset.rdatas.values())
    ]
    return version.edited(laid) if laid else version


def _edits(changes: Changes) -> list[tuple[bytes, int, int, list[bytes]]]:
    return [(rrset.owner, rtype, rrset.ttl, list(rrset.rdatas.values())) for _, rtype, rrset in changes.rrsets]


def replayed(content: Changes, gone: Iterable[Record], new: Iterable[Record]) -> Changes:
    """The same content, changed as records of a journal say."""
    for record in gone:
        content.drop(record)
    for record in new:
        content.put(record)
    return content


def stored(base: bytes, changes: Iterable[tuple[bytes, bytes]]) -> Changes:
    """An overlay out of the state: a record run, and record runs of what is gone and what is new since."""
    own = replayed(Changes(Nothing()), (), records_of(base))
    for gone, new in changes:
        replayed(own, records_of(gone), records_of(new))
    return own


def _after(own: Changes, changes: Changes) -> Changes:
    """The overlay when updates were carried out; what it was stays as it was."""
    after = Changes(own.content, dict(own.names))
    for owner, types in changes.names.items():
        present = {rtype: rrset for rtype, rrset in {**own.names.get(owner, {}), **types}.items() if rrset.rdatas}
        if present:
            after.names[owner] = present
        else:
            after.names.pop(owner, None)
    return after


def is_the_source_s(source: Version, owner: bytes) -> bool:
    """Whether a name has records in the source, or stands where the source's cut or DNAME hides it."""
    if source.rtypes(owner):
        return True
    return any(
        DNAME in (types := source.rtypes(name) or ()) or (NS in types and name != source.origin)
        for name in _above(owner.lower(), source.origin.lower())
    )


def _above(owner: bytes, origin: bytes) -> Iterator[bytes]:
    """The names above an owner, up to the origin."""
    while owner != origin and len(owner) > 1:
        owner = owner[owner[0] + 1 :]
        yield owner


def _in_source(updating: Updating, source: Version, file: str) -> list[Finding]:
    names = sorted(_names_in(updating, source))
    if not names:
        return []
    reason = (
        f"the source has records at {_listed(names)}, which the overlay of `update` has, too: "
        "those of the source are served there, and updates of these names are refused"
    )
    return [finding(file or name_to_text(source.origin), IN_SOURCE, reason)]


def _names_in(updating: Updating, source: Version) -> set[bytes]:
    """Names of the source that the patterns mean, as text."""
    fixed = (pattern.after for pattern in updating.patterns if not pattern.has_star)
    found = {name_to_text(name).encode() for name in fixed if source.rtypes(name)}
    starred = [pattern for pattern in updating.patterns if pattern.has_star]
    if starred:
        # One pass of the regexp engine over the text: a look at each of a million names would take seconds.
        text = b"\n" + source.to_text().lower()
        found |= {name for pattern in starred for name in re.findall(_regexp(pattern), text)}
    return found


def _regexp(pattern: Pattern) -> bytes:
    before = name_to_text(pattern.before + b"\0")[:-1]
    after = name_to_text(pattern.after).lower()
    parts = [re.escape(f"{before}." if before else ""), r"[^\s;]+?", re.escape("." if after == "." else f".{after}")]
    return f"\n({''.join(parts)})\\s".encode()


def _hidden(own: Changes, hidden: frozenset[bytes], file: str) -> list[Finding]:
    names = sorted(name for name in hidden if any(rrset.rdatas for rrset in own.names[name].values()))
    if not names:
        return []
    shown = _listed([name_to_text(name).encode() for name in names])
    reason = (
        f"records of the overlay at {shown} are kept and not served: the name is the source's, or no pattern has it"
    )
    return [finding(file, HIDDEN, reason)]


def _listed(names: Sequence[bytes]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(name.decode("ascii", "replace") for name in names[:NAMED]) + more
