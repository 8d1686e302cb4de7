"""The proof of rollovers: random lives under the oracle of `world`, restarts from what was saved, and mutants that must die."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import rollover, rules, states, store, timing
from keys.policy import KeySpec, Policy, Role
from keys.rules import is_hidden
from keys.states import Key, RecordKind, RecordState
from keys.timing import Due
from tests.keys.conftest import database
from tests.keys.world import DEEDS, World, a_policy, a_world

TRANSITIONS = int(os.environ.get("ROLLOVER_TRANSITIONS", "5000"))
"""In each of the two modes; `make rollover` asks for more."""
FIRST_SEED = int(os.environ.get("ROLLOVER_SEED", "1"))
SECONDS = 1500
CHANCE = 0.06


def saver() -> Callable[[list[Key]], list[Key]]:
    """Writes keys into a database as the product does, and reads them again."""
    tx = database()

    def save(keys: list[Key]) -> list[Key]:
        for table in ("key_states", "key_private", "keys"):
            tx.execute(f"DELETE FROM {table}")
        for key in keys:
            store.insert(tx, key, b"")
        return store.load(tx, keys[0].origin) if keys else []

    return save


@pytest.mark.parametrize("mode", ["strict", "liberal"])
def test_no_resolver_ever_finds_a_broken_chain(mode: str) -> None:
    transitions, seed, save = 0, FIRST_SEED, saver()
    while transitions < TRANSITIONS:
        world = a_world(seed, mode)
        world.saved = save
        try:
            world.run(SECONDS, chance=CHANCE)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {mode}: {error}") from error
        transitions += world.transitions
        seed += 1
    assert transitions >= TRANSITIONS
    print(f"\n{mode}: {transitions} transitions in {seed - FIRST_SEED} lives, no violation")


deeds = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(1, 150)), max_size=12)
"""What is done to a zone, and how long it is left alone then; the fewer the better."""


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 50), st.sampled_from(["strict", "liberal"]), deeds)
def test_whatever_is_done_no_chain_breaks(seed: int, mode: str, done: list[tuple[str, int]]) -> None:
    world = a_world(seed, mode)
    world.saved = saver()
    for deed, seconds in done:
        getattr(world, deed)()
        world.run(seconds, chance=0)
    assert world.oracle.violations(world.now) == []


def test_every_roll_ends_when_the_parent_answers() -> None:
    """P5: left alone, a zone comes to rest with just the keys its policy wants, known everywhere."""
    for seed in range(FIRST_SEED, FIRST_SEED + 12):
        world = a_world(seed)
        world.run(600, chance=CHANCE)
        specs = tuple(replace(spec, lifetime=None) for spec in world.policy.keys)
        world.policy = replace(world.policy, keys=specs)
        world.keys = [replace(key, retire_at=None) for key in world.keys]
        world.run(4000, chance=0)
        known = [key for key in world.keys if not is_hidden(key)]
        assert len(known) == len(specs), [rules.letters(key) for key in known]
        assert all(one.state is RecordState.OMNIPRESENT for key in known for one in key.states.values())


@pytest.mark.parametrize("seed", range(4))
def test_a_restart_at_any_point_gives_the_same_future(seed: int) -> None:
    """P7, P9: one life is saved and loaded at every look, the other never; both go the same way."""
    lives = [a_world(seed), a_world(seed)]
    save = saver()
    for world in lives:
        world.saved = lambda keys: keys
    for _ in range(300):
        for world in lives:
            world.now += 5
            if world.dice.random() < CHANCE:
                world.happen()
            world.tick()
        lives[1].keys = save(lives[1].keys)
        assert sorted(lives[0].keys, key=lambda key: key.id) == sorted(lives[1].keys, key=lambda key: key.id)


# ------------------------------------------------------------------ mutants

SMALL = Policy(
    "small",
    keys=(KeySpec(Role.CSK, 13),),
    dnskey_ttl=40,
    max_zone_ttl=40,
    publish_safety=1,
    retire_safety=1,
    propagation_delay=20,
    parent_propagation_delay=20,
    parent_ds_ttl=5,
    parent_registration_delay=90,
    purge_after=10**6,
)


def no_rule(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """One of the three safety rules holds always."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        broken = rules.broken
        patch.setattr(
            rules, "broken", lambda keys, **facts: frozenset(rule for rule in broken(keys, **facts) if name not in rule)
        )

    return mutate


