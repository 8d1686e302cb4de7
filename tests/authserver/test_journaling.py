"""The journal as sealing writes it and transfers read it, over restarts and kills at any write."""

import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import dns.zone
import pytest

from authserver import journaling
from authserver.journaling import Reader
from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.publisher import Publisher
from authserver.sealing import Job, Sealer
from authserver.state import State, named_packs
from engine import Clock, SignedVersion, Version, ZoneSlot, name_from_text, read_zone
from keys.policy import DEFAULT, Policy
from tests.engine.test_changes import incremented, whole
from tests.interop.lives import Writes, opened
from tools.servers import zone_records
from zones import history, journal

NOW = 1_800_000_000
ORIGIN = name_from_text("example.test.")
KEY = ZoneKey(ORIGIN)
HEAD = "$TTL 3600\n@ SOA ns admin {serial} 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\n"
PLENTY = 1 << 30


def content(number: int, serial: int | None = None, more: str = "") -> Content:
    """Content that differs from that of all other numbers."""
    names = [*(f"same{i}" for i in range(60)), *(f"h{number + i}" for i in range(4))]
    text = HEAD.format(serial=serial or number) + "".join(f"{name} A 192.0.2.7\n" for name in names) + more
    version, findings = Version.build(read_zone(ORIGIN, [("db.example", text.encode())]))
    assert version is not None, findings
    return Content(version, (), f"{number} {len(more)}", "db.example")


