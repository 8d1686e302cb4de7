from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.ds import cdnskey_rdatas, cds_rdatas
from keys.forecast import foretold
from keys.policy import CORPORATE, DEFAULT, INSECURE, KeySpec, Policy, Role
from keys.rollover import (
    Creation,
    Move,
    Removal,
    ServedTTLs,
    Wait,
    abort,
    is_signed,
    next_step,
    not_before,
    settle,
)
from keys.rules import broken
from keys.states import Goal, Key, RecordKind, RecordState, Sighting, Standing
from keys.timing import retire_at
from tests.keys.rolling import START, Rolling, word

TTLS = ServedTTLs(dnskey=3600, zone_max=86400, negative=900)
DAY = 86400
PUBLISH = 3600 + 300 + 3600
"""The default policy's wait for a DNSKEY."""
PARENT = 86400 + 3600 + 3600
"""Its wait for a DS, from when the parent has it."""


def csk(now: int = START) -> Key:
    (creation,) = [settle([], DEFAULT, TTLS, now)[2]]
    assert isinstance(creation, Creation)
    return foretold(1, creation, now)


def served(keys: list[Key], now: int) -> list[Key]:
    return [key.served(now) for key in keys]


def until(keys: list[Key], now: int, policy: Policy = DEFAULT, ttls: ServedTTLs = TTLS) -> int | None:
    wait = settle(keys, policy, ttls, now)[2]
    assert isinstance(wait, Wait)
    return wait.until


def events(rolling: Rolling, since: int = 0) -> list[str]:
    """Everything from the n-th event on, as `key word-of-states` after each moment at which something moved."""
    rows: dict[int, dict[int, str]] = {}
    for at, step in rolling.log[since:]:
        if isinstance(step, Move):
            rows.setdefault(at, {})[step.key.tag] = word(step.moved)
    return [" ".join(f"{tag}:{states}" for tag, states in sorted(row.items())) for row in rows.values()]


# ------------------------------------------------------------------ a first key


def test_a_zone_without_keys_gets_what_its_policy_wants() -> None:
    creation = next_step([], DEFAULT, TTLS, START)
    assert isinstance(creation, Creation)
    assert (creation.spec, creation.predecessor, creation.generation) == (KeySpec(Role.CSK, 13), None, 0)


def test_a_new_key_is_published_and_signs_at_once_but_asks_the_parent_for_nothing() -> None:
    keys, steps, _ = settle([csk()], DEFAULT, TTLS, START)
    assert [(step.kind, step.state) for step in steps if isinstance(step, Move)] == [
        (RecordKind.DNSKEY, RecordState.RUMOURED),
        (RecordKind.ZRRSIG, RecordState.RUMOURED),
        (RecordKind.KRRSIG, RecordState.RUMOURED),
    ]
    assert word(keys[0]) == "RRRH"
    assert keys[0].active_at == START
    assert until(keys, START) is None


def test_the_whole_introduction_takes_the_longest_of_the_waiting_times() -> None:
    keys = served(settle([csk()], DEFAULT, TTLS, START)[0], START + 10)
    assert until(keys, START + 10) == START + 10 + PUBLISH
    keys = settle(keys, DEFAULT, TTLS, START + 10 + PUBLISH)[0]
    assert word(keys[0]) == "OROH"
    complete = START + 10 + 86400 + 300
    assert until(keys, START + 10 + PUBLISH) == not_before(keys, DEFAULT, TTLS) == complete
    assert settle(keys, DEFAULT, TTLS, complete - 1)[1] == []
    keys = settle(keys, DEFAULT, TTLS, complete)[0]
    assert word(keys[0]) == "OOOR"
    assert until(keys, complete) is None
    assert len(cds_rdatas(keys, DEFAULT)) == len(cdnskey_rdatas(keys, DEFAULT)) == 1


def test_what_was_never_served_does_not_become_omnipresent() -> None:
    keys = settle([csk()], DEFAULT, TTLS, START)[0]
    assert settle(keys, DEFAULT, TTLS, START + 10**8)[1] == []
    assert not_before(keys, DEFAULT, TTLS) is None