def no_wait(*kinds: RecordKind) -> Callable[[pytest.MonkeyPatch], None]:
    """Caches catch up at once."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        settled = timing.settled_at

        def settled_at(key, kind, *world):
            due = settled(key, kind, *world)
            return Due(key.states[kind].since, "mutant") if kind in kinds and due.at is not None else due

        patch.setattr(rollover, "settled_at", settled_at)

    return mutate


def no_squash(patch: pytest.MonkeyPatch) -> None:
    """What was withdrawn before it was omnipresent poses as a predecessor."""
    patch.setitem(rules._LETTERS, RecordState.SQUASHED, "U")


def forget_ttls(patch: pytest.MonkeyPatch) -> None:
    """Waits count the present TTL, not the largest that is cached."""
    patch.setattr(World, "_ttls", lambda world: rollover.ServedTTLs(world.ttl_key, world.ttl_sig, 0))


def forget_requests(patch: pytest.MonkeyPatch) -> None:
    """That an earlier request may still be carried out is not thought of."""
    patch.setattr(states.Key, "_is_unanswered", property(lambda _: False))


def one_sighting(patch: pytest.MonkeyPatch) -> None:
    """One sighting of a DS, or of none, is confirmation at once."""
    patch.setattr(timing, "_parent_settled_at", _believing)


def _believing(key: Key, ttl: int, policy: Policy) -> Due:
    del ttl, policy
    seen, standing = key.sighting, key.states[RecordKind.DS]
    wants = standing.state in states.IN_ZONE
    return Due(seen.since, "mutant") if seen is not None and seen.is_present == wants else Due(None, "mutant")


def no_wait_for_ds(patch: pytest.MonkeyPatch) -> None:
    """A DS that is seen is in every cache, whatever was there before."""
    settled = timing._parent_settled_at
    at_once = {"parent_propagation_delay": 0, "retire_safety": 0}
    patch.setattr(timing, "_parent_settled_at", lambda key, _, policy: settled(key, 0, replace(policy, **at_once)))


def sticky_sighting(patch: pytest.MonkeyPatch) -> None:
    """A contrary sighting does not begin the wait anew."""

    def sighted(key, look):
        since = look.since if key.sighting is None else key.sighting.since
        return replace(key, sighting=look._replace(since=since))

    patch.setattr(states.Key, "sighted", sighted)


def unsealed(patch: pytest.MonkeyPatch) -> None:
    """Waits begin with the decision, before any secondary can have the version."""
    publish = World._publish

    def eager(world: World, effect) -> None:
        publish(world, effect)
        world.keys = [key.served(world.now - 60) for key in world.keys]

    patch.setattr(World, "_publish", eager)


def withdraw_while_broken(patch: pytest.MonkeyPatch) -> None:
    """The rules are not asked at all of what is withdrawn."""
    forbids = rules.forbids
    patch.setattr(
        rules,
        "forbids",
        lambda before, after, **facts: (
            frozenset() if rules._withdraws(before, after) else forbids(before, after, **facts)
        ),
    )


def own_tag(patch: pytest.MonkeyPatch) -> None:
    """A successor counts for any key, not only for the one it replaces, whenever it came."""
    patch.setattr(rules, "_is_successor", lambda *_: True)
    patch.setattr(rules, "_meet", lambda *_: True)


def liberal_where_strict(patch: pytest.MonkeyPatch) -> None:
    """A new algorithm's DNSKEY is published before its signatures are everywhere."""
    forbids = rules.forbids
    patch.setattr(
        rules, "forbids", lambda before, after, **facts: forbids(before, after, **{**facts, "is_strict": False})
    )


def always_insecure(patch: pytest.MonkeyPatch) -> None:
    """The zone may lose its DS at any time."""
    forbids = rules.forbids
    patch.setattr(
        rules, "forbids", lambda before, after, **facts: forbids(before, after, **{**facts, "may_lose_ds": True})
    )


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no DS rule": no_rule("must keep a DS"),
    "no chain rule": no_rule("DNSKEY of algorithm"),
    "no signature rule": no_rule("signatures of algorithm"),
    "no wait for DNSKEY": no_wait(RecordKind.DNSKEY, RecordKind.KRRSIG),
    "no wait for signatures": no_wait(RecordKind.ZRRSIG),
    "no wait for DS": no_wait_for_ds,
    "no squashed state": no_squash,
    "forgotten TTLs": forget_ttls,
    "forgotten requests": forget_requests,
    "one sighting": one_sighting,
    "sticky sighting": sticky_sighting,
    "waits before sealing": unsealed,
    "withdrawn unasked": withdraw_while_broken,
    "anybody's successor": own_tag,
    "liberal where strict": liberal_where_strict,
    "insecure unasked": always_insecure,
}


@pytest.fixture
def patched() -> Iterator[pytest.MonkeyPatch]:
    """Patches for one test; what the rules said before and under them is forgotten."""
    patch = pytest.MonkeyPatch()
    rules._broken.cache_clear()
    yield patch
    patch.undo()
    rules._broken.cache_clear()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_dangerous_mutant_dies(patched: pytest.MonkeyPatch, name: str) -> None:
    MUTANTS[name](patched)
    for seed in range(400):
        dice = random.Random(seed)
        policy = (
            a_policy(dice)
            if seed % 2
            else replace(SMALL, keys=dice.choice([SMALL.keys, (KeySpec(Role.KSK), KeySpec(Role.ZSK))]))
        )
        world = World(dice, policy)
        try:
            world.run(SECONDS, chance=CHANCE)
        except AssertionError:
            return
    pytest.fail(f"the oracle sees nothing wrong with '{name}'")
