"""Whole rolls through the real server under a clock of the test's, judged by unbound with warm and with cold caches."""

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.rolls import NOW, PARENT, Judges, Rolls

pytestmark = pytest.mark.peer("unbound", "faketime")
SOAK = int(os.environ.get("SOAK", "0"))
DAY = 86400


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., Rolls]]:
    """`world(name="policy", …)`: a parent with these children, served."""
    started: list[Rolls] = []

    def start(**policies: str) -> Rolls:
        started.append(Rolls(tmp_path / f"server{len(started)}", policies))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.server.stop()


def judges_of(run: Callable[..., object], rolls: Rolls) -> Judges:
    return Judges.start(run, rolls.zones, rolls.server.port, rolls.anchors(), rolls.clock.environment)


def step(rolls: Rolls, judges: Judges) -> bool:
    """To the next moment at which something is due, judged there; False when there is none."""
    at = rolls.next_at
    if at is None:
        return False
    # What caches take up just before a step is what they have longest after it.
    for moment in (judges.dice.randint(rolls.clock.now, at - 1), at - 1):
        rolls.clock.put(moment)
        assert judges.fill(rolls.zones) == [], story(rolls)
    rolls.put(at)
    assert judges.judge(rolls.secure) == [], story(rolls)
    return True


def go(rolls: Rolls, judges: Judges, most: int = 60) -> None:
    """On until nothing is due any more."""
    for _ in range(most):
        if not step(rolls, judges):
            return
    raise AssertionError(f"still not at rest: {story(rolls)}")


def story(rolls: Rolls) -> str:
    words = {zone: rolls.words(zone) for zone in rolls.zones}
    return f"at +{rolls.clock.now - NOW} s: {words}"


def test_no_roll_of_any_kind_is_bogus_to_unbound_with_warm_or_cold_caches(run, world):
    rolls = world(zsk="split", ksk="split", csk="csk", algorithm="csk", liberal="rsa", scheme="csk", off="csk")
    judges = judges_of(run, rolls)
    go(rolls, judges)
    assert all(rolls.secure.values())
    rolls.roll("zsk", role="zsk")
    rolls.roll("ksk", role="ksk")
    rolls.roll("csk")
    rolls.adopt(algorithm="ed25519", liberal="ed25519-liberal", scheme="split", off="insecure")
    go(rolls, judges)
    words = {name: rolls.words(origin) for name, origin in rolls.origins.items()}
    assert words == {
        "zsk": ["OHOO", "HHHH", "OOHH"],
        "ksk": ["HHHH", "OOHH", "OHOO"],
        "csk": ["HHHH", "OOOO"],
        "algorithm": ["HHHH", "OOOO"],
        "liberal": ["HHHH", "OOOO"],
        "scheme": ["HHHH", "OHOO", "OOHH"],
        "off": ["HHHH"],
    }
    assert [key.algorithm for key in rolls.keys(rolls.origins["liberal"])] == [8, 15]
    assert rolls.server.texts(rolls.origins["off"], "DNSKEY") == []
    assert not rolls.secure[rolls.origins["off"]]
    assert judges.secure > 1000


def test_a_jump_of_the_clock_in_the_midst_of_rolls_is_not_bogus_to_unbound(run, world):
    """By more than signatures live: while the server is down, in a soak also while it runs."""
    rolls = world(csk="csk", algorithm="csk")
    judges = judges_of(run, rolls)
    go(rolls, judges)
    rolls.roll("csk")
    rolls.adopt(algorithm="ed25519")
    for is_running in (True, False) if SOAK else (False,):
        if not is_running:
            rolls.server.stop()
        rolls.clock.put(rolls.clock.now + 40 * DAY)
        if not is_running:
            rolls.server.start()
        rolls.settle()
        judges.cache.forget()
        assert judges.judge(rolls.secure) == [], story(rolls)
        assert rolls.server.new_log.count("overdue or gone") >= len(rolls.zones)
    go(rolls, judges)
    assert rolls.words(rolls.origins["csk"])[-1] == "OOOO"
    assert judges.secure


@pytest.mark.skipif(not SOAK, reason="long: make soak")
def test_random_rolls_in_the_midst_of_others_are_never_bogus_to_unbound(run, world):
    rolls = world(**{f"zone{number}": "csk" for number in range(4)})
    judges = judges_of(run, rolls)
    dice = random.Random(int(os.environ.get("SEED", "6")))
    until = time.monotonic() + SOAK / 4
    while time.monotonic() < until:
        name = dice.choice(list(rolls.origins))
        policy = dice.choice(["csk", "split", "rsa", "ed25519", "ed25519-liberal", "insecure"])
        if dice.random() < 0.5 or policy == rolls.policies[name]:
            if rolls.policies[name] != "insecure":
                rolls.roll(name)
        else:
            rolls.adopt(**{name: policy})
        assert judges.judge(rolls.secure) == [], story(rolls)
        for _ in range(dice.randrange(6)):
            step(rolls, judges)
    go(rolls, judges)


# ------------------------------------------------------------------ the harness itself


def test_keys_that_change_without_waiting_are_bogus_to_warm_caches_of_unbound(run, world):
    """What a roll without any waiting is: another server, with other keys, answers from now on in the place of one."""
    old, new = world(child="csk"), world(child="csk")
    anchors = old.anchors() + new.anchors()
    judges = Judges.start(run, [PARENT], old.server.port, anchors, old.clock.environment)
    assert judges.judge({PARENT: True}) == []
    port = old.server.port
    old.server.stop()
    new.server.stop()
    new.server.port = port
    new.server.start()
    new.server.wait_served(PARENT)
    wrong = judges.judge({PARENT: True})
    assert {one.split(":")[0] for one in wrong} == {"warm", "behind"}, wrong
    assert all("SERVFAIL" in one for one in wrong)


def test_signatures_that_ran_out_are_bogus_to_unbound_by_the_same_clock(run, world):
    rolls = world(child="csk")
    later = Rolls(rolls.directory / "later", {}).clock
    judges = Judges.start(run, [PARENT], rolls.server.port, rolls.anchors(), later.environment)
    assert judges.judge({PARENT: True}) == []
    later.put(NOW + 15 * DAY)
    wrong = judges.judge({PARENT: True})
    assert {one.split(":")[0] for one in wrong} == {"warm", "cold", "behind"}, wrong
    rolls.put(NOW + 15 * DAY)
    judges.cache.forget()
    later.put(NOW + 15 * DAY + 120)  # what was bogus is not asked for again at once
    assert judges.judge({PARENT: True}) == []
