"""What the server says about itself: the set-up of logging, and metrics of our own.

One event is one line, so that a line is a record for whatever collects them; only a terminal gets traces on lines of
their own, because there a person reads.
"""

import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Final, TextIO

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from authserver.handed import Handed
from authserver.plugin import name_text
from authserver.streams import StreamFacts

_COLOURS: Final = {logging.ERROR: "\x1b[31m", logging.WARNING: "\x1b[33m", logging.DEBUG: "\x1b[2m"}
_RESET: Final = "\x1b[0m"


class LineFormatter(logging.Formatter):
    """`LEVEL room: message`, the whole event on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        text = f"{record.levelname} {_room(record.name)}: {record.getMessage()}"
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + self.formatException(record.exc_info)
        return text.replace("\r", "\\r").replace("\n", "\\n")


class TerminalFormatter(logging.Formatter):
    """The same with the time and colours, and traces below."""

    default_time_format = "%H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the trace if there is one."""
        colour = next((code for level, code in _COLOURS.items() if record.levelno == level), "")
        head = f"{self.formatTime(record)} {colour}{record.levelname:<7}{_RESET if colour else ''}"
        text = f"{head} {_room(record.name)}: {record.getMessage()}"
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _room(logger: str) -> str:
    """`authserver.plugins.log` is `plugin/log`, as in CoreDNS; the rest is as it is."""
    return logger.replace("authserver.plugins.", "plugin/").removeprefix("authserver.")


