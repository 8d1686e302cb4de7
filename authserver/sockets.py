"""DNS over TCP as RFC 7766 wants it, NOTIFY over UDP, and the waking of the loop for queries the engine declines.

A *connection* carries many queries at a time; each is answered when its answer is there, in any order (RFC 7766
section 6.2.1.1). The engine is asked first; what it declines goes to a *dispatcher*, whose answer is one message, a
stream of messages (a zone transfer), or nothing.

Limits: octets, queries in flight and connections are bounded, in all and for each client; a connection that is idle,
or whose client does not read, is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine import Declined, MessageError

if TYPE_CHECKING:
    from engine import Responder

log = logging.getLogger(__name__)

Answer = bytes | AsyncIterator[bytes] | None
Dispatcher = Callable[[Declined], Awaitable[Answer]]

BACKLOG = 1024
ACCEPTED_AT_ONCE = 32
SWEEP_S = 1.0
HEADER_OCTETS = 12
UDP_IN_FLIGHT = 1024
UDP_BATCH = 128
NOTIFY_PAUSES_S = (2.0, 4.0, 8.0, 16.0, 30.0)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of DNS over TCP; seconds and counts."""

    idle: float = 10.0
    stalled: float = 30.0
    connections: int = 4096
    connections_per_client: int = 512
    in_flight: int = 128
    buffered_octets: int = 1 << 17


class Streams:
    """All TCP listeners and connections of a server, over one responder."""

    def __init__(self, responder: Responder, dispatch: Dispatcher, limits: StreamLimits | None = None) -> None:
        """Nothing listens yet."""
        self.responder = responder
        self.dispatch = dispatch
        self.limits = limits or StreamLimits()
        self.connections: set[Connection] = set()
        self._clients: Counter[str] = Counter()
        self._servers: dict[int, asyncio.Server] = {}

    async def listen(self, listener: int, bound: socket.socket) -> None:
        """Serve queries that come by this bound socket as the engine's listener of that number."""
        loop = asyncio.get_running_loop()
        # asyncio accepts that many before it asks whether there is room, and logs as many errors if there is none.
        server = await loop.create_server(lambda: Connection(self, listener), sock=bound, backlog=ACCEPTED_AT_ONCE)
        bound.listen(BACKLOG)
        self._servers[listener] = server

    async def close(self, listener: int) -> None:
        """Take no more connections there; those that stand are closed."""
        server = self._servers.pop(listener, None)
        if server is not None:
            server.close()
        for connection in [c for c in self.connections if c.listener == listener]:
            connection.close()

    async def close_all(self) -> None:
        """Stop listening and close every connection."""
        for listener in list(self._servers):
            await self.close(listener)

    async def sweep(self) -> None:
        """Close connections that are idle or stalled, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.check(now)

    def admit(self, connection: Connection, client: str) -> bool:
        """Whether there is room for one more; makes room by closing the longest idle one."""
        if self._clients[client] >= self.limits.connections_per_client:
            return False
        if len(self.connections) >= self.limits.connections and not self._close_idlest():
            return False
        self.connections.add(connection)
        self._clients[client] += 1
        return True

    def forget(self, connection: Connection, client: str) -> None:
        """A connection that was admitted is gone."""
        self.connections.discard(connection)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def _close_idlest(self) -> bool:
        idle = [connection for connection in self.connections if not connection.in_flight]
        if not idle:
            return False
        idlest = min(idle, key=lambda connection: connection.active_at)
        self.connections.discard(idlest)  # it is gone a moment later, and must not count as closed twice
        idlest.abort()
        return True


class Connection(asyncio.Protocol):
    """One TCP connection: two octets of length, then a message, both ways (RFC 1035 section 4.2.2)."""

    def __init__(self, streams: Streams, listener: int) -> None:
        """Admitted when the transport is there."""
        self.listener = listener
        self.active_at = time.monotonic()
        self._streams = streams
        self._limits = streams.limits
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._client = ("", 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self._stalled_at: float | None = None
        self._admitted = False
        self._at_eof = False

    @property
    def in_flight(self) -> int:
        """Queries that are being answered."""
        return len(self._tasks)

    # ---------------------------------------------------------------- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client or hang up."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if not peer:
            transport.abort()
            return
        self._client = (peer[0], peer[1])
        self._admitted = self._streams.admit(self, self._client[0])
        if not self._admitted:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Nobody waits for the answers any more."""
        if self._admitted:
            self._streams.forget(self, self._client[0])
        for task in self._tasks:
            task.cancel()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Answer every whole message; keep the rest."""
        self._buffer += data
        self._consume()

    def eof_received(self) -> bool:
        """The client sends no more, but may still read (RFC 7766 section 6.2.4)."""
        self._at_eof = True
        return self.in_flight > 0

    def pause_writing(self) -> None:
        """The client reads too slowly: read no more of it either."""
        self._writable.clear()
        self._stalled_at = time.monotonic()
        self._pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._stalled_at = None
        self._writable.set()
        self._resume_reading()

    # ---------------------------------------------------------------- answering

    def _consume(self) -> None:
        while len(self._buffer) >= 2 and self._writable.is_set() and self.in_flight < self._limits.in_flight:
            length = int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < 2 + length:
                break
            message = bytes(self._buffer[2 : 2 + length])
            del self._buffer[: 2 + length]
            # Only a whole message counts as activity, so that a client can't stay by sending an octet now and then.
            self.active_at = time.monotonic()
            if not self._answer(message):
                self.close()
                return
        if len(self._buffer) > self._limits.buffered_octets or self.in_flight >= self._limits.in_flight:
            self._pause_reading()

    def _answer(self, message: bytes) -> bool:
        if len(message) < HEADER_OCTETS:
            return False
        answer = self._streams.responder.answer(self.listener, message, self._client, "tcp")
        if answer is None:
            return False
        if isinstance(answer, bytes):
            self._send(answer)
            return True
        task = asyncio.create_task(self._answer_later(answer))
        self._tasks.add(task)
        task.add_done_callback(self._on_answered)
        return True

    async def _answer_later(self, declined: Declined) -> None:
        answer = await self._streams.dispatch(declined)
        if answer is None:
            self.close()
        elif isinstance(answer, bytes):
            self._send(answer)
        else:
            await self._send_stream(answer)

    async def _send_stream(self, messages: AsyncIterator[bytes]) -> None:
        async for message in messages:
            await self._writable.wait()
            if self._transport is None or self._transport.is_closing():
                return
            self._send(message)

    def _send(self, message: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self.active_at = time.monotonic()
            self._transport.write(len(message).to_bytes(2, "big") + message)

    def _on_answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Part of a transfer may have been sent: what follows could not be told from its end.
            log.error("tcp %s: answering failed: %r", self._client[0], error, exc_info=error)
            self.abort()
        elif self._at_eof and not self._tasks:
            self.close()
        else:
            self._resume_reading()

    # ---------------------------------------------------------------- flow and end

    def check(self, now: float) -> None:
        """Close when idle, abort when the client does not read."""
        if self._stalled_at is not None:
            if now - self._stalled_at > self._limits.stalled:
                self.abort()
        elif not self._tasks and now - self.active_at > self._limits.idle:
            self.close()

    def close(self) -> None:
        """Close after what was written has been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _pause_reading(self) -> None:
        if self._transport is not None and self._transport.is_reading() and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is None or self._transport.is_closing() or not self._writable.is_set():
            return
        if not self._transport.is_reading() and not self._at_eof:
            self._transport.resume_reading()
        self._consume()


