"""Updates in batches of the publisher: one version for many, all or nothing, and what a new process finds."""

import sqlite3
from dataclasses import replace

import dns.rcode
import dns.update
import pytest

from authserver import updateturn
from authserver.publication import Asked, Content, Work, Zone, ZoneKey
from authserver.publisher import Publisher
from authserver.state import State
from engine import Clock, Version, ZoneSlot, name_from_text, read_zone
from keys.policy import DEFAULT
from zones import updatestore
from zones.overlay import Updating
from zones.update import parse
from zones.updatepolicy import parse_pattern

NOW = 1_800_000_000
ORIGIN = name_from_text("example.test.")
TEXT = "$TTL 3600\n@ SOA ns admin 7 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\n"
OVERLAY = Updating((parse_pattern("_acme-challenge.*"),), 3)


@pytest.fixture
def state(tmp_path):
    with State.open(tmp_path / "state") as state:
        yield state


@pytest.fixture
def publisher(state):
    clock = Clock()
    clock.stop_at(NOW)
    return Publisher(state, clock)


def new_zone(updating, policy=DEFAULT):
    return Zone(ZoneKey(ORIGIN), policy, ZoneSlot(ORIGIN), updating=updating)


def content(more=""):
    version, findings = Version.build(read_zone(ORIGIN, [("db", (TEXT + more).encode())]))
    assert version is not None, findings
    return Content(version, (), more or "first", "db")


def asked(name, rdata="192.0.2.9", rtype="A", may=lambda _owner, _rtype: True):
    update = dns.update.UpdateMessage("example.test.")
    update.add(name, 60, rtype, rdata)
    return Asked(parse(update.to_wire()), may, lambda _rcode: None, "a test")


def carry_out(publisher, zone, *updates, **facts):
    """The rcodes of updates that are one batch."""
    works = [Work(zone, updates=updates, **facts)]
    rcodes = {id(one): rcode for one, rcode in updateturn.answers(works, publisher.run(works))}
    return [dns.rcode.to_text(dns.rcode.Rcode(rcodes[id(one)])) for one in updates]


def has(zone, name):
    return zone.live.signed.version.rrset(name_from_text(name, ORIGIN), 1) is not None


def test_updates_of_one_batch_are_one_version_and_each_sees_those_before(publisher):
    zone = new_zone(Updating())
    publisher.run([Work(zone, content())])
    before = zone.live.serial
    refused = asked("c", may=lambda _owner, _rtype: False)
    assert carry_out(publisher, zone, asked("a"), refused, asked("b")) == ["NOERROR", "REFUSED", "NOERROR"]
    assert zone.live.serial == before + 1
    assert (has(zone, "a"), has(zone, "b"), has(zone, "c")) == (True, True, False)


@pytest.mark.parametrize("policy", [DEFAULT, None], ids=["signed", "unsigned"])
def test_what_changes_nothing_is_no_new_version(publisher, policy):
    zone = new_zone(Updating(), policy)
    publisher.run([Work(zone, content())])
    carry_out(publisher, zone, asked("a"))
    live = zone.live
    assert carry_out(publisher, zone, asked("a")) == ["NOERROR"]
    assert zone.live is live


def test_a_new_process_finds_what_was_answered(publisher, state):
    zone = new_zone(Updating())
    publisher.run([Work(zone, content())])
    for number in range(5):
        carry_out(publisher, zone, asked(f"n{number}"))
    again, other = Publisher(state, publisher.clock), new_zone(Updating())
    again.run(again.restore([other]))
    assert has(other, "n4")
    assert carry_out(again, other, asked("after")) == ["NOERROR"]
    assert all(has(other, name) for name in ("n0", "n4", "after"))


def test_many_changes_are_written_whole_again(publisher, state, monkeypatch):
    monkeypatch.setattr(updatestore, "LEAST_KEPT", 200)
    zone = new_zone(Updating())
    publisher.run([Work(zone, content())])
    for number in range(20):
        carry_out(publisher, zone, asked(f"n{number}"))
    with state.reader() as tx:
        kept = updatestore.load(tx, ORIGIN, "", "zone")
    assert b"n0.example.test." in kept.content
    assert len(kept.changes) < 10
    again, other = Publisher(state, publisher.clock), new_zone(Updating())
    again.run(again.restore([other]))
    carry_out(again, other, asked("after"))
    assert all(has(other, f"n{number}") for number in range(20))


def test_on_a_full_disk_nothing_is_done_and_nothing_is_answered_wrongly(publisher, state, monkeypatch):
    zone = new_zone(Updating())
    publisher.run([Work(zone, content())])
    live = zone.live

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(updatestore, "append", full)
    assert carry_out(publisher, zone, asked("a")) == ["SERVFAIL"]
    assert zone.live is live
    monkeypatch.undo()
    assert carry_out(publisher, zone, asked("b")) == ["NOERROR"]
    assert not has(zone, "a")


def test_an_overlay_is_laid_over_new_content_and_over_what_is_held(publisher):
    zone = new_zone(OVERLAY)
    publisher.run([Work(zone, content())])
    assert carry_out(publisher, zone, asked("_acme-challenge.www"), asked("www")) == ["NOERROR", "REFUSED"]
    publisher.run([Work(zone, content("more A 192.0.2.3\n"))])
    assert has(zone, "more")
    assert has(zone, "_acme-challenge.www")
    publisher.run([Work(zone, Content(None, (), "broken", "db"))])
    assert carry_out(publisher, zone, asked("_acme-challenge.x")) == ["NOERROR"]
    assert has(zone, "_acme-challenge.x")


def test_an_overlay_may_have_so_many_records(publisher):
    zone = new_zone(OVERLAY)
    publisher.run([Work(zone, content())])
    names = [f"_acme-challenge.n{number}" for number in range(4)]
    assert carry_out(publisher, zone, *map(asked, names)) == ["NOERROR"] * 3 + ["REFUSED"]


def test_a_restart_takes_the_overlay_off_what_serves_and_lays_it_again(publisher, state):
    zone = new_zone(OVERLAY)
    publisher.run([Work(zone, content())])
    carry_out(publisher, zone, asked("_acme-challenge.www"))
    again, other = Publisher(state, publisher.clock), new_zone(OVERLAY)
    again.run(again.restore([other]))
    assert carry_out(again, other, asked("_acme-challenge.x")) == ["NOERROR"]
    assert all(has(other, f"_acme-challenge.{name}") for name in ("www", "x"))
    without_overlay = replace(OVERLAY, patterns=(parse_pattern("other.example.test"),))
    other.updating = without_overlay
    again.run([Work(other, resign=True)])
    assert not has(other, "_acme-challenge.www")
