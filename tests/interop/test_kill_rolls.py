"""kill -9 in the midst of rolls: at writes of the state, and of the whole server at any time; the future is the same.

A *life* is what a server does with its state, in this process and on a clock that stands: the publisher, the sealer and
the family of a parent and its children, whose keys come, roll in each way and go. It is a list of *moments*. A child
process takes up a copy of the state as it was before a moment and is killed at a write of it; then another takes up
what is left and goes on to the end.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from authserver import state as state_module
from authserver.family import Family
from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.publisher import Publisher
from authserver.sealing import Job, Sealer
from authserver.state import State
from engine import Clock, Version, ZoneSlot, name_from_text, name_to_text, read_zone
from keys import introduction, policyfile, store
from keys.policy import INSECURE, Policy
from tests.interop.rolls import NOW, PARENT, POLICIES, Judges, Rolls, next_move_at, place_of, zone_text
from tools.servers import zone_records

SOAK = int(os.environ.get("SOAK", "0"))
POINTS: Final = 20
CHILDREN: Final = ("split", "csk", "algorithm", "off")


class Life:
    """A server's work on one state, from its start on."""

    def __init__(self, state: State, moment: "Moment", seen: "Seen") -> None:
        self.state = state
        self.seen = seen
        self.clock = Clock()
        self.clock.stop_at(moment.now)
        zones = [Zone(ZoneKey(origin), moment.policies[name], ZoneSlot(origin)) for name, origin in ORIGINS.items()]
        self.zones = {zone.key: zone for zone in zones}
        self.publisher = Publisher(state, self.clock, family=Family(lambda: self.zones))
        self.sealer = Sealer(state, self.clock, self._sealed, self._failed)
        self.publisher.run(self.publisher.restore(self.zones.values()))
        self.publisher.run([Work(self[name], Content(CONTENTS[name], (), name, name)) for name in ORIGINS])
        self.rest()

    def __getitem__(self, name: str) -> Zone:
        return self.zones[ZoneKey(ORIGINS[name])]

    def live(self, moment: "Moment") -> None:
        """What happens at a moment; done again after a kill in the midst of it, it leads to the same."""
        self.clock.stop_at(moment.now)
        with self.state.transaction(moment.now) as tx:
            for name in moment.rolled:
                for key in store.load(tx, ORIGINS[name]):
                    if key.goal == "present" and key.created_at < moment.now:
                        introduction.roll(tx, key, moment.now, "by a test", moment.now)
        for name, policy in moment.policies.items():
            self[name].policy = policy
        self.rest()

    def rest(self) -> None:
        """On until nothing new comes of it."""
        while self._seal() or any(one.live for one in self.publisher.run([Work(zone) for zone in self.zones.values()])):
            pass

    def _seal(self) -> bool:
        open_ones = [zone for zone in self.zones.values() if zone.live is not None and zone.sealed is not zone.live]
        for zone in open_ones:
            assert zone.live is not None
            self.sealer.add(zone, zone.live)
        while jobs := list(self.sealer._jobs.values()):
            for job in jobs:
                self.sealer._slice(job)
        if open_ones:
            self.sealer._store()
        return bool(open_ones)

    def _sealed(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job.zone.sealed = job.live
            assert not job.zone.is_held, job.zone.findings
            self.seen.take(job.zone.key.origin, job.live.serial, job.live.signed.to_text())

    @staticmethod
    def _failed(job: Job, reason: object) -> None:
        raise AssertionError(f"{job.zone.key}: {reason}")

    @property
    def course(self) -> dict[str, list[tuple[object, ...]]]:
        """Where all keys stand; other keys come at the same time into the same place."""
        with self.state.reader() as tx:
            keys = {name: store.load(tx, origin) for name, origin in ORIGINS.items()}
        return {name: sorted(map(place_of, own)) for name, own in keys.items()}

    @property
    def next_at(self) -> int | None:
        """When a record of some key may move next."""
        with self.state.reader() as tx:
            return next_move_at(tx, ORIGINS.values(), self.clock.now())

    @property
    def keys(self) -> set[str]:
        with self.state.reader() as tx:
            return {key.id for own in store.load_all(tx).values() for key in own}


class Seen:
    """What anybody may have transferred, by zone and serial, over every kill."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self._known = {(origin, serial): digest for origin, serial, digest in map(json.loads, lines)}

    def take(self, origin: bytes, serial: int, text: bytes) -> None:
        """A sealed version: no serial has two contents."""
        digest, place = sha256(text).hexdigest(), (name_to_text(origin), serial)
        assert self._known.setdefault(place, digest) == digest, f"{place} stands for two contents"
        with self._file.open("a") as file:
            file.write(json.dumps([*place, digest]) + "\n")


ORIGINS: Final = {"parent": name_from_text(PARENT)} | {name: name_from_text(f"{name}.{PARENT}") for name in CHILDREN}


def _content(origin: bytes, text: str) -> Version:
    version, findings = Version.build(read_zone(origin, [("zone", text.encode())]))
    assert version is not None, findings
    return version


CONTENTS: Final = {
    name: _content(origin, zone_text(name_to_text(origin), CHILDREN if name == "parent" else ()))
    for name, origin in ORIGINS.items()
}


# ------------------------------------------------------------------ a life without a kill, and its moments


@dataclass(frozen=True)
class Moment:
    """Something happens: an operator rolls keys or changes policies, or what was waited for is over."""

    now: int
    policies: dict[str, Policy]
    rolled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Undisturbed:
    """A life without a kill: its moments, and of each a copy of the state before it, its writes, and the keys after."""

    moments: list[Moment]
    before: list[Path]
    writes: list[int]
    courses: list[dict[str, list[tuple[object, ...]]]]


class Writes:
    """Counts what is written to a state; may kill the process at one of these writes."""

    def __init__(self) -> None:
        self.count = 0
        self.kill_at = 0

    def watch(self, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every change of a row, every commit, every file: before it is there, and half-way."""
        assert state._writer is not None
        state._writer.set_trace_callback(self._on_statement)
        real = state_module._write_durably

        def write(path: Path, parts: list[bytes]) -> None:
            self._tick()
            path.write_bytes(b"".join(parts)[:1000])
            self._tick()
            path.unlink()
            real(path, parts)

        monkeypatch.setattr(state_module, "_write_durably", write)

    def _on_statement(self, statement: str) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE", "COMMIT")):
            self._tick()

    def _tick(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def opened(directory: Path) -> State:
    state = State.open(directory)
    assert state._writer is not None
    state._writer.execute("PRAGMA synchronous = OFF")  # what a killed process wrote is with the kernel
    return state


def known_policies(directory: Path) -> dict[str, Policy]:
    file = directory / "policies.yaml"
    file.write_text(POLICIES)
    return {**policyfile.read(file).policies, "insecure": INSECURE}


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Undisturbed:
    """Keys come, and are rolled in every way at once; one zone leaves."""
    known = known_policies(tmp_path)
    first = {name: known["split" if name == "split" else "csk"] for name in ORIGINS}
    then = {**first, "algorithm": known["ed25519"], "off": known["insecure"]}
    life = Undisturbed([], [], [], [])
    writes = Writes()

    def begin(moment: Moment) -> Moment:
        life.moments.append(moment)
        life.before.append(tmp_path / f"before{len(life.before)}")
        shutil.copytree(tmp_path / "state", life.before[-1], ignore=shutil.ignore_patterns("*-shm"))
        writes.count = 0
        return moment

    def end() -> None:
        life.writes.append(writes.count)
        life.courses.append(world.course)

    with opened(tmp_path / "state") as state, monkeypatch.context() as patched:
        writes.watch(state, patched)
        world = Life(state, begin(Moment(NOW, first)), Seen(tmp_path / "seen"))
        end()
        for moment in (None, Moment(0, then, ("split", "csk"))):
            if moment is not None:
                world.live(begin(replace(moment, now=world.clock.now() + 60)))
                end()
            while (at := world.next_at) is not None:
                world.live(begin(Moment(at, life.moments[-1].policies)))
                end()
    assert {name: len(course) for name, course in life.courses[-1].items()} == {
        "parent": 1, "split": 4, "csk": 2, "algorithm": 2, "off": 1
    }  # fmt: skip
    return life


# ------------------------------------------------------------------ kills at writes


def killed(life: Undisturbed, number: int, kill_at: int, directory: Path) -> bool:
    """A process takes up the state before a moment and is killed at a write; False when it came to the moment's end."""
    child = os.fork()
    if child == 0:
        try:
            with opened(directory) as state, pytest.MonkeyPatch.context() as patched:
                writes = Writes()
                writes.watch(state, patched)
                if number:
                    world = Life(state, life.moments[number - 1], Seen(directory / "seen"))
                    writes.count, writes.kill_at = 0, kill_at
                    world.live(life.moments[number])
                else:
                    writes.kill_at = kill_at
                    Life(state, life.moments[0], Seen(directory / "seen"))
            os._exit(0)
        except BaseException as error:
            (directory / "error").write_text(repr(error))
            raise
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert status == 0, (directory / "error").read_text()
    return False


def is_point(life: Undisturbed, number: int, kill_at: int, directory: Path) -> bool:
    """Kill at this write of this moment, go on from what is left, and hold all that comes against the other life."""
    shutil.copytree(life.before[number], directory)
    if not killed(life, number, kill_at, directory):
        return False
    with opened(directory) as state:
        with state.reader() as tx:
            kept = {key.id for own in store.load_all(tx).values() for key in own}
        world = Life(state, life.moments[number], Seen(directory / "seen"))
        for moment, course in zip(life.moments[number:], life.courses[number:], strict=True):
            world.live(moment)
            assert world.course == course, f"killed at write {kill_at} of moment {number}, seen at {moment.now - NOW}"
        assert kept <= world.keys, "a key that was made is gone"
    shutil.rmtree(directory)
    return True


def test_killed_at_any_write_of_a_roll_the_keys_have_the_same_future(undisturbed, tmp_path):
    """Twenty points by chance; under SOAK 300 or more, up to all there are."""
    places = [(number, at + 1) for number, count in enumerate(undisturbed.writes) for at in range(count)]
    random.Random(int(os.environ.get("SEED", "9"))).shuffle(places)
    wanted = POINTS if not SOAK else max(300, SOAK)
    points = sum(is_point(undisturbed, number, at, tmp_path / "killed") for number, at in places[:wanted])
    print(f"{points} points of {len(places)} writes in {len(undisturbed.moments)} moments")
    assert points >= min(wanted, len(places)) * 9 // 10


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
        while kills < max(4, SOAK // 12):
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
