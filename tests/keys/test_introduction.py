import sqlite3
from dataclasses import replace

import pytest

from engine import key_tag
from keys import introduction, private, store
from keys.errors import KeyImportError, KeysError, KeySetError
from keys.policy import DEFAULT, KeySpec, Policy, Role
from keys.private import ImportedKey
from keys.rollover import Creation, ServedTTLs
from keys.states import Goal, Provenance, RecordKind, Sighting

ZONE = (b"\x07example\x04test\x00", "")
TTLS = ServedTTLs(3600, 86400, 900)
NOW = 1_700_000_000


def imported(flags: int = 257, algorithm: int = 13, timing: dict[str, int] | None = None) -> ImportedKey:
    pkcs8, dnskey = private.generate(algorithm, flags)
    return ImportedKey(ZONE[0], dnskey, key_tag(dnskey), pkcs8, timing or {}, (), "Kexample.test.+013+00001.private")


def adopt(tx: sqlite3.Connection, *keys: ImportedKey) -> list[introduction.Key]:
    return introduction.adopt(tx, private.PlainVault(), ZONE, keys, NOW)


def words(keys: list[introduction.Key]) -> dict[int, str]:
    return {key.tag: "".join(key.state(kind).value[0].upper() for kind in RecordKind) for key in keys}


def advance(
    tx: sqlite3.Connection, keys: list[introduction.Key], now: int = NOW, policy: Policy = DEFAULT
) -> introduction.Progress:
    return introduction.advance(tx, private.PlainVault(), ZONE, keys, policy, TTLS, now)


def test_a_zone_gets_one_csk_at_first_sight_and_keeps_it(tx: sqlite3.Connection) -> None:
    (key,) = advance(tx, []).keys
    assert (key.algorithm, key.dnskey[:4], key.is_ksk, key.is_zsk) == (13, b"\x01\x01\x03\x0d", True, True)
    assert words([key]) == {key.tag: "RRRH"}
    assert key.tag == key_tag(key.dnskey)
    assert store.load_all(tx) == {ZONE: [key]}
    assert advance(tx, store.load(tx, *ZONE), NOW + 10**6).keys == [key]


def test_views_of_a_zone_have_keys_of_their_own(tx: sqlite3.Connection) -> None:
    (one,) = advance(tx, []).keys
    inside = (ZONE[0], "inside")
    (other,) = introduction.advance(tx, private.PlainVault(), inside, [], DEFAULT, TTLS, NOW).keys
    assert one.dnskey != other.dnskey
    assert store.load_all(tx) == {ZONE: [one], inside: [other]}


def test_waiting_starts_when_all_servers_have_it_not_with_the_decision(tx: sqlite3.Connection) -> None:
    keys = advance(tx, []).keys
    held = advance(tx, keys, NOW + 10**6)
    assert held.steps == []
    assert held.wait.until is None
    keys = introduction.served(tx, held.keys, NOW + 10**6)
    assert introduction.served(tx, keys, NOW + 10**6 + 5) == keys
    later = advance(tx, keys, NOW + 10**6 + 86400 + 300)
    assert words(later.keys) == {keys[0].tag: "OOOR"}
    assert store.load(tx, *ZONE) == later.keys


def test_a_mark_leaves_later_moves_alone(tx: sqlite3.Connection) -> None:
    old = advance(tx, []).keys
    introduction.served(tx, old, NOW + 5)
    late = advance(tx, store.load(tx, *ZONE), NOW + 10**6).keys
    assert introduction.served(tx, old, NOW + 10**6) == late
    assert store.load(tx, *ZONE) == late
    marks = {line[0] for line in store.history(tx, old[0].id) if line[2] == "served"}
    assert marks == {NOW + 5}


