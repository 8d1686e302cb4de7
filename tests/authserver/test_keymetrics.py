"""What is watched of keys: numbers of states, seconds to bogus, and a parent that does not do what it is asked."""

import re
from dataclasses import replace
from pathlib import Path

import yaml

from authserver.keymetrics import key_metrics
from authserver.parent import ParentStatus
from authserver.publication import Zone, ZoneKey
from engine import ZoneSlot
from keys.ds import ds_rdata
from keys.policy import DEFAULT
from keys.rollover import ServedTTLs
from keys.states import Sighting
from tests.keys.rolling import START, Rolling

ORIGIN = b"\x07example\x04test\x00"
ALERTS = Path(__file__).parents[2] / "deploy/alerts.yaml"


def samples(zone: Zone, status: ParentStatus | None = None, now: int = START) -> dict[str, float]:
    families = key_metrics([zone], lambda _: status, now)
    return {
        one.name + (f"/{one.labels['record']}" if "record" in one.labels else ""): one.value
        for family in families
        for one in family.samples
    }


def zone(days: int) -> Zone:
    rolling = Rolling(DEFAULT, ServedTTLs(3600, 86400, 900), parent_delay=None)
    rolling.go(days * 86400)
    made = Zone(ZoneKey(ORIGIN), DEFAULT, ZoneSlot(ORIGIN), keys=tuple(rolling.keys))
    made.next_step_at = START + 5
    return made


def test_states_have_numbers_and_the_next_event_a_time():
    found = samples(zone(0))
    assert found["zonewright_key_state/dnskey"] == 1
    assert found["zonewright_key_state/ds"] == 0
    assert found["zonewright_zone_next_key_event_timestamp_seconds"] == START + 5
    assert found["zonewright_zone_parent_waiting_seconds"] == 0
    assert "zonewright_zone_ds_mismatch" not in found


def test_what_an_offline_ksk_signed_ahead_counts_down():
    assert "zonewright_zone_offline_ksk_left_seconds" not in samples(zone(0))
    ahead = zone(0)
    ahead.offline_until = START + 86400
    assert samples(ahead, now=START + 400)["zonewright_zone_offline_ksk_left_seconds"] == 86000


def test_a_parent_that_waits_and_one_that_has_another_ds_are_seen():
    waiting = zone(3)
    asked = waiting.keys[0].states
    now = START + 10 * 86400
    (since,) = [one.since for kind, one in asked.items() if kind == "ds"]
    assert samples(waiting, now=now)["zonewright_zone_parent_waiting_seconds"] == now - since
    foreign = ParentStatus(now, "test.", present=(b"x" * 36,), foreign=(b"x" * 36,))
    assert samples(waiting, foreign, now)["zonewright_zone_ds_mismatch"] == 1
    rdata = ds_rdata(waiting.keys[0])
    waiting.keys = (replace(waiting.keys[0], sighting=Sighting(True, now, now, 300)),)
    good = ParentStatus(now, "test.", present=(rdata,))
    found = samples(waiting, good, now)
    assert found["zonewright_zone_ds_mismatch"] == 0
    assert found["zonewright_zone_parent_waiting_seconds"] == 0


def test_every_metric_of_an_alert_is_one_of_ours():
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    named = {name for rule in rules for name in re.findall(r"zonewright_\w+", rule["expr"])}
    sources = "".join(path.read_text() for path in (Path(__file__).parents[2] / "authserver").rglob("*.py"))
    assert len(rules) >= 5
    assert all(f'"{name.removesuffix("_total")}"' in sources for name in named)
