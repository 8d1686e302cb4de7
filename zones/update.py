"""DNS UPDATE (RFC 2136) without sockets: what a message asks for, whether it may be, and what becomes of a zone.

Words: a *record run* is resource records one after another in uncompressed wire format, no count; *changes* are RRsets
that updates made of a content, laid over it without a copy. Who may what is told by `zones.updatepolicy`.

Invariants: an update is carried out whole or not at all; the apex keeps one SOA and at least one NS; a name with a
CNAME has nothing else; what the signer makes is never touched. Section numbers below are RFC 2136's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import dns.exception
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.wire

from engine import rdata_to_text, rrtype_to_text
from zones.errors import UpdateError
from zones.naming import is_at_or_below
from zones.serial import is_after

NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
WKS: Final = 11
DNAME: Final = 39
DS: Final = 43
OPT: Final = 41
TSIG: Final = 250
ANY: Final = 255
IN: Final = 1
CLASS_NONE: Final = 254
CLASS_ANY: Final = 255
HEADER: Final = 12
META: Final = range(128, 256)
"""Types that only questions have (RFC 6895 section 3.1), with ANY, AXFR, MAILA and MAILB among them."""
SIGNERS: Final = frozenset({46, 47, 48, 50, 51, 59, 60, 63})
"""RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, CDS, CDNSKEY, ZONEMD: made by the signer, never by UPDATE."""
ALONE: Final = frozenset({CNAME, SOA, DNAME})
"""Types of which a name has one record: another one takes its place (3.4.2.2)."""
WITH_NAMES: Final = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 17, 18, 21, 24, 26, 30, 33, 35, 36, 39, 58, 107})
"""Types whose rdata holds names, which are compared without case (RFC 4034 section 6.2, RFC 3597 section 7)."""
MOST_OCTETS: Final = 60_000
"""What the rdata of an RRset may take: with its signatures it has to fit into one message."""


class Record(NamedTuple):
    """One record of a message, or of a record run; the rdata is uncompressed, empty where a class says it has none."""

    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    rdata: bytes


@dataclass(frozen=True, slots=True)
class UpdateMessage:
    """What a message says: the zone's name as it came, its prerequisites, and its update section."""

    origin: bytes
    prerequisites: tuple[Record, ...]
    updates: tuple[Record, ...]


class Content(Protocol):
    """What an update is judged by, as `engine.Version` has it."""

    def rrset(self, owner: bytes, rtype: int) -> tuple[int, Sequence[bytes]] | None:
        """(TTL, rdatas) of an RRset."""
        ...

    def rtypes(self, owner: bytes) -> Sequence[int] | None:
        """The types of a name; nothing or None where it has no record."""
        ...


# -------------------------------------------------------------------- the message


def parse(octets: bytes) -> UpdateMessage:
    """Read a message whose opcode is UPDATE. Raises UpdateError with the rcode to answer."""
    try:
        return _parsed(octets)
    except (dns.exception.DNSException, struct.error, ValueError) as error:
        raise UpdateError(dns.rcode.FORMERR, f"no message: {str(error) or type(error).__name__}") from None


def _parsed(octets: bytes) -> UpdateMessage:
    zones, prerequisites, updates, more = struct.unpack_from("!4H", octets, 4)
    parser = dns.wire.Parser(octets, HEADER)
    if zones != 1:
        raise UpdateError(dns.rcode.FORMERR, f"{zones} records in the zone section")
    origin = _name(parser)
    rtype, rclass = parser.get_struct("!HH")
    if rtype != SOA:
        raise UpdateError(dns.rcode.FORMERR, "the zone section is not of type SOA")  # 3.1.1
    if rclass != IN:
        raise UpdateError(dns.rcode.NOTAUTH, "the zone is not of class IN")
    records = [_record(parser, is_prerequisite=number < prerequisites) for number in range(prerequisites + updates)]
    for _ in range(more):
        _record(parser, is_prerequisite=False)
    if parser.remaining():
        raise UpdateError(dns.rcode.FORMERR, f"{parser.remaining()} octets behind the last record")
    return UpdateMessage(origin, tuple(records[:prerequisites]), tuple(records[prerequisites:]))


