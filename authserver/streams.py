"""DNS over streams of octets, as RFC 7766 and RFC 9210 want it: connections, their limits, and the order of answers.

A *connection* carries many queries at a time; each is answered when its answer is there, in any order (RFC 7766
section 6.2.1.1). The engine is asked first; what it declines goes to a *dispatcher*, whose answer is one message, a
stream of messages (a zone transfer), or nothing. Nothing here knows what carries the octets: a listener names its
transport, and a connection asks of it what any asyncio transport has.

Words: a connection is *waiting* when nothing is being answered on it, and *ending* when it takes no more queries but
still answers those it has. A *client* is an IPv4 address or an IPv6 /56.

Limits: `StreamLimits` of each listener; in all `room` connections and `TRANSFERS` transfers; a client has
`TRANSFERS_A_CLIENT` transfers going on at a time and `TRANSFERS_OF_A_CLIENT` with those that wait for their turn, a
connection `IN_FLIGHT` queries. Where there is no room for a new connection the one that has waited longest
makes it. A connection that is not read from is not answered on either, so each has one message and 64 KiB to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from authserver.plugin import StreamLimits
from authserver.tls import ServerTLS, TLSPeer, peer_of
from engine import Declined

if TYPE_CHECKING:
    from engine import Responder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Messages:
    """Many messages that answer one query, and what is said instead where there is no room for one more transfer."""

    each: AsyncIterator[bytes]
    busy: Callable[[], bytes | None]


Answer = bytes | Messages | None
Dispatcher = Callable[[Declined, TLSPeer | None], Awaitable[Answer]]
"""Is told who is at the other side where the query came by TLS."""
Client = bytes

ACCEPTED_AT_ONCE: Final = 32
ACCEPT_PAUSE_S: Final = 0.1
TELL_PAUSE_S: Final = 60.0
SWEEP_S: Final = 1.0
HEADER_OCTETS: Final = 12
UNSENT_OCTETS: Final = 1 << 16
READ_OCTETS: Final = 1 << 16
MESSAGES_A_TURN: Final = 32
IN_FLIGHT: Final = 128
TRANSFERS_A_CLIENT: Final = 8
TRANSFERS_OF_A_CLIENT: Final = 256
TRANSFERS: Final = 1024
CROWDED: Final = 0.9
V6_OCTETS: Final = 7
WANTS_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """Counts of connections since start, by transport and, for those that ended, by what ended them."""

    standing: Counter[str]
    accepted: Counter[str]
    refused: Counter[tuple[str, str]]
    closed: Counter[tuple[str, str]]
    transfers: Counter[str] = field(default_factory=Counter)
    """Transfers that go on or wait for their turn, by transport."""
    transfers_refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Those there was no room for, by transport and whose room it was: the client's, or all the room there is."""


