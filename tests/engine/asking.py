"""What the engine's tests share: a zone made of text, asked over the boundary, its answers shown as presentation text.

Whatever is asked is asked four times: of a direct block and of a chained one, which answers through its plugins in Python
as a server runs them, by UDP and by TCP. Both blocks have to say the same, octet for octet.
"""

import asyncio
import textwrap
from dataclasses import dataclass, field
from functools import cache

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from authserver import chain
from authserver.http import HttpServers
from authserver.plugin import ZONES, Query, Response, Runtime
from authserver.schedule import Schedule
from engine import (
    Block,
    Clock,
    Declined,
    Responder,
    SignedVersion,
    SigningKey,
    SigningPlan,
    Version,
    ZoneSlot,
    name_from_text,
    read_zone,
    rrtype_from_text,
)
from keys import private

NOW = 1_700_000_000
EXPIRATION = NOW + 14 * 86400
DNSKEY = 48
FLAGS = ("AA", "TC", "RD", "RA", "AD", "CD")


@cache
def signing_key(algorithm: int = 13) -> SigningKey:
    """One key for all tests of a run: P-256, or 15 for Ed25519, whose signatures come out the same each time."""
    return SigningKey(*private.generate(algorithm, 257))


def build(text: str, origin: str = "example.") -> Version:
    """A version of a zone's text; warnings are let through, errors fail the test."""
    records = read_zone(name_from_text(origin), [("zone", textwrap.dedent(text).encode())])
    version, findings = Version.build(records)
    assert version is not None, [*records.diagnostics, *findings]
    return version


def signed(version: Version, previous: SignedVersion | None = None, **times: int) -> SignedVersion:
    """The version with our key's DNSKEY in it, ready to be answered from."""
    key = signing_key()
    with_key = version.edited([(version.origin, DNSKEY, 3600, [key.dnskey])])
    facts = {"inception": NOW - 3600, "expiration": EXPIRATION} | times
    return SignedVersion(with_key, SigningPlan([(key, True, True)], **facts), previous)


def sealed(version: SignedVersion) -> SignedVersion:
    """The same version, every signature made and verified."""
    while not version.make(100_000):
        pass
    while not version.verify(100_000, NOW):
        pass
    version.seal()
    return version


def query(
    qname: str | dns.name.Name,
    qtype: str = "A",
    *,
    dnssec: bool = False,
    payload: int | None = None,
    qclass: str = "IN",
    flags: int = 0,
) -> dns.message.Message:
    """A query without RD; EDNS only with DO or a payload."""
    message = dns.message.make_query(qname, qtype, qclass)
    if dnssec or payload is not None:
        message.use_edns(0, dns.flags.DO if dnssec else 0, payload or 65535)
    message.flags = dns.flags.Flag(flags)
    return message


@cache
def loop() -> asyncio.Runner:
    """One event loop for all tests of a run: making one costs more than an answer."""
    return asyncio.Runner()


DIRECT, CHAINED = 0, 1
"""Listeners."""


@dataclass(frozen=True)
class Served:
    """A zone as the table of a backend holds it."""

    slot: ZoneSlot
    sealed_version: SignedVersion | None = None


class Chain:
    """A server block of a Corefile that the engine does not answer by itself, over slots that stand there already."""

    def __init__(self, responder: Responder, clock: Clock, slots: dict[str, ZoneSlot]) -> None:
        origins = " ".join(slots)
        # What falls through below a name that is not served: nothing ever does.
        corefile = f"{origins} {{\n file zone {origins} {{\n fallthrough nowhere.test\n }}\n whoami\n}}\n"
        self.responder = responder
        self.configuration = chain.load(corefile, {})
        schedule = Schedule(clock)
        self.configuration.runtime = Runtime(responder, clock, schedule, HttpServers(), self._reload)
        (self.block,) = self.configuration.blocks
        assert not self.block.is_direct
        (table,) = self.block.offered(ZONES)
        table.replace({slot.origin: Served(slot) for slot in slots.values()})

    async def _reload(self) -> bool:
        return False

    def octets(self, declined: Declined) -> bytes | None:
        """What is said to a query that the engine handed over."""
        answer = loop().run(chain.serve(self.block, Query.from_declined(declined)))
        assert isinstance(answer, Response)
        return self.responder.dress(declined, answer.octets)


