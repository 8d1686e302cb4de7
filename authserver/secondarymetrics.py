"""Metrics of secondary zones: of each what its primaries gave, how far its copy is behind, and when it expires."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from authserver.plugin import name_text

if TYPE_CHECKING:
    from authserver.secondaries import Secondary

BY_ZONE: Final = ("zone", "view")
BY_PRIMARY: Final = (*BY_ZONE, "primary")


def secondary_metrics(zones: "Iterable[Secondary]", now: int) -> list[Metric]:
    """`zonewright_secondary_…{zone,view,primary}`, and by zone and view what is to be watched."""
    serial = GaugeMetricFamily(
        "zonewright_secondary_serial", "The serial that the primary said last.", labels=BY_PRIMARY
    )
    confirmed = GaugeMetricFamily(
        "zonewright_secondary_confirmed_timestamp_seconds", "When it last confirmed the copy.", labels=BY_PRIMARY
    )
    duration = GaugeMetricFamily("zonewright_secondary_duration_seconds", "How long that took.", labels=BY_PRIMARY)
    octets = CounterMetricFamily("zonewright_secondary_octets", "Octets that were transferred.", labels=BY_PRIMARY)
    transfers = CounterMetricFamily(
        "zonewright_secondary_transfers", "Transfers, by kind.", labels=(*BY_PRIMARY, "kind")
    )
    failures = CounterMetricFamily("zonewright_secondary_failures", "Attempts that came to nothing.", labels=BY_PRIMARY)
    lag = GaugeMetricFamily(
        "zonewright_secondary_lag", "How many serials the copy is behind the newest known.", labels=BY_ZONE
    )
    expiry = GaugeMetricFamily(
        "zonewright_secondary_expires_in_seconds", "Until the copy expires; negative when it has.", labels=BY_ZONE
    )
    for one in zones:
        labels = (name_text(one.zone.key.origin), one.zone.key.view)
        for name, dealings in one.dealings.items():
            of = (*labels, name)
            for family, value in (
                (serial, dealings.serial),
                (confirmed, dealings.confirmed_at),
                (duration, dealings.duration),
                (octets, dealings.octets),
                (failures, dealings.failures),
            ):
                if value is not None:
                    family.add_metric(of, value)
            transfers.add_metric((*of, "axfr"), dealings.axfrs)
            transfers.add_metric((*of, "ixfr"), dealings.ixfrs)
        if (behind := one.lag) is not None:
            lag.add_metric(labels, behind)
        if one.standing.expires_at is not None:
            expiry.add_metric(labels, one.standing.expires_at - now)
    return [serial, confirmed, duration, octets, transfers, failures, lag, expiry]
