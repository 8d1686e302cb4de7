"""Catalog zones, version 2 (RFC 9432), without sockets: what one says, how one is written, and who owns a member.

Words: a *catalog* is a zone whose records list other zones, its *members*; each has a *unique label*, by which a zone
that was taken away and came back is told from one that stayed, and *groups*, which say how it is to be served. A
catalog that breaks a rule is *broken*: nothing of it counts, and what the last good one said goes on.

Limits: `MOST_MEMBERS`, `MOST_GROUPS` for each. Section numbers below are RFC 9432's.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer

from engine import Version, name_from_text, name_to_text
from zones.errors import CatalogError
from zones.naming import is_at_or_below

VERSION: Final = "2"
PTR: Final = 12
TXT: Final = 16
MOST_MEMBERS: Final = 200_000
MOST_GROUPS: Final = 16
REFRESH: Final = 3600
RETRY: Final = 600
EXPIRE: Final = 2_147_483_646
"""Nothing is gained by letting a list of zones expire (section 4.1 has it so in its example)."""


@dataclass(frozen=True, slots=True)
class Member:
    """A zone that a catalog lists; `owner` is the catalog it is handed over to (coo, section 4.3.1)."""

    origin: bytes
    label: bytes
    """The unique label, in lower case and without its length."""
    groups: tuple[str, ...] = ()
    owner: bytes | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a catalog zone says; members by their origins in lower case."""

    origin: bytes
    members: Mapping[bytes, Member] = field(default_factory=dict)


# -------------------------------------------------------------------- reading


def read(version: Version) -> Catalog:
    """The catalog that a zone is. Raises CatalogError where it is broken (section 5.1)."""
    reading = _Reading(version.origin.lower())
    for line in version.to_text().decode("ascii").splitlines():
        owner, _, _, rtype, rdata = line.split(None, 4)
        reading.take(owner, rtype, rdata)
    return reading.done()


@dataclass(slots=True)
class _Reading:
    origin: bytes
    versions: list[str] = field(default_factory=list)
    pointers: dict[bytes, bytes] = field(default_factory=dict)
    owners: dict[bytes, bytes] = field(default_factory=dict)
    groups: dict[bytes, list[str]] = field(default_factory=dict)

    def take(self, owner: str, rtype: str, rdata: str) -> None:
        if rtype not in ("PTR", "TXT"):
            return  # section 4.2: what is not understood is passed over
        labels = self._below(name_from_text(owner).lower())
        match [*labels], rtype:
            case [b"version"], "TXT":
                self.versions.append(_text(rdata))
            case [label, b"zones"], "PTR":
                self._once(self.pointers, label, rdata, "a member has more than one PTR record")
            case [b"coo", label, b"zones"], "PTR":
                self._once(self.owners, label, rdata, "a member has more than one coo record")
            case [b"group", label, b"zones"], "TXT":
                groups = self.groups.setdefault(label, [])
                if len(groups) < MOST_GROUPS:
                    groups.append(_text(rdata))
            case _:
                pass

    def _below(self, name: bytes) -> list[bytes]:
        labels = []
        while name != self.origin and len(name) > 1:
            labels.append(name[1 : name[0] + 1])
            name = name[name[0] + 1 :]
        return labels

    def _once(self, found: dict[bytes, bytes], label: bytes, rdata: str, reason: str) -> None:
        if label in found:
            raise CatalogError(self.origin, f"{reason}: {label.decode('ascii', 'replace')}")
        found[label] = name_from_text(rdata).lower()

    def done(self) -> Catalog:
        if self.versions != [VERSION]:
            said = ", ".join(self.versions) or "none"
            raise CatalogError(self.origin, f"version is {said}; {VERSION} is what is understood")
        if len(self.pointers) > MOST_MEMBERS:
            raise CatalogError(self.origin, f"{len(self.pointers)} members, over the limit of {MOST_MEMBERS}")
        members: dict[bytes, Member] = {}
        for label, origin in self.pointers.items():
            if origin in members:
                raise CatalogError(self.origin, f"{name_to_text(origin)} is listed twice")
            groups = tuple(sorted(set(self.groups.get(label, ()))))
            members[origin] = Member(origin, label, groups, self.owners.get(label))
        return Catalog(self.origin, members)


def _text(rdata: str) -> str:
    """A TXT record's strings as one."""
    try:
        parsed = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, dns.tokenizer.Tokenizer(rdata))
    except dns.exception.DNSException:
        return ""
    return b"".join(parsed.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]


