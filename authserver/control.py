"""The control socket in the state directory: one JSON object a line each way, its server side and its client side.

A call is `{"command": "zone.list", "arguments": {…}}`, the answer `{"result": …}` or `{"error": "…"}`. Whoever may
enter the state directory (mode 0700) may call; there is no other authentication.

Limits: a call has at most 1 MiB, and one connection makes one call after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

CALL_OCTETS = 1 << 20
CALL_TIMEOUT_S = 60.0

Command = Callable[[Mapping[str, Any]], Awaitable[Any]]


class ControlError(Exception):
    """A command can't be carried out; the message is for the person who gave it."""


class NotRunningError(ControlError):
    """No server listens on this state directory's control socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: no server is running on this state directory")
        self.path = path


class ControlSocket:
    """The server side: commands by name."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._path = path
        self._commands = dict(commands)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; a socket left behind by a server that was killed is replaced (the state's lock says it is gone)."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        bound = _unix_socket()
        try:
            with _short_path(self._path) as path:
                bound.bind(path)
            self._path.chmod(0o600)
            bound.setblocking(False)
            self._server = await asyncio.start_unix_server(self._on_connection, sock=bound, limit=CALL_OCTETS)
        except OSError:
            bound.close()
            raise

    async def stop(self) -> None:
        """Listen no more and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._carry_out(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _carry_out(self, line: bytes) -> dict[str, Any]:
        try:
            call = json.loads(line)
            command = self._commands.get(call["command"])
            if command is None:
                return {"error": f"unknown command {call['command']!r}"}
            return {"result": await command(call.get("arguments") or {})}
        except ControlError as error:
            return {"error": str(error)}
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
            return {"error": "a call is a JSON object with command and arguments"}
        except Exception as error:
            log.exception("control: a command failed")
            return {"error": f"internal error: {error}"}


def call(path: Path, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Give a command to the server that runs on this control socket. Raises ControlError."""
    client = _unix_socket()
    with client:
        client.settimeout(CALL_TIMEOUT_S)
        try:
            with _short_path(path) as short:
                client.connect(short)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunningError(path) from error
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror or error}") from error
        try:
            client.sendall(json.dumps({"command": command, "arguments": dict(arguments or {})}).encode() + b"\n")
            with client.makefile("rb") as answers:
                line = answers.readline()
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror or error}") from error
    if not line:
        raise ControlError(f"{path}: the server hung up")
    answer = json.loads(line)
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["result"]


def _unix_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


@contextlib.contextmanager
def _short_path(path: Path) -> Iterator[str]:
    """A name for the socket within the 107 octets of sockaddr_un, however deep the state directory lies."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