def _record(parser: dns.wire.Parser, *, is_prerequisite: bool) -> Record:
    owner = _name(parser)
    rtype, rclass, ttl, length = parser.get_struct("!HHIH")
    ttl = 0 if ttl > 0x7FFFFFFF else ttl  # RFC 2181 section 8
    is_bare = rclass == CLASS_ANY or (is_prerequisite and rclass == CLASS_NONE) or rtype in (OPT, TSIG)
    with parser.restrict_to(length):
        if is_bare or (length == 0 and rclass != IN):
            rdata = parser.get_bytes(length)
        else:
            rdata = _uncompressed(dns.rdata.from_wire_parser(dns.rdataclass.IN, _rdtype(rtype), parser))
    return Record(owner, rtype, rclass, ttl, rdata)


def _name(parser: dns.wire.Parser) -> bytes:
    octets = parser.get_name(None, True).to_wire()
    assert octets is not None, "without a file to write into, it is given"
    return octets


def _uncompressed(rdata: dns.rdata.Rdata) -> bytes:
    octets = rdata.to_wire()
    assert octets is not None, "without a file to write into, it is given"
    return octets


def _rdtype(rtype: int) -> dns.rdatatype.RdataType:
    return dns.rdatatype.RdataType.make(rtype)


def prescan(message: UpdateMessage, may: Callable[[bytes, int], bool]) -> None:
    """Whether the update section can be carried out at all (3.4.1), by who asks for it (3.3). Raises UpdateError.

    What of it depends on the content, the deletion of all RRsets of a name, is asked when it is carried out. It comes
    ahead of the prerequisites, as in BIND: who may not update learns nothing by them.
    """
    for record in message.updates:
        _check_form(record, message.origin)
        if record.rtype in SIGNERS:
            raise UpdateError(dns.rcode.REFUSED, f"{_shown(record.rtype)} is made by the signer alone")
        if record.rtype != ANY and not may(record.owner, record.rtype):
            raise UpdateError(dns.rcode.REFUSED, f"no rule allows {_shown(record.rtype)} there")


def _check_form(record: Record, origin: bytes) -> None:
    """RFC 2136 section 3.4.1.2, and its pseudocode in 3.4.1.3."""
    if not is_at_or_below(record.owner, origin):
        raise UpdateError(dns.rcode.NOTZONE, "a name of the update section is not in the zone")
    is_meta = record.rtype in META or record.rtype in (0, OPT)
    match record.rclass:
        case 1:
            is_wrong = is_meta or _is_misshapen(record)
        case 255:
            is_wrong = bool(record.ttl or record.rdata) or (is_meta and record.rtype != ANY)
        case 254:
            is_wrong = bool(record.ttl) or is_meta
        case _:
            is_wrong = True
    if is_wrong:
        raise UpdateError(dns.rcode.FORMERR, "a record of the update section has no such form")


def _is_misshapen(record: Record) -> bool:
    """Whether the rdata does not fit a type that the engine knows: it is shown as of an unknown one then."""
    is_known = not rrtype_to_text(record.rtype).startswith("TYPE")
    return is_known and rdata_to_text(record.rtype, record.rdata).startswith("\\#")


# -------------------------------------------------------------------- contents


@dataclass(slots=True)
class RRset:
    """One RRset at work: rdatas by their canonical form, in which names are in lower case."""

    owner: bytes
    ttl: int
    rdatas: dict[bytes, bytes]


Key = tuple[bytes, int]


