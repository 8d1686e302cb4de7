"""What is compared of a response: its rcode, AA, TC and the records of its sections, read from the octets.

A reader of its own, because dnspython takes a hundred times as long and a million answers are read. Names are whole and
in lower case, in rdata too where names are compressed (RFC 3597 section 4): servers may spell them as the question did.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype

A, NS, MD, MF, CNAME, SOA, MB, MG, MR, PTR, MINFO, MX, TXT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 16
RP, AFSDB, X25, RT, KEY, PX, NAPTR, KX, IPSECKEY, L32, L64, LP = 17, 18, 19, 21, 25, 26, 35, 36, 45, 105, 106, 107
AAAA, SRV, DNAME, OPT, DS, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, ANY = 28, 33, 39, 41, 43, 46, 47, 48, 50, 51, 255
SVCB, HTTPS = 64, 65
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN = range(7)

Layout = dict[int, tuple[int, int]]
COMPRESSED: Layout = {
    **dict.fromkeys((NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME), (0, 1)),
    MX: (2, 1),
    **dict.fromkeys((SOA, MINFO), (0, 2)),
}
"""Types whose names may be compressed (RFC 3597 section 4): octets ahead of the names, and how many there are."""
NAMES = COMPRESSED | {
    **dict.fromkeys((AFSDB, RT, KX, LP, SVCB, HTTPS), (2, 1)),
    PX: (2, 2),
    RP: (0, 2),
    SRV: (6, 1),
    RRSIG: (18, 1),
    NSEC: (0, 1),
    # Behind three texts, and where the gateway is one.
    NAPTR: (4, 1),
    IPSECKEY: (3, 1),
}
"""All types with names."""


class Malformed(Exception):
    """A response that is no message."""


class Record(NamedTuple):
    """One record; names in wire form."""

    owner: bytes
    rtype: int
    ttl: int
    rdata: bytes

    @property
    def kind(self) -> int:
        """Its type, of an RRSIG the one it covers."""
        return int.from_bytes(self.rdata[:2], "big") if self.rtype == RRSIG else self.rtype

    @property
    def targets(self) -> list[bytes]:
        """The names in the rdata."""
        return names_in(self.rdata, 0, len(self.rdata), self.rtype, NAMES, {})[1]

    def __str__(self) -> str:
        rdata = dns.rdata.from_wire(1, self.rtype, self.rdata, 0, len(self.rdata))
        return f"{shown(self.owner)} {self.ttl} {dns.rdatatype.to_text(self.rtype)} {rdata}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is compared of one response."""

    rcode: int
    aa: bool
    tc: bool
    answer: frozenset[Record]
    authority: frozenset[Record]
    additional: frozenset[Record]
    doubled: bool
    """Whether a section has a record twice (RFC 2181 section 5)."""


def read(message: bytes, *, folded: bool = False) -> Facts:
    """The facts of a response; OPT is left out but for the response code. Raises Malformed.

    `folded`: the names of all types are taken in lower case.
    """
    try:
        return _read(message, NAMES if folded else COMPRESSED)
    except (IndexError, ValueError, RecursionError, struct.error) as error:
        raise Malformed(f"{error}: {message.hex()}") from error


def _read(message: bytes, layout: Layout) -> Facts:
    flags, questions, *counts = struct.unpack_from("!5H", message, 2)
    known: dict[int, bytes] = {}
    at = 12
    for _ in range(questions):
        at = name_at(message, at, known)[1] + 4
    rcode, doubled = flags & 15, False
    sections = []
    for count in counts:
        section = []
        for _ in range(count):
            owner, at = name_at(message, at, known)
            rtype, _, ttl, length = struct.unpack_from("!HHIH", message, at)
            at += 10
            if rtype == OPT:
                rcode |= ttl >> 24 << 4
            else:
                section.append(Record(owner, rtype, ttl, _rdata(message, at, length, rtype, layout, known)))
            at += length
        sections.append(frozenset(section))
        doubled |= len(sections[-1]) != len(section)
    if at != len(message):
        raise ValueError(f"sections end at {at}, the message at {len(message)}")
    return Facts(rcode, bool(flags & 0x400), bool(flags & 0x200), *sections, doubled)


def names_in(
    message: bytes, at: int, length: int, rtype: int, layout: Layout, known: dict[int, bytes]
) -> tuple[int, list[bytes], int]:
    """Where the names in an rdata begin, the names, and where they end."""
    names = layout.get(rtype)
    if names is None or length == 0 or (rtype == IPSECKEY and message[at + 1] != 3):
        return at, [], at
    ahead, count = names
    if rtype == NAPTR:
        for _ in range(3):
            ahead += 1 + message[at + ahead]
    first = at = at + ahead
    found = []
    for _ in range(count):
        name, at = name_at(message, at, known)
        found.append(name)
    return first, found, at


def _rdata(message: bytes, at: int, length: int, rtype: int, layout: Layout, known: dict[int, bytes]) -> bytes:
    end = at + length
    if rtype not in layout:
        return message[at:end]
    first, names, last = names_in(message, at, length, rtype, layout, known)
    if last > end:
        raise ValueError("rdata that is longer than it says")
    return b"".join((message[at:first], *names, message[last:end]))


def name_at(message: bytes, at: int, known: dict[int, bytes]) -> tuple[bytes, int]:
    """The name at a place, whole and in lower case, and where it ends; `known` has names by their places."""
    start, labels = at, []
    while True:
        length = message[at]
        if length == 0:
            labels.append(b"\0")
            at += 1
            break
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | message[at + 1]
            at += 2
            if target >= start:
                raise ValueError("a pointer that does not lead back")
            if target not in known:
                name_at(message, target, known)
            labels.append(known[target])
            break
        labels.append(message[at : at + length + 1].lower())
        at += length + 1
    name = known[start] = b"".join(labels)
    if len(name) > 255:
        raise ValueError("a name of more than 255 octets")
    return name, at


def parent(name: bytes) -> bytes:
    """The name without its first label; of the root nothing."""
    return name[name[0] + 1 :]


def is_in(name: bytes, other: bytes) -> bool:
    """Whether a name is another one or below it."""
    while len(name) > len(other):
        name = parent(name)
    return name == other


def shown(name: bytes) -> str:
    """A wire name in text."""
    return dns.name.from_wire(name, 0)[0].to_text()
