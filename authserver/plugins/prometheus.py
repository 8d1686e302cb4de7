"""The `prometheus` directive: serves metrics, under CoreDNS's names where CoreDNS has them.

A *row* is a count as the engine keeps it: what its block is counted as, origin that routed, transport, family, kind,
key, count; a *tally* keeps the same rows for what a chain answered. Rows are added up to metrics when asked for.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import dns.rcode
import dns.rdatatype
from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector

from authserver.http import Endpoint as HttpEndpoint
from authserver.http import Reply
from authserver.plugin import (
    EFFECT,
    METRICS,
    Argument,
    Block,
    Build,
    Capability,
    Configuration,
    Effect,
    Endpoint,
    Handler,
    Link,
    Query,
    Response,
    Schema,
    Transfer,
    name_text,
)
from authserver.telemetry import engine_metrics, product_version

_ADDRESS = Argument("ADDRESS", Endpoint(default_port=9153), optional=True)

SCHEMA = Schema(
    arguments=(_ADDRESS,),
    properties={
        "runtime_metrics": Schema(),
        "tls": Schema(refused="CoreDNS has this property, this version of Zonewright does not yet"),
    },
    once=True,
)

DEFAULT: Final = ("localhost", 9153)

Row: TypeAlias = tuple[str, bytes, str, int, str, int, int]
Labels: TypeAlias = tuple[str, ...]
Servers: TypeAlias = Mapping[tuple[str, bytes], Labels]
"""The labels `server` and `view` of what a block is counted as, for each of its origins."""

SIZES: Final = (100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000)
DURATIONS_US: Final = tuple(250 * 2**power for power in range(16))

# The types that CoreDNS tells apart, so that no client can make labels without end; the rest is "other".
_TYPES: Final = frozenset(
    dns.rdatatype.from_text(text)
    for text in (
        "A", "AAAA", "ANY", "AXFR", "CAA", "CDNSKEY", "CDS", "CNAME", "DNSKEY", "DS", "HTTPS", "IXFR", "MX", "NAPTR",
        "NS", "NSEC", "NSEC3", "PTR", "RRSIG", "SOA", "SRV", "SVCB", "TLSA", "TXT",
    )
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """Counts of one chained block, in the engine's kinds."""

    counts: Counter[tuple[bytes, str, int, str, int]] = field(default_factory=Counter)

    def add(self, origin: bytes, query: Query, answer: Response | Transfer, duration_us: int) -> None:
        """Count one answer."""
        response_octets = len(answer.octets) if isinstance(answer, Response) else 0
        rcode = answer.rcode if isinstance(answer, Response) else int(dns.rcode.NOERROR)
        head = (origin, query.transport, query.family)
        self.counts[*head, "type", query.qtype] += 1
        self.counts[*head, "rcode", rcode] += 1
        if query.dnssec_ok:
            self.counts[*head, "do", 1] += 1
        self._observe(head, "request_octets", SIZES, len(query.octets))
        self._observe(head, "response_octets", SIZES, response_octets)
        self._observe(head, "duration_us", DURATIONS_US, duration_us)

    def _observe(self, head: tuple[bytes, str, int], kind: str, bounds: Iterable[int], value: int) -> None:
        self.counts[*head, kind, next((bound for bound in bounds if value <= bound), 0)] += 1
        self.counts[*head, f"{kind}_sum", 0] += value

    def rows(self, counted_as: str) -> Iterator[Row]:
        """The counts as rows."""
        for (origin, transport, family, kind, key), count in self.counts.items():
            yield counted_as, origin, transport, family, kind, key, count


@dataclass(frozen=True, slots=True)
class Scrape:
    """That a block's metrics are served at an address."""

    address: tuple[str, int]
    tally: Tally
    with_runtime: bool


SCRAPE: Final[Capability[Scrape]] = Capability("metrics to serve")


