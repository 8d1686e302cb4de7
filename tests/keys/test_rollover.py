from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.ds import cdnskey_rdatas, cds_rdatas, not_before
from keys.policy import DEFAULT, Policy
from keys.rollover import ServedTTLs, Step, Wait, next_step, settle
from keys.states import CHAIN_KINDS, Goal, Key, RecordKind, RecordState, Standing, hidden_states, key_id

ORIGIN = b"\x07example\x04test\x00"
TTLS = ServedTTLs(dnskey=3600, zone_max=86400, negative=900)
START = 1_700_000_000


def csk(now: int = START) -> Key:
    dnskey = b"\x01\x01\x03\x0d" + bytes(64)
    return Key(
        id=key_id(ORIGIN, "", dnskey),
        origin=ORIGIN,
        view="",
        algorithm=13,
        is_ksk=True,
        is_zsk=True,
        dnskey=dnskey,
        tag=7,
        goal=Goal.PRESENT,
        states=hidden_states(is_ksk=True, is_zsk=True, since=now),
        created_at=now,
    )


def served(keys: list[Key], now: int) -> list[Key]:
    return [replace(key, active_at=key.active_at or now) for key in keys]


def word(key: Key) -> str:
    return "".join(key.state(kind).value[0].upper() for kind in RecordKind)


def test_a_new_key_is_published_and_signs_at_once_but_asks_the_parent_for_nothing() -> None:
    keys, steps, wait = settle([csk()], DEFAULT, TTLS, START)
    assert [(step.kind, step.state) for step in steps] == [
        (RecordKind.DNSKEY, RecordState.RUMOURED),
        (RecordKind.ZRRSIG, RecordState.RUMOURED),
        (RecordKind.KRRSIG, RecordState.RUMOURED),
    ]
    assert all(step.changes_zone for step in steps)
    assert word(keys[0]) == "RRRH"
    assert wait == Wait(None)


def test_the_whole_introduction_takes_the_longest_of_the_waiting_times() -> None:
    keys, _, _ = settle([csk()], DEFAULT, TTLS, START)
    keys = served(keys, START + 10)
    keys, steps, wait = settle(keys, DEFAULT, TTLS, START + 10)
    assert (steps, wait) == ([], Wait(START + 10 + 3600 + 300 + 3600))
    keys, steps, wait = settle(keys, DEFAULT, TTLS, wait.until)
    assert word(keys[0]) == "OROH"
    assert not any(step.changes_zone for step in steps)
    assert wait == Wait(START + 10 + 86400 + 300)
    assert not_before(keys, DEFAULT, TTLS) == wait.until
    assert settle(keys, DEFAULT, TTLS, wait.until - 1)[1] == []
    keys, steps, wait = settle(keys, DEFAULT, TTLS, wait.until)
    assert word(keys[0]) == "OOOR"
    assert steps[-1].changes_zone
    assert wait == Wait(None)
    assert len(cds_rdatas(keys)) == len(cdnskey_rdatas(keys)) == 1


def test_what_was_never_served_does_not_become_omnipresent() -> None:
    keys, _, _ = settle([csk()], DEFAULT, TTLS, START)
    assert settle(keys, DEFAULT, TTLS, START + 10**8)[1:] == ([], Wait(None))
    assert not_before(keys, DEFAULT, TTLS) is None


def test_the_first_dnskey_also_outlives_its_cached_denial() -> None:
    keys, _, _ = settle([csk()], DEFAULT, TTLS, START)
    long_denial = ServedTTLs(dnskey=3600, zone_max=600, negative=10_000)
    assert settle(served(keys, START), DEFAULT, long_denial, START)[2] == Wait(START + 10_000 + 300)
    assert not_before(served(keys, START), DEFAULT, long_denial) == START + 10_000 + 300 + 3600


def test_a_larger_dnskey_ttl_of_the_past_counts() -> None:
    keys, _, _ = settle([csk()], replace(DEFAULT, dnskey_ttl=5), TTLS, START)
    wait = settle(served(keys, START), replace(DEFAULT, dnskey_ttl=5), TTLS, START)[2]
    assert wait == Wait(START + 3600 + 300 + 3600)