@dataclass(slots=True)
class Changes:
    """A content with what updates made of it; itself a content, so that the next update can be tried on it."""

    content: Content
    names: dict[bytes, dict[int, RRset]] = field(default_factory=dict)
    """By owner in lower case and type, RRsets that may be other than in the content; without rdatas where gone."""

    def rrset(self, owner: bytes, rtype: int) -> tuple[int, Sequence[bytes]] | None:
        """As a content."""
        changed = self.names.get(owner.lower(), {}).get(rtype)
        if changed is None:
            return self.content.rrset(owner, rtype)
        return (changed.ttl, list(changed.rdatas.values())) if changed.rdatas else None

    def rtypes(self, owner: bytes) -> list[int]:
        """The types that a name has."""
        types = set(self.content.rtypes(owner) or ())
        for rtype, rrset in self.names.get(owner.lower(), {}).items():
            (types.add if rrset.rdatas else types.discard)(rtype)
        return sorted(types)

    def at(self, owner: bytes, rtype: int) -> RRset:
        """An RRset to be changed."""
        types = self.names.setdefault(owner.lower(), {})
        if rtype not in types:
            ttl, rdatas = self.content.rrset(owner, rtype) or (0, [])
            types[rtype] = RRset(owner, ttl, {canonical(rtype, one): one for one in rdatas})
        return types[rtype]

    @property
    def rrsets(self) -> Iterator[tuple[bytes, int, RRset]]:
        """(owner, type, RRset) of all that may be other."""
        return ((owner, rtype, rrset) for owner, types in self.names.items() for rtype, rrset in types.items())

    def put(self, record: Record) -> None:
        """Add a record; its TTL is the RRset's from now on (RFC 2181 section 5.2)."""
        rrset = self.at(record.owner, record.rtype)
        if not rrset.rdatas:
            rrset.owner = record.owner
        rrset.ttl = record.ttl
        rrset.rdatas.setdefault(canonical(record.rtype, record.rdata), record.rdata)

    def drop(self, record: Record) -> None:
        """Take a record away, if it is there."""
        self.at(record.owner, record.rtype).rdatas.pop(canonical(record.rtype, record.rdata), None)

    def take(self, later: Changes) -> None:
        """What an update made of this."""
        for owner, types in later.names.items():
            self.names.setdefault(owner, {}).update(types)

    def difference(self) -> Difference:
        """What is other than in the content; a record whose TTL alone is another is both gone and new."""
        gone: list[Record] = []
        new: list[Record] = []
        for owner, rtype, rrset in self.rrsets:
            ttl, rdatas = self.content.rrset(owner, rtype) or (rrset.ttl, [])
            before = {canonical(rtype, one): one for one in rdatas}
            kept = before.keys() & rrset.rdatas.keys() if ttl == rrset.ttl else set()
            gone += [Record(owner, rtype, IN, ttl, one) for key, one in before.items() if key not in kept]
            added = (one for key, one in rrset.rdatas.items() if key not in kept)
            new += [Record(rrset.owner, rtype, IN, rrset.ttl, one) for one in added]
        return Difference(tuple(gone), tuple(new))


@dataclass(frozen=True, slots=True)
class Difference:
    """Records that are gone, and records that are new."""

    gone: tuple[Record, ...] = ()
    new: tuple[Record, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.gone or self.new)


NO_DIFFERENCE: Final = Difference()


def canonical(rtype: int, rdata: bytes) -> bytes:
    """What equal records have in common: the rdata with its names in lower case (1.1.1)."""
    if rtype not in WITH_NAMES or rdata == rdata.lower():
        return rdata
    try:
        return dns.rdata.from_wire(dns.rdataclass.IN, _rdtype(rtype), rdata, 0, len(rdata)).to_digestable()
    except (dns.exception.DNSException, ValueError):
        return rdata


def run(records: Iterable[Record]) -> bytes:
    """The record run of records."""
    return b"".join(
        one.owner + struct.pack("!HHIH", one.rtype, one.rclass, one.ttl, len(one.rdata)) + one.rdata for one in records
    )


def records_of(octets: bytes) -> Iterator[Record]:
    """The records of a run that was made here."""
    position = 0
    while position < len(octets):
        start = position
        while octets[position]:
            position += octets[position] + 1
        owner = octets[start : position + 1]
        rtype, rclass, ttl, length = struct.unpack_from("!HHIH", octets, position + 1)
        position += 11
        yield Record(owner, rtype, rclass, ttl, octets[position : position + length])
        position += length


# -------------------------------------------------------------------- carrying it out


def apply(message: UpdateMessage, content: Content, serial: int, may: Callable[[bytes, int], bool]) -> Changes:
    """What the update makes of the content. Raises UpdateError, with nothing changed.

    `serial` is the one that is served, which a new SOA has to be after; `may` says who may what.
    """
    check_prerequisites(message, content)
    changes = Changes(content)
    for record in message.updates:
        if record.rclass == IN:
            _add(changes, record, message.origin, serial)
        elif record.rclass == CLASS_ANY:
            _delete_rrsets(changes, record, message.origin, may)
        else:
            _delete_record(changes, record, message.origin)
    _check(changes, message.origin)
    return changes


def check_prerequisites(message: UpdateMessage, content: Content) -> None:
    """Whether they hold (3.2). Raises UpdateError."""
    wanted: dict[Key, set[bytes]] = {}
    for record in message.prerequisites:
        if record.ttl:
            raise UpdateError(dns.rcode.FORMERR, "a prerequisite has a TTL")
        if not is_at_or_below(record.owner, message.origin):
            raise UpdateError(dns.rcode.NOTZONE, "a name of a prerequisite is not in the zone")
        if record.rclass == IN:
            canonicals = wanted.setdefault((record.owner.lower(), record.rtype), set())
            canonicals.add(canonical(record.rtype, record.rdata))
        elif record.rclass in (CLASS_ANY, CLASS_NONE) and not record.rdata:
            _check_existence(record, content)
        else:
            raise UpdateError(dns.rcode.FORMERR, "a prerequisite has no such form")
    for (owner, rtype), canonicals in wanted.items():
        _, rdatas = content.rrset(owner, rtype) or (0, ())
        if {canonical(rtype, one) for one in rdatas} != canonicals:  # 3.2.3
            raise UpdateError(dns.rcode.NXRRSET, "a prerequisite RRset is not there as it is said")