class Seen:
    """What anybody may have transferred, in a file: serials, and the zone as text; no serial has two contents."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def take(self, signed: SignedVersion) -> None:
        file = self._directory / str(signed.serial)
        assert not file.exists() or file.read_bytes() == signed.to_text(), f"serial {signed.serial}: two contents"
        file.write_bytes(signed.to_text())

    @property
    def zones(self) -> dict[int, dns.zone.Zone]:
        return {
            int(file.name): dns.zone.from_text(file.read_text(), "example.test.", relativize=False)
            for file in self._directory.iterdir()
        }


class Bench:
    """One process on a state: publisher and sealer without their threads."""

    def __init__(self, state: State, seen: Seen, policy: Policy | None = DEFAULT, now: int = NOW) -> None:
        self.state = state
        self.seen = seen
        self.clock = Clock()
        self.clock.stop_at(now)
        self.publisher = Publisher(state, self.clock)
        self.sealer = Sealer(state, self.clock, self._sealed, self._failed)
        self.zone = Zone(KEY, policy, ZoneSlot(ORIGIN))
        works = self.publisher.restore([self.zone])
        self.publisher.run(works)

    def publish(self, new: Content | None, *, resign: bool = False) -> None:
        self.publisher.run([Work(self.zone, new, resign)])
        assert not self.zone.is_held, self.zone.findings

    def seal(self) -> None:
        if self.zone.live is None or not self.zone.live.is_sealable:
            return
        self.sealer.add(self.zone, self.zone.live)
        while jobs := list(self.sealer._jobs.values()):
            for job in jobs:
                self.sealer._slice(job)
        self.sealer._store()

    def _sealed(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job.zone.sealed = job.live
            self.seen.take(job.live.signed)

    @staticmethod
    def _failed(job: Job, reason: object) -> None:
        raise AssertionError(f"{job.zone.key}: {reason}")

    @property
    def sealed(self) -> SignedVersion:
        assert self.zone.sealed is not None
        return self.zone.sealed.signed

    def change(self, since: int, most: int = PLENTY) -> journaling.Change | None:
        return Reader(self.state)._change(KEY, since, self.sealed.serial, most)

    def judge(self) -> None:
        """From every version that anybody may have, the journal leads to the newest one."""
        last, now = self.sealed, zone_records(whole(self.sealed))
        for serial, zone in self.seen.zones.items():
            if serial != last.serial:
                change = self.change(serial)
                assert change is not None, f"nothing leads from {serial} to {last.serial}"
                assert zone_records(incremented(zone, serial, change)) == now

    @property
    def chain(self) -> list[tuple[int, int]]:
        with self.state.reader() as tx:
            return [(entry.before, entry.after) for entry in journal.entries(tx, *KEY)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return Seen(tmp_path / "seen")


@pytest.fixture
def state(directory: Path) -> Iterator[State]:
    with opened(directory) as state:
        yield state


@pytest.mark.parametrize("policy", [DEFAULT, None], ids=["signed", "unsigned"])
def test_each_seal_adds_what_changed_and_new_signatures_do_too(state, seen, policy):
    bench = Bench(state, seen, policy)
    for number in (1, 2, 3):
        bench.publish(content(number))
        bench.seal()
    expected = [(1, 2), (2, 3)]
    if policy is not None:
        # Some of the signatures, by their jitter, have less than the rest of their time then.
        bench.clock.stop_at(NOW + policy.validity - policy.refresh - policy.jitter * 9 // 10)
        bench.publish(None, resign=True)
        bench.seal()
        expected.append((3, 4))
    assert bench.chain == expected
    with state.reader() as tx:
        assert bench.zone.journal == journal.totals(tx, *KEY) != journal.Totals()
    bench.judge()


def test_versions_that_were_replaced_before_they_were_sealed_are_skipped(state, seen):
    bench = Bench(state, seen)
    bench.publish(content(1))
    bench.seal()
    for number in (2, 3, 4):
        bench.publish(content(number))
    bench.seal()
    assert bench.chain == [(1, 4)]
    bench.judge()


def test_a_restart_goes_on_from_what_was_sealed_before_whatever_came_between(directory, seen):
    """The versions before are in memory no more, one that was never sealed has come, and the sealed one is replaced."""
    with opened(directory) as state:
        bench = Bench(state, seen)
        bench.publish(content(1))
        bench.seal()
        bench.publish(content(2))
    with opened(directory) as state:
        bench = Bench(state, seen)
        assert bench.zone.base is not None
        bench.publish(content(3))
        bench.seal()
        assert bench.chain == [(1, 3)]
        bench.judge()
    with opened(directory) as state:
        bench = Bench(state, seen)
        assert bench.zone.base is not None
        assert bench.zone.journal.entries == 1
        bench.publish(content(4))
        bench.seal()
        assert bench.chain == [(1, 3), (3, 4)]
        bench.judge()


def test_what_is_sealed_again_after_a_restart_is_no_change(directory, seen):
    for _ in range(2):
        with opened(directory) as state:
            bench = Bench(state, seen)
            bench.publish(content(1))
            bench.seal()
            assert bench.chain == []


def test_a_zone_that_comes_back_goes_on_with_its_history(directory, seen):
    with opened(directory) as state:
        bench = Bench(state, seen)
        for number in (1, 2):
            bench.publish(content(number))
            bench.seal()
        bench.publisher.remove([KEY])
    with opened(directory) as state:
        bench = Bench(state, seen, now=NOW + 86400)
        bench.publish(content(3))
        bench.seal()
        assert bench.chain == [(1, 2), (2, 3)]
        bench.judge()
        bench.publisher.remove([KEY])
        bench.clock.stop_at(NOW + 200 * 86400)
        bench.publisher.tidy()
        assert bench.chain == []


def test_a_version_that_shares_its_serial_with_another_is_in_no_change(state, seen):
    """Signed by somebody else: its new content is answered, and never transferred before its serial is raised."""
    bench = Bench(state, seen)
    bench.publish(content(1))
    bench.seal()
    presigned = [bench.sealed.to_text()]
    for number, serial in ((2, 1), (3, 5)):
        bench.publish(content(number, 5))
        bench.seal()
        presigned.append(bench.sealed.to_text().replace(b" 5 3600 ", b" %d 3600 " % serial))
    with opened(state.directory.parent / "foreign") as foreign:
        other = Bench(foreign, Seen(state.directory.parent / "seen of another"), None)
        for text in presigned:
            version, _ = Version.build(read_zone(ORIGIN, [("db.example", text)]))
            assert version is not None
            other.publish(Content(version, (), str(len(text)) + str(hash(text)), "db.example"))
            other.seal()
        assert other.chain == [(1, 6)]
        other.judge()


def test_large_changes_lie_in_packs_of_their_own_that_go_with_them(state, seen):
    bench = Bench(state, seen, None)
    many = "".join(f"n{i} TXT {'x' * 200}\n" for i in range(400))
    for number, more in ((1, many), (2, many + "z A 192.0.2.1\n" + many.replace("n", "m")), (3, many)):
        bench.publish(content(number, more=more))
        bench.seal()
    with state.reader() as tx:
        entries = journal.entries(tx, *KEY)
        assert all(entry.pack is not None for entry in entries)
        assert journal.packs(tx) <= named_packs(tx)
    bench.judge()
    packs = {entry.pack for entry in entries}
    bench.publisher.tidy()
    assert packs <= {path.name for path in state.images_directory.iterdir()}
    with state.transaction(NOW) as tx:
        journal.cut(tx, *KEY)
    bench.publisher.tidy()
    assert not packs & {path.name for path in state.images_directory.iterdir()}


def test_a_change_whose_octets_are_gone_is_none(state, seen):
    bench = Bench(state, seen, None)
    many = "".join(f"n{i} TXT {'x' * 200}\n" for i in range(400))
    for number, more in ((1, ""), (2, many)):
        bench.publish(content(number, more=more))
        bench.seal()
    with state.reader() as tx:
        (entry,) = journal.entries(tx, *KEY)
    assert entry.pack is not None
    (state.images_directory / entry.pack).unlink()
    assert bench.change(1) is None


def test_where_the_whole_zone_is_shorter_there_is_no_change(state, seen):
    bench = Bench(state, seen, None)
    for number in (1, 2, 50):
        bench.publish(content(number))
        bench.seal()
    whole_zone = bench.sealed.transfer_octets
    change = bench.change(2)
    assert change is None or sum(map(len, change)) < PLENTY
    assert bench.change(2, most=100) is None
    many = "".join(f"n{i} TXT {'x' * 200}\n" for i in range(100))
    for number, more in ((51, many), (52, "")):
        bench.publish(content(number, more=more))
        bench.seal()
    assert bench.sealed.transfer_octets < 2 * whole_zone
    assert bench.chain == []


def test_a_sealed_version_that_can_t_be_read_any_more_costs_a_whole_transfer_and_no_more(directory, seen):
    with opened(directory) as state:
        bench = Bench(state, seen)
        for number in (1, 2):
            bench.publish(content(number))
            bench.seal()
        with state.transaction(NOW) as tx:
            tx.execute("DELETE FROM image WHERE kind = 'signatures'")
    with opened(directory) as state:
        bench = Bench(state, seen)
        bench.publish(content(3))
        bench.seal()
        assert bench.chain == []
        bench.publish(content(4))
        bench.seal()
        assert len(bench.chain) == 1


def test_a_backup_that_was_restored_cuts_what_does_not_lead_on(state, seen):
    bench = Bench(state, seen)
    for number in (1, 2):
        bench.publish(content(number))
        bench.seal()
    with state.transaction(NOW) as tx:
        tx.execute("UPDATE published SET serial = 7 WHERE serial = 2")
    bench.publish(content(8))
    bench.seal()
    with state.reader() as tx:
        last = history.last_sealed(tx, *KEY)
    assert last is not None
    assert all(after != 2 and before != 2 for before, after in bench.chain)


# ------------------------------------------------------------------ kills


STEPS = 4


def live(state: State, seen: Seen, begin: int) -> None:
    """Some changes, each sealed but one."""
    bench = Bench(state, seen)
    for number in range(begin, begin + STEPS):
        bench.publish(content(number))
        if number != begin + 2:
            bench.seal()


def killed(directory: Path, seen: Seen, kill_at: int, begin: int) -> bool:
    """A process takes up the state and is killed at a write; False when it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            with opened(directory) as state, pytest.MonkeyPatch.context() as patched:
                writes = Writes()
                writes.kill_at = kill_at
                writes.watch(state, patched)
                live(state, seen, begin)
            os._exit(0)
        except BaseException as error:
            (directory.parent / "error").write_text(repr(error))
            raise
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert status == 0, (directory.parent / "error").read_text()
    return False


@pytest.mark.slow
def test_killed_at_any_write_no_secondary_needs_the_whole_zone(tmp_path):
    """Whatever was sealed before the kill leads on to whatever is sealed after it."""
    base, before = tmp_path / "base", Seen(tmp_path / "before")
    with opened(base) as state:
        live(state, before, 1)
    stride = 1 if "SOAK" in os.environ else 29
    for kill_at in count(1, stride):
        place = tmp_path / str(kill_at)
        shutil.copytree(base, place / "state", ignore=shutil.ignore_patterns("*-shm"))
        shutil.copytree(tmp_path / "before", place / "seen")
        seen = Seen(place / "seen")
        was_killed = killed(place / "state", seen, kill_at, 10)
        with opened(place / "state") as state:
            bench = Bench(state, seen)
            if kill_at % 2:
                bench.seal()
            bench.publish(content(20))
            bench.seal()
            bench.judge()
        shutil.rmtree(place)
        if not was_killed:
            break
    assert kill_at > 20
