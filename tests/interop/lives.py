"""Lives of keys in this process: what a server does with its state through rolls of every kind, and kills in their midst.

A *life* is the publisher, the sealer and the family of a parent and its children, on a clock that stands: keys come, roll
in each way and go. It is a list of *moments*. A child process can take up a copy of the state as it was before a moment
and be killed at a write of it; whoever takes up what is left is to have the future that nobody disturbed.
"""

import json
import os
import shutil
import signal
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
from tests.interop.rolls import NOW, PARENT, POLICIES, next_move_at, place_of, zone_text

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


def opened(directory: Path, passphrase: bytes | None = None) -> State:
    """A state that does not wait for the disk: what a killed process wrote is with the kernel."""
    state = State.open(directory, passphrase)
    assert state._writer is not None
    state._writer.execute("PRAGMA synchronous = OFF")
    return state


def known_policies(directory: Path) -> dict[str, Policy]:
    file = directory / "policies.yaml"
    file.write_text(POLICIES)
    return {**policyfile.read(file).policies, "insecure": INSECURE}


def undisturbed_life(directory: Path) -> Undisturbed:
    """Keys come, and are rolled in every way at once; one zone leaves."""
    known = known_policies(directory)
    first = {name: known["split" if name == "split" else "csk"] for name in ORIGINS}
    then = {**first, "algorithm": known["ed25519"], "off": known["insecure"]}
    life = Undisturbed([], [], [], [])
    writes = Writes()

    def begin(moment: Moment) -> Moment:
        life.moments.append(moment)
        life.before.append(directory / f"before{len(life.before)}")
        shutil.copytree(directory / "state", life.before[-1], ignore=shutil.ignore_patterns("*-shm"))
        writes.count = 0
        return moment

    def end() -> None:
        life.writes.append(writes.count)
        life.courses.append(world.course)

    with opened(directory / "state") as state, pytest.MonkeyPatch.context() as patched:
        writes.watch(state, patched)
        world = Life(state, begin(Moment(NOW, first)), Seen(directory / "seen"))
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


# ------------------------------------------------------------------ a process that is killed


def places(life: Undisturbed) -> list[tuple[int, int]]:
    """All writes of a life: the number of a moment, and of a write in it from 1 on."""
    return [(number, at + 1) for number, count in enumerate(life.writes) for at in range(count)]


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


def has_the_same_future(life: Undisturbed, number: int, state: State, seen: Seen) -> None:
    """Take up this state at a moment, go on to the end, and hold where all keys stand against the undisturbed life."""
    with state.reader() as tx:
        kept = {key.id for own in store.load_all(tx).values() for key in own}
    world = Life(state, life.moments[number], seen)
    for moment, course in zip(life.moments[number:], life.courses[number:], strict=True):
        world.live(moment)
        others = {
            name: [(one, other) for one, other in zip(world.course[name], keys, strict=True) if one != other]
            for name, keys in course.items()
            if world.course[name] != keys
        }
        assert others == {}, f"at +{moment.now - NOW} s, taken up in moment {number}"
    assert kept <= world.keys, "a key that was made is gone"