class Streams:
    """All listeners of streams and their connections, over one responder."""

    def __init__(self, responder: Responder, dispatch: Dispatcher, room: int) -> None:
        """Nothing listens yet; there is room for so many connections in all."""
        self.responder = responder
        self.dispatch = dispatch
        self.room = room
        self.buffer = memoryview(bytearray(READ_OCTETS))
        """What is read goes through this one: it is taken out before anybody else reads."""
        self.facts = StreamFacts(Counter(), Counter(), Counter(), Counter())
        self._listenings: dict[int, Listening] = {}
        self._transfers: Counter[Client] = Counter()
        self._turn = asyncio.Lock()
        self._told_at = -TELL_PAUSE_S

    @property
    def connections(self) -> list[Connection]:
        """Those that stand."""
        return [connection for listening in self._listenings.values() for connection in listening.connections]

    def listen(self, number: int, bound: socket.socket, limits: StreamLimits, tls: ServerTLS | None = None) -> None:
        """Serve queries that come by this listening socket as the engine's listener of that number."""
        self._listenings[number] = Listening(self, number, bound, limits, tls)

    def limit(self, number: int, limits: StreamLimits, tls: ServerTLS | None = None) -> None:
        """From now on these limits are in force, for connections that stand, too; and this TLS, for new ones."""
        if (listening := self._listenings.get(number)) is not None:
            listening.limits, listening.tls = limits, tls

    def close(self, number: int) -> None:
        """Take no more connections there; those that stand are closed."""
        if (listening := self._listenings.pop(number, None)) is not None:
            listening.close()

    def close_all(self) -> None:
        """Stop listening and close every connection."""
        for number in list(self._listenings):
            self.close(number)

    async def sweep(self) -> None:
        """Close connections that are over a limit of time, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for listening in list(self._listenings.values()):
                listening.check(now)

    async def turn(self) -> None:
        """Wait until one more message of a transfer may be made: one in each round of the loop, whoever asks for them.

        So a thousand transfers hold up a query no longer than one does.
        """
        async with self._turn:
            await asyncio.sleep(0)

    @contextlib.contextmanager
    def transferring(self, client: Client, transport: str) -> Iterator[bool]:
        """Whether a client has room for one more transfer, which goes on in the block if it has."""
        is_full = sum(self.facts.transfers.values()) >= TRANSFERS
        if is_full or self._transfers[client] >= TRANSFERS_OF_A_CLIENT:
            self.facts.transfers_refused[transport, "room" if is_full else "client"] += 1
            yield False
            return
        self._transfers[client] += 1
        self.facts.transfers[transport] += 1
        try:
            yield True
        finally:
            self.facts.transfers[transport] -= 1
            self._transfers[client] -= 1
            if not self._transfers[client]:
                del self._transfers[client]

    def has_room(self) -> bool:
        """Whether there may be one connection more, for which the longest waiting of all has to go if need be."""
        return sum(self.facts.standing.values()) < self.room or self.close_longest_waiting()

    def is_crowded(self) -> bool:
        """Whether connections are about to be closed for want of room."""
        return sum(self.facts.standing.values()) > self.room * CROWDED

    def close_longest_waiting(self) -> bool:
        """Whether one could be closed."""
        return _close_longest_waiting(self._listenings.values())

    def on_want_of_descriptors(self, error: OSError) -> None:
        """Connections can't be taken: those that wait make room, and the log has a line, now and then."""
        for _ in range(ACCEPTED_AT_ONCE):
            if not self.close_longest_waiting():
                break
        now = time.monotonic()
        if now - self._told_at >= TELL_PAUSE_S:
            self._told_at = now
            standing = sum(self.facts.standing.values())
            log.error("no connection can be taken beside the %d there are: %s", standing, error.strerror)


