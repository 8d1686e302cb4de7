"""Reading zones from real directories, hostile ones too."""

import os
import time
from pathlib import Path

import pytest

from zones.check import examine, held
from zones.errors import SourceError
from zones.source import (
    ABSENT,
    UNSURE,
    Directory,
    NamedFile,
    ReadLimits,
    is_unchanged,
    list_directory,
    read_candidate,
)

ORIGIN = b"\x07example\x03org\x00"
ZONE = "@ 3600 SOA ns admin 1 2 3 4 5\n@ 3600 NS ns\nns 3600 A 192.0.2.1\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "zones"
    folder.mkdir()
    (folder / "db.example.org").write_text(ZONE)
    (tmp_path / "secret").write_text("hunter2\n")
    return folder


def later() -> int:
    """A time at which every file is old enough to be sure of."""
    return int(time.time()) + 1000


def blobs(root: Path, **limits: int) -> Directory:
    return Directory(str(root), later(), limits=ReadLimits(**limits))


def refused(root: Path, name: str, **limits: int) -> str:
    with pytest.raises(SourceError) as caught:
        blobs(root, **limits).read(name)
    return caught.value.rule


def test_a_zone_is_read_with_its_findings_and_identity(root: Path) -> None:
    candidate = read_candidate(blobs(root), str(root / "db.example.org"), ORIGIN, includes=False)
    assert (candidate.origin, candidate.file, len(candidate.records)) == (ORIGIN, str(root / "db.example.org"), 3)
    assert not candidate.findings
    assert examine(candidate).version is not None


def test_identity_is_of_contents_and_not_of_names_or_times(root: Path) -> None:
    first = read_candidate(blobs(root), str(root / "db.example.org"), ORIGIN, includes=False)
    (root / "db.example.org").rename(root / "other")
    os.utime(root / "other", (1, 1))
    second = read_candidate(blobs(root), str(root / "other"), ORIGIN, includes=False)
    assert first.identity == second.identity
    (root / "other").write_text(ZONE + "\n")
    assert read_candidate(blobs(root), str(root / "other"), ORIGIN, includes=False).identity != first.identity


def test_includes_are_followed_below_the_root_and_part_of_the_identity(root: Path) -> None:
    (root / "parts").mkdir()
    (root / "parts" / "a").write_text("a 60 A 192.0.2.2\n$INCLUDE b\n")
    (root / "parts" / "b").write_text("b 60 A 192.0.2.3\n")
    (root / "db.example.org").write_text(ZONE + "$INCLUDE parts/a\n")
    tree = blobs(root)
    first = read_candidate(tree, str(root / "db.example.org"), ORIGIN, includes=True)
    assert not first.is_held
    assert [os.path.relpath(name, root) for name, _ in first.stamps] == ["db.example.org", "parts/a", "parts/b"]
    assert is_unchanged(tree, first.stamps)
    (root / "parts" / "b").write_text("b 60 A 192.0.2.33\n")
    assert not is_unchanged(tree, first.stamps)
    second = read_candidate(tree, str(root / "db.example.org"), ORIGIN, includes=True)
    assert second.identity != first.identity


@pytest.mark.parametrize(
    "name", ["../secret", "link", "outlink/secret", "missing", "fifo", "parts", "/proc/self/environ"]
)
def test_an_include_that_can_not_be_read_holds_the_zone_and_tells_nothing(root: Path, name: str) -> None:
    (root / "link").symlink_to("../secret")
    (root / "outlink").symlink_to("..")
    (root / "parts").mkdir()
    os.mkfifo(root / "fifo")
    (root / "db.example.org").write_text(ZONE + f"$INCLUDE {name}\n")
    candidate = read_candidate(blobs(root), str(root / "db.example.org"), ORIGIN, includes=True)
    assert {"include-unreadable", "include-missing"} & {one.rule for one in candidate.findings}
    assert held(candidate.findings)
    assert not any("hunter2" in str(one) for one in candidate.findings)
    assert examine(candidate).version is None


def test_a_missing_include_that_comes_makes_the_zone_be_read_again(root: Path) -> None:
    (root / "db.example.org").write_text(ZONE + "$INCLUDE a\n")
    tree = blobs(root)
    candidate = read_candidate(tree, str(root / "db.example.org"), ORIGIN, includes=True)
    assert is_unchanged(tree, candidate.stamps)
    (root / "a").write_text("a 60 A 192.0.2.2\n")
    assert not is_unchanged(tree, candidate.stamps)


def test_an_include_that_includes_itself_ends(root: Path) -> None:
    (root / "db.example.org").write_text(ZONE + "$INCLUDE db.example.org\n")
    assert read_candidate(blobs(root), str(root / "db.example.org"), ORIGIN, includes=True) is not None


