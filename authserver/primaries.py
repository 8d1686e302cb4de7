"""Talking to a primary: one question about a zone's SOA, one transfer; sockets, TSIG, TLS, limits.

What is asked and what an answer means is decided in `zones.inquiry` and `zones.refresh`; the engine reads transfers. A
primary that says nothing, says it slowly, or closes in the midst raises `PrimaryError`, whatever the reason was.

Limits: `Patience`; a datagram that is not the answer is dropped, as anybody can send one; one query a connection.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from authserver.plugins.secondary import Ceiling, Patience, Primary
from authserver.tls import TLSFilesError, speaks_dot
from engine import Clock, EngineError, IncomingTransfer
from zones import inquiry
from zones.errors import TransferMessageError, TSIGError, ZonesError
from zones.inquiry import SOAAnswer
from zones.tsig import StreamVerifier, sign_request

UDP_TRIES_S: Final = (1.0, 2.0)
"""How long the answer to each datagram is waited for."""
BUFFER: Final = 1 << 18


class PrimaryError(Exception):
    """A primary gave nothing that can be used; the message says why."""


class LatePrimaryError(PrimaryError):
    """It did not do it in time, or can't be reached at all: asking it for something else would be in vain."""


async def ask_serial(primary: Primary, origin: bytes, patience: Patience, clock: Clock) -> SOAAnswer:
    """What the primary says of the zone's SOA: by UDP, and by TCP when that gives nothing. Raises PrimaryError."""
    message_id = _new_id()
    query = inquiry.soa_query(origin, message_id)
    if primary.tls is None:
        asked = _Asked(primary, query, clock)
        answer = await _by_udp(primary, asked.octets, message_id)
        # Anybody may have sent a datagram whose signature is wrong, so that says nothing of the primary.
        with suppress(TSIGError):
            if answer is not None and (known := _read(asked.only(answer), origin, message_id)) is not None:
                return known
    asked = _Asked(primary, query, clock)
    limit = patience.connect + patience.message
    async with _failing("the question about the SOA", limit), _connected(primary, patience) as (reader, writer):
        _send(writer, asked.octets)
        octets = asked.only(await _message(reader, patience))
    if (known := _read(octets, origin, message_id)) is None:
        raise PrimaryError("the answer about the SOA is truncated")
    return known


async def transfer(
    primary: Primary, origin: bytes, soa: bytes | None, patience: Patience, ceiling: Ceiling, clock: Clock
) -> IncomingTransfer:
    """A whole response: IXFR from the version with this SOA rdata, or AXFR. Raises PrimaryError."""
    message_id = _new_id()
    if soa is None:
        query, serial = inquiry.axfr_query(origin, message_id), None
    else:
        query, serial = inquiry.ixfr_query(origin, message_id, soa), int.from_bytes(soa[-20:-16], "big")
    incoming = IncomingTransfer(
        origin,
        message_id,
        serial=serial,
        file=f"transfer from {primary.shown}",
        max_records=ceiling.records,
        max_octets=ceiling.octets,
    )
    what = "AXFR" if soa is None else "IXFR"
    async with _failing(what, patience.transfer), _connected(primary, patience) as (reader, writer):
        asked = _Asked(primary, query, clock)
        _send(writer, asked.octets)
        while not incoming.feed(asked.verified(await _message(reader, patience))):
            pass
        asked.finish()
    return incoming


class _Asked:
    """A query as it is sent, and what its answer is verified by: its primary's key, if there is one."""

    def __init__(self, primary: Primary, query: bytes, clock: Clock) -> None:
        self.octets = query
        self._clock = clock
        self._verifier: StreamVerifier | None = None
        if primary.key is not None:
            self.octets, mac = sign_request(query, primary.key, clock.now())
            self._verifier = StreamVerifier(primary.key, mac)

    def verified(self, message: bytes) -> bytes:
        """The next message of the answer without its TSIG. Raises TSIGError."""
        return message if self._verifier is None else self._verifier.check(message, self._clock.now())

    def finish(self) -> None:
        """Nothing more comes. Raises TSIGError."""
        if self._verifier is not None:
            self._verifier.finish()

    def only(self, message: bytes) -> bytes:
        """The answer that is one message. Raises TSIGError."""
        octets = self.verified(message)
        self.finish()
        return octets


# -------------------------------------------------------------------- sockets


@asynccontextmanager
async def _failing(what: str, within: float) -> AsyncIterator[None]:
    """Say of whatever goes wrong in the block what it was that failed."""
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError:
        raise LatePrimaryError(f"{what}: not done in time") from None
    except ConnectionRefusedError as error:
        raise LatePrimaryError(f"{what}: {error.strerror or error}") from None
    except asyncio.IncompleteReadError as error:
        where = "in the midst of a message" if error.partial else "before the last message"
        raise PrimaryError(f"{what}: the connection was closed {where}") from None
    except (OSError, EngineError, ZonesError, TSIGError, TLSFilesError) as error:
        raise PrimaryError(f"{what}: {error}") from error


@asynccontextmanager
async def _connected(
    primary: Primary, patience: Patience
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    local = (primary.source, 0) if primary.source else None
    async with asyncio.timeout(patience.connect):
        tls = primary.tls
        reader, writer = await asyncio.open_connection(
            primary.address,
            primary.port,
            local_addr=local,
            limit=BUFFER,
            ssl=tls.context() if tls is not None else None,
            server_hostname=tls.hostname if tls is not None else None,
        )
    try:
        if tls is not None and not speaks_dot(writer.get_extra_info("ssl_object")):
            raise PrimaryError("it does not speak DNS over TLS: ALPN is not dot")  # RFC 9103 section 7.1
        yield reader, writer
    finally:
        # Nothing that was sent is of use any more, and a peer that does not close must not be waited for.
        writer.transport.abort()


def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(2, "big") + message)


async def _message(reader: asyncio.StreamReader, patience: Patience) -> bytes:
    """The next message, whole."""
    async with asyncio.timeout(patience.message):
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)


class _AnswerProtocol(asyncio.DatagramProtocol):
    def __init__(self, message_id: int) -> None:
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._message_id = message_id

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002 (the socket is connected)
        if not self.answered.done() and inquiry.is_answer_to(data, self._message_id):
            self.answered.set_result(data)

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 (TCP is tried whatever it was)
        if not self.answered.done():
            self.answered.set_result(b"")


async def _by_udp(primary: Primary, query: bytes, message_id: int) -> bytes | None:
    """The answer, None when there is none; each socket has a port of its own, so that answers are hard to forge."""
    local = (primary.source, 0) if primary.source else None
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _AnswerProtocol(message_id), local_addr=local, remote_addr=(primary.address, primary.port)
        )
    except OSError:
        return None
    try:
        for pause in UDP_TRIES_S:
            transport.sendto(query)
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(protocol.answered), pause) or None
    finally:
        transport.close()
    return None


def _read(octets: bytes, origin: bytes, message_id: int) -> SOAAnswer | None:
    try:
        return inquiry.read_soa_answer(octets, origin, message_id)
    except TransferMessageError as error:
        raise PrimaryError(error.reason) from None


def _new_id() -> int:
    return random.SystemRandom().randrange(1 << 16)
