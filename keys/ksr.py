"""Key Signing Requests and Signed Key Responses as text, as Knot DNS's keymgr and BIND's dnssec-ksr have them.

A *section* is what holds from one moment on: the DNSKEY RRset, and in a response CDS, CDNSKEY and the signatures.
keymgr writes that moment in Unix seconds, dnssec-ksr as `YYYYMMDDHHMMSS`; both are read, the former is written.

**Limits:** a file has at most 16 MiB and 10,000 sections; other records than these are errors.
"""

import re
from calendar import timegm
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

import dns.exception
import dns.name
import dns.rdatatype
import dns.rrset
import dns.zonefile

from engine import name_to_text, rdata_to_text
from keys.errors import CeremonyError

MAX_OCTETS: Final = 16 << 20
MAX_SECTIONS: Final = 10_000
DNSKEY: Final = 48
CDS: Final = 59
CDNSKEY: Final = 60
RRSIG: Final = 46

REQUEST: Final = "KeySigningRequest"
RESPONSE: Final = "SignedKeyResponse"
Kind = Literal["KeySigningRequest", "SignedKeyResponse"]

_TYPES: Final[Mapping[str, tuple[int, ...]]] = {REQUEST: (DNSKEY,), RESPONSE: (DNSKEY, CDS, CDNSKEY)}
_HEADER: Final = re.compile(r";;\s*(KeySigningRequest|SignedKeyResponse)\s+(\S+)\s+(\S+)")
_REASON: Final = re.compile(r":\d+: (.*)", re.DOTALL)
_MOMENT: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")


@dataclass(frozen=True, slots=True)
class Section:
    """What holds from `since` on: TTL and rdatas by type, RRSIG rdatas by covered type; `line` is for people."""

    since: int
    origin: bytes
    rrsets: Mapping[int, tuple[int, tuple[bytes, ...]]]
    rrsigs: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)
    line: int = 0

    @property
    def dnskeys(self) -> frozenset[bytes]:
        """The DNSKEY RRset."""
        return frozenset(self.rrsets.get(DNSKEY, (0, ()))[1])

    @property
    def inception(self) -> int:
        """From when all signatures are valid."""
        return max((int.from_bytes(one[12:16], "big") for group in self.rrsigs.values() for one in group), default=0)

    @property
    def expiration(self) -> int:
        """Until when all signatures are valid."""
        return min((int.from_bytes(one[8:12], "big") for group in self.rrsigs.values() for one in group), default=0)

    def signers(self, rtype: int = DNSKEY) -> frozenset[tuple[int, int]]:
        """(tag, algorithm) of the keys that signed an RRset."""
        return frozenset((int.from_bytes(one[16:18], "big"), one[2]) for one in self.rrsigs.get(rtype, ()))


# ------------------------------------------------------------------ reading


def read(text: str, kind: Kind, file: str) -> list[Section]:
    """The sections of a file, in its order. Raises CeremonyError with file and line of what is wrong first."""
    if len(text) > MAX_OCTETS:
        raise CeremonyError(file, f"is larger than {MAX_OCTETS} octets")
    sections = []
    for since, line, lines in _split(text, kind, file):
        sections.append(_section(since, line, lines, kind, file))
        if len(sections) > MAX_SECTIONS:
            raise CeremonyError(file, f"has more than {MAX_SECTIONS} sections", line)
        if len(sections) > 1:
            before, one = sections[-2:]
            if one.origin != before.origin:
                names = f"{name_to_text(one.origin)}, and {name_to_text(before.origin)} before"
                raise CeremonyError(file, f"is of more than one zone: {names}", line)
            if one.since <= before.since:
                raise CeremonyError(file, f"the section of {shown(since)} is not after the one before it", line)
    if not sections:
        raise CeremonyError(file, f"has no section `;; {kind} 1.0 TIME`")
    return sections


def _split(text: str, kind: str, file: str) -> Iterator[tuple[int, int, list[str]]]:
    """(since, line number of its header, lines with those before it left empty) of each section."""
    since, start, lines = -1, 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is None:
            lines.append(line)
            if since < 0 and line.split(";")[0].strip():
                raise CeremonyError(file, f"a record before the first `;; {kind} 1.0 TIME`", number)
            continue
        if header[1] != kind or header[2] != "1.0":
            raise CeremonyError(file, f"is a {header[1]} {header[2]}, not a {kind} 1.0", number)
        if since >= 0:
            yield since, start, lines
        if header[3] == "generated":
            return
        since, start, lines = _moment(header[3], file, number), number, [""] * number
    if since >= 0:
        yield since, start, lines