@dataclass(frozen=True, slots=True)
class Counting:
    """Counts what the plugins behind it answer in a chained block."""

    following: Handler
    block: Block
    tally: Tally

    async def serve(self, query: Query) -> Response | Transfer:
        """The answer of the plugins behind."""
        begun = time.perf_counter_ns()
        answer: Response | Transfer = query.respond(dns.rcode.SERVFAIL)
        try:
            answer = await self.following.serve(query)
            return answer
        finally:
            origins = (origin for origin in self.block.origins if query.is_below(origin))
            routed = max(origins, key=len, default=b"\0")
            self.tally.add(routed, query, answer, (time.perf_counter_ns() - begun) // 1000)


# ------------------------------------------------------------------ metrics


@dataclass(slots=True)
class _Histogram:
    buckets: Counter[int] = field(default_factory=Counter)
    total: int = 0

    def add_to(self, family: HistogramMetricFamily, labels: Labels, scale: float) -> None:
        cumulated, steps = 0, []
        for bound in sorted(bound for bound in self.buckets if bound):
            cumulated += self.buckets[bound]
            steps.append((repr(bound / scale), float(cumulated)))
        steps.append(("+Inf", float(cumulated + self.buckets[0])))
        family.add_metric(labels, buckets=steps, sum_value=self.total / scale)


class Sums:
    """Rows added up by the labels of CoreDNS's metrics."""

    def __init__(self, rows: Iterable[Row], servers: Servers) -> None:
        """Rows of blocks that have no server are left out."""
        self.requests: Counter[Labels] = Counter()
        self.do: Counter[Labels] = Counter()
        self.responses: Counter[Labels] = Counter()
        self.histograms: dict[str, dict[Labels, _Histogram]] = defaultdict(lambda: defaultdict(_Histogram))
        for row in rows:
            if row[:2] in servers:
                self._add(servers[row[:2]], row)

    def _add(self, labels: Labels, row: Row) -> None:
        _, origin, transport, family, kind, key, count = row
        head = (labels[0], name_text(origin), labels[1])
        if kind == "type":
            # CoreDNS's families are those of the address: 1 is IPv4, 2 is IPv6.
            self.requests[*head, transport, "1" if family == 4 else "2", _type(key)] += count
        elif kind == "rcode":
            self.responses[*head, dns.rcode.to_text(dns.rcode.Rcode.make(key)), ""] += count
        elif kind == "do":
            self.do[head] += count
        else:
            where = head if kind.startswith("duration") else (*head, transport)
            histogram = self.histograms[kind.removesuffix("_sum")][where]
            if kind.endswith("_sum"):
                histogram.total += count
            else:
                histogram.buckets[key] += count


def _type(rtype: int) -> str:
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rtype)) if rtype in _TYPES else "other"


_HEAD: Final = ("server", "zone", "view")


def query_metrics(rows: Iterable[Row], servers: Servers) -> list[Metric]:
    """The metrics of queries that CoreDNS has, for these servers."""
    sums = Sums(rows, servers)
    return [
        _counter("coredns_dns_requests", "Queries.", (*_HEAD, "proto", "family", "type"), sums.requests),
        _counter("coredns_dns_do_requests", "Queries with the DO bit.", _HEAD, sums.do),
        _counter("coredns_dns_responses", "Responses by RCODE.", (*_HEAD, "rcode", "plugin"), sums.responses),
        _histogram("coredns_dns_request_size_bytes", "Octets of queries.", "request_octets", sums, 1),
        _histogram("coredns_dns_response_size_bytes", "Octets of responses.", "response_octets", sums, 1),
        _histogram("coredns_dns_request_duration_seconds", "Time to answer.", "duration_us", sums, 1e6),
    ]


def servers_of(blocks: Iterable[Block]) -> Servers:
    """How these blocks are labelled."""
    return {(block.counted_as, origin): (block.label, block.view.name) for block in blocks for origin in block.origins}


