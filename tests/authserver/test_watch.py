"""Hints from real files being changed in the ways editors, Kubernetes and git-sync change them."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from authserver.watch import Watcher, chain_of, hintless

Deed = Callable[[Path], object]


def hints(path: Path, *deeds: Deed, wait: float = 3.0) -> list[int]:
    """How many hints came after each deed, each given a moment to settle."""

    async def run() -> list[int]:
        watcher = Watcher(settle=0.05, cap=0.5)
        calls = 0
        came = asyncio.Event()

        def on_change() -> None:
            nonlocal calls
            calls += 1
            came.set()

        watcher.watch(path, on_change)
        counts = []
        try:
            for deed in deeds:
                await watcher.armed()
                await asyncio.sleep(0.1)
                calls = 0
                came.clear()
                deed(path)
                try:
                    await asyncio.wait_for(came.wait(), wait)
                    await asyncio.sleep(0.15)
                except TimeoutError:
                    pass
                counts.append(calls)
        finally:
            watcher.close()
        return counts

    return asyncio.run(run())


def write(text: str) -> Deed:
    return lambda path: path.write_text(text)


def replace(path: Path) -> None:
    """As most editors do it."""
    (path.parent / "new~").write_text("new")
    (path.parent / "new~").rename(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "zones" / "db.example.org"
    path.parent.mkdir()
    path.write_text("old")
    return path


def test_a_file_written_in_place_hints_once(file: Path) -> None:
    assert hints(file, write("a"), write("b")) == [1, 1]


def test_a_file_replaced_again_and_again_hints_each_time(file: Path) -> None:
    assert hints(file, replace, replace, replace) == [1, 1, 1]


def test_a_file_that_goes_and_comes_hints(file: Path) -> None:
    assert hints(file, lambda path: path.unlink(), write("a")) == [1, 1]


def test_other_files_beside_it_do_not_hint(file: Path) -> None:
    assert hints(file, lambda path: (path.parent / "db.example.net").write_text("x"), wait=0.6) == [0]


def test_reading_does_not_hint(file: Path) -> None:
    assert hints(file, lambda path: path.read_text(), wait=0.6) == [0]


def test_a_file_that_is_not_there_yet_hints_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "zone"

    def make(path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.write_text("x")

    assert hints(path, make, write("y"))[0] >= 1


def test_a_directory_removed_and_made_again_is_watched_on(file: Path) -> None:
    def again(path: Path) -> None:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        path.write_text("x")

    counts = hints(file, again, write("y"), again, write("z"))
    assert all(count >= 1 for count in counts), counts


def test_a_swung_link_hints_as_configmaps_do_it(tmp_path: Path) -> None:
    for version in ("..1", "..2", "..3"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "db.example.org").write_text(version)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "db.example.org").symlink_to("..data/db.example.org")

    def swing(version: str) -> Deed:
        def deed(_: Path) -> None:
            (tmp_path / "..data_tmp").symlink_to(version)
            (tmp_path / "..data_tmp").rename(tmp_path / "..data")

        return deed

    counts = hints(tmp_path / "db.example.org", swing("..2"), swing("..3"))
    assert all(count >= 1 for count in counts), counts


def test_a_link_to_a_directory_swung_as_git_sync_does_it(tmp_path: Path) -> None:
    for version in ("1", "2", "3"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "db.example.org").write_text(version)
    (tmp_path / "live").symlink_to("1")

    def swing(version: str) -> Deed:
        def deed(_: Path) -> None:
            (tmp_path / "tmp").symlink_to(version)
            (tmp_path / "tmp").rename(tmp_path / "live")

        return deed

    deeds = (swing("2"), lambda _: (tmp_path / "2" / "db.example.org").write_text("x"), swing("3"))
    counts = hints(tmp_path / "live", *deeds)
    assert all(count >= 1 for count in counts), counts


def test_a_directory_hints_for_all_below_it(tmp_path: Path) -> None:
    root = tmp_path / "zones"
    root.mkdir()

    def nested(path: Path) -> None:
        (path / "x" / "y").mkdir(parents=True)
        (path / "x" / "y" / "db.example.org").write_text("x")

    counts = hints(root, nested, lambda path: (path / "x" / "y" / "db.example.org").write_text("y"))
    assert all(count >= 1 for count in counts), counts


def test_a_storm_is_few_hints_and_does_not_wait_for_its_end(tmp_path: Path) -> None:
    async def run() -> int:
        watcher = Watcher(settle=0.1, cap=0.4)
        calls: list[float] = []
        watcher.watch(tmp_path, lambda: calls.append(asyncio.get_running_loop().time()))
        await watcher.armed()
        start = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < start + 1.5:
            (tmp_path / "x").write_text("x")
            await asyncio.sleep(0.01)
        watcher.close()
        return len(calls)

    assert 1 <= asyncio.run(run()) <= 5


def test_nobody_is_called_after_unwatch_or_close(file: Path) -> None:
    async def run() -> int:
        watcher = Watcher(settle=0.05)
        calls: list[int] = []
        watch = watcher.watch(file, lambda: calls.append(1))
        await watcher.armed()
        file.write_text("x")  # noqa: ASYNC240 - the storm
        await asyncio.sleep(0.02)
        watcher.unwatch(watch)
        await asyncio.sleep(0.15)
        watcher.close()
        return len(calls)

    assert asyncio.run(run()) == 0


def test_over_the_limit_directories_are_named_as_unwatched(tmp_path: Path) -> None:
    async def run() -> dict[str, str]:
        watcher = Watcher(most=2)
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            watcher.watch(tmp_path / name / "zone", lambda: None)
        await watcher.armed()
        unwatched = watcher.unwatched
        watcher.close()
        return unwatched

    assert list(asyncio.run(run()).values()) == ["more than 2 directories"]


def test_the_chain_of_a_path_names_every_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "zone").write_text("x")
    (tmp_path / "link").symlink_to("real")
    base = os.path.realpath(tmp_path)
    chain = chain_of(f"{base}/link/zone")
    assert chain.names == {f"{base}/link", f"{base}/real/zone"}
    assert chain.folders == {base, f"{base}/real"}
    assert chain.directory is None


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    base = os.path.realpath(tmp_path)
    assert chain_of(f"{base}/a").names == {f"{base}/a", f"{base}/b"}


def test_file_systems_of_the_network_are_known_to_give_no_hints(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/x /srv nfs4 rw 0 0\n/dev/sdb /srv/local xfs rw 0 0\nh /mnt/a\\040b fuse.sshfs rw 0 0\n"
    )
    kinds = [hintless(path, str(mounts)) for path in ("/srv/zones", "/srv/local/zones", "/mnt/a b/zones", "/srvx", "/")]
    assert kinds == ["nfs4", None, "fuse.sshfs", None, None]
