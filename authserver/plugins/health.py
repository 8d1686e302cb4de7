"""The `health` directive: an HTTP endpoint that says the process lives, and a pause before it ends."""

import asyncio
import logging
from dataclasses import dataclass, field

from authserver.http import Endpoint as HttpEndpoint
from authserver.http import Reply
from authserver.plugin import LAMEDUCK, Argument, Build, Configuration, Duration, Endpoint, Link, Schema

log = logging.getLogger(__name__)

_ADDRESS = Argument("ADDRESS", Endpoint(default_port=8080), optional=True)
_DURATION = Argument("DURATION", Duration())

SCHEMA = Schema(arguments=(_ADDRESS,), properties={"lameduck": Schema(arguments=(_DURATION,), once=True)}, once=True)


@dataclass(slots=True)
class Health:
    """One endpoint, `/health`."""

    address: tuple[str, int]
    lameduck: float
    configuration: Configuration
    endpoints: list[HttpEndpoint] = field(default_factory=list)

    async def start(self) -> None:
        """Serve."""
        self.endpoints.append(await self.configuration.running.http.add(self.address, "/health", self.answer))

    async def stop(self) -> None:
        """When the process ends, let it answer for a while that it is still there; then close."""
        if self.lameduck and self.configuration.running.is_stopping():
            log.info("going into lameduck mode for %gs", self.lameduck)
            await asyncio.sleep(self.lameduck)
        while self.endpoints:
            await self.configuration.running.http.remove(self.endpoints.pop())

    async def answer(self, _: str) -> Reply:
        """The loop that runs this line is the one that has to live."""
        return Reply(200, b"OK")


def setup(build: Build) -> Link | None:
    """Opens its endpoint when the server starts."""
    settings = build.settings[0]
    lameduck = settings.property("lameduck")
    health = Health(
        settings.get(_ADDRESS, ("", 8080)), lameduck.one(_DURATION) if lameduck else 0.0, build.configuration
    )
    build.offer(LAMEDUCK, health.lameduck)
    build.on_start(health.start)
    build.on_stop(health.stop)
    return None
