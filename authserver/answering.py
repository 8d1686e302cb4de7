"""Queries that the engine hands over: who asks, who answers, and how the answers leave.

What came with a TSIG record is verified by the keys of its server block before anybody sees it, and goes on without the
record, with the name of its key; the answer is signed, or says what is wrong (RFC 8945 section 5). QUERY goes to the
block's chain, other opcodes to whoever has taken them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import dns.rcode

from authserver import chain
from authserver.plugin import NO_KEYS, TSIG, Block
from authserver.query import Query, Response, Transfer
from authserver.streams import Answer, Messages
from zones.tsig import Rejected, check_request

if TYPE_CHECKING:
    from authserver.tls import TLSPeer
    from engine import Clock, Declined, Responder

QUERY: Final = 0

OpcodeHandler: TypeAlias = Callable[[Block, Query], Awaitable[Response]]


class Signer(Protocol):
    """Signs what answers one query, one message after the other."""

    @property
    def room(self) -> int:
        """The most octets that it adds."""
        ...

    def sign(self, message: bytes, now: int) -> bytes:
        """The next message, signed."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A query without its TSIG; what signs its answer, if it had one; and why it is not answered, if it is not."""

    query: Query
    signer: Signer | None = None
    refusal: Response | None = None


class Answering:
    """Answers what the engine declined."""

    def __init__(
        self,
        responder: Responder,
        clock: Clock,
        blocks: Callable[[], Sequence[Block]],
        address_of: Callable[[int], tuple[str, int]],
    ) -> None:
        """`blocks` are those in force, by their number; `address_of` is what a listener is bound to."""
        self.opcodes: dict[int, OpcodeHandler] = {}
        """Who answers messages of an opcode other than QUERY; where nobody does they are refused."""
        self._responder = responder
        self._clock = clock
        self._blocks = blocks
        self._address_of = address_of

    async def dispatch(self, declined: Declined, tls: TLSPeer | None = None) -> Answer:
        """The answer as it is sent; None when nothing is said. `tls` is who asks, where it came by TLS."""
        came = replace(Query.from_declined(declined, self._address_of(declined.listener)), tls=tls)
        blocks = self._blocks()
        block = blocks[came.block] if 0 <= came.block < len(blocks) else None
        asked = asked_by(came, block, self._clock.now())
        answer = asked.refusal or await self._answer(asked.query, block)
        if isinstance(answer, Transfer):
            messages = answer.messages() if asked.signer is None else self._signed(answer, asked.signer)
            # As BIND answers whom it has no place for: the secondary comes again, and by its retry timer.
            return Messages(messages, lambda: self._sent(declined, asked, asked.query.respond(dns.rcode.SERVFAIL)))
        return self._sent(declined, asked, answer)

    def _sent(self, declined: Declined, asked: Asked, answer: Response) -> bytes | None:
        # The engine frames what a chain answered as it frames its own answers; None when it holds it back.
        octets = self._responder.dress(declined, answer.octets, asked.query.signature_octets)
        return octets if octets is None or asked.signer is None else asked.signer.sign(octets, self._clock.now())

    async def _answer(self, query: Query, block: Block | None) -> Response | Transfer:
        if block is None:
            return query.respond(dns.rcode.REFUSED)
        if query.opcode != QUERY:
            handler = self.opcodes.get(query.opcode)
            return query.respond(dns.rcode.REFUSED) if handler is None else await handler(block, query)
        answer = await chain.serve(block, query)
        if isinstance(answer, Transfer) and query.transport == "udp":
            return query.respond(dns.rcode.FORMERR)
        return answer

    async def _signed(self, transfer: Transfer, signer: Signer) -> AsyncIterator[bytes]:
        async for message in transfer.messages():
            yield signer.sign(message, self._clock.now())


def asked_by(came: Query, block: Block | None, now: int) -> Asked:
    """A query as the block's plugins see it, by the keys of the block."""
    keys = next(iter(block.offered(TSIG)), None) if block is not None else None
    checked = check_request(came.octets, block.keyring if block is not None else NO_KEYS, now)
    if checked is None:
        is_wanted = keys is not None and came.opcode in keys.opcodes
        return Asked(came, refusal=came.respond(dns.rcode.REFUSED) if is_wanted else None)
    if isinstance(checked, Rejected):
        query = replace(came, octets=checked.message, signature_octets=checked.room, _message=[])
        return Asked(query, checked, query.respond(checked.rcode))
    signer = checked.answers()
    query = replace(came, octets=checked.message, key=checked.key_name, signature_octets=signer.room, _message=[])
    return Asked(query, signer)
