"""A configuration with a runtime that opens loopback sockets only, for tests of plugins."""

import asyncio
import contextlib

import pytest

from authserver import chain
from authserver.errors import CorefileErrors
from authserver.http import HttpServers
from authserver.plugin import Runtime
from authserver.schedule import Schedule


class Clock:
    """A clock that stands."""

    def now(self):
        return 0


class Responder:
    """What plugins ask of the engine."""

    def __init__(self, rows=()):
        self.rows = list(rows)
        self.log_dropped = 0

    def counters(self):
        return self.rows

    def totals(self):
        return {"datagrams": 3}


@pytest.fixture
def load():
    """The configuration of a text."""

    def load(text):
        return chain.load(text, {})

    return load


@pytest.fixture
def errors():
    """All problems of a text."""

    def errors(text):
        with pytest.raises(CorefileErrors) as raised:
            chain.load(text, {})
        return [str(problem) for problem in raised.value.problems]

    return errors


@pytest.fixture
def running():
    """A way to start a configuration and to ask it by HTTP until the `async with` ends."""

    @contextlib.asynccontextmanager
    async def running(configuration, *, rows=(), reload=None, **more):
        async with Schedule(Clock()) as schedule:
            http = HttpServers()
            reload = reload or (lambda: asyncio.sleep(0, result=True))
            configuration.runtime = Runtime(Responder(rows), Clock(), schedule, http, reload, **more)
            await configuration.start()

            async def get(path, address=("127.0.0.1", 0)):
                reader, writer = await asyncio.open_connection("127.0.0.1", http.port(address))
                writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
                return int(head.split()[1]), body.decode()

            yield get
            await configuration.stop()

    return running
