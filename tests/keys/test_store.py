import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys import store
from keys.policy import DEFAULT
from keys.rollover import ServedTTLs, settle
from keys.states import Goal, Key, RecordKind, RecordState, Sighting
from tests.keys.conftest import database

TTLS = ServedTTLs(3600, 86400, 900)


def test_a_key_comes_back_as_it_was_saved(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    seen = Sighting(True, 5, 9, 300)
    rolling = {"retire_at": 7, "generation": 3, "store": "hsm", "sighting": seen, "is_request_open": True}
    key = make_key(3, predecessor="p", successor="s", active_at=1_000_001, **rolling)
    store.insert(tx, key, b"sealed", {"Created": 5})
    assert store.load(tx, key.origin) == [key]
    assert store.load(tx, key.origin.upper()) == [key]
    assert store.load_key(tx, key.id) == key
    assert store.load_all(tx) == {(key.origin, ""): [key]}
    assert store.pkcs8(tx, key.id) == b"sealed"
    assert store.timing(tx, key.id) == {"Created": 5}
    assert store.load(tx, key.origin, "inside") == []
    assert store.load_key(tx, "other") is None


def test_keys_come_oldest_first(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    young, old = make_key(1, now=2_000_000), make_key(2, now=1_000_000)
    for key in (young, old):
        store.insert(tx, key, b"")
    assert store.load(tx, old.origin) == [old, young]


def test_two_keys_of_a_zone_never_share_a_tag(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    store.insert(tx, make_key(1, tag=7), b"")
    with pytest.raises(sqlite3.IntegrityError):
        store.insert(tx, make_key(2, tag=7), b"")


def test_history_says_what_happened_and_survives_the_key(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    key = make_key(1, now=100)
    store.insert(tx, key, b"secret")
    moved = key.moved(RecordKind.DNSKEY, RecordState.RUMOURED, 120)
    store.update_states(tx, moved, "dnskey is published", 120)
    store.update_states(tx, moved, "nothing new", 130)
    assert store.load_key(tx, key.id) == moved
    assert store.history(tx, key.id)[-1] == (120, "dnskey", "rumoured", "dnskey is published")
    assert store.last_event(tx) == 120
    store.delete(tx, moved, "never seen", 140)
    assert store.load(tx, key.origin) == []
    assert store.history(tx, key.id)[-1] == (140, "key", "deleted", "never seen")
    with pytest.raises(KeyError):
        store.pkcs8(tx, key.id)


def test_goal_roles_links_and_first_answer_are_saved(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    key = make_key(1)
    store.insert(tx, key, b"")
    changed = replace(key, goal=Goal.ABSENT, successor="z", predecessor="a", active_at=1_000_007)
    store.update(tx, changed, "goal", "absent", "rolled", 1_000_007)
    assert store.load_key(tx, key.id) == changed
    assert store.last_event(tx) == 1_000_007


def test_a_zone_is_forgotten_with_its_private_parts(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    key = make_key(1)
    store.insert(tx, key, b"secret")
    store.forget(tx, key.origin)
    assert store.load_all(tx) == {}
    assert store.all_pkcs8(tx) == []


def test_an_empty_store_has_no_events(tx: sqlite3.Connection) -> None:
    assert store.last_event(tx) is None
    assert store.wrapping(tx) is None


@given(restarts=st.sets(st.integers(0, 7)), deltas=st.lists(st.integers(0, 60_000), min_size=1, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_a_restart_at_any_point_gives_the_same_future(
    make_key: Callable[..., Key], restarts: set[int], deltas: list[int]
) -> None:
    """P7 of the rollover's properties: what is saved is all that the future depends on."""
    tx = database()
    now = 1_000_000
    key = make_key(1, now=now)
    store.insert(tx, key, b"")
    unbroken = restarted = [key]
    for look, delta in enumerate(deltas):
        now += delta
        unbroken, expected, _ = settle(unbroken, DEFAULT, TTLS, now)
        restarted = store.load(tx, key.origin) if look in restarts else restarted
        restarted, steps, _ = settle(restarted, DEFAULT, TTLS, now)
        for step in steps:
            store.update_states(tx, step.moved, step.reason, now)
        assert steps == expected
        unbroken = [one.served(now) for one in unbroken]
        restarted = [store.mark_served(tx, one, now) for one in restarted]
    assert store.load(tx, key.origin) == unbroken == restarted
    tx.close()