def test_links_inside_the_root_are_followed(root: Path) -> None:
    (root / "inner").symlink_to("db.example.org")
    assert blobs(root).read(str(root / "inner"))[1] == ZONE.encode()


def test_the_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "live").symlink_to("zones")
    assert blobs(tmp_path / "live").read(str(tmp_path / "live" / "db.example.org"))[1] == ZONE.encode()


def test_what_is_not_a_regular_file_below_the_root_is_refused(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "device").symlink_to("/dev/zero")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to("loop")
    assert refused(root, "fifo") == "file-not-regular"
    assert refused(root, "device") == "file-outside"
    assert refused(root, "out") == "file-outside"
    assert refused(root, "../secret") == "file-outside"
    assert refused(root, "loop") == "file-unreadable"
    assert refused(root, "missing") == "file-missing"
    assert refused(root, "nul\0") == "file-unreadable"
    assert refused(root, ".") == "file-outside"


def test_a_sibling_whose_name_begins_like_the_root_is_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "zones2").mkdir()
    (tmp_path / "zones2" / "x").write_text("x")
    assert refused(root, "../zones2/x") == "file-outside"


def test_size_limits_hold_for_one_file_and_for_all_of_a_zone(root: Path) -> None:
    (root / "big").write_bytes(b"\0" * 1001)
    assert refused(root, "big", file_octets=1000) == "file-too-large"
    (root / "db.example.org").write_text(ZONE + "$INCLUDE big\n")
    candidate = read_candidate(
        blobs(root), str(root / "db.example.org"), ORIGIN, includes=True, limits=ReadLimits(zone_octets=1000)
    )
    assert candidate.is_held


def test_a_file_that_grows_while_it_is_read_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "db.example.org"
    real, reads = os.read, 0

    def grows(descriptor: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        octets = real(descriptor, size)
        if reads == 1:
            path.write_text(ZONE + "late 60 A 192.0.2.9\n")
        return octets

    monkeypatch.setattr(os, "read", grows)
    assert blobs(root).read(str(path))[1].endswith(b"192.0.2.9\n")


def test_a_file_that_never_stands_still_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "db.example.org"
    real = os.read

    def replaced(descriptor: int, size: int) -> bytes:
        octets = real(descriptor, size)
        (root / "new").write_text(ZONE)
        (root / "new").rename(path)
        return octets

    monkeypatch.setattr(os, "read", replaced)
    assert refused(root, "db.example.org") == "file-changing"


def test_a_young_file_is_not_trusted_by_its_times(root: Path) -> None:
    young = Directory(str(root), int(time.time()))
    stamp, _ = young.read("db.example.org")
    assert stamp == UNSURE
    assert not is_unchanged(young, [("db.example.org", stamp)])
    assert blobs(root).read("db.example.org")[0] not in (UNSURE, ABSENT)


def test_a_named_file_may_lie_behind_links_but_its_includes_may_not(root: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "zone").write_text(ZONE + "$INCLUDE ../secret\n")
    (root / "zone").symlink_to("../far/zone")
    named = NamedFile(str(root / "zone"), str(root), later())
    candidate = read_candidate(named, str(root / "zone"), ORIGIN, includes=True)
    assert len(candidate.records) == 3
    assert "include-unreadable" in [one.rule for one in candidate.findings]
    assert is_unchanged(named, candidate.stamps)


def test_a_named_file_that_is_a_fifo_or_missing_is_refused(root: Path) -> None:
    os.mkfifo(root / "fifo")
    for name in ("fifo", "missing"):
        named = NamedFile(str(root / name), str(root), later())
        with pytest.raises(SourceError):
            named.read(str(root / name))
        assert named.stamp(str(root / name)) == ABSENT


def test_a_directory_is_listed_whole(root: Path, tmp_path: Path) -> None:
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "deep" / "db.example.net").write_text(ZONE)
    (root / ".git").mkdir()
    (root / ".git" / "db.hidden").write_text(ZONE)
    (root / "aside").symlink_to("sub")
    (root / "lost+found").mkdir()
    (root / "lost+found" / "db.lost").write_text(ZONE)
    (root / "db.link").symlink_to("db.example.org")
    (root / "db.out").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "db.fifo")
    entries = {os.path.relpath(one.name, root): one.refused and one.refused[0] for one in list_directory(str(root))}
    assert entries == {
        "db.example.org": None,
        "sub/deep/db.example.net": None,
        "db.link": None,
        "db.out": "file-outside",
        "db.fifo": "file-not-regular",
    }


def test_what_can_not_be_listed_is_an_error_and_not_empty(root: Path) -> None:
    with pytest.raises(SourceError) as caught:
        list_directory(str(root / "missing"))
    assert caught.value.rule == "directory-unreadable"
    with pytest.raises(SourceError, match="directory-too-large"):
        list_directory(str(root), max_entries=0)
