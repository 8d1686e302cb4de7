"""A small HTTP/1.1 server for health, metrics and the dashboard: GET and HEAD of fixed paths, one request a connection.

An *endpoint* is a path at an address with what answers it. Several plugins, and the configurations before and after a
reload, share a socket; the endpoint that was added last answers.

Limits: 8 KiB of header, 5 s to send it, 64 connections at an address; no bodies, no keep-alive, no TLS. DNS over
HTTPS is not its business.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeAlias

log = logging.getLogger(__name__)

MAX_HEAD_OCTETS: Final = 8192
MAX_CONNECTIONS: Final = 64
TIMEOUT_S: Final = 5.0

Address: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: str = ""
    """More lines of the header, each with its CRLF."""


Answer: TypeAlias = Callable[[str], Awaitable[Reply]]
"""Is given what stands behind `?` in the target, nothing when there is no `?`."""


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """A path that is served; to be handed back to `remove`."""

    address: Address
    path: str
    answer: Answer


@dataclass(slots=True, eq=False)
class HttpServers:
    """The sockets of a server process by address, each open as long as it has an endpoint."""

    _servers: dict[Address, asyncio.Server] = field(default_factory=dict)
    _endpoints: dict[Address, list[Endpoint]] = field(default_factory=dict)
    _connections: dict[Address, int] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, address: Address, path: str, answer: Answer) -> Endpoint:
        """Serve the path at the address, an empty host being every address. Raises OSError."""
        endpoint = Endpoint(address, path, answer)
        async with self._lock:
            if address not in self._servers:
                self._servers[address] = await self._listen(address)
            self._endpoints.setdefault(address, []).append(endpoint)
        return endpoint

    async def remove(self, endpoint: Endpoint) -> None:
        """Serve it no more; the socket is closed with its last endpoint."""
        async with self._lock:
            endpoints = self._endpoints.get(endpoint.address, [])
            if endpoint in endpoints:
                endpoints.remove(endpoint)
            if not endpoints and (server := self._servers.pop(endpoint.address, None)) is not None:
                server.close()
                del self._endpoints[endpoint.address]

    def port(self, address: Address) -> int:
        """The port that was bound there, for an address with port 0."""
        return int(self._servers[address].sockets[0].getsockname()[1])

    async def _listen(self, address: Address) -> asyncio.Server:
        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(address, reader, writer)

        host, port = address
        return await asyncio.start_server(on_connection, host or None, port, limit=MAX_HEAD_OCTETS)

    async def _serve(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[address] = self._connections.get(address, 0) + 1
        try:
            if self._connections[address] <= MAX_CONNECTIONS:
                async with asyncio.timeout(TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                reply, with_body = await self._reply(address, head)
                writer.write(_octets(reply, with_body=with_body))
                async with asyncio.timeout(TIMEOUT_S):
                    await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            # A client that says nothing, too much, or goes away gets no answer, and nobody needs to know.
            log.debug("%s:%d: connection given up", *address, exc_info=True)
        finally:
            self._connections[address] -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _reply(self, address: Address, head: bytes) -> tuple[Reply, bool]:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _plain(HTTPStatus.BAD_REQUEST), True
        if words[0] not in {b"GET", b"HEAD"}:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED), True
        path, _, query = words[1].decode("ascii", "replace").partition("?")
        found = [endpoint for endpoint in self._endpoints.get(address, ()) if endpoint.path == path]
        if not found:
            return _plain(HTTPStatus.NOT_FOUND), words[0] == b"GET"
        try:
            return await found[-1].answer(query), words[0] == b"GET"
        except Exception:
            log.exception("%s at %s:%d failed", path, *address)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR), words[0] == b"GET"


def _plain(status: HTTPStatus) -> Reply:
    return Reply(status, f"{status.phrase}\n".encode())


def _octets(reply: Reply, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\nContent-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(reply.body)}\r\nConnection: close\r\n{reply.headers}\r\n"
    )
    return head.encode() + (reply.body if with_body else b"")