# -------------------------------------------------------------------- queries the UDP threads decline


class DeclinedQueries:
    """Takes declined UDP queries off the engine's queue, a bounded number at a time."""

    def __init__(self, responder: Responder, dispatch: Dispatcher) -> None:
        """Nothing is taken before `start`."""
        self._responder = responder
        self._dispatch = dispatch
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching = False
        self._stopped = True

    def start(self) -> None:
        """Wake for declined queries from now on."""
        self._stopped = False
        self._watch()

    def stop(self) -> None:
        """Take no more; drop those in flight."""
        self._stopped = True
        self._unwatch()
        for task in self._tasks:
            task.cancel()

    def _watch(self) -> None:
        if not self._watching and not self._stopped:
            asyncio.get_running_loop().add_reader(self._responder.wake_fd, self._on_wake)
            self._watching = True

    def _unwatch(self) -> None:
        if self._watching:
            asyncio.get_running_loop().remove_reader(self._responder.wake_fd)
            self._watching = False

    def _on_wake(self) -> None:
        for declined in self._responder.declined(UDP_BATCH):
            task = asyncio.create_task(self._answer(declined))
            self._tasks.add(task)
            task.add_done_callback(self._on_answered)
        if len(self._tasks) >= UDP_IN_FLIGHT:
            self._unwatch()  # the engine's bounded queue takes the rest, and counts what it drops

    def _on_answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("udp: answering failed: %r", error, exc_info=error)
        if len(self._tasks) < UDP_IN_FLIGHT // 2:
            self._watch()

    async def _answer(self, declined: Declined) -> None:
        answer = await self._dispatch(declined)
        if isinstance(answer, bytes):
            self._responder.reply(declined, answer)


# -------------------------------------------------------------------- binding


def stream_socket(address: str, port: int) -> socket.socket:
    """A bound TCP socket, not listening yet; IPv6 alone when the address is of IPv6. Raises OSError."""
    family = socket.AF_INET6 if ipaddress.ip_address(address.split("%", 1)[0]).version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(socket.getaddrinfo(address, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0][4])
        # Listening is what fails when another process listens there: find out now, not after the threads run.
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


# -------------------------------------------------------------------- NOTIFY


@dataclass(frozen=True, slots=True)
class NotifyTarget:
    """Where a NOTIFY goes, and from which address; None leaves that to the system."""

    address: str
    port: int
    source: str | None = None


class _NotifyProtocol(asyncio.DatagramProtocol):
    def __init__(self, is_answer: Callable[[bytes], bool]) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_answer = is_answer

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002 (as above)
        with contextlib.suppress(MessageError, ValueError):
            if not self.answered.done() and self._is_answer(data):
                self.answered.set_result(None)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error is no answer: the next try may meet a server that has started."""


async def notify(target: NotifyTarget, message: bytes, is_answer: Callable[[bytes], bool]) -> bool:
    """Send a NOTIFY until it is answered, as RFC 1996 section 3.6 says; False when it never was."""
    loop = asyncio.get_running_loop()
    local = (target.source, 0) if target.source else None
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _NotifyProtocol(is_answer), local_addr=local, remote_addr=(target.address, target.port)
    )
    try:
        for pause in NOTIFY_PAUSES_S:
            transport.sendto(message)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(protocol.answered), pause)
                return True
    finally:
        transport.close()
    return False
