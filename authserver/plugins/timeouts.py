"""The `timeouts` directive: how long and how many the connections are that carry queries to a block's addresses."""

from dataclasses import dataclass
from typing import Final

from authserver.plugin import (
    TIMEOUTS,
    Argument,
    Build,
    Duration,
    Integer,
    Link,
    Schema,
    Settings,
    StreamLimits,
    Timeouts,
)

SHORTEST_S: Final = 1
LONGEST_S: Final = 86_400
UNLIMITED: Final = -1


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration from a second to a day; a number without a unit is seconds, as CoreDNS has it here."""

    accepts: str = "a duration from 1s to 24h, or a number of seconds"

    def parse(self, text: str) -> float:
        """The seconds. Raises ValueError with a reason."""
        is_bare = text.isascii() and text.isdigit()
        return Duration(SHORTEST_S, LONGEST_S).parse(f"{text}s" if is_bare else text)


DURATION: Final = Argument("DURATION", Seconds())
QUERIES: Final = Argument("N", Integer(UNLIMITED))
COUNT: Final = Argument("N", Integer(1, 1 << 20))

DURATIONS: Final = ("read", "write", "idle", "lifetime")
COUNTS: Final = ("max_connections", "max_connections_per_client")

SCHEMA: Final = Schema(
    properties={
        **{name: Schema(arguments=(DURATION,), once=True) for name in DURATIONS},
        "maxtcpqueries": Schema(arguments=(QUERIES,), once=True),
        **{name: Schema(arguments=(COUNT,), once=True) for name in COUNTS},
    },
    once=True,
)


def setup(build: Build) -> Link | None:
    """Offers the limits; the listeners keep to them, so nothing stands in the path of queries."""
    settings = build.settings[0]
    if not settings.body:
        build.problem(settings.place, f"says nothing; accepted: {', '.join(SCHEMA.properties or ())}")
    defaults = StreamLimits()
    limits = StreamLimits(
        read=_seconds(settings, "read", defaults.read),
        write=_seconds(settings, "write", defaults.write),
        idle=_seconds(settings, "idle", defaults.idle),
        lifetime=_seconds(settings, "lifetime", 0) or None,
        queries=_queries(build, settings),
        connections=_count(settings, "max_connections", defaults.connections),
        connections_per_client=_count(settings, "max_connections_per_client", defaults.connections_per_client),
    )
    build.offer(TIMEOUTS, Timeouts(limits, settings.place))
    return None


def _seconds(settings: Settings, name: str, default: float) -> float:
    line = settings.property(name)
    return default if line is None else line.one(DURATION)


def _count(settings: Settings, name: str, default: int) -> int:
    line = settings.property(name)
    return default if line is None else line.one(COUNT)


def _queries(build: Build, settings: Settings) -> int | None:
    line = settings.property("maxtcpqueries")
    if line is None or line.one(QUERIES) == UNLIMITED:
        return None
    if line.one(QUERIES) == 0:
        build.problem(line.place, "maxtcpqueries: 0 would answer nothing; -1 is no limit")
    return line.one(QUERIES)