def test_a_key_signing_key_waits_for_whoever_signs_the_zone(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    ksk = make_key(1, is_zsk=False, states=standing("O-OH", START), active_at=START)
    zsk = make_key(2, is_ksk=False, states=standing("RR--", START), active_at=START)
    keys, steps, wait = settle([ksk, zsk], DEFAULT, TTLS, START + 1)
    assert steps == []
    assert not_before(keys, DEFAULT, TTLS) == START + 86400 + 300
    keys, steps, _ = settle(keys, DEFAULT, TTLS, START + 86400 + 300)
    assert [word(key) for key in keys] == ["OHOR", "OOHH"]
    assert wait.until == START + 7500


def test_a_key_signing_key_alone_never_asks_for_a_ds(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    ksk = make_key(1, is_zsk=False, states=standing("O-OH", START), active_at=START)
    assert settle([ksk], DEFAULT, TTLS, START + 10**8)[1:] == ([], Wait(None))
    assert not_before([ksk], DEFAULT, TTLS) is None


def test_a_key_that_is_to_go_is_not_published(make_key: Callable[..., Key]) -> None:
    assert next_step([make_key(goal=Goal.ABSENT, now=START)], DEFAULT, TTLS, START) == Wait(None)


def test_no_keys_wait_for_nothing() -> None:
    assert next_step([], DEFAULT, TTLS, START) == Wait(None)
    assert not_before([], DEFAULT, TTLS) is None


# ------------------------------------------------------------------ properties

durations = st.integers(0, 200_000)
policies = st.builds(
    Policy,
    dnskey_ttl=durations,
    publish_safety=durations,
    propagation_delay=durations,
    retire_safety=durations,
)
ttls = st.builds(ServedTTLs, dnskey=durations, zone_max=durations, negative=durations)
instants = st.lists(st.integers(-50_000, 100_000), min_size=1, max_size=12)
"""How far the clock goes between two looks at it, back too."""


def at_every_look(deltas: list[int]) -> list[int]:
    moments, now = [], START
    for delta in deltas:
        now += delta
        moments.append(now)
    return moments


@given(policies, ttls, instants, st.integers(0, 11))
def test_no_cds_before_everything_is_certainly_in_every_cache(
    policy: Policy, served_ttls: ServedTTLs, deltas: list[int], first_answer: int
) -> None:
    keys = [csk()]
    first_served, latest = None, 0
    for look, now in enumerate(at_every_look(deltas)):
        latest = max(latest, now)  # a clock set back takes nothing back
        keys, _, _ = settle(keys, policy, served_ttls, now)
        if look == first_answer and keys[0].is_published(RecordKind.DNSKEY) and now >= keys[0].newest_event:
            keys, first_served = served(keys, now), now
        if cds_rdatas(keys):
            assert first_served is not None
            caches = max(served_ttls.zone_max, served_ttls.negative, policy.dnskey_ttl, served_ttls.dnskey)
            assert latest >= first_served + caches + policy.propagation_delay
            assert all(keys[0].is_omnipresent(kind) for kind in CHAIN_KINDS)
            assert not_before(keys, policy, served_ttls) <= latest


@given(policies, ttls, instants)
def test_a_clock_set_back_moves_nothing(policy: Policy, served_ttls: ServedTTLs, deltas: list[int]) -> None:
    keys, newest = [csk()], START
    for now in at_every_look(deltas):
        after, steps, _ = settle(keys, policy, served_ttls, now)
        if now < newest:
            assert steps == []
        keys = served(after, now) if now >= newest else after
        newest = max(key.newest_event for key in keys)


@given(policies, ttls, st.lists(st.integers(0, 100_000), min_size=1, max_size=8))
def test_how_often_one_looks_does_not_change_where_the_chain_stands(
    policy: Policy, served_ttls: ServedTTLs, deltas: list[int]
) -> None:
    begun = served(settle([csk()], policy, served_ttls, START)[0], START)
    often, moments = begun, at_every_look(deltas)
    for now in moments:
        often = settle(often, policy, served_ttls, now)[0]
    once = settle(begun, policy, served_ttls, moments[-1])[0]
    assert [word(key) for key in often] == [word(key) for key in once]
    # The facts are dated by when they became true; only the decision to ask for the DS is dated by the look.
    for kind in CHAIN_KINDS:
        assert often[0].states[kind] == once[0].states[kind]


@given(policies, ttls, st.integers(-100_000, 500_000), st.randoms())
def test_the_same_input_gives_the_same_step(policy: Policy, served_ttls: ServedTTLs, delta: int, dice: object) -> None:
    keys = served(settle([csk()], policy, served_ttls, START)[0], START)
    assert next_step(keys, policy, served_ttls, START + delta) == next_step(keys, policy, served_ttls, START + delta)


@given(policies, ttls, st.integers(0, 10**6))
def test_every_wait_ends_in_a_step_and_none_comes_before(policy: Policy, served_ttls: ServedTTLs, late: int) -> None:
    keys = served(settle([csk()], policy, served_ttls, START)[0], START)
    now = START
    for _ in range(4):
        keys, _, wait = settle(keys, policy, served_ttls, now)
        if wait.until is None:
            break
        if wait.until > now:
            assert isinstance(next_step(keys, policy, served_ttls, wait.until - 1), Wait)
        assert isinstance(next_step(keys, policy, served_ttls, wait.until), Step)
        now = wait.until + late
    assert word(keys[0]) == "OOOR"


@pytest.mark.parametrize("word_before", ["RRRH", "OROH", "OOOR"])
def test_nothing_moves_twice(standing: Callable[..., dict[RecordKind, Standing]], word_before: str) -> None:
    key = replace(csk(), states=standing(word_before, START), active_at=START)
    keys, _, wait = settle([key], DEFAULT, TTLS, START + 5000)
    assert settle(keys, DEFAULT, TTLS, START + 5000) == (keys, [], wait)
