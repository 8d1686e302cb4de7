"""Backups: whole, encrypted, restored without going back; what a rollover does afterwards is what it would have done."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from authserver import backup
from authserver.state import State
from engine import name_from_text
from keys import introduction, private, store
from keys.errors import BackupError, PassphraseError, PrivateKeyError
from keys.policy import DEFAULT, KeySpec, Role
from keys.rollover import ServedTTLs
from keys.states import Key
from tests.interop.lives import Seen, Undisturbed, has_the_same_future, killed, opened, places, undisturbed_life
from zones import history

NOW = 1_800_000_000
ORIGIN = name_from_text("example.test.")
OTHER = name_from_text("other.test.")
POLICY = replace(
    DEFAULT,
    keys=(KeySpec(role=Role.KSK, lifetime=60 * 86400), KeySpec(role=Role.ZSK, lifetime=20 * 86400)),
)
TTLS = ServedTTLs(dnskey=3600, zone_max=86400, negative=300)


@pytest.fixture
def states(tmp_path: Path) -> Iterator[list[State]]:
    """Two states, each under a passphrase of its own."""
    with ExitStack() as stack:
        names = ("old", "new")
        yield [stack.enter_context(State.open(tmp_path / name, name.encode())) for name in names]


def live(state: State, now: int, origin: bytes = ORIGIN) -> list[Key]:
    """One look at a zone's keys as a server takes it, all that is published being served at once."""
    with state.transaction(now) as tx:
        history.see(tx, origin, "", now)
        keys = introduction.advance(tx, state.vault, (origin, ""), store.load(tx, origin), POLICY, TTLS, now).keys
        return introduction.served(tx, keys, now)


def publish(state: State, serial: int, now: int, origin: bytes = ORIGIN) -> None:
    with state.transaction(now) as tx:
        facts = {"serial": serial, "source_serial": serial, "content_digest": serial.to_bytes(32, "big")}
        history.record_published(tx, origin, "", identity="x", provenance=None, now=now, **facts)
        history.record_sealed(tx, origin, "", serial, now)
        history.record_ttls(tx, origin, "", {"zone_max": 86400}, now)


def taken(state: State, now: int = NOW) -> backup.Backup:
    with state.reader() as tx:
        return backup.from_octets(backup.to_octets(backup.take(tx, state.vault, now), b"pass"), b"pass")


def restored(state: State, from_: backup.Backup, now: int = NOW, *, force: bool = False) -> backup.Restored:
    with state.transaction(now) as tx:
        return backup.restore(tx, state.vault, from_, from_.zones, now, force=force)


def facts(state: State, origin: bytes = ORIGIN) -> dict[str, list[backup.Row]]:
    with state.reader() as tx:
        (zone,) = backup.take(tx, state.vault, NOW, origin).zones
    return zone.facts