def test_the_first_dnskey_also_outlives_its_cached_denial() -> None:
    keys = served(settle([csk()], DEFAULT, TTLS, START)[0], START)
    long_denial = ServedTTLs(dnskey=3600, zone_max=600, negative=10_000)
    assert until(keys, START, ttls=long_denial) == START + 10_000 + 300
    assert not_before(keys, DEFAULT, long_denial) == START + 10_000 + 300 + 3600


def test_a_larger_dnskey_ttl_of_the_past_counts() -> None:
    short = replace(DEFAULT, dnskey_ttl=5)
    keys = served(settle([csk()], short, TTLS, START)[0], START)
    assert until(keys, START, short) == START + PUBLISH


def test_a_key_signing_key_waits_for_whoever_signs_the_zone(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    split = Policy(keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK)))
    ksk = make_key(1, is_zsk=False, states=standing("O-OH", START), now=START)
    zsk = make_key(2, is_ksk=False, states=standing("RR--", START), now=START)
    keys = served(settle([ksk, zsk], split, TTLS, START)[0], START)
    assert not_before(keys, split, TTLS) == START + 86400 + 300
    assert until(keys, START, split) == START + PUBLISH
    keys = settle(keys, split, TTLS, START + 86400 + 300)[0]
    assert [word(key) for key in keys] == ["OHOR", "OOHH"]


def test_a_key_signing_key_alone_never_asks_for_a_ds(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    ksk = make_key(1, is_zsk=False, states=standing("O-OH", START), now=START)
    alone = Policy(keys=(KeySpec(Role.KSK),))
    assert settle([ksk], alone, TTLS, START + 10**8)[1] == []
    assert not_before([ksk], alone, TTLS) is None


def test_a_key_that_is_to_go_is_not_published(make_key: Callable[..., Key]) -> None:
    assert settle([make_key(goal=Goal.ABSENT, now=START)], INSECURE, TTLS, START)[1] == []


def test_nothing_waits_where_nothing_is_wanted() -> None:
    assert next_step([], INSECURE, TTLS, START) == Wait(None)
    assert not_before([], DEFAULT, TTLS) is None


# ------------------------------------------------------------------ rolls


def settled(policy: Policy, ttls: ServedTTLs = TTLS) -> tuple[Rolling, int]:
    """A zone whose first keys are known everywhere, and how many events that took."""
    rolling = Rolling(policy, ttls)
    rolling.go(5 * DAY)
    assert all(word(key).replace("H", "O") == "OOOO" for key in rolling.keys)
    return rolling, len(rolling.log)


def test_a_zsk_is_rolled_by_publishing_its_successor_first() -> None:
    rolling, before = settled(Policy(keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK, lifetime=20 * DAY))))
    rolling.go(16 * DAY)
    assert events(rolling, before) == ["3:RHHH", "2:OUHH 3:ORHH", "2:UHHH 3:OOHH", "2:HHHH"]
    assert rolling.words == ["OHOO", "OOHH"]


def test_a_ksk_is_rolled_when_the_parent_has_the_other_ds() -> None:
    rolling, before = settled(Policy(keys=(KeySpec(Role.KSK, lifetime=40 * DAY), KeySpec(Role.ZSK))))
    rolling.go(38 * DAY)
    assert events(rolling, before) == [
        "3:RHRH",
        "1:OHOU 3:OHOR",
        "1:UHUH 3:OHOO",
        "1:HHHH",
    ]


def test_a_roll_waits_for_the_parent_for_ever() -> None:
    rolling, before = settled(Policy(keys=(KeySpec(Role.CSK, lifetime=40 * DAY),)))
    rolling.parent_delay = None
    rolling.go(300 * DAY)
    assert events(rolling, before)[-1] == "1:OHOU 2:OOOR"
    assert rolling.words == ["OHOU", "OOOR"]
    reasons = {wait.reason for wait in rolling.wait.blocked if wait.kind is RecordKind.DS}
    assert reasons == {
        "until every server of the parent no longer has the DS",
        "until every server of the parent has the DS",
    }