def _counter(name: str, text: str, labels: Labels, counts: Counter[Labels]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, kind: str, sums: Sums, scale: float) -> Metric:
    labels = _HEAD if kind.startswith("duration") else (*_HEAD, "proto")
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in sums.histograms[kind].items():
        histogram.add_to(family, values, scale)
    return family


def configuration_metrics(configuration: Configuration, blocks: Iterable[Block]) -> Iterator[Metric]:
    """What runs: version, digest, plugins."""
    running = configuration.running
    build = GaugeMetricFamily("coredns_build_info", "1; the labels say what runs.", labels=_BUILD)
    build.add_metric((running.version or product_version(), "", "", "zonewright"), 1)
    yield build
    version = GaugeMetricFamily(
        "coredns_reload_version_info", "1; the configuration in force.", labels=("hash", "value")
    )
    version.add_metric(("sha512", configuration.corefile.digest), 1)
    yield version
    failed = running.reloads_failed()
    yield CounterMetricFamily("coredns_reload_failed", "Reloads that left the old configuration.", value=failed)
    failures = sum(block.failures for block in configuration.blocks)
    yield CounterMetricFamily("coredns_panics", "Queries that a plugin's exception ended.", value=failures)
    enabled = GaugeMetricFamily("coredns_plugin_enabled", "1; the plugins in use.", labels=(*_HEAD, "name"))
    for block in blocks:
        for origin in block.origins:
            for name in block.plugins:
                enabled.add_metric((block.label, name_text(origin), block.view.name, name), 1)
    yield enabled


_BUILD: Final = ("version", "revision", "goversion", "product")


@dataclass(slots=True, eq=False)
class Exporter:
    """One endpoint, `/metrics`, for all blocks that name its address."""

    address: tuple[str, int]
    configuration: Configuration
    endpoints: list[HttpEndpoint] = field(default_factory=list)

    async def start(self) -> None:
        """Serve."""
        self.endpoints.append(await self.configuration.running.http.add(self.address, "/metrics", self.answer))

    async def stop(self) -> None:
        """Close."""
        while self.endpoints:
            await self.configuration.running.http.remove(self.endpoints.pop())

    async def answer(self, _: str) -> Reply:
        """The metrics in Prometheus's text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return Reply(200, generate_latest(registry), CONTENT_TYPE_LATEST)

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they stand now."""
        running = self.configuration.running
        blocks = [block for block in self.configuration.blocks if self._scrapes(block)]
        scrapes = [scrape for block in blocks for scrape in self._scrapes(block)]
        yield from configuration_metrics(self.configuration, blocks)
        yield from query_metrics(self._rows(blocks), servers_of(blocks))
        yield from engine_metrics(running.responder.totals(), running.responder.log_dropped)
        yield from running.zone_metrics()
        yield from running.stream_metrics()
        for offered in self.configuration.offered(METRICS):
            yield from offered()
        yield from ProcessCollector(registry=None).collect()
        if any(scrape.with_runtime for scrape in scrapes):
            yield from GCCollector(registry=CollectorRegistry()).collect()

    def _scrapes(self, block: Block) -> list[Scrape]:
        return [scrape for scrape in block.offered(SCRAPE) if scrape.address == self.address]

    def _rows(self, blocks: Iterable[Block]) -> Iterator[Row]:
        yield from self.configuration.running.responder.counters()
        for block in blocks:
            for scrape in self._scrapes(block):
                yield from scrape.tally.rows(block.counted_as)


def setup(build: Build) -> Link | None:
    """The engine counts direct answers by itself; in a chained block the link counts."""
    settings = build.settings[0]
    scrape = Scrape(settings.get(_ADDRESS, DEFAULT), Tally(), settings.has("runtime_metrics"))
    build.offer(SCRAPE, scrape)
    build.offer(EFFECT, Effect())
    exporter = Exporter(scrape.address, build.configuration)
    build.on_start(exporter.start)
    build.on_stop(exporter.stop)

    def link(following: Handler) -> Handler:
        return Counting(following, build.block, scrape.tally)

    return link