@dataclass
class Serving:
    """Zones on a responder of their own, asked without a socket."""

    zones: dict[str, SignedVersion]
    clock: Clock = field(default_factory=Clock)
    slots: dict[str, ZoneSlot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock.stop_at(NOW)
        self.responder = Responder(self.clock)
        for origin, version in self.zones.items():
            self.slots[origin] = ZoneSlot(name_from_text(origin))
            self.slots[origin].publish(version)
        self.chain = Chain(self.responder, self.clock, self.slots)
        zones = [(slot.origin, slot) for slot in self.slots.values()]
        origins = [origin for origin, _ in zones]
        self.responder.route(
            [Block(1, [DIRECT], origins, zones), Block(2, [CHAINED], origins, zones, chained=True)],
        )

    def octets(self, octets: bytes, transport: str = "tcp") -> bytes | None:
        """What is said to these octets; None for silence."""
        answers = {by: self._both(octets, by) for by in ("udp", "tcp")}
        answer = answers[transport]
        assert not isinstance(answer, Declined)
        return answer

    def _both(self, octets: bytes, transport: str) -> bytes | Declined | None:
        direct, chained = (
            self.responder.answer(listener, octets, ("192.0.2.99", 4242), transport) for listener in (DIRECT, CHAINED)
        )
        if isinstance(direct, Declined):
            # A transfer: Python's in both blocks.
            assert isinstance(chained, Declined)
            return direct
        if isinstance(chained, Declined):
            chained = self.chain.octets(chained)
        assert chained == direct, f"direct and chained differ by {transport}"
        return direct

    def ask(
        self, qname: str | dns.name.Name, qtype: str = "A", *, transport: str = "tcp", **facts
    ) -> dns.message.Message:
        """The response, each record on its own so that duplicates and order are seen."""
        octets = self.octets(query(qname, qtype, **facts).to_wire(), transport)
        assert octets is not None
        return dns.message.from_wire(octets, one_rr_per_rrset=True)

    def show(self, qname: str | dns.name.Name, qtype: str = "A", **facts) -> str:
        """The response as text: rcode and header bits, then the sections that hold something."""
        return shown(self.ask(qname, qtype, **facts))


def serve(text: str, origin: str = "example.") -> Serving:
    """An unsigned zone."""
    return Serving({origin: SignedVersion(build(text, origin))})


def serve_signed(text: str, origin: str = "example.") -> Serving:
    """A zone signed by our key."""
    return Serving({origin: signed(build(text, origin))})


def lines(rrsets) -> list[str]:
    """Records as `owner TTL TYPE rdata`."""
    return [
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}"
        for rrset in rrsets
        for rdata in rrset
    ]


def shown(response: dns.message.Message) -> str:
    """A response as the tests write it down; OPT is left out."""
    bits = [name for name in FLAGS if response.flags & dns.flags.Flag[name]]
    text = [" ".join([dns.rcode.to_text(response.rcode()), *bits])]
    for title, section in (
        ("ANSWER", response.answer),
        ("AUTHORITY", response.authority),
        ("ADDITIONAL", response.additional),
    ):
        if section:
            text += [title, *lines(section)]
    return "\n".join(text)


def text(block: str) -> str:
    """An expected response, written indented."""
    return "\n".join(line.strip() for line in block.strip().splitlines())


def rrsets(version: Version | SignedVersion, owner: str, rtype: str):
    """Short for `version.rrset` of presentation text."""
    return version.rrset(name_from_text(owner), rrtype_from_text(rtype))