def test_a_successor_is_made_saved_and_linked_in_one_go(tx: sqlite3.Connection) -> None:
    introduction.served(tx, advance(tx, []).keys, NOW)
    (old,) = advance(tx, store.load(tx, *ZONE), NOW + 10**6).keys
    introduction.roll(tx, old, NOW + 10**6, "by hand", NOW + 10**6)
    old, new = advance(tx, store.load(tx, *ZONE), NOW + 10**6).keys
    assert (old.successor, new.predecessor, old.goal, new.generation) == (new.id, old.id, Goal.ABSENT, 1)
    assert store.load(tx, *ZONE) == [old, new]
    assert (NOW + 10**6, "goal", "absent", f"the key {new.tag} takes over") in store.history(tx, old.id)


def test_a_roll_is_taken_back_and_saved(tx: sqlite3.Connection) -> None:
    introduction.served(tx, advance(tx, []).keys, NOW)
    (old,) = advance(tx, store.load(tx, *ZONE), NOW + 10**6).keys
    introduction.roll(tx, old, NOW + 10**6, "by hand", NOW + 10**6)
    keys = advance(tx, store.load(tx, *ZONE), NOW + 10**6).keys
    introduction.abort(tx, keys, keys[1], DEFAULT, NOW + 10**6)
    goals = [(key.goal, key.retire_at) for key in store.load(tx, *ZONE)]
    assert goals == [(Goal.PRESENT, None), (Goal.ABSENT, None)]
    with pytest.raises(KeySetError, match="is not on its way in"):
        introduction.abort(tx, keys, keys[0], DEFAULT, NOW + 10**6)


def test_sightings_are_kept_and_their_changes_are_history(tx: sqlite3.Connection) -> None:
    (key,) = advance(tx, []).keys
    for seen in (
        Sighting(True, NOW, NOW, 300),
        Sighting(True, NOW + 9, NOW + 9, 60),
        Sighting(False, NOW + 20, NOW + 20),
    ):
        key = introduction.sighted(tx, key, seen)
    assert store.load(tx, *ZONE)[0].sighting == Sighting(False, NOW + 20, NOW + 20, 300)
    assert [line[:3] for line in store.history(tx, key.id) if "seen" in line[2]] == [
        (NOW, "ds", "seen"),
        (NOW + 20, "ds", "not seen"),
    ]


def test_a_taken_tag_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    creation = Creation(DEFAULT.keys[0], None, 0, "")
    with pytest.raises(KeysError, match="no unused key tag"):
        introduction.new_key(private.PlainVault(), ZONE, creation, NOW, frozenset(range(65536)))
    made = [private.generate(13) for _ in range(3)]
    monkeypatch.setattr(private, "generate", lambda *_: made.pop(0))
    taken = private.tags_of(made[0][1]) | private.tags_of(made[1][1])
    expected = made[2][1]
    assert introduction.new_key(private.PlainVault(), ZONE, creation, NOW, taken)[0].dnskey == expected


# ------------------------------------------------------------------ the operator's keys


def test_a_single_imported_key_signs_everything(tx: sqlite3.Connection) -> None:
    (key,) = adopt(tx, imported())
    assert (key.is_ksk, key.is_zsk, key.provenance) == (True, True, Provenance.IMPORTED)
    assert words([key]) == {key.tag: "RRRR"}
    assert store.load(tx, *ZONE) == [key]


def test_imported_keys_keep_their_roles(tx: sqlite3.Connection) -> None:
    ksk, zsk = imported(257), imported(256)
    keys = adopt(tx, zsk, ksk)
    assert words(keys) == {ksk.tag: "RHRR", zsk.tag: "RRHH"}
    assert sorted(store.load(tx, *ZONE), key=lambda key: key.id) == sorted(keys, key=lambda key: key.id)


def test_importing_again_changes_nothing(tx: sqlite3.Connection) -> None:
    one = imported()
    assert adopt(tx, one) == adopt(tx, one)


def test_zone_signing_keys_alone_are_refused(tx: sqlite3.Connection) -> None:
    with pytest.raises(KeySetError, match=r"example.test.: algorithm 13 has zone signing keys only"):
        adopt(tx, imported(256))
    assert store.load(tx, *ZONE) == []