def _moment(text: str, file: str, line: int) -> int:
    try:
        if found := _MOMENT.fullmatch(text):
            year, month, day, hour, minute, second = map(int, found.groups())
            return timegm(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timetuple())
        if 0 < int(text) < 1 << 32:
            return int(text)
        raise ValueError
    except ValueError:
        raise CeremonyError(file, f"'{text}' is no time: Unix seconds, or YYYYMMDDHHMMSS", line) from None


def _section(since: int, line: int, lines: Sequence[str], kind: str, file: str) -> Section:
    ttls: dict[int, int] = {}
    rdatas: dict[int, set[bytes]] = {}
    rrsigs: dict[int, set[bytes]] = {}
    origin = b""
    for number, record in _records_of(lines):
        rrset = _record(record, file, number)
        owner = rrset.name.canonicalize().to_wire() or b""
        if origin not in (b"", owner):
            names = f"{name_to_text(owner)}, and {name_to_text(origin)} before"
            raise CeremonyError(file, f"is of more than one zone: {names}", number)
        origin = owner
        octets = {rdata.to_digestable() for rdata in rrset}
        if rrset.rdtype == RRSIG and kind == RESPONSE and rrset.covers in _TYPES[kind]:
            rrsigs.setdefault(int(rrset.covers), set()).update(octets)
        elif rrset.rdtype not in _TYPES[kind]:
            raise CeremonyError(file, f"a {dns.rdatatype.to_text(rrset.rdtype)}, which no {kind} has", number)
        elif ttls.setdefault(int(rrset.rdtype), int(rrset.ttl)) != rrset.ttl:
            raise CeremonyError(file, "another TTL than the records before it of the RRset", number)
        else:
            rdatas.setdefault(int(rrset.rdtype), set()).update(octets)
    if DNSKEY not in rdatas:
        raise CeremonyError(file, f"the section of {shown(since)} has no DNSKEY", line)
    rrsets = {rtype: (ttls[rtype], tuple(sorted(found))) for rtype, found in rdatas.items()}
    return Section(since, origin, rrsets, {rtype: tuple(sorted(found)) for rtype, found in rrsigs.items()}, line)


def _records_of(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(line number, text) of each record, which parentheses may spread over several lines (RFC 1035 section 5.1)."""
    start, gathered = 0, list[str]()
    for number, line in enumerate(lines, 1):
        text = line.split(";")[0]  # no record of these has a semicolon in it
        if not gathered and not text.strip():
            continue
        start = start if gathered else number
        gathered.append(text)
        whole = " ".join(gathered)
        if whole.count("(") <= whole.count(")"):
            yield start, whole
            gathered = []
    if gathered:
        yield start, " ".join(gathered)


def _record(text: str, file: str, line: int) -> dns.rrset.RRset:
    if text.lstrip().startswith("$"):
        raise CeremonyError(file, "a directive; only records are taken", line)
    try:
        (rrset,) = dns.zonefile.read_rrsets(text + "\n", rdclass=None, origin=dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        where = _REASON.search(str(error))
        raise CeremonyError(file, where[1] if where is not None else str(error), line) from None
    return rrset


# ------------------------------------------------------------------ writing


def write(sections: Iterable[Section], kind: Kind, now: int) -> str:
    """The file."""
    lines = [line for one in sections for line in (_head(kind, one.since), *_records(one))]
    return "\n".join([*lines, f";; {kind} 1.0 generated at {shown(now)} by Zonewright", ""])


def _head(kind: str, since: int) -> str:
    return f";; {kind} 1.0 {since} ({shown(since)}) ========="


def _records(section: Section) -> Iterator[str]:
    origin = name_to_text(section.origin)
    for rtype, (ttl, rdatas) in section.rrsets.items():
        name = dns.rdatatype.to_text(dns.rdatatype.RdataType(rtype))
        for rdata in rdatas:
            yield f"{origin} {ttl} {name} {rdata_to_text(rtype, rdata)}"
    for rtype, signatures in section.rrsigs.items():
        for rdata in signatures:
            yield f"{origin} {section.rrsets[rtype][0]} RRSIG {rdata_to_text(RRSIG, rdata)}"


def shown(moment: int) -> str:
    """A point in time for people, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
