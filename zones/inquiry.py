"""What a secondary asks its primaries, as messages: SOA, IXFR and AXFR queries, and answers about the SOA.

Each query asks for EXPIRE (RFC 7314). Transfers themselves are read by the engine. No socket is here, and no random
number: message ids are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from zones.errors import TransferMessageError

SOA: Final = 6
IXFR: Final = 251
AXFR: Final = 252
_IN: Final = b"\0\1"
_EXPIRE: Final = 9
_UDP_SIZE: Final = 1232
_OPT: Final = (
    b"\0" + b"\0\x29" + _UDP_SIZE.to_bytes(2, "big") + bytes(4) + b"\0\4" + _EXPIRE.to_bytes(2, "big") + b"\0\0"
)


def soa_query(origin: bytes, message_id: int) -> bytes:
    """A query for the zone's SOA."""
    return _query(origin, SOA, message_id)


def axfr_query(origin: bytes, message_id: int) -> bytes:
    """A query for the whole zone (RFC 5936 section 2.1)."""
    return _query(origin, AXFR, message_id)


def ixfr_query(origin: bytes, message_id: int, soa: bytes) -> bytes:
    """A query for what changed since the version with this SOA rdata, uncompressed (RFC 1995 section 3)."""
    record = origin + SOA.to_bytes(2, "big") + _IN + bytes(4) + len(soa).to_bytes(2, "big") + soa
    return _query(origin, IXFR, message_id, record)


def _query(origin: bytes, qtype: int, message_id: int, authority: bytes = b"") -> bytes:
    counts = b"\0\1\0\0" + (b"\0\1" if authority else b"\0\0") + b"\0\1"
    question = origin + qtype.to_bytes(2, "big") + _IN
    return message_id.to_bytes(2, "big") + b"\0\0" + counts + question + authority + _OPT


@dataclass(frozen=True, slots=True)
class SOAAnswer:
    """What a primary says of its zone; `expire` is in seconds, None where it does not say."""

    serial: int
    expire: int | None


def is_answer_to(octets: bytes, message_id: int) -> bool:
    """Whether octets may be the response to the query with this id: others are dropped, whoever sent them."""
    return len(octets) >= 12 and int.from_bytes(octets[:2], "big") == message_id and bool(octets[2] & 0x80)


def read_soa_answer(octets: bytes, origin: bytes, message_id: int) -> SOAAnswer | None:
    """What an SOA query was answered; None when it was truncated. Raises TransferMessageError, which says why not."""
    try:
        message = dns.message.from_wire(octets)
    except (dns.exception.DNSException, ValueError) as error:
        raise TransferMessageError("soa-answer", f"the answer about the SOA can't be read: {error}") from None
    question = message.question[0] if len(message.question) == 1 else None
    is_ours = message.id == message_id and message.opcode() == dns.opcode.QUERY and bool(message.flags & dns.flags.QR)
    is_ours = is_ours and question is not None and (question.name.to_wire() or b"").lower() == origin.lower()
    if question is None or not is_ours or question.rdtype != SOA:
        raise TransferMessageError("soa-answer", "the answer is about something else")
    if message.rcode() != dns.rcode.NOERROR:
        raise TransferMessageError("soa-answer", f"the answer about the SOA is {dns.rcode.to_text(message.rcode())}")
    if message.flags & dns.flags.TC:
        return None
    # Who is not authoritative for the zone knows it from somebody else's cache at best.
    if not message.flags & dns.flags.AA:
        raise TransferMessageError("soa-answer", "the answer about the SOA is not authoritative")
    found = message.get_rrset(message.answer, question.name, dns.rdataclass.IN, dns.rdatatype.SOA)
    if found is None or len(found) != 1:
        raise TransferMessageError("soa-answer", "the answer has no SOA")
    expires = [option.to_wire() for option in message.options if option.otype == _EXPIRE]
    known = next((octets for octets in expires if octets is not None and len(octets) == 4), None)
    return SOAAnswer(found[0].serial, int.from_bytes(known, "big") if known is not None else None)