class Listening:
    """A listening socket, the limits of its connections, and who has how many of them."""

    def __init__(
        self, streams: Streams, number: int, bound: socket.socket, limits: StreamLimits, tls: ServerTLS | None
    ) -> None:
        """Listens at once."""
        self.streams = streams
        self.number = number
        self.limits = limits
        self.tls = tls
        self.transport = "tcp" if tls is None else "tls"
        """What facts and the log call it."""
        self.connections: OrderedDict[Connection, None] = OrderedDict()
        """In the order they came."""
        self.waiting: OrderedDict[Connection, None] = OrderedDict()
        """In the order of their last activity."""
        self.watched: set[Connection] = set()
        """Those that owe the rest of a message, or the reading of an answer, or their end."""
        self._bound = bound
        self._clients: Counter[Client] = Counter()
        self._transfers: dict[Client, asyncio.Semaphore] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(bound, self._on_connection)

    def close(self) -> None:
        """Take no more connections and close those that stand."""
        self._loop.remove_reader(self._bound)
        self._bound.close()
        for connection in list(self.connections):
            connection.close("stopped")
        self._loop.call_later(self.limits.write, self._abort)

    def _abort(self) -> None:
        for connection in list(self.connections):
            connection.abort("stopped")

    def _on_connection(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, peer = self._bound.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in WANTS_DESCRIPTORS:
                    continue  # of one connection that is gone already (accept(2))
                self.streams.on_want_of_descriptors(error)
                self._pause()
                return
            self._take(accepted, (peer[0], peer[1]))

    def _pause(self) -> None:
        """Accept nothing for a moment; the system keeps who knocks."""
        self._loop.remove_reader(self._bound)
        self._loop.call_later(ACCEPT_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if self._bound.fileno() >= 0:
            self._loop.add_reader(self._bound, self._on_connection)

    def _take(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        client = client_of(peer[0])
        if (reason := self._refusal(client)) is not None:
            self.streams.facts.refused[self.transport, reason] += 1
            accepted.close()
            return
        connection = Connection(self, client, peer)
        self.connections[connection] = None
        self._clients[client] += 1
        self.streams.facts.standing[self.transport] += 1
        self.streams.facts.accepted[self.transport] += 1
        connection.starting = task = self._loop.create_task(self._start(connection, accepted))
        # One that is cancelled may not have begun.
        task.add_done_callback(lambda done: accepted.close() if done.cancelled() else None)

    def _refusal(self, client: Client) -> str | None:
        """Why there is no room for one more connection of a client; room is made if that helps."""
        if self._clients[client] >= self.limits.connections_per_client:
            return "client"
        if len(self.connections) >= self.limits.connections and not _close_longest_waiting([self]):
            return "room"
        return None if self.streams.has_room() else "room"

    async def _start(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            if self.tls is None:
                await self._loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=self._context(self.tls),
                    ssl_handshake_timeout=self.limits.read,
                    ssl_shutdown_timeout=self.limits.write,
                )
        except OSError:
            accepted.close()
            connection.on_not_started()
        finally:
            connection.starting = None

    def _context(self, tls: ServerTLS) -> ssl.SSLContext:
        before = tls.trouble
        context = tls.context(time.monotonic())
        if tls.trouble and tls.trouble != before:
            log.error("tls: the certificate of before serves on: %s", tls.trouble)
        return context

    def check(self, now: float) -> None:
        """Close connections that are over a limit of time; only those that are near one are looked at."""
        for connection in list(self.watched):
            connection.check(now)
        idle, lifetime = self.limits.idle, self.limits.lifetime
        for connection in list(takewhile(lambda one: now - one.active_at > idle, self.waiting)):
            if connection not in self.watched:
                connection.close("idle")
        if lifetime is not None:
            for connection in list(takewhile(lambda one: now - one.made_at > lifetime, self.connections)):
                connection.end("lifetime")

    def forget(self, connection: Connection, reason: str) -> None:
        """A connection is over, or as good as over."""
        if connection not in self.connections:
            return
        del self.connections[connection]
        self.waiting.pop(connection, None)
        self.watched.discard(connection)
        self._clients[connection.client] -= 1
        if not self._clients[connection.client]:
            del self._clients[connection.client]
            self._transfers.pop(connection.client, None)
        self.streams.facts.standing[self.transport] -= 1
        self.streams.facts.closed[self.transport, reason] += 1

    def idle_ms(self) -> int:
        """How long a connection may wait from now on: not at all when room is about to be wanted (RFC 7828 3.3.2)."""
        is_crowded = len(self.connections) > self.limits.connections * CROWDED or self.streams.is_crowded()
        return 0 if is_crowded else int(self.limits.idle * 1000)

    def transfers_of(self, client: Client) -> asyncio.Semaphore:
        """What bounds the transfers of a client that go on at a time."""
        return self._transfers.setdefault(client, asyncio.Semaphore(TRANSFERS_A_CLIENT))


def _close_longest_waiting(among: Iterable[Listening]) -> bool:
    """Whether a connection that waits could be closed to make room."""
    first = [next(iter(listening.waiting)) for listening in among if listening.waiting]
    if not first:
        return False
    min(first, key=lambda connection: connection.active_at).abort("room")
    return True


def client_of(address: str) -> Client:
    """Whose connections count together."""
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address.split("%", 1)[0])[:V6_OCTETS]
    return socket.inet_aton(address)


class Connection(asyncio.BufferedProtocol):
    """Two octets of length, then a message, both ways (RFC 1035 section 4.2.2)."""

    __slots__ = (
        "_answerable",
        "_at_eof",
        "_begun_at",
        "_buffer",
        "_ended_at",
        "_is_due",
        "_is_ending",
        "_is_over",
        "_listening",
        "_peer",
        "_reason",
        "_taken",
        "_tasks",
        "_transport",
        "_unsent",
        "_unsent_at",
        "_writers",
        "active_at",
        "client",
        "made_at",
        "starting",
        "tls",
    )

    def __init__(self, listening: Listening, client: Client, peer: tuple[str, int]) -> None:
        """It is admitted; its transport comes."""
        now = time.monotonic()
        self.client = client
        self.active_at = now
        self.made_at = now
        self.starting: asyncio.Task[None] | None = None
        """Its handshake, while that goes on."""
        self.tls: TLSPeer | None = None
        self._listening = listening
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._tasks: set[asyncio.Task[None]] | None = None
        self._answerable = True
        self._writers: list[asyncio.Future[None]] | None = None
        self._taken = 0
        self._begun_at: float | None = None
        self._unsent = 0
        self._unsent_at = now
        self._ended_at: float | None = None
        self._at_eof = False
        self._is_due = False
        self._is_ending = False
        self._is_over = False
        self._reason = "client"
        listening.waiting[self] = None

    # ---------------------------------------------------------------- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Queries come from now on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if (secured := transport.get_extra_info("ssl_object")) is not None:
            self.tls = peer_of(secured)
            # As much is kept as for a connection without TLS, which has a buffer of its own below this one.
            transport.set_write_buffer_limits(high=UNSENT_OCTETS)
        if self._is_over:
            transport.abort()

    def on_not_started(self) -> None:
        """It is gone, or its handshake failed, before it began."""
        self._reason = "handshake" if self._listening.tls is not None else self._reason
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Nobody waits for the answers any more."""
        self._is_over = True
        self._listening.forget(self, self._reason)
        for task in self._tasks or ():
            task.cancel()
        self._wake_writers()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio's signature)
        """Where octets are put."""
        return self._listening.streams.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Octets are there."""
        if self._ended_at is None and not self._is_over:
            self._buffer += self._listening.streams.buffer[:nbytes]
            self._go_on()

    def eof_received(self) -> bool:
        """The client sends no more, but may still read (RFC 7766 section 6.2.4)."""
        self._at_eof = True
        if self._ended_at is not None:
            return False
        self._go_on()
        # TLS has no half of a connection (asyncio closes it whatever is returned).
        return not self._is_over and self.tls is None

    def pause_writing(self) -> None:
        """The client reads too slowly: no more of its queries are taken either."""
        self._answerable = False

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._answerable = True
        self._wake_writers()
        self._go_on()

    # ---------------------------------------------------------------- taking queries

    def _go_on(self) -> None:
        """Take whole messages, a few at a time so that others get their turn; then read on, or end."""
        if self._is_due:
            return
        for _ in range(MESSAGES_A_TURN):
            if self._is_over or self._ended_at is not None:
                return
            if not self._answerable or len(self._tasks or ()) >= IN_FLIGHT:
                self._pause_reading()
                return
            message = None if self._is_ending else self._next_message()
            if message is None:
                self._on_none_left()
                return
            self._take(message)
        self._pause_reading()
        self._is_due = True
        asyncio.get_running_loop().call_soon(self._go_on_later)

    def _go_on_later(self) -> None:
        self._is_due = False
        self._go_on()

    def _next_message(self) -> bytes | None:
        """The next whole message, taken out of what has been read."""
        end = 2 + int.from_bytes(self._buffer[:2], "big")
        if len(self._buffer) < max(2, end):
            return None
        message = bytes(self._buffer[2:end])
        del self._buffer[:end]
        self._begun_at = None
        # Only a whole message counts as activity, so that a client can't stay by sending an octet now and then.
        self._touch()
        return message

    def _on_none_left(self) -> None:
        if not self._at_eof and not self._is_ending:
            self._resume_reading()
            if self._buffer and self._begun_at is None:
                self._begun_at = time.monotonic()
                self._listening.watched.add(self)
        elif not self._tasks:
            self._finish()

    @property
    def _local(self) -> str | None:
        """The address that was asked."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return name[0] if name else None

    def _take(self, message: bytes) -> None:
        listening = self._listening
        self._taken += 1
        if listening.limits.queries is not None and self._taken >= listening.limits.queries:
            self._end("queries")
        if len(message) < HEADER_OCTETS:
            self._end("malformed")
            return
        idle_ms = 0 if self._is_ending else listening.idle_ms()
        answer = listening.streams.responder.answer(listening.number, message, self._peer, "tcp", idle_ms, self._local)
        if answer is None:
            self._end("malformed")
        elif isinstance(answer, bytes):
            self._send(answer)
        else:
            self._answer_later(answer)

    def _end(self, reason: str) -> None:
        """Take no more queries; close when those that were taken are answered."""
        if not self._is_ending:
            self._is_ending = True
            self._reason = reason

    # ---------------------------------------------------------------- answering

    def _answer_later(self, declined: Declined) -> None:
        if self._tasks is None:
            self._tasks = set()
        self._listening.waiting.pop(self, None)
        task = asyncio.create_task(self._dispatch(declined))
        self._tasks.add(task)
        task.add_done_callback(self._on_answered)

    async def _dispatch(self, declined: Declined) -> None:
        # Many queries may have been taken at once: no more answers are made than the client reads.
        await self._until_answerable()
        answer = await self._listening.streams.dispatch(declined, self.tls)
        if answer is None:
            self._end("malformed")
        elif isinstance(answer, bytes):
            self._send(answer)
        else:
            await self._transfer(answer)

    async def _transfer(self, answer: Messages) -> None:
        with self._listening.streams.transferring(self.client, self._listening.transport) as has_room:
            if has_room:
                async with self._listening.transfers_of(self.client):
                    await self._send_all(answer.each)
            elif (busy := answer.busy()) is not None:
                self._send(busy)

    async def _send_all(self, messages: AsyncIterator[bytes]) -> None:
        while not self._is_over:
            await self._listening.streams.turn()
            while not self._answerable and not self._is_over:
                await self._until_answerable()
                await self._listening.streams.turn()
            message = await anext(messages, None)
            if message is None:
                return
            self._send(message)

    def _send(self, message: bytes) -> None:
        if self._transport is not None and not self._is_over:
            self._touch()
            self._unsent = 0  # that it may send is a sign that the client reads
            # RFC 7766 section 8: length and message in one write.
            self._transport.write(len(message).to_bytes(2, "big") + message)
            if self._transport.get_write_buffer_size():
                self._listening.watched.add(self)

    def _on_answered(self, task: asyncio.Task[None]) -> None:
        assert self._tasks is not None, "there was a task"
        self._tasks.discard(task)
        if self._is_over:
            return
        if not self._tasks:
            self.active_at = time.monotonic()
            self._listening.waiting[self] = None
        if not task.cancelled() and (error := task.exception()) is not None:
            # Part of a transfer may have been sent: what follows could not be told from its end.
            log.error("%s %s: answering failed: %r", self._listening.transport, self._peer[0], error, exc_info=error)
            self.abort("failed")
        else:
            self._go_on()

    def _touch(self) -> None:
        self.active_at = time.monotonic()
        if self in self._listening.waiting:
            self._listening.waiting.move_to_end(self)

    async def _until_answerable(self) -> None:
        while not self._answerable and not self._is_over:
            future = asyncio.get_running_loop().create_future()
            self._writers = [*(self._writers or ()), future]
            await future

    def _wake_writers(self) -> None:
        for future in self._writers or ():
            if not future.done():
                future.set_result(None)
        self._writers = None

    # ---------------------------------------------------------------- flow and end

    def check(self, now: float) -> None:
        """Close or abort if the client is late with what it owes."""
        limits = self._listening.limits
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if unsent:
            if unsent != self._unsent:
                self._unsent, self._unsent_at = unsent, now
            elif now - self._unsent_at > limits.write:
                self.abort("write")
            return
        self._unsent = 0
        if self._ended_at is not None:
            if now - self._ended_at > limits.read:
                self.abort(self._reason)
        elif self._begun_at is None:
            self._listening.watched.discard(self)
        elif now - self._begun_at > limits.read:
            self.close("read")

    def end(self, reason: str) -> None:
        """Close when what was asked is answered."""
        self._end(reason)
        self._go_on()

    def close(self, reason: str) -> None:
        """Close after what was written has been sent."""
        if self._transport is None:
            self.abort(reason)
        elif self._ended_at is None:
            self._reason = reason
            self._on_ended()
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once."""
        if self._is_over:
            return
        self._reason = reason
        self._is_over = True
        self._listening.forget(self, reason)
        if self._transport is not None:
            self._transport.abort()
        elif self.starting is not None:
            self.starting.cancel()

    def _on_ended(self) -> None:
        self._ended_at = time.monotonic()
        self._listening.watched.add(self)

    def _finish(self) -> None:
        """All is answered. Who may still be sending is read from for a while: to close would take the answers from it.

        The system resets a connection that is closed with octets unread, and a reset makes the client drop what it has
        not read yet.
        """
        transport = self._transport
        if transport is None or self._at_eof or not transport.can_write_eof():
            self.close(self._reason)
            return
        self._on_ended()
        with contextlib.suppress(OSError):
            transport.write_eof()
        self._resume_reading()

    def _pause_reading(self) -> None:
        self._begun_at = None
        if self._transport is not None and not self._at_eof:
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._at_eof:
            self._transport.resume_reading()