# -------------------------------------------------------------------- writing


def label_of(origin: bytes) -> bytes:
    """The unique label of a member: the same for the same name at all times, so that no consumer resets a zone."""
    return base64.b32hexencode(hashlib.sha256(origin.lower()).digest()[:20]).lower().rstrip(b"=")


def text_of(catalog: Catalog) -> bytes:
    """The master file of a catalog, in the order of its members' names; its serial is for the publisher to raise."""
    origin = name_to_text(catalog.origin)
    lines = [
        # Section 4.1: no server's name is needed.
        f"{origin} 0 IN SOA invalid. invalid. 1 {REFRESH} {RETRY} {EXPIRE} 0",
        f"{origin} 0 IN NS invalid.",
        f'version.{origin} 0 IN TXT "{VERSION}"',
    ]
    for _, member in sorted(catalog.members.items()):
        place = f"{member.label.decode('ascii')}.zones.{origin}"
        lines.append(f"{place} 0 IN PTR {name_to_text(member.origin)}")
        lines += [f'group.{place} 0 IN TXT "{_quoted(group)}"' for group in member.groups]
        if member.owner is not None:
            lines.append(f"coo.{place} 0 IN PTR {name_to_text(member.owner)}")
    return "".join(f"{line}\n" for line in lines).encode()


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of a producer: which zones it lists, in which groups, and whom they are handed over to."""

    names: tuple[bytes, ...]
    """Wire names in lower case: zones of exactly these names."""
    below: tuple[bytes, ...]
    """Zones below these; the root for all."""
    groups: tuple[str, ...] = ()
    owner: bytes | None = None

    def holds(self, origin: bytes) -> bool:
        """Whether it is about a zone."""
        return origin in self.names or any(is_at_or_below(origin, one) and origin != one for one in self.below)


def produced(origin: bytes, zones: Iterable[bytes], listings: Iterable[Listing]) -> Catalog:
    """The catalog of the zones that lines of a producer mean; the first line that means a zone counts."""
    listings = tuple(listings)
    members = {}
    for zone in {one.lower() for one in zones} - {origin.lower()}:
        listing = next((one for one in listings if one.holds(zone)), None)
        if listing is not None:
            members[zone] = Member(zone, label_of(zone), tuple(sorted(set(listing.groups))), listing.owner)
    return Catalog(origin.lower(), members)


# -------------------------------------------------------------------- consuming


@dataclass(frozen=True, slots=True)
class Owned:
    """A member as a consumer has it: from which catalog, under which label, in which groups."""

    catalog: bytes
    member: Member


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a consumer does when a catalog has changed.

    `members` is who is whose from now on. `gone` are removed, `reset` begin anew, their state forgotten (section 5.4),
    `clashes` are listed here and served by another catalog, which did not hand them over, or configured by hand.
    """

    members: Mapping[bytes, Owned]
    added: frozenset[bytes] = frozenset()
    gone: frozenset[bytes] = frozenset()
    reset: frozenset[bytes] = frozenset()
    changed: frozenset[bytes] = frozenset()
    """Those whose groups are other ones now."""
    clashes: frozenset[bytes] = frozenset()


def consumed(members: Mapping[bytes, Owned], catalog: Catalog, configured: Iterable[bytes] = ()) -> Consumption:
    """Who is whose when the catalog says this; `configured` are zones that the Corefile has, which no catalog gets."""
    by_hand, now = frozenset(configured), dict(members)
    own = {origin for origin, owned in members.items() if owned.catalog == catalog.origin}
    gone = own - catalog.members.keys()
    for origin in gone:
        del now[origin]
    added, reset, changed, clashes = set(), set(), set(), set()
    for origin, member in catalog.members.items():
        before = members.get(origin)
        if origin in by_hand or origin == catalog.origin:
            clashes.add(origin)  # section 5.2
            now.pop(origin, None)
            continue
        if before is None:
            added.add(origin)
        elif catalog.origin not in {before.catalog, before.member.owner}:
            clashes.add(origin)  # sections 5.2 and 4.3.1: the catalog that has it did not name this one
            continue
        elif before.member.label != member.label:
            reset.add(origin)  # sections 4.3.1 and 5.4
        elif before.member.groups != member.groups or before.catalog != catalog.origin:
            changed.add(origin)
        now[origin] = Owned(catalog.origin, member)
    return Consumption(now, frozenset(added), frozenset(gone), frozenset(reset), frozenset(changed), frozenset(clashes))
