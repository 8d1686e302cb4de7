"""The `ready` directive: an HTTP endpoint that says whether everything there is to serve can be served."""

from dataclasses import dataclass, field

from authserver.http import Endpoint as HttpEndpoint
from authserver.http import Reply
from authserver.plugin import READY, Argument, Build, Choice, Configuration, Endpoint, Link, Readiness, Schema

_ADDRESS = Argument("ADDRESS", Endpoint(default_port=8181), optional=True)
_WHEN = Argument("WHEN", Choice(("until-ready", "continuously")))

SCHEMA = Schema(arguments=(_ADDRESS,), properties={"monitor": Schema(arguments=(_WHEN,), once=True)}, once=True)


@dataclass(slots=True)
class Ready:
    """One endpoint, `/ready`, over the readiness of every block's plugins."""

    address: tuple[str, int]
    is_continuous: bool
    configuration: Configuration
    endpoints: list[HttpEndpoint] = field(default_factory=list)
    _done: set[int] = field(default_factory=set)

    async def start(self) -> None:
        """Serve."""
        self.endpoints.append(await self.configuration.running.http.add(self.address, "/ready", self.answer))

    async def stop(self) -> None:
        """Close."""
        while self.endpoints:
            await self.configuration.running.http.remove(self.endpoints.pop())

    async def answer(self, _: str) -> Reply:
        """200, or 503 and the names of those that are not ready."""
        waiting = self.waiting()
        return Reply(503, ",".join(waiting).encode()) if waiting else Reply(200, b"OK")

    def waiting(self) -> list[str]:
        """Names of what is not ready; who was ready once isn't asked again, unless it is to be monitored."""
        zones = Readiness("zones", self.configuration.running.is_settled)
        asked = enumerate((zones, *self.configuration.offered(READY)))
        return sorted({readiness.name for number, readiness in asked if not self._is_ready(number, readiness)})

    def _is_ready(self, number: int, readiness: Readiness) -> bool:
        if number in self._done:
            return True
        is_ready = readiness.is_ready()
        if is_ready and not self.is_continuous:
            self._done.add(number)
        return is_ready


def setup(build: Build) -> Link | None:
    """Opens its endpoint when the server starts."""
    settings = build.settings[0]
    monitor = settings.property("monitor")
    is_continuous = monitor is not None and monitor.one(_WHEN) == "continuously"
    ready = Ready(settings.get(_ADDRESS, ("", 8181)), is_continuous, build.configuration)
    build.on_start(ready.start)
    build.on_stop(ready.stop)
    return None
