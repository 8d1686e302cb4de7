"""The `rrl` directive: response rate limiting, so that a server is no use for flooding others.

The words are those of the plugin of this name that CoreDNS can be built with; the counting is the engine's.
"""

import asyncio
import ipaddress
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from authserver.plugin import (
    EFFECT,
    METRICS,
    Argument,
    Block,
    Build,
    Capability,
    Configuration,
    Effect,
    Integer,
    Link,
    PrefixKind,
    Schema,
    Settings,
)
from engine import Limiter, NameSyntaxError, name_to_text

log = logging.getLogger(__name__)

RATE: Final = Argument("ALLOWANCE", Integer(0, 100_000))
SECONDS: Final = Argument("SECONDS", Integer(1, 3600))
RATIO: Final = Argument("N", Integer(0, 10))
SIZE: Final = Argument("SIZE", Integer(1024, 1 << 26))
V4_LENGTH: Final = Argument("LENGTH", Integer(1, 32))
V6_LENGTH: Final = Argument("LENGTH", Integer(1, 128))
NETWORK: Final = Argument("NETWORKS", PrefixKind(), repeat=True)

RATES: Final = (
    "responses-per-second",
    "nodata-per-second",
    "nxdomains-per-second",
    "referrals-per-second",
    "errors-per-second",
    "all-per-second",
)
"""In the engine's order of classes."""

DEFAULT_RATE: Final = 200
DEFAULTS: Final = {"window": 15, "slip-ratio": 2, "ipv4-prefix-length": 24, "ipv6-prefix-length": 56}
DEFAULT_ACCOUNTS: Final = 131_072

BEFORE: Final = "bind"
"""CoreDNS has no such directive: its place is after `bufsize`."""

SCHEMA: Final = Schema(
    properties={
        **{name: Schema(arguments=(RATE,), once=True) for name in RATES},
        "window": Schema(arguments=(SECONDS,), once=True),
        "slip-ratio": Schema(arguments=(RATIO,), once=True),
        "ipv4-prefix-length": Schema(arguments=(V4_LENGTH,), once=True),
        "ipv6-prefix-length": Schema(arguments=(V6_LENGTH,), once=True),
        "exempt": Schema(arguments=(NETWORK,)),
        "log-only": Schema(once=True),
        "report-only": Schema(once=True),
        "max-table-size": Schema(arguments=(SIZE,), once=True),
        "requests-per-second": Schema(
            arguments=(RATE,), refused="queries are not counted; all-per-second limits responses of every kind together"
        ),
    },
    once=True,
)


@dataclass(frozen=True, slots=True)
class Limiting:
    """The limiter of a block."""

    block: Block
    limiter: Limiter


_numbers = itertools.count()

PAUSE_S: Final = 1.0
LINES: Final = 20


@dataclass(slots=True, eq=False)
class Reporter:
    """Logs which networks have been limited, a bounded number of lines at a time."""

    configuration: Configuration
    limiter: Limiter
    prefixes: tuple[int, int]
    verb: str
    name: str = ""

    async def start(self) -> None:
        """Log from now on."""
        # While a configuration replaces another both report, each under a name of its own.
        self.name = f"plugin/rrl {next(_numbers)}"
        self.configuration.running.schedule.start(self.name, self.run)

    async def stop(self) -> None:
        """Log no more."""
        if self.name:
            await self.configuration.running.schedule.stop(self.name)

    async def run(self) -> None:
        """Log, for ever."""
        while True:
            await asyncio.sleep(PAUSE_S)
            self.tell()

    def tell(self) -> None:
        """Log what has been noted since the last call."""
        lines = list(dict.fromkeys(self.line(*notice) for notice in self.limiter.notices()))
        for line in lines[:LINES]:
            log.info("%s", line)
        if len(lines) > LINES:
            log.info("and %d more", len(lines) - LINES)

    def line(self, client: str, kind: str, name: bytes) -> str:
        """`limits answers for www.example. to 192.0.2.0/24`."""
        length = self.prefixes[ipaddress.ip_address(client).version == 6]
        network = ipaddress.ip_network(f"{client}/{length}", strict=False)
        return f"{self.verb} {kind}{_of(name)} to {network}"


def _of(name: bytes) -> str:
    if not name:
        return ""
    try:
        return f" for {name_to_text(name)}"
    except NameSyntaxError:
        return " for names of a wildcard"  # the engine knows it by a number


LIMITING: Final[Capability[Limiting]] = Capability("a rate limit")


def setup(build: Build) -> Link | None:
    """Offers the limiter; the engine charges responses to it, so nothing stands in the path of queries."""
    settings = build.settings[0]
    prefixes = (_number(settings, "ipv4-prefix-length", V4_LENGTH), _number(settings, "ipv6-prefix-length", V6_LENGTH))
    limiter = Limiter(
        rates(settings),
        window=_number(settings, "window", SECONDS),
        slip=_number(settings, "slip-ratio", RATIO),
        prefixes=prefixes,
        exempt=[
            (str(network.network_address), network.prefixlen)
            for line in settings.properties("exempt")
            for network in line.all(NETWORK)
        ],
        log_only=settings.has("log-only") or settings.has("report-only"),
        accounts=_number(settings, "max-table-size", SIZE, DEFAULT_ACCOUNTS),
    )
    only_counts = settings.has("log-only") or settings.has("report-only")
    verb = "would limit" if only_counts else "limits"
    reporter = Reporter(build.configuration, limiter, prefixes, verb)
    build.on_start(reporter.start)
    build.on_stop(reporter.stop)
    own = Limiting(build.block, limiter)
    build.offer(EFFECT, Effect(limiter=limiter))
    build.offer(LIMITING, own)
    build.offer(METRICS, lambda: _metrics(build.configuration, own))
    return None


def rates(settings: Settings) -> list[int]:
    """Responses a second by class; those of no data and the rest are as those of answers unless they say otherwise."""
    given = {name: line.one(RATE) for name in RATES if (line := settings.property(name)) is not None}
    answers = given.get(RATES[0], 0 if given else DEFAULT_RATE)
    return [given.get(name, 0 if name == "all-per-second" else answers) for name in RATES]


def _number(settings: Settings, name: str, argument: Argument[int], default: int | None = None) -> int:
    line = settings.property(name)
    if line is not None:
        return line.one(argument)
    return DEFAULTS[name] if default is None else default


def _metrics(configuration: Configuration, own: Limiting) -> Iterator[Metric]:
    """The counts of all blocks, told by the first of them."""
    offered = configuration.offered(LIMITING)
    if offered[:1] != (own,):
        return
    for name, text in (
        ("limited", "Responses over a rate limit."),
        ("slipped", "Responses over a rate limit that were sent truncated."),
        ("dropped", "Responses over a rate limit that were not sent."),
    ):
        family = CounterMetricFamily(f"zonewright_rrl_{name}", text, labels=("server",))
        counts: dict[str, int] = {}
        for limiting in offered:
            label = limiting.block.label
            counts[label] = counts.get(label, 0) + limiting.limiter.totals()[name]
        for label, count in counts.items():
            family.add_metric((label,), count)
        yield family
