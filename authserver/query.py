"""What passes along the chain: queries, and the responses and transfers that answer them.

All are values that never change; a plugin that wants another question makes another query with `with_…`.
The engine has parsed header, question and EDNS of a query already; a dnspython message is made only when asked for.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import dns.flags
import dns.message
import dns.name

if TYPE_CHECKING:
    from authserver.tls import TLSPeer
    from engine import Declined, QueryHead

Transport: TypeAlias = Literal["udp", "tcp"]

HEADER_OCTETS: Final = 12
_QR: Final = 0x8000
_OPCODE_AND_RD: Final = 0x7900
_DO: Final = 0x8000


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it came, with its place of origin; `qname` is a wire name in the case it came in."""

    octets: bytes
    id: int
    opcode: int
    flags: int
    qname: bytes
    qtype: int
    qclass: int
    has_edns: bool
    udp_size: int
    dnssec_ok: bool
    client: tuple[str, int]
    transport: Transport
    local: tuple[str, int] = ("", 0)
    listener: int = -1
    block: int = -1
    tags: tuple[tuple[str, str], ...] = ()
    key: bytes = b""
    """The TSIG key that the query was signed with, a wire name in lower case; empty when it was not signed."""
    tls: "TLSPeer | None" = None
    """Who is at the other side, where the query came by TLS; its `transport` is "tcp" then."""
    signature_octets: int = 0
    """Room that responses leave for their TSIG."""
    _message: list[dns.message.Message] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def from_declined(cls, declined: "Declined", local: tuple[str, int] = ("", 0)) -> "Query":
        """The query that the engine handed over; `local` is where its listener is bound."""
        return cls.from_head(
            declined.octets,
            declined.head,
            declined.client,
            declined.transport,
            local=(declined.local or local[0], local[1]),
            listener=declined.listener,
            block=declined.block,
        )

    @classmethod
    def from_head(
        cls,
        octets: bytes,
        head: "QueryHead",
        client: tuple[str, int],
        transport: Transport,
        *,
        local: tuple[str, int] = ("", 0),
        listener: int = -1,
        block: int = -1,
    ) -> "Query":
        """A query of octets and what `engine.parse_query` said of them."""
        return cls(
            octets=octets,
            id=head.id,
            opcode=head.opcode,
            flags=head.flags,
            qname=head.qname,
            qtype=head.qtype,
            qclass=head.qclass,
            has_edns=head.has_edns,
            udp_size=head.udp_size,
            dnssec_ok=head.dnssec_ok,
            client=client,
            transport=transport,
            local=local,
            listener=listener,
            block=block,
        )

    @property
    def message(self) -> dns.message.Message:
        """The whole query, parsed at the first call; not to be changed. Raises dns.exception.DNSException."""
        if not self._message:
            self._message.append(dns.message.from_wire(self.octets))
        return self._message[0]

    @property
    def name(self) -> dns.name.Name:
        """The qname as dnspython has it."""
        return dns.name.from_wire(self.qname, 0)[0]

    @property
    def family(self) -> int:
        """4 or 6, of the client's address."""
        return 6 if ":" in self.client[0] else 4

    @property
    def max_octets(self) -> int:
        """What a response to this query may be long before it is signed."""
        return (65535 if self.transport == "tcp" else max(512, self.udp_size)) - self.signature_octets

    def is_below(self, origin: bytes) -> bool:
        """Whether the qname is this wire name in lower case, or a name below it."""
        qname, start = self.qname.lower(), 0
        while len(qname) - start > len(origin):
            start += qname[start] + 1
        return qname[start:] == origin

    def with_question(self, qname: bytes, qtype: int | None = None) -> "Query":
        """The same query for another name, and another type when given."""
        qtype = self.qtype if qtype is None else qtype
        question = qname + qtype.to_bytes(2, "big") + self.qclass.to_bytes(2, "big")
        rest = self.octets[HEADER_OCTETS + len(self.qname) + 4 :]
        octets = self.octets[:HEADER_OCTETS] + question + rest
        return replace(self, octets=octets, qname=qname, qtype=qtype, _message=[])

    def with_tag(self, name: str, value: str) -> "Query":
        """The same query with one more fact that later plugins may read, as CoreDNS's metadata `plugin/name`."""
        return replace(self, tags=(*self.tags, (name, value)))

    def respond(self, rcode: int, *, ede: int | None = None) -> "Response":
        """A response without records: header and question copied, EDNS answered, the extended error when given."""
        flags = _QR | (self.flags & _OPCODE_AND_RD) | (rcode & 0xF)
        end = HEADER_OCTETS + len(self.qname) + 4
        has_question = self.octets[4:6] == b"\0\1" and len(self.octets) >= end
        question = self.octets[HEADER_OCTETS:end] if has_question else b""
        opt = self._opt(rcode >> 4, ede) if self.has_edns else b""
        counts = bytes([0, 1 if question else 0, 0, 0, 0, 0, 0, 1 if opt else 0])
        return Response(self.octets[:2] + flags.to_bytes(2, "big") + counts + question + opt)

    def _opt(self, extended_rcode: int, ede: int | None) -> bytes:
        # RFC 6891 section 6.1.2; the extended error is RFC 8914 section 2, option 15.
        option = b"" if ede is None else b"\0\x0f\0\x02" + ede.to_bytes(2, "big")
        ttl = bytes([extended_rcode & 0xFF, 0]) + (_DO if self.dnssec_ok else 0).to_bytes(2, "big")
        return b"\0\0\x29" + (1232).to_bytes(2, "big") + ttl + len(option).to_bytes(2, "big") + option

    def respond_with(self, message: dns.message.Message) -> "Response":
        """A response of a dnspython message, truncated to what this query may get."""
        octets = message.to_wire(max_size=65535 - self.signature_octets, prefer_truncation=True)
        if len(octets) > self.max_octets:
            octets = message.to_wire(max_size=self.max_octets, prefer_truncation=True)
        return Response(octets)


@dataclass(frozen=True, slots=True)
class Response:
    """A response as octets; parsed only when asked for."""

    octets: bytes
    _message: list[dns.message.Message] = field(default_factory=list, compare=False, repr=False)

    @property
    def rcode(self) -> int:
        """The header's RCODE, without the four upper bits that EDNS may add."""
        return self.octets[3] & 0xF

    @property
    def flags(self) -> int:
        """The second 16 bits of the header."""
        return int.from_bytes(self.octets[2:4], "big")

    @property
    def answer_count(self) -> int:
        """Records in the answer section."""
        return int.from_bytes(self.octets[6:8], "big")

    @property
    def is_truncated(self) -> bool:
        """Whether the client has to ask again over a stream."""
        return bool(self.flags & dns.flags.TC)

    @property
    def message(self) -> dns.message.Message:
        """The whole response, parsed at the first call; not to be changed."""
        if not self._message:
            self._message.append(dns.message.from_wire(self.octets))
        return self._message[0]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Many messages that answer one query over a stream: AXFR, IXFR."""

    messages: Callable[[], AsyncIterator[bytes]]
    """Makes the messages in order; whoever sends them closes the iterator when the client is gone."""
    origin: bytes = b"\0"
    serial: int = 0


Answer: TypeAlias = Response | Transfer
