"""What else the loop does with sockets: binding those of streams, NOTIFY by UDP, and queries the UDP threads decline.

Limits: so many declined queries are in flight at a time; the engine's bounded queue holds the rest and counts what it
drops.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine import Declined, MessageError
from zones.tsig import SharedKey

if TYPE_CHECKING:
    from authserver.streams import Dispatcher
    from engine import Responder

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
UNSENT_OCTETS: Final = 1 << 16
UDP_IN_FLIGHT: Final = 1024
UDP_BATCH: Final = 128
NOTIFY_PAUSES_S: Final = (2.0, 4.0, 8.0, 16.0, 30.0)


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
        answer = await self._dispatch(declined, None)
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
        # What a client does not read is kept here, where it is counted, and not in the system's buffers, which may be
        # megabytes; and whether it reads on is seen early.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_OCTETS)
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
    """Where a NOTIFY goes, from which address (None leaves that to the system), and the TSIG key it is signed with."""

    address: str
    port: int
    source: str | None = None
    key: SharedKey | None = None


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
    return await _told(target, message, is_answer, NOTIFY_PAUSES_S)


async def notify_once(
    target: NotifyTarget, message: bytes, is_answer: Callable[[bytes], bool], heard_for: float
) -> bool:
    """Send a NOTIFY once and listen for so many seconds; whether it was answered. Raises OSError."""
    return await _told(target, message, is_answer, (heard_for,))


async def _told(
    target: NotifyTarget, message: bytes, is_answer: Callable[[bytes], bool], pauses: Sequence[float]
) -> bool:
    loop = asyncio.get_running_loop()
    local = (target.source, 0) if target.source else None
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _NotifyProtocol(is_answer), local_addr=local, remote_addr=(target.address, target.port)
    )
    try:
        for pause in pauses:
            transport.sendto(message)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(protocol.answered), pause)
                return True
    finally:
        transport.close()
    return False