def set_up_logging(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Log to standard error, or the stream; safe to call again."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TerminalFormatter() if stream.isatty() else LineFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, logging.StreamHandler) and isinstance(old.formatter, LineFormatter | TerminalFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)


def product_version() -> str:
    """The version that is installed, nothing if none is."""
    try:
        return metadata.version("zonewright")
    except metadata.PackageNotFoundError:
        return ""


def new_registry() -> CollectorRegistry:
    """A registry of our own metrics; a server has one, so that two in a process don't mix."""
    return CollectorRegistry(auto_describe=False)


@dataclass(frozen=True, slots=True)
class ZoneFacts:
    """What metrics tell about one zone; times are Unix seconds, None where there is none."""

    origin: bytes
    serial: int | None
    records: int
    is_signed: bool
    is_sealed: bool
    is_held: bool
    published_at: int | None = None
    earliest_expiration: int | None = None
    view: str = ""
    sealed_serial: int | None = None
    journal_entries: int = 0
    journal_octets: int = 0


def zone_metrics(facts: Iterable[ZoneFacts]) -> list[Metric]:
    """The metrics of zones: `zonewright_zone_…{zone,view}`."""
    families = {
        "serial": GaugeMetricFamily("zonewright_zone_serial", "Published SOA serial.", labels=("zone", "view")),
        "records": GaugeMetricFamily("zonewright_zone_records", "Records of the source.", labels=("zone", "view")),
        "signed": GaugeMetricFamily("zonewright_zone_signed", "1 if it is signed here.", labels=("zone", "view")),
        "sealed": GaugeMetricFamily("zonewright_zone_sealed", "1 if all signatures are made.", labels=("zone", "view")),
        "held": GaugeMetricFamily("zonewright_zone_held", "1 if its newest source is held.", labels=("zone", "view")),
        "live": GaugeMetricFamily("zonewright_zone_live", "1 if a version is served.", labels=("zone", "view")),
        "published": GaugeMetricFamily(
            "zonewright_zone_published_timestamp_seconds", "When it was last published.", labels=("zone", "view")
        ),
        "expiration": GaugeMetricFamily(
            "zonewright_zone_signature_expiration_timestamp_seconds",
            "When the first of its signatures expires.",
            labels=("zone", "view"),
        ),
        "sealed_serial": GaugeMetricFamily(
            "zonewright_zone_sealed_serial", "SOA serial that secondaries can have.", labels=("zone", "view")
        ),
        "journal_entries": GaugeMetricFamily(
            "zonewright_zone_journal_entries", "Changes that secondaries can be given.", labels=("zone", "view")
        ),
        "journal_octets": GaugeMetricFamily(
            "zonewright_zone_journal_octets", "Octets of these changes.", labels=("zone", "view")
        ),
    }
    for fact in facts:
        labels = (name_text(fact.origin), fact.view)
        for name, value in _values(fact):
            if value is not None:
                families[name].add_metric(labels, value)
    return list(families.values())


def _values(fact: ZoneFacts) -> list[tuple[str, float | None]]:
    return [
        ("serial", fact.serial),
        ("records", fact.records),
        ("signed", fact.is_signed),
        ("sealed", fact.is_sealed),
        ("held", fact.is_held),
        ("live", fact.serial is not None),
        ("published", fact.published_at),
        ("expiration", fact.earliest_expiration),
        ("sealed_serial", fact.sealed_serial),
        ("journal_entries", fact.journal_entries),
        ("journal_octets", fact.journal_octets),
    ]


def transfer_metrics(handed: Iterable[tuple[bytes, str, Handed]]) -> list[Metric]:
    """The metrics of transfers out, of zones by origin and view: `zonewright_transfer_out_…`."""
    labels, of_peer = ("zone", "view", "kind"), ("zone", "view", "peer")
    whole = CounterMetricFamily("zonewright_transfer_out", "Transfers given: axfr, ixfr, or one SOA.", labels=labels)
    broken = CounterMetricFamily("zonewright_transfer_out_broken", "Those that broke off.", labels=labels)
    octets = CounterMetricFamily("zonewright_transfer_out_octets", "Octets of their messages.", labels=labels)
    seconds = CounterMetricFamily("zonewright_transfer_out_seconds", "Seconds that they took.", labels=labels)
    serial = GaugeMetricFamily("zonewright_transfer_out_serial", "Serial that a secondary got last.", labels=of_peer)
    at = GaugeMetricFamily("zonewright_transfer_out_timestamp_seconds", "When it asked last.", labels=of_peer)
    for origin, view, one in handed:
        name = name_text(origin)
        for kind, count in one.counts.items():
            values = ((whole, count.whole), (broken, count.broken), (octets, count.octets), (seconds, count.seconds))
            for family, value in values:
                family.add_metric((name, view, kind), value)
        for peer, given in one.peers.items():
            serial.add_metric((name, view, peer), given.serial)
            at.add_metric((name, view, peer), given.at)
    return [whole, broken, octets, seconds, serial, at]


def stream_metrics(facts: StreamFacts) -> list[Metric]:
    """The metrics of connections: `zonewright_stream_…{transport}`."""
    standing = GaugeMetricFamily("zonewright_stream_connections", "Connections that stand.", labels=("transport",))
    accepted = CounterMetricFamily("zonewright_stream_accepted", "Connections taken.", labels=("transport",))
    for transport, count in facts.standing.items():
        standing.add_metric((transport,), count)
    for transport, count in facts.accepted.items():
        accepted.add_metric((transport,), count)
    labels = ("transport", "reason")
    refused = CounterMetricFamily("zonewright_stream_refused", "Connections there was no room for.", labels=labels)
    closed = CounterMetricFamily(
        "zonewright_stream_closed", "Connections that ended, by what ended them.", labels=labels
    )
    for family, counts in ((refused, facts.refused), (closed, facts.closed)):
        for (transport, reason), count in counts.items():
            family.add_metric((transport, reason), count)
    return [standing, accepted, refused, closed, *_transfer_metrics(facts)]


def _transfer_metrics(facts: StreamFacts) -> list[Metric]:
    going_on = GaugeMetricFamily(
        "zonewright_stream_transfers", "Zone transfers that go on or wait for their turn.", labels=("transport",)
    )
    refused = CounterMetricFamily(
        "zonewright_stream_transfers_refused", "Zone transfers there was no room for.", labels=("transport", "reason")
    )
    for transport, count in facts.transfers.items():
        going_on.add_metric((transport,), count)
    for labels, count in facts.transfers_refused.items():
        refused.add_metric(labels, count)
    return [going_on, refused]


def engine_metrics(totals: dict[str, int], log_dropped: int) -> list[Metric]:
    """The engine's process-wide counts: `zonewright_engine_…_total`."""
    counts = {**totals, "log_dropped": log_dropped}
    return [
        CounterMetricFamily(f"zonewright_engine_{name}", f"Process-wide count of the engine: {name}.", value=count)
        for name, count in sorted(counts.items())
    ]