def test_an_algorithm_is_rolled_with_signatures_first_and_last() -> None:
    rolling, before = settled(DEFAULT)
    rolling.policy = Policy(keys=(KeySpec(Role.CSK, 15),))
    rolling.go(10 * DAY)
    assert events(rolling, before) == [
        "2:HRHH",
        "2:RORH",
        "1:OOOU 2:OOOR",
        "1:UOUH 2:OOOO",
        "1:HUHH",
        "1:HHHH",
    ]


def test_a_liberal_algorithm_roll_publishes_both_at_once() -> None:
    liberal = Policy(algorithm_roll="liberal")
    rolling, before = settled(liberal)
    rolling.policy = replace(liberal, keys=(KeySpec(Role.CSK, 15),))
    rolling.go(10 * DAY)
    assert events(rolling, before)[0] == "2:RRRH"
    assert rolling.words == ["OOOO"]


def test_the_scheme_changes_both_ways() -> None:
    split = Policy(keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK)))
    rolling, _ = settled(DEFAULT)
    rolling.policy = split
    rolling.go(10 * DAY)
    assert rolling.words == ["OHOO", "OOHH"]
    rolling.policy = DEFAULT
    rolling.go(10 * DAY)
    assert rolling.words == ["OOOO"]


def test_a_zone_turns_insecure_only_after_its_ds_is_in_no_cache() -> None:
    rolling, before = settled(DEFAULT)
    rolling.policy = INSECURE
    rolling.go(DAY)
    assert events(rolling, before) == ["1:OOOU"]
    assert is_signed(rolling)
    rolling.go(5 * DAY)
    assert not is_signed(rolling)
    assert events(rolling, before) == ["1:OOOU", "1:UUUH", "1:HUHH", "1:HHHH"]
    rolling.policy = DEFAULT
    rolling.go(5 * DAY)
    assert rolling.words == ["OOOO"]


