"""Metrics of keys and of what the parent has: states, what comes next, and how far a zone is from being bogus."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from authserver.plugin import name_text
from keys.states import IN_ZONE, ON_ITS_WAY, Key, RecordKind, RecordState

if TYPE_CHECKING:
    from authserver.parent import ParentStatus
    from authserver.publication import Zone, ZoneKey

STATES: Final = tuple(RecordState)
"""The number of a state in metrics is its place here: 0 hidden to 4 squashed."""


def key_metrics(
    zones: "Iterable[Zone]", status_of: "Callable[[ZoneKey], ParentStatus | None]", now: int
) -> list[Metric]:
    """`zonewright_key_state{zone,view,tag,role,record}` and, by zone and view, what is to be watched."""
    by_zone = ("zone", "view")
    state = GaugeMetricFamily(
        "zonewright_key_state",
        "State of a record of a key: " + ", ".join(f"{number} {name}" for number, name in enumerate(STATES)) + ".",
        labels=(*by_zone, "tag", "role", "record"),
    )
    bogus = GaugeMetricFamily(
        "zonewright_zone_time_to_bogus_seconds",
        "Until the first signature that validators need expires; 0 when the parent's DS matches no key.",
        labels=by_zone,
    )
    event = GaugeMetricFamily(
        "zonewright_zone_next_key_event_timestamp_seconds", "When its keys are looked at next.", labels=by_zone
    )
    mismatch = GaugeMetricFamily(
        "zonewright_zone_ds_mismatch",
        "1 if the parent has a DS of no key of the zone, or none of it.",
        labels=by_zone,
    )
    waiting = GaugeMetricFamily(
        "zonewright_zone_parent_waiting_seconds", "How long something is asked of the parent already.", labels=by_zone
    )
    offline = GaugeMetricFamily(
        "zonewright_zone_offline_ksk_left_seconds",
        "Until the last signature ends that an offline KSK made ahead.",
        labels=by_zone,
    )
    for zone in list(zones):
        labels = (name_text(zone.key.origin), zone.key.view)
        if zone.offline_until is not None:
            offline.add_metric(labels, max(0, zone.offline_until - now))
        for key in zone.keys:
            for kind, standing in key.states.items():
                state.add_metric((*labels, str(key.tag), key.role, kind), STATES.index(standing.state))
        if not zone.keys:
            continue
        status = status_of(zone.key)
        is_lost = status is not None and _is_lost(zone.keys, status)
        if (left := _time_to_bogus(zone, now)) is not None:
            bogus.add_metric(labels, 0 if is_lost else left)
        if zone.next_step_at is not None:
            event.add_metric(labels, zone.next_step_at)
        if status is not None and not status.trouble:
            mismatch.add_metric(labels, is_lost or bool(status.foreign))
        waiting.add_metric(labels, _waiting(zone.keys, now))
    return [state, bogus, event, mismatch, waiting, offline]


def _time_to_bogus(zone: "Zone", now: int) -> int | None:
    """None for a zone that no validator looks at, or that has no signatures yet."""
    has_ds = any(key.state(RecordKind.DS) is not RecordState.HIDDEN for key in zone.keys)
    expiration = zone.live.signed.earliest_expiration if zone.live is not None else None
    return max(0, expiration - now) if has_ds and expiration is not None else None


def _is_lost(keys: Iterable[Key], status: "ParentStatus") -> bool:
    """Whether the parent has DS records, and none of them is of a key that signs the zone's keys."""
    return bool(status.present) and not any(
        key.is_published(RecordKind.KRRSIG) and key.sighting is not None and key.sighting.is_present for key in keys
    )


def _waiting(keys: Iterable[Key], now: int) -> int:
    """Since when a DS is asked for, or asked away, that was not seen to come or go."""
    asked = [
        key.states[RecordKind.DS].since
        for key in keys
        if key.state(RecordKind.DS) in ON_ITS_WAY
        and (key.sighting is None or key.sighting.is_present != (key.state(RecordKind.DS) in IN_ZONE))
    ]
    return now - min(asked) if asked else 0