def _check_existence(record: Record, content: Content) -> None:
    """RFC 2136 sections 3.2.1, 3.2.2, 3.2.4: an RRset or a name is there, or is not."""
    if record.rtype == ANY:
        exists, when_not, when = bool(content.rtypes(record.owner)), dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN
    else:
        exists = content.rrset(record.owner, record.rtype) is not None
        when_not, when = dns.rcode.NXRRSET, dns.rcode.YXRRSET
    if exists != (record.rclass == CLASS_ANY):
        raise UpdateError(when if exists else when_not, "a prerequisite does not hold")


def _add(changes: Changes, record: Record, origin: bytes, serial: int) -> None:
    """RFC 2136 section 3.4.2.2."""
    types = changes.rtypes(record.owner)
    if record.rtype == CNAME and any(one != CNAME for one in types):
        return
    if record.rtype != CNAME and CNAME in types:
        return
    if record.rtype == SOA and (
        record.owner.lower() != origin.lower() or not is_after(serial_of(record.rdata), serial)
    ):
        return
    rrset = changes.at(record.owner, record.rtype)
    if record.rtype in ALONE:
        same = canonical(record.rtype, record.rdata)
        rrset.rdatas = {key: one for key, one in rrset.rdatas.items() if key == same}
    elif record.rtype == WKS:  # one for each address and protocol
        rrset.rdatas = {key: one for key, one in rrset.rdatas.items() if one[:5] != record.rdata[:5]}
    changes.put(record)


def serial_of(soa: bytes) -> int:
    """The serial of a SOA's rdata."""
    return int.from_bytes(soa[-20:-16], "big")


def _delete_rrsets(changes: Changes, record: Record, origin: bytes, may: Callable[[bytes, int], bool]) -> None:
    """RFC 2136 section 3.4.2.3: the apex keeps its SOA and NS."""
    kept = (SOA, NS) if record.owner.lower() == origin.lower() else ()
    present = [rtype for rtype in changes.rtypes(record.owner) if rtype not in kept and rtype not in SIGNERS]
    for rtype in present if record.rtype == ANY else {record.rtype} & set(present):
        if record.rtype == ANY and not may(record.owner, rtype):
            raise UpdateError(dns.rcode.REFUSED, f"no rule allows {_shown(rtype)} there, which the name has")
        changes.at(record.owner, rtype).rdatas.clear()


def _delete_record(changes: Changes, record: Record, origin: bytes) -> None:
    """RFC 2136 section 3.4.2.4: the apex keeps its SOA and its last NS."""
    is_apex = record.owner.lower() == origin.lower()
    if is_apex and record.rtype == SOA:
        return
    if changes.rrset(record.owner, record.rtype) is None:
        return
    if is_apex and record.rtype == NS and len(changes.at(record.owner, NS).rdatas) == 1:
        return
    changes.drop(record)


def _check(changes: Changes, origin: bytes) -> None:
    """What a zone file would be held for. Raises UpdateError."""
    for owner, rtype, rrset in changes.rrsets:
        if not rrset.rdatas:
            continue
        if sum(map(len, rrset.rdatas)) > MOST_OCTETS:
            raise UpdateError(dns.rcode.REFUSED, f"the {_shown(rtype)} RRset would not fit into a message")
        if (rtype == DS and owner == origin.lower()) or (rtype == NS and owner.startswith(b"\1*")):
            raise UpdateError(dns.rcode.REFUSED, f"{_shown(rtype)} can't stand there")
    if not any(rtype in (NS, CNAME) for _, rtype, _ in changes.rrsets):
        return
    _, servers = changes.rrset(origin, NS) or (0, ())
    if any(changes.rrset(server, CNAME) for server in servers if is_at_or_below(server, origin)):
        raise UpdateError(dns.rcode.REFUSED, "a name server of the apex would be an alias (RFC 2181 section 10.3)")


def _shown(rtype: int) -> str:
    return dns.rdatatype.to_text(_rdtype(rtype))