def test_a_zone_that_was_to_turn_insecure_keeps_its_key_when_the_policy_is_back_in_time() -> None:
    rolling, before = settled(DEFAULT)
    rolling.policy = INSECURE
    rolling.go(DAY // 2)
    rolling.policy = DEFAULT
    rolling.go(5 * DAY)
    assert rolling.words == ["OOOO"]
    assert len(rolling.keys) == 1
    assert not [step for _, step in rolling.log[before:] if isinstance(step, Creation)]


def test_a_roll_is_taken_back_and_the_old_key_lives_on() -> None:
    rolling, _ = settled(Policy(keys=(KeySpec(Role.CSK, lifetime=40 * DAY),)))
    while len(rolling.keys) == 1:
        rolling.go(3600)
    rolling.go(DAY)
    old, new = rolling.keys
    assert (word(old), word(new)) == ("OUOU", "OROR")
    rolling.keys = abort(rolling.keys, new, rolling.now, 40 * DAY)
    rolling.go(10 * DAY)
    assert [word(key) for key in rolling.keys] == ["OOOO", "HHHH"]
    rolling.go(31 * DAY)
    assert len(rolling.keys) == 3


def test_what_has_replaced_its_predecessor_is_not_taken_back() -> None:
    rolling, _ = settled(Policy(keys=(KeySpec(Role.CSK, lifetime=40 * DAY),)))
    rolling.go(38 * DAY)
    old, new = rolling.keys
    assert word(old) == "HHHH"
    with pytest.raises(ValueError, match=f"the key {new.tag} has replaced the key {old.tag} already"):
        abort(rolling.keys, new, rolling.now, None)
    with pytest.raises(ValueError, match=f"the key {old.tag} is not on its way in"):
        abort(rolling.keys, old, rolling.now, None)


def test_an_operator_can_roll_now() -> None:
    rolling, before = settled(DEFAULT)
    rolling.keys = [replace(rolling.keys[0], retire_at=rolling.now)]
    rolling.go(5 * DAY)
    assert events(rolling, before) == ["2:RHRH", "1:OUOU 2:OROR", "1:OHOU 2:OOOR", "1:UHUH 2:OOOO", "1:HHHH"]


def test_a_key_no_cache_knows_is_removed_when_the_policy_no_longer_keeps_it() -> None:
    rolling, before = settled(replace(DEFAULT, purge_after=10 * DAY))
    rolling.keys = [replace(rolling.keys[0], retire_at=rolling.now)]
    rolling.go(20 * DAY)
    assert [type(step) for _, step in rolling.log[before:]].count(Removal) == 1
    assert [word(key) for key in rolling.keys] == ["OOOO"]


def test_zones_made_on_one_day_roll_on_many() -> None:
    spec = KeySpec(Role.ZSK, lifetime=90 * DAY)
    policy = Policy(keys=(KeySpec(Role.KSK), spec))
    rolling = Rolling(policy, TTLS)
    rolling.look()
    zsk = next(key for key in rolling.keys if not key.is_ksk)
    zones = [replace(zsk, origin=b"\x05z%04d\x04test\x00" % number) for number in range(200)]
    ends = [(retire_at(key, spec, policy, TTLS) or 0) - START for key in zones]
    assert len({end // DAY for end in ends}) > 30
    assert 44 * DAY <= min(ends) < max(ends) <= 90 * DAY


def test_a_squashed_dnskey_is_not_left_to_the_signatures_of_another(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    """A cache may have a DNSKEY RRset with the first, of before the second came."""
    goes = {"goal": Goal.ABSENT}
    anchor = make_key(1, algorithm=15, states=standing("OOOO", START), now=START)
    first = make_key(2, states=standing("SOSH", START + 10), now=START, **goes)
    second = make_key(3, states={**standing("ROSH", START + 60)}, now=START, **goes)
    policy = Policy(keys=(KeySpec(Role.CSK, 15),))
    keys = settle([anchor, first, second], policy, TTLS, START + 100)[0]
    assert [word(key) for key in keys][1] == "SOSH"


# ------------------------------------------------------------------ the parent


def asking(rolling: Rolling) -> Key:
    return next(key for key in rolling.keys if key.state(RecordKind.DS) is RecordState.RUMOURED)


def test_one_sighting_is_no_confirmation_and_a_contrary_one_begins_anew() -> None:
    rolling = Rolling(DEFAULT, TTLS, parent_delay=None)
    rolling.go(2 * DAY)
    key, now = asking(rolling), rolling.now
    seen = Sighting(True, now, now, 86400)
    assert settle([replace(key, sighting=seen)], DEFAULT, TTLS, now + 30 * DAY)[1] == []
    again = Sighting(True, now + PARENT, now + PARENT, 86400)
    (step,) = settle([replace(key, sighting=seen).sighted(again)], DEFAULT, TTLS, now + 30 * DAY)[1]
    assert isinstance(step, Move)
    assert (step.kind, step.state, step.since) == (RecordKind.DS, RecordState.OMNIPRESENT, now + PARENT)
    flapping = replace(key, sighting=seen).sighted(Sighting(False, now + 60, now + 60)).sighted(again._replace(ttl=300))
    assert flapping.sighting == again
    assert settle([flapping], DEFAULT, TTLS, now + 30 * DAY)[1] == []


def test_what_was_seen_before_the_parent_was_asked_is_no_confirmation() -> None:
    rolling = Rolling(DEFAULT, TTLS, parent_delay=None)
    rolling.go(2 * DAY)
    key, now = asking(rolling), rolling.now
    asked = key.states[RecordKind.DS].since
    for moment in (asked - 60, asked):
        before = replace(key, sighting=Sighting(True, moment, moment, 86400))
        late = before.sighted(Sighting(True, now + PARENT, now + PARENT, 300))
        assert late.sighting == Sighting(True, now + PARENT, now + PARENT, 86400)
        assert settle([late], DEFAULT, TTLS, now + 30 * DAY)[1] == []


def test_the_real_ttl_of_the_ds_counts_shorter_or_longer() -> None:
    rolling = Rolling(DEFAULT, TTLS, parent_delay=None)
    rolling.go(2 * DAY)
    key, now = asking(rolling), rolling.now
    for ttl in (300, 10 * DAY):
        due = now + ttl + 7200
        early = replace(key, sighting=Sighting(True, now, due - 1, ttl))
        assert settle([early], DEFAULT, TTLS, due)[1] == []
        in_time = replace(key, sighting=Sighting(True, now, due, ttl))
        assert len(settle([in_time], DEFAULT, TTLS, due)[1]) == 1


def test_a_request_that_was_never_seen_to_be_done_may_still_be_carried_out(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    asked = make_key(1, states=standing("OOOR", START), now=START, goal=Goal.ABSENT)
    squashed = asked.moved(RecordKind.DS, RecordState.SQUASHED, START + 100)
    assert squashed.is_request_open
    absent = Sighting(False, START, START + 30 * DAY)
    waiting = settle([replace(squashed, sighting=absent)], INSECURE, TTLS, START + 30 * DAY)[0]
    assert waiting[0].state(RecordKind.DS) is RecordState.SQUASHED, "no server is known to ask for anything else yet"
    squashed = squashed.served(START + 200)
    due = START + 200 + DEFAULT.propagation_delay + DEFAULT.parent_registration_delay + PARENT
    (key,) = settle([replace(squashed, sighting=absent)], INSECURE, TTLS, due - 1)[0]
    assert key.state(RecordKind.DS) is RecordState.SQUASHED
    (key,) = settle([replace(squashed, sighting=absent)], INSECURE, TTLS, due)[0]
    assert key.state(RecordKind.DS) is RecordState.HIDDEN


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
        if cds_rdatas(keys, policy):
            assert first_served is not None
            caches = max(served_ttls.zone_max, served_ttls.negative, policy.dnskey_ttl, served_ttls.dnskey)
            assert latest >= first_served + caches + policy.propagation_delay
            assert keys[0].has_chain
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
    for kind in (RecordKind.DNSKEY, RecordKind.ZRRSIG, RecordKind.KRRSIG):
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
        assert not isinstance(next_step(keys, policy, served_ttls, wait.until), Wait)
        now = wait.until + late
    assert word(keys[0]) == "OOOR"


@pytest.mark.parametrize("word_before", ["RRRH", "OROH", "OOOR"])
def test_nothing_moves_twice(standing: Callable[..., dict[RecordKind, Standing]], word_before: str) -> None:
    key = replace(csk(), states=standing(word_before, START)).served(START)
    keys, _, wait = settle([key], DEFAULT, TTLS, START + 5000)
    assert settle(keys, DEFAULT, TTLS, START + 5000) == (keys, [], wait)


def test_ten_thousand_zones_made_on_one_day_do_not_roll_on_one() -> None:
    (_, zsk) = CORPORATE.keys
    assert zsk.lifetime is not None
    rolls: Counter[int] = Counter()
    for number in range(10_000):
        now = START
        for generation in range(4):
            key = foretold(0, Creation(zsk, None, generation, ""), now, f"z{number}.test.".encode())
            now = retire_at(replace(key, active_at=now), zsk, CORPORATE, TTLS) or 0
            rolls[now // DAY] += 1
    mean = rolls.total() / len(rolls)
    assert max(rolls.values()) < 3 * mean, "no day has more than three times its share"
    assert len(rolls) > zsk.lifetime // DAY


def test_a_ds_that_is_asked_for_again_is_no_successor_of_one_that_left_before(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    old = make_key(1, states=standing("OHOU", START), goal=Goal.ABSENT)
    new = make_key(2, states=standing("OHOR", START), predecessor=old.id)
    old = replace(old, successor=new.id)
    between = make_key(3, states=standing("OOUS", START), goal=Goal.ABSENT)
    chain = {rule for rule in broken([old, new, between], is_strict=True) if "DS points to" in rule}
    assert chain == set(), "the parent has the one or the other"
    again = replace(new, states=standing("OHOR", START + 60))
    chain = {rule for rule in broken([old, again, between], is_strict=True) if "DS points to" in rule}
    assert chain, "it may have the one that was asked for between them"
