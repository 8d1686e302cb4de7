import sqlite3
from dataclasses import replace

import pytest

from engine import key_tag
from keys import introduction, private, store
from keys.errors import KeyImportError, KeysError, KeySetError
from keys.policy import DEFAULT
from keys.private import ImportedKey
from keys.rollover import ServedTTLs
from keys.states import Goal, Provenance, RecordKind, RecordState

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


def test_a_zone_gets_one_csk_at_first_sight_and_keeps_it(tx: sqlite3.Connection) -> None:
    vault = private.PlainVault()
    (key,) = introduction.introduce(tx, vault, [ZONE], DEFAULT, NOW)[ZONE]
    assert (key.algorithm, key.dnskey[:4], key.is_ksk, key.is_zsk) == (13, b"\x01\x01\x03\x0d", True, True)
    assert words([key]) == {key.tag: "RRRH"}
    assert key.tag == key_tag(key.dnskey)
    again = introduction.introduce(tx, vault, [ZONE], DEFAULT, NOW + 10**6)
    assert again == {ZONE: [key]}
    assert store.load_all(tx) == {ZONE: [key]}


def test_a_thousand_zones_are_one_call(tx: sqlite3.Connection) -> None:
    zones = [(b"\x05z%04d\x04test\x00" % number, "") for number in range(1000)]
    made = introduction.introduce(tx, private.PlainVault(), zones, DEFAULT, NOW)
    assert list(made) == zones
    assert len({keys[0].dnskey for keys in made.values()}) == 1000
    assert store.load_all(tx) == made


def test_views_of_a_zone_have_keys_of_their_own(tx: sqlite3.Connection) -> None:
    inside = (ZONE[0], "inside")
    made = introduction.introduce(tx, private.PlainVault(), [ZONE, inside], DEFAULT, NOW)
    assert made[ZONE] != made[inside]


def test_waiting_starts_with_the_first_answer_not_with_the_decision(tx: sqlite3.Connection) -> None:
    keys = introduction.introduce(tx, private.PlainVault(), [ZONE], DEFAULT, NOW)[ZONE]
    held = introduction.advance(tx, keys, DEFAULT, TTLS, NOW + 10**6)
    assert held.steps == []
    assert held.wait.until is None
    keys = introduction.served(tx, held.keys, NOW + 10**6)
    assert introduction.served(tx, keys, NOW + 10**6 + 5) == keys
    later = introduction.advance(tx, keys, DEFAULT, TTLS, NOW + 10**6 + 86400 + 300)
    assert words(later.keys) == {keys[0].tag: "OOOR"}
    assert later.changes_zone
    assert store.load(tx, *ZONE) == later.keys


def test_a_mark_leaves_later_moves_alone(tx: sqlite3.Connection) -> None:
    old = introduction.introduce(tx, private.PlainVault(), [ZONE], DEFAULT, NOW)[ZONE]
    introduction.served(tx, old, NOW + 5)
    late = introduction.advance(tx, store.load(tx, *ZONE), DEFAULT, TTLS, NOW + 10**6).keys
    assert introduction.served(tx, old, NOW + 10**6) == late
    assert store.load(tx, *ZONE) == late
    marks = [line for line in store.history(tx, old[0].id) if line[1] == "key"]
    assert marks == [(NOW + 5, "key", "served", "first served")]


def test_a_taken_tag_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeysError, match="no unused key tag"):
        introduction.new_csk(ZONE, DEFAULT, NOW, frozenset(range(65536)))
    made = [private.generate(13) for _ in range(3)]
    monkeypatch.setattr(private, "generate", lambda _: made.pop(0))
    taken = private.tags_of(made[0][1]) | private.tags_of(made[1][1])
    expected = made[2][1]
    assert introduction.new_csk(ZONE, DEFAULT, NOW, taken)[0].dnskey == expected


# ------------------------------------------------------------------ the operator's keys


def test_a_single_imported_key_signs_everything(tx: sqlite3.Connection) -> None:
    (key,) = adopt(tx, imported())
    assert (key.is_ksk, key.is_zsk, key.provenance) == (True, True, Provenance.IMPORTED)
    assert words([key]) == {key.tag: "RRRH"}
    assert store.load(tx, *ZONE) == [key]


def test_imported_keys_keep_their_roles(tx: sqlite3.Connection) -> None:
    ksk, zsk = imported(257), imported(256)
    keys = adopt(tx, zsk, ksk)
    assert words(keys) == {ksk.tag: "RHRH", zsk.tag: "RRHH"}
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
    introduction.introduce(tx, private.PlainVault(), [ZONE], DEFAULT, NOW)
    one = imported()
    assert [key.dnskey for key in adopt(tx, one)] == [one.dnskey]
    assert [key.dnskey for key in store.load(tx, *ZONE)] == [one.dnskey]


def test_a_key_that_is_served_does_not(tx: sqlite3.Connection) -> None:
    keys = introduction.introduce(tx, private.PlainVault(), [ZONE], DEFAULT, NOW)[ZONE]
    introduction.served(tx, keys, NOW)
    with pytest.raises(KeySetError, match="served with a key made here"):
        adopt(tx, imported())


def test_a_retired_key_stays_published_but_signs_no_more_of_the_zone(tx: sqlite3.Connection) -> None:
    retired, active, ksk = imported(256, timing={"Inactive": NOW - 1}), imported(256), imported(257)
    keys = adopt(tx, retired, active, ksk)
    assert words(keys) == {retired.tag: "RUHH", active.tag: "RRHH", ksk.tag: "RHRH"}
    goals = {key.tag: key.goal for key in keys}
    assert goals == {retired.tag: Goal.ABSENT, active.tag: Goal.PRESENT, ksk.tag: Goal.PRESENT}
    served = introduction.served(tx, keys, NOW)
    after = introduction.advance(tx, served, DEFAULT, TTLS, NOW + 10**6).keys
    assert next(key for key in after if key.tag == ksk.tag).state(RecordKind.DS) is RecordState.RUMOURED


def test_keys_that_are_all_retired_or_deleted_are_refused(tx: sqlite3.Connection) -> None:
    with pytest.raises(KeySetError, match="all of the imported keys are retired"):
        adopt(tx, imported(timing={"Inactive": NOW}))
    with pytest.raises(KeyImportError, match="was to be deleted at 5, now is"):
        adopt(tx, imported(timing={"Delete": 5}))


def test_timing_is_remembered(tx: sqlite3.Connection) -> None:
    (key,) = adopt(tx, imported(timing={"Created": 5, "Inactive": NOW + 9}))
    assert store.timing(tx, key.id) == {"Created": 5, "Inactive": NOW + 9}
