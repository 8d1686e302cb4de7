"""Every type's presentation form against BIND's and dnspython's reading of it: the same wire, and text that BIND reads."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdatatype
import pytest

import engine
from tests.engine.test_reader import APEX, ORIGIN, bind_dump

VECTORS = Path(__file__).parents[1] / "vectors" / "types.txt"

# What a survey of zone-file dialects found in use or in a registry.
TYPES = """
A AAAA NS MX SOA CNAME DNAME PTR TXT SPF SRV NAPTR CAA LOC TLSA SMIMEA SSHFP URI OPENPGPKEY CSYNC ZONEMD SVCB HTTPS DS
CDS DNSKEY CDNSKEY DLV RRSIG NSEC NSEC3 NSEC3PARAM CERT IPSECKEY HIP DHCID APL AMTRELAY EUI48 EUI64 L32 L64 NID LP KX RP
AFSDB RT X25 ISDN GPOS NSAP PX WKS HINFO RESINFO WALLET DSYNC MB MG MR MINFO NULL NXT A6 TA UNSPEC EID NIMLOC ATMA SINK
RKEY TALINK UINFO UID GID DOA CLA IPN NSAP-PTR KEY SIG NINFO AVC HHIT BRID KEYDATA
"""


@dataclass(frozen=True)
class Vector:
    """One line of the vectors."""

    rtype: str
    text: str
    is_known_to_bind: bool
    is_known_to_dnspython: bool

    @cached_property
    def read(self) -> tuple[int, bytes]:
        """Type number and wire, as the engine reads the record."""
        zone = APEX + f"n {self.rtype} {self.text}\n".encode()
        version, found = engine.Version.build(engine.read_zone(engine.name_from_text(ORIGIN), [("zone", zone)]))
        assert version is not None, found
        owner = engine.name_from_text(f"n.{ORIGIN}")
        (number,) = version.rtypes(owner) or []
        _, (wire,) = version.rrset(owner, number) or (0, [])
        return number, wire

    @property
    def number(self) -> int:
        return self.read[0]

    @property
    def wire(self) -> bytes:
        return self.read[1]

    @property
    def generic(self) -> str:
        """RFC 3597 section 5."""
        return f"\\# {len(self.wire)} {self.wire.hex()}"


def vectors() -> list[Vector]:
    found = []
    for line in VECTORS.read_text(encoding="ascii").splitlines():
        match = re.fullmatch(r"(! )?(- )?(\S+) (.+)", line)
        if match and not line.startswith("#"):
            found.append(Vector(match[3], match[4], match[1] is None, match[2] is None))
    return found


ALL = vectors()
OF_BIND = [one for one in ALL if one.is_known_to_bind]


def read_by_bind(lines: list[str], directory: Path, name: str) -> list[bytes]:
    """What BIND makes of these records, each at a name of its own."""
    zone = "".join(f"n{number} {line}\n" for number, line in enumerate(lines)).encode()
    dump = bind_dump(APEX + zone, directory, name)
    assert dump is not None
    return dump


def test_no_type_is_left_out() -> None:
    # SOA and NS stand in every zone; of MD and MF, which BIND refuses, and NXNAME no record can be.
    assert {"SOA", *(one.rtype for one in ALL)} >= set(TYPES.split())


@pytest.mark.peer("named-compilezone")
def test_bind_reads_our_wire_and_our_text_as_it_reads_the_text(tmp_path: Path) -> None:
    expected = read_by_bind([f"{one.rtype} {one.text}" for one in OF_BIND], tmp_path, "text")
    assert len(expected) == len(OF_BIND) + 3
    assert read_by_bind([f"TYPE{one.number} {one.generic}" for one in OF_BIND], tmp_path, "wire") == expected
    ours = [f"{one.rtype} {engine.rdata_to_text(one.number, one.wire)}" for one in OF_BIND]
    assert read_by_bind(ours, tmp_path, "ours") == expected


@pytest.mark.peer("named-compilezone")
def test_bind_takes_what_it_has_no_name_for_by_number(tmp_path: Path) -> None:
    unknown = [f"TYPE{one.number} {one.generic}" for one in ALL if not one.is_known_to_bind]
    assert len(read_by_bind(unknown, tmp_path, "unknown")) == len(unknown) + 3


@pytest.mark.parametrize("one", [one for one in ALL if one.is_known_to_dnspython], ids=lambda one: f"{one.rtype}")
def test_dnspython_reads_the_same_wire(one: Vector) -> None:
    origin = dns.name.from_text(ORIGIN)
    rdata = dns.rdata.from_text("IN", dns.rdatatype.from_text(one.rtype), one.text, origin=origin, relativize=False)
    assert rdata.to_wire(origin=origin) == one.wire


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one.rtype}")
def test_our_text_is_read_back_as_the_same_wire(one: Vector) -> None:
    text = engine.rdata_to_text(one.number, one.wire)
    assert engine.rdata_from_text(one.number, text, engine.name_from_text(".")) == one.wire
    assert ("\\#" in text) == ("\\#" in one.text and one.rtype not in {"A", "TYPE1"})