def test_every_table_of_the_state_is_in_a_backup_or_left_out_on_purpose(states: list[State]) -> None:
    with states[0].reader() as tx:
        tables = {name for (name,) in tx.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == backup.PARTS | backup.LEFT_OUT


def test_a_zone_is_restored_whole_under_another_passphrase(states: list[State]) -> None:
    old, new = states
    live(old, NOW)
    publish(old, 7, NOW)
    live(old, NOW, OTHER)
    done = restored(new, taken(old), NOW + 5)
    assert set(done.zones) == {(ORIGIN, ""), (OTHER, "")}
    assert facts(new) == facts(old)
    with new.reader() as tx:
        keys = store.load(tx, ORIGIN)
        assert set(private.signing_keys(tx, new.vault, keys)) == {key.id for key in keys}
        assert store.pkcs8(tx, keys[0].id) != new.vault.open(keys[0].id, store.pkcs8(tx, keys[0].id))
        assert history.last_sealed(tx, ORIGIN, "").serial == 7
        assert store.history(tx, keys[0].id)[-1][2] == "restored"
    assert restored(new, taken(old), NOW + 6) == backup.Restored((), 2, ())


CUTS = (0, 3, 18, 19, 20, 21, 22, 40, 57, 60, 61, 62)
"""Days of backups: before, in the middle of, and after the rolls of the ZSK, and that of the KSK."""


def test_in_the_middle_of_any_roll_the_future_is_the_same(tmp_path: Path) -> None:
    """A state goes on; others are restored from its backups of these days, and go the same way."""
    times = [NOW + day * 86400 for day in range(75)]
    backups: dict[int, backup.Backup] = {}
    courses = []
    with State.open(tmp_path / "old") as old:
        _hurry(old)
        for day, now in enumerate(times):
            courses.append(live(old, now))
            if day in CUTS:
                backups[day] = taken(old, now)
    assert len({key.dnskey for keys in courses for key in keys}) > 4, "it rolled"
    for day in CUTS:
        with State.open(tmp_path / f"new{day}", b"sealed") as new:
            _hurry(new)
            restored(new, backups[day], times[day])
            for then in range(day + 1, min(day + 15, len(times))):
                went, goes = courses[then], live(new, times[then])
                # Keys made later are others, of course, at the same time and in the same place.
                assert list(map(_place, goes)) == list(map(_place, went))
                known = {key.dnskey for key in courses[day]}
                assert [_course(key) for key in goes if key.dnskey in known] == [
                    _course(key) for key in went if key.dnskey in known
                ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed_life(tmp_path_factory.mktemp("life"))


@pytest.mark.parametrize("seed", range(4))
def test_a_backup_taken_at_any_point_of_a_roll_of_any_kind_has_the_same_future(
    undisturbed: Undisturbed, tmp_path: Path, seed: int
) -> None:
    """A CSK, an algorithm, a KSK and a ZSK are rolled and a zone leaves, with the parent's DS; a kill is a point in it."""
    first = next(number for number, moment in enumerate(undisturbed.moments) if moment.rolled)
    writes = [(number, at) for number, at in places(undisturbed) if number >= first]
    for number, at in random.Random(seed).sample(writes, 3):
        here = tmp_path / f"{number}-{at}"
        shutil.copytree(undisturbed.before[number], here / "old")
        assert killed(undisturbed, number, at, here / "old")
        with opened(here / "old") as old:
            point = taken(old, undisturbed.moments[number].now)
        with opened(here / "new", b"another passphrase") as new:
            restored(new, point, undisturbed.moments[number].now)
            has_the_same_future(undisturbed, number, new, Seen(here / "old" / "seen"))


def _hurry(state: State) -> None:
    """Nothing here is killed: the disk need not be waited for."""
    assert state._writer is not None
    state._writer.execute("PRAGMA synchronous = OFF")


def _place(key: Key) -> tuple[object, ...]:
    return key.is_ksk, key.goal, key.created_at, dict(key.states)


def _course(key: Key) -> tuple[object, ...]:
    return key.dnskey, key.goal, dict(key.states), key.retire_at


def test_what_is_newer_here_is_not_given_up_without_force(states: list[State]) -> None:
    old, new = states
    live(old, NOW)
    publish(old, 7, NOW)
    before = taken(old)
    restored(new, before)
    publish(new, 8, NOW + 10)
    tags = {key.tag for key in live(new, NOW + 40 * 86400)} - {key.tag for key in live(old, NOW)}
    with pytest.raises(BackupError, match="behind what is known here") as caught:
        restored(new, before, NOW + 40 * 86400)
    said = "\n".join(caught.value.differences)
    assert "example.test.: serial 8 was published here, 7 in the backup" in said
    assert "dnskey is omnipresent here, rumoured in the backup" in said
    for tag in tags:
        assert f"example.test.: key {tag} is here, and not in the backup" in said
    done = restored(new, before, NOW + 40 * 86400, force=True)
    assert done.differences == caught.value.differences
    with new.reader() as tx:
        assert {key.tag for key in store.load(tx, ORIGIN)}.isdisjoint(tags)
        assert {one.tag for one in store.trash(tx)} == tags
        assert history.last_published(tx, ORIGIN, "").serial == 8, "no serial is ever given twice"


def test_a_key_that_was_deleted_since_is_said(states: list[State]) -> None:
    old, _ = states
    (ksk, _) = live(old, NOW)
    before = taken(old)
    with old.transaction(NOW) as tx:
        store.delete(tx, ksk, "a test", NOW + 60)
    with pytest.raises(BackupError, match=f"key {ksk.tag} was deleted here at 2027-01-15T08:01:00Z"):
        restored(old, before)
    restored(old, before, force=True)
    with old.reader() as tx:
        assert store.load_key(tx, ksk.id) is not None
        assert store.trash(tx) == []


def test_a_backup_is_not_readable_and_not_altered(states: list[State]) -> None:
    old, _ = states
    live(old, NOW)
    with old.reader() as tx:
        snapshot = backup.take(tx, old.vault, NOW)
    octets = backup.to_octets(snapshot, b"pass")
    for row in snapshot.zones[0].rows("key_private"):
        assert row["octets"] not in octets
    with pytest.raises(PassphraseError):
        backup.from_octets(octets, b"other")
    with pytest.raises(PassphraseError, match="empty"):
        backup.to_octets(snapshot, b"")
    for place in range(0, len(octets), 97):
        altered = bytearray(octets)
        altered[place] ^= 1
        with pytest.raises((PassphraseError, BackupError)):
            backup.from_octets(bytes(altered), b"pass")
    for damaged in (b"", octets[:5], octets[: len(octets) // 2], b"ZWBACKUP1 {}\n", b'ZWBACKUP1 {"salt": 1}\n'):
        with pytest.raises((PassphraseError, BackupError)):
            backup.from_octets(damaged, b"pass")
    greedy = octets.replace(b'"n": 32768', b'"n": 99999999999')
    with pytest.raises(BackupError, match="more work"):
        backup.from_octets(greedy, b"pass")


def test_a_backup_of_a_newer_version_and_one_with_a_wrong_key_are_refused(states: list[State]) -> None:
    old, new = states
    live(old, NOW)
    whole = taken(old)
    with pytest.raises(BackupError, match="newer version"):
        backup.from_octets(backup.to_octets(replace(whole, schema=99), b"pass"), b"pass")
    assert backup.prove(whole) == 2
    zone = whole.zones[0]
    first, second = zone.rows("key_private")
    swapped = [{**first, "octets": second["octets"]}, second]
    broken = replace(whole, zones=(replace(zone, tables={**zone.tables, "key_private": swapped}),))
    with pytest.raises(PrivateKeyError, match="is not the DNSKEY's"):
        backup.prove(broken)
    odd = replace(zone, tables={**zone.tables, "ttl_served": [], "keys": [{**zone.rows("keys")[0], "odd": 1}]})
    with pytest.raises(BackupError, match="table keys has no odd"):
        restored(new, replace(whole, zones=(odd,)))
    with new.reader() as tx:
        assert history.zones(tx) == []


def test_a_backup_is_of_one_moment(states: list[State], monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody rolls on while it is taken."""
    old, _ = states
    live(old, NOW)
    real = backup._rows

    def rows(tx: sqlite3.Connection, table: str, *rest: object) -> list[backup.Row]:
        found = real(tx, table, *rest)  # type: ignore[arg-type]
        if table == "keys":
            live(old, NOW + 30 * 86400)
        return found

    monkeypatch.setattr(backup, "_rows", rows)
    with old.reader() as tx:
        snapshot = backup.take(tx, old.vault, NOW)
    ids = {row["id"] for row in snapshot.zones[0].rows("keys")}
    assert {row["key_id"] for row in snapshot.zones[0].rows("key_states")} == ids
    assert {row["state"] for row in snapshot.zones[0].rows("key_states")} <= {"hidden", "rumoured"}