def test_a_key_of_another_zone_is_refused(tx: sqlite3.Connection) -> None:
    with pytest.raises(KeyImportError, match=r"a key of other., not of example.test."):
        adopt(tx, replace(imported(), owner=b"\x05other\x00"))


def test_a_key_nobody_saw_gives_way(tx: sqlite3.Connection) -> None:
    advance(tx, [])
    one = imported()
    assert [key.dnskey for key in adopt(tx, one)] == [one.dnskey]
    assert [key.dnskey for key in store.load(tx, *ZONE)] == [one.dnskey]


def test_a_key_that_is_served_rolls_over_to_the_imported_one_and_that_back_to_one_made_here(
    tx: sqlite3.Connection,
) -> None:
    old = settled(tx, NOW)
    one = imported()
    keys = adopt(tx, one)
    assert words(keys) == {old.tag: "OOOO", one.tag: "HHHH"}
    assert [key.goal for key in keys] == [Goal.ABSENT, Goal.PRESENT]
    new = settled(tx, NOW + 10**7)
    assert (new.dnskey, new.provenance, new.is_zsk) == (one.dnskey, Provenance.IMPORTED, True)
    introduction.roll(tx, new, NOW + 2 * 10**7, "by hand", NOW + 2 * 10**7)
    last = settled(tx, NOW + 2 * 10**7)
    assert last.dnskey not in {old.dnskey, one.dnskey}
    assert last.provenance is Provenance.GENERATED


def settled(tx: sqlite3.Connection, start: int) -> introduction.Key:
    """The one key that is to stay after thirty days in which the parent does what it is asked."""
    for now in range(start, start + 30 * 86400, 86400):
        for key in store.load(tx, *ZONE):
            introduction.sighted(tx, key, Sighting(key.wants_ds, now, now, 3600))
        introduction.served(tx, advance(tx, store.load(tx, *ZONE), now).keys, now)
    (key,) = [key for key in store.load(tx, *ZONE) if key.goal is Goal.PRESENT]
    assert words([key]) == {key.tag: "OOOO"}
    return key


def test_a_key_of_an_algorithm_or_role_that_is_not_at_work_is_not_rolled_over_to(tx: sqlite3.Connection) -> None:
    settled(tx, NOW)
    for flags, algorithm in ((256, 13), (257, 15)):
        with pytest.raises(KeySetError, match=f"of algorithm {algorithm} is at work here that key"):
            adopt(tx, imported(flags, algorithm))
    one = imported()
    adopt(tx, one)
    with pytest.raises(KeySetError, match=r"is at work here|another key of tag"):
        adopt(tx, imported(), imported())


def test_a_retired_key_signs_no_more_and_leaves_when_no_cache_needs_it(tx: sqlite3.Connection) -> None:
    retired, active, ksk = imported(256, timing={"Inactive": NOW - 1}), imported(256), imported(257)
    keys = adopt(tx, retired, active, ksk)
    assert words(keys) == {retired.tag: "RUHH", active.tag: "RRHH", ksk.tag: "RHRR"}
    goals = {key.tag: key.goal for key in keys}
    assert goals == {retired.tag: Goal.ABSENT, active.tag: Goal.PRESENT, ksk.tag: Goal.PRESENT}
    split = Policy(keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK)))
    after = advance(tx, introduction.served(tx, keys, NOW), NOW + 10**6, split).keys
    assert words(after) == {retired.tag: "UHHH", active.tag: "OOHH", ksk.tag: "OHOR"}


def test_keys_that_are_all_retired_or_deleted_are_refused(tx: sqlite3.Connection) -> None:
    with pytest.raises(KeySetError, match="all of the imported keys are retired"):
        adopt(tx, imported(timing={"Inactive": NOW}))
    with pytest.raises(KeyImportError, match="was to be deleted at 5, now is"):
        adopt(tx, imported(timing={"Delete": 5}))


def test_timing_is_remembered(tx: sqlite3.Connection) -> None:
    (key,) = adopt(tx, imported(timing={"Created": 5, "Inactive": NOW + 9}))
    assert store.timing(tx, key.id) == {"Created": 5, "Inactive": NOW + 9}
