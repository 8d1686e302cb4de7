"""Keys that zones of one policy have in common: taken, rolled to one successor, and no secret given up too early."""

import sqlite3
from dataclasses import replace

import pytest

from keys import introduction, private, store, trash
from keys.policy import KeySpec, Policy, Role
from keys.rollover import ServedTTLs
from keys.states import Goal, Key, RecordKind, Sighting
from keys.timing import retire_at

DAY = 86400
NOW = 1_700_000_000
TTLS = ServedTTLs(3600, 86400, 900)
POLICY = Policy("many", keys=(KeySpec(Role.KSK, lifetime=200 * DAY, shared=True), KeySpec(Role.ZSK)))
ZONES = [(bytes((1, letter)) + b"\x04test\x00", "") for letter in b"abc"]
VAULT = private.PlainVault()


class Zones:
    """Zones of one policy in one store, served and looked at by the parent as time goes on."""

    def __init__(self, tx: sqlite3.Connection) -> None:
        self.tx = tx
        self.policy = POLICY
        self.stuck: set[tuple[bytes, str]] = set()

    def look(self, zone: tuple[bytes, str], now: int) -> list[Key]:
        keys = store.load(self.tx, *zone)
        if zone not in self.stuck:
            for key in keys:
                if key.is_ksk:
                    introduction.sighted(self.tx, key, Sighting(key.wants_ds, now, now, 3600))
        keys = introduction.advance(self.tx, VAULT, zone, store.load(self.tx, *zone), self.policy, TTLS, now).keys
        return introduction.served(self.tx, keys, now)

    def run(self, start: int, end: int, zones: list[tuple[bytes, str]] = ZONES) -> None:
        for now in range(start, end, DAY // 2):
            for zone in zones:
                self.look(zone, now)

    def ksks(self, zone: tuple[bytes, str]) -> list[Key]:
        return [key for key in store.load(self.tx, *zone) if key.is_ksk and key.goal is Goal.PRESENT]

    def ksk(self, zone: tuple[bytes, str]) -> Key:
        (key,) = self.ksks(zone)
        return key


@pytest.fixture
def zones(tx: sqlite3.Connection) -> Zones:
    return Zones(tx)


def test_zones_of_a_policy_and_view_have_one_key_pair_and_states_of_their_own(zones: Zones) -> None:
    zones.run(NOW, NOW + 5 * DAY, ZONES[:2])
    zones.run(NOW + 5 * DAY, NOW + 6 * DAY)
    first, late = zones.ksk(ZONES[0]), zones.ksk(ZONES[2])
    assert first.dnskey == zones.ksk(ZONES[1]).dnskey == late.dnskey
    assert len({key.id for key in (first, late)}) == 2
    assert first.is_omnipresent(RecordKind.DS)
    assert not late.is_omnipresent(RecordKind.DS)
    assert first.sharing == late.sharing
    assert store.sharers(zones.tx) == {first.dnskey: 3}
    zsks = {key.dnskey for zone in ZONES for key in store.load(zones.tx, *zone) if not key.is_ksk}
    assert len(zsks) == 3, "only what the policy calls shared is"
    introduction.advance(zones.tx, VAULT, (ZONES[0][0], "inside"), [], POLICY, TTLS, NOW)
    assert zones.ksk((ZONES[0][0], "inside")).dnskey != first.dnskey
    other = introduction.advance(zones.tx, VAULT, (b"\x01z\x00", ""), [], replace(POLICY, name="other"), TTLS, NOW).keys
    assert all(key.dnskey != first.dnskey for key in other)


def test_zones_that_share_roll_by_one_schedule_to_one_successor_also_the_one_that_its_parent_held_up(
    zones: Zones,
) -> None:
    zones.run(NOW, NOW + 10 * DAY)
    old = zones.ksk(ZONES[0])
    ends = {retire_at(zones.ksk(zone), POLICY.keys[0], POLICY, TTLS) for zone in ZONES}
    assert ends == {NOW + 200 * DAY}
    zones.stuck = {ZONES[2]}
    zones.run(NOW + 10 * DAY, NOW + 220 * DAY)
    new = zones.ksk(ZONES[0])
    assert new.dnskey == zones.ksk(ZONES[1]).dnskey == zones.ksk(ZONES[2]).dnskey != old.dnskey
    assert not zones.ksk(ZONES[2]).is_omnipresent(RecordKind.DS)
    zones.run(NOW + 220 * DAY, NOW + 420 * DAY)
    third = zones.ksk(ZONES[0])
    assert third.dnskey not in {old.dnskey, new.dnskey}
    assert zones.ksk(ZONES[2]).dnskey == new.dnskey, "a roll that the parent holds up is not followed by more"
    zones.stuck = set()
    zones.run(NOW + 420 * DAY, NOW + 440 * DAY)
    assert zones.ksk(ZONES[2]).dnskey == third.dnskey


def test_a_zone_that_has_the_tag_already_takes_a_key_of_its_own(zones: Zones, monkeypatch: pytest.MonkeyPatch) -> None:
    zones.run(NOW, NOW + DAY, ZONES[:1])
    shared = zones.ksk(ZONES[0])
    real = private.tags_of
    zsk = POLICY.keys[1]
    zones.policy = replace(POLICY, keys=(zsk, POLICY.keys[0]))  # its ZSK comes first
    monkeypatch.setattr(
        private, "tags_of", lambda dnskey: {1} if dnskey == shared.dnskey or dnskey[1] == 0 else real(dnskey)
    )
    zones.look(ZONES[1], NOW + DAY)
    assert zones.ksk(ZONES[1]).dnskey != shared.dnskey


def test_a_private_part_is_trash_only_when_no_zone_has_the_key_any_more(zones: Zones) -> None:
    zones.run(NOW, NOW + DAY)
    keys = [zones.ksk(zone) for zone in ZONES]
    for key in keys[:2]:
        store.delete(zones.tx, key, "given up", NOW + DAY)
        assert store.trash(zones.tx) == []
    assert private.prove(keys[2].id, keys[2].dnskey, store.pkcs8(zones.tx, keys[2].id)) is None
    store.delete(zones.tx, keys[2], "given up", NOW + DAY)
    (thrown,) = store.trash(zones.tx)
    assert (thrown.key_id, thrown.dnskey) == (keys[2].id, keys[2].dnskey)


def test_a_token_keeps_its_part_while_a_zone_has_the_key(zones: Zones, monkeypatch: pytest.MonkeyPatch) -> None:
    zones.run(NOW, NOW + DAY, ZONES[:1])
    key = zones.ksk(ZONES[0])
    store.delete(zones.tx, key, "given up", NOW + DAY)
    thrown = store.trash(zones.tx)
    introduction.advance(zones.tx, VAULT, ZONES[1], [], POLICY, TTLS, NOW + DAY)
    (there,) = zones.ksks(ZONES[1])
    assert there.dnskey != key.dnskey, "what is in the trash is not taken"
    zones.tx.execute("UPDATE keys SET dnskey = ? WHERE id = ?", (key.dnskey, there.id))
    destroyed: list[object] = []
    monkeypatch.setattr(private, "destroy", lambda *given: destroyed.append(given))
    trash.wipe(zones.tx, VAULT, thrown, NOW + 2 * DAY)
    assert (destroyed, store.trash(zones.tx)) == ([], [])


def test_under_a_passphrase_each_zone_has_its_own_sealed_copy(tx: sqlite3.Connection) -> None:
    vault = private.open_vault(tx, b"correct horse")
    for zone in ZONES[:2]:
        introduction.advance(tx, vault, zone, [], POLICY, TTLS, NOW)
    one, other = (next(key for key in store.load(tx, *zone) if key.is_ksk) for zone in ZONES[:2])
    assert store.pkcs8(tx, one.id) != store.pkcs8(tx, other.id)
    opened = [vault.open(key.id, store.pkcs8(tx, key.id)) for key in (one, other)]
    assert opened[0] == opened[1]
