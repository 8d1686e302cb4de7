"""kill -9 in the midst of rolls: at writes of the state, and of the whole server at any time; the future is the same."""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Final

import pytest

from tests.interop.lives import Seen, Undisturbed, has_the_same_future, killed, opened, places, undisturbed_life
from tests.interop.rolls import NOW, Judges, Rolls
from tools.servers import zone_records

SOAK = int(os.environ.get("SOAK", "0"))
POINTS: Final = 20


@pytest.fixture
def undisturbed(tmp_path: Path) -> Undisturbed:
    return undisturbed_life(tmp_path)


def is_point(life: Undisturbed, number: int, kill_at: int, directory: Path) -> bool:
    """Kill at this write of this moment, go on from what is left, and hold all that comes against the other life."""
    shutil.copytree(life.before[number], directory)
    if not killed(life, number, kill_at, directory):
        return False
    with opened(directory) as state:
        has_the_same_future(life, number, state, Seen(directory / "seen"))
    shutil.rmtree(directory)
    return True


def test_killed_at_any_write_of_a_roll_the_keys_have_the_same_future(undisturbed, tmp_path):
    """Twenty points by chance; under SOAK 300 or more, up to all there are."""
    writes = places(undisturbed)
    random.Random(int(os.environ.get("SEED", "9"))).shuffle(writes)
    wanted = min(len(writes), POINTS if not SOAK else max(300, SOAK))
    points = sum(is_point(undisturbed, number, at, tmp_path / "killed") for number, at in writes[:wanted])
    print(f"{points} points of {len(writes)} writes in {len(undisturbed.moments)} moments")
    assert points == wanted, "a life comes to its writes in the same order each time"


# ------------------------------------------------------------------ kills of the whole server


@pytest.mark.peer("unbound", "faketime")
def test_a_server_killed_again_and_again_in_the_midst_of_rolls_goes_on_as_one_that_was_not(run, tmp_path):
    policies = {"split": "split", "csk": "csk"}
    calm, shaken = Rolls(tmp_path / "calm", policies), Rolls(tmp_path / "shaken", policies)
    dice = random.Random(int(os.environ.get("SEED", "10")))
    kills = 0
    try:
        for one in (calm, shaken):
            one.start()
            while (at := one.next_at) is not None:
                one.put(at)
        judges = Judges.start(run, shaken.zones, shaken.server.port, shaken.anchors(), shaken.clock.environment)
        seen: dict[tuple[str, int], list[str]] = {}
        while kills < max(2, SOAK // 12):
            if (at := calm.next_at) is None:
                role = dice.choice(["ksk", "zsk"])
                for one in (calm, shaken):
                    one.roll("csk", tag=newest(one, "csk", "csk"))
                    one.roll("split", tag=newest(one, "split", role))
                continue
            calm.put(at)
            shaken.clock.put(at)
            kills += kill_at_some_moment(shaken, dice)
            shaken.settle()
            assert shaken.course == calm.course, f"after {kills} kills, at {at - NOW}"
            for zone in shaken.zones:
                records = zone_records(shaken.server.transfer(zone))
                place = (zone, shaken.server.serial(zone))
                assert seen.setdefault(place, records) == records, f"{place} stands for two contents"
            assert judges.judge(shaken.secure) == [], f"after {kills} kills, at {at - NOW}"
    finally:
        for one in (calm, shaken):
            one.server.stop()
    assert judges.secure


def kill_at_some_moment(rolls: Rolls, dice: random.Random) -> int:
    """Kill -9 when it may be at work, now and then also while it starts again; how many kills that were."""
    time.sleep(dice.uniform(0.0, 1.5))
    rolls.server.kill()
    kills = 1
    while dice.random() < 0.3:
        rolls.server.launch()
        time.sleep(dice.uniform(0.3, 1.5))
        rolls.server.kill()
        kills += 1
    rolls.server.start()
    return kills


def newest(rolls: Rolls, name: str, role: str) -> int:
    """The tag of a child's newest key of a role."""
    return [key.tag for key in rolls.keys(rolls.origins[name]) if key.role == role][-1]
