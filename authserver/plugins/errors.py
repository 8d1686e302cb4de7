"""The `errors` directive: logs what goes wrong in a server block's chain, like errors put together on request."""

import asyncio
import logging
import re
from dataclasses import dataclass, field

import dns.rcode
import dns.rdatatype

from authserver.plugin import (
    EFFECT,
    Argument,
    Build,
    Choice,
    Duration,
    Effect,
    Handler,
    Link,
    Query,
    Response,
    Schema,
    Transfer,
    Word,
)

log = logging.getLogger(__name__)

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_PERIOD = Argument("DURATION", Duration(minimum=1e-3))
_PATTERN = Argument("REGEXP", Word("a regular expression"))
_OPTIONS = Argument("LEVEL|show_first", Choice((*_LEVELS, "show_first")), optional=True, repeat=True)

SCHEMA = Schema(
    properties={
        "stacktrace": Schema(),
        "consolidate": Schema(arguments=(_PERIOD, _PATTERN, _OPTIONS)),
    },
    once=True,
)


@dataclass(slots=True)
class Consolidation:
    """Errors of one pattern, told as a number once in a period."""

    pattern: re.Pattern[str]
    period: float
    level: int
    shows_first: bool
    count: int = 0
    timer: asyncio.TimerHandle | None = None

    def add(self, text: str) -> None:
        """Count one more; the first of a period starts its clock."""
        self.count += 1
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(self.period, self.tell)
            if self.shows_first:
                log.log(self.level, "%s", text)

    def tell(self) -> None:
        """Log the number, unless it is one that was shown already, and begin anew."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.count > (1 if self.shows_first else 0):
            pattern, period = self.pattern.pattern, self.period
            log.log(self.level, "%d errors like '%s' occurred in last %gs", self.count, pattern, period)
        self.count = 0


@dataclass(frozen=True, slots=True)
class Errors:
    """Logs what the plugins behind it raise, and answers SERVFAIL."""

    following: Handler
    shows_trace: bool
    consolidations: tuple[Consolidation, ...] = field(default=())

    async def serve(self, query: Query) -> Response | Transfer:
        """The answer of the plugins behind."""
        try:
            return await self.following.serve(query)
        except Exception as error:  # noqa: BLE001 here, because this plugin tells it in its own way
            self._tell(query, error)
            return query.respond(dns.rcode.SERVFAIL)

    def _tell(self, query: Query, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        rtype = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(query.qtype))
        text = f"{int(dns.rcode.SERVFAIL)} {query.name} {rtype}: {reason}"
        for consolidation in self.consolidations:
            if consolidation.pattern.search(reason):
                consolidation.add(text)
                return
        log.error("%s", text, exc_info=error if self.shows_trace else None)


def setup(build: Build) -> Link | None:
    """Stands in the path of queries; direct answers raise nothing, so the engine needs nothing of it."""
    settings = build.settings[0]
    consolidations = []
    for line in settings.properties("consolidate"):
        try:
            pattern = re.compile(line.one(_PATTERN))
        except re.error as error:
            build.problem(line.place, f"consolidate: '{line.one(_PATTERN)}' is not a regular expression: {error}")
            continue
        options = line.all(_OPTIONS)
        levels = [_LEVELS[option] for option in options if option in _LEVELS]
        if len(levels) > 1 or len(options) - len(levels) > 1:
            build.problem(line.place, f"consolidate: takes one LEVEL and one show_first, not {' '.join(options)}")
        level = levels[0] if levels else logging.ERROR
        consolidations.append(Consolidation(pattern, line.one(_PERIOD), level, "show_first" in options))
    build.offer(EFFECT, Effect())
    build.on_stop(lambda: _tell_all(consolidations))

    def link(following: Handler) -> Handler:
        return Errors(following, settings.has("stacktrace"), tuple(consolidations))

    return link


async def _tell_all(consolidations: list[Consolidation]) -> None:
    for consolidation in consolidations:
        consolidation.tell()
