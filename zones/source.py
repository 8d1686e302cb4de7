"""Reading one zone from its files, wherever they are: a directory tree, or a tree of a git commit.

Words: *blobs* are named octets below one root, read by one code whatever holds them; a *stamp* is a cheap mark that
is different when the octets may be (the object id of a git blob; inode, size and times of a file); a *candidate* is
one reading of a zone, not yet judged.

Invariants: nothing outside the root is read, only regular files are, and none over the size limit; links are followed
inside the root alone. What decides whether a zone changed is `Candidate.identity`, a digest of contents.
Limits: names that are not UTF-8 can't be given to the engine and are refused where files are listed.
"""

# Names are text here, as $INCLUDE and the engine have them; a Path would resolve links before they are judged.
# ruff: noqa: PTH100, PTH114, PTH116

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, Self

from engine import Records, read_zone
from zones.check import Finding, finding, from_engine, held, merged
from zones.errors import SourceError
from zones.naming import Entry, shown

ABSENT: Final = ""
"""The stamp of what is not there: when it appears, the zone is read again."""

UNSURE: Final = "?"
"""A stamp that never equals one of later: the file was so young that a change of it might not show in its times."""

YOUNG: Final = 2
"""Seconds for which a file is too young for its times to be trusted; coarser file systems than this are rare."""

READ_ATTEMPTS: Final = 3

LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What a zone may cost to read; sizes in octets, per file and for all files of a zone together."""

    file_octets: int = 256 << 20
    zone_octets: int = 512 << 20
    max_records: int = 0
    max_generate: int = 65536


DEFAULT_LIMITS: Final = ReadLimits()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a candidate came from: the repository, its commit, the blob of the zone's file and its path."""

    source: str
    commit: str
    blob: str
    file: str


class Blobs(Protocol):
    """Named octets below one root."""

    def read(self, name: str) -> tuple[str, bytes]:
        """(stamp, octets) of one name. Raises SourceError."""

    def stamp(self, name: str) -> str:
        """The stamp of one name now, ABSENT where nothing readable is there; cheap, and never raises SourceError."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One reading of a zone: its records, all findings of the reading, and how to tell whether it is still so."""

    origin: bytes
    file: str
    identity: str
    records: Records
    findings: tuple[Finding, ...]
    stamps: tuple[tuple[str, str], ...]
    provenance: Provenance | None = None

    @property
    def is_held(self) -> bool:
        """Whether the reading alone already holds it."""
        return held(self.findings)


def is_unchanged(blobs: Blobs, stamps: Sequence[tuple[str, str]]) -> bool:
    """Whether nothing a zone was read from can have changed since; False when that is not certain."""
    return bool(stamps) and all(blobs.stamp(name) == was for name, was in stamps)


def read_candidate(
    blobs: Blobs,
    file: str,
    origin: bytes,
    *,
    includes: bool,
    limits: ReadLimits = DEFAULT_LIMITS,
    provenance: Provenance | None = None,
) -> Candidate:
    """Read a zone's file and, with `includes`, the files it includes.

    Raises SourceError when the zone's own file can't be read; an included one that can't be is a finding.
    """
    reading = _Reading(blobs, limits)
    reading.add(file)
    records = reading.parse(origin, includes=includes)
    while includes and reading.add_included(records.missing_includes):
        records = reading.parse(origin, includes=True)
    if records.missing_includes and not held(from_engine(records.diagnostics)):
        reading.findings.append(finding(file, "include-missing", f"{records.missing_includes[0]} can't be included"))
    return Candidate(
        origin=origin,
        file=file,
        identity=_identity(origin, reading.sources),
        records=records,
        findings=merged(from_engine(records.diagnostics), reading.findings),
        stamps=tuple(reading.stamps.items()),
        provenance=provenance,
    )


class _Reading:
    """The sources of one zone as they are gathered, round by round."""

    def __init__(self, blobs: Blobs, limits: ReadLimits) -> None:
        self.sources: list[tuple[str, bytes]] = []
        self.stamps: dict[str, str] = {}
        self.findings: list[Finding] = []
        self._blobs = blobs
        self._limits = limits
        self._octets = 0

    def parse(self, origin: bytes, *, includes: bool) -> Records:
        limits = self._limits
        return read_zone(
            origin,
            self.sources,
            includes=includes,
            max_records=limits.max_records,
            max_generate=limits.max_generate,
        )

    def add(self, name: str) -> None:
        mark, octets = self._blobs.read(name)
        self._octets += len(octets)
        if self._octets > self._limits.zone_octets:
            raise SourceError(name, "file-too-large", f"{self._octets} octets with what includes it, over the limit")
        if octets.startswith(LFS_POINTER):
            raise SourceError(name, "git-lfs-pointer", "a pointer of git LFS, whose content is not in the repository")
        self.stamps[name] = mark
        self.sources.append((name, octets))

    def add_included(self, names: Sequence[str]) -> bool:
        """Add what the engine lacked; whether anything came, so that reading again helps."""
        came = False
        for name in names:
            if name in self.stamps:
                continue
            try:
                self.add(name)
                came = True
            except SourceError as error:
                # Remembered as absent, so that the zone is read again when the file comes.
                self.stamps[name] = ABSENT
                if error.rule != "file-missing":  # the engine says that at the line
                    self.findings.append(finding(name, "include-unreadable", f"included, but {error.reason}"))
        return came


def _identity(origin: bytes, sources: Sequence[tuple[str, bytes]]) -> str:
    """Digest over origin and contents, each with its length; names are left out, as a renamed file says the same."""
    digest = hashlib.sha256()
    for part in (origin.lower(), *(octets for _, octets in sources)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


class Directory:
    """Blobs of a directory tree, named by absolute path.

    The path is resolved first and then opened from the root down, component by component, none of them a link: a link
    that is put in between makes the opening fail, and never leads out.
    """

    def __init__(self, root: str, now: int, *, limits: ReadLimits = DEFAULT_LIMITS) -> None:
        self.root = os.path.abspath(root)
        self._real_root = os.path.realpath(self.root)
        self._now = now
        self._limits = limits
        self._real_folders: dict[str, str] = {}

    def read(self, name: str) -> tuple[str, bytes]:
        """(stamp, octets) of a file below the root. Raises SourceError."""
        path = self._resolved(name)
        for _ in range(READ_ATTEMPTS):
            with _opened_below(self._real_root, path, name) as file:
                taken = file.read_whole(self._limits.file_octets)
                if taken is not None and _is_still(path, file.status):
                    return _stamp(file.status, self._now), taken
        raise SourceError(name, "file-changing", f"it changed while it was read, {READ_ATTEMPTS} times")

    def stamp(self, name: str) -> str:
        """The stamp of a file below the root."""
        with suppress(OSError, SourceError):
            status = os.stat(self._resolved(name), follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                return _stamp(status, None)
        return ABSENT

    def _resolved(self, name: str) -> str:
        try:
            path = self._real(os.path.join(self.root, name))
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from None
        if not _is_below(path, self._real_root):
            raise SourceError(name, "file-outside", f"it is outside of {self.root}")
        return path

    def _real(self, path: str) -> str:
        """As os.path.realpath, but each folder is resolved once: ten thousand files may be looked at in one go.

        A folder that changes meanwhile is noticed when the file is opened.
        """
        folder, base = os.path.split(path)
        if "\0" in path:
            raise ValueError("the name has a NUL")
        if base in ("", ".", "..") or os.path.islink(path):
            return os.path.realpath(path, strict=True)
        real = self._real_folders.get(folder)
        if real is None:
            real = self._real_folders[folder] = os.path.realpath(folder, strict=True)
        return os.path.join(real, base)


def list_directory(root: str, *, max_entries: int = 100_000) -> list[Entry]:
    """All files of a directory tree, by absolute path; hidden directories and links to directories are left out.

    Raises SourceError when any part can't be listed: what can't be read is never taken for empty.
    """
    entries: list[Entry] = []
    real_root = os.path.realpath(root)
    waiting = [os.path.abspath(root)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                for item in listing:
                    if item.is_dir(follow_symlinks=False):
                        is_of_zones = not item.name.startswith(".") and item.name != "lost+found"
                        waiting += [item.path] if is_of_zones else []
                    elif not item.is_dir():
                        entries.append(_entry(item, real_root))
        except OSError as error:
            raise SourceError(folder, "directory-unreadable", _reason(error)) from None
        if len(entries) > max_entries:
            raise SourceError(root, "directory-too-large", f"more than {max_entries} files")
    return entries


def _entry(item: os.DirEntry[str], real_root: str) -> Entry:
    """An entry of the listing; it is refused when it is a link that leads out, or no regular file."""
    if item.is_file(follow_symlinks=False):
        return Entry(item.path)
    real = os.path.realpath(item.path)
    if item.is_symlink() and not _is_below(real, real_root):
        return Entry(item.path, ("file-outside", f"it is a link that leads out of the directory, to {shown(real)}"))
    if not item.is_file():
        return Entry(item.path, ("file-not-regular", "it is not a regular file"))
    return Entry(item.path)


class NamedFile(Directory):
    """Blobs of one zone file that the operator named: itself wherever its links lead, its includes below the root."""

    def __init__(self, file: str, root: str, now: int, *, limits: ReadLimits = DEFAULT_LIMITS) -> None:
        super().__init__(root, now, limits=limits)
        self._file = os.path.join(self.root, file)

    def read(self, name: str) -> tuple[str, bytes]:
        """As Directory.read."""
        return self._own(name).read(name)

    def stamp(self, name: str) -> str:
        """As Directory.stamp."""
        return self._own(name).stamp(name)

    def _own(self, name: str) -> Directory:
        if os.path.join(self.root, name) != self._file:
            return Directory(self.root, self._now, limits=self._limits)
        real = os.path.realpath(self._file)
        return _Alone(real, self._now, self._limits)


class _Alone(Directory):
    """The one file that a named file's links lead to."""

    def __init__(self, real: str, now: int, limits: ReadLimits) -> None:
        super().__init__(os.path.dirname(real), now, limits=limits)
        self._leads_to = real

    def _resolved(self, name: str) -> str:
        if not os.path.lexists(self._leads_to):
            raise SourceError(name, "file-missing", os.strerror(errno.ENOENT).lower())
        return self._leads_to


class _OpenFile:
    """A regular file that is open for reading, and its status when it was opened."""

    def __init__(self, descriptor: int, status: os.stat_result, name: str) -> None:
        self.status = status
        self._descriptor = descriptor
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read_whole(self, limit: int) -> bytes | None:
        """All octets; None when the file changed meanwhile. Raises SourceError over the limit."""
        if self.status.st_size > limit:
            raise SourceError(self._name, "file-too-large", f"{self.status.st_size} octets, over the limit of {limit}")
        try:
            # Unbuffered: `read` allocates what the size says, and one octet more would show growth.
            with open(self._descriptor, "rb", buffering=0, closefd=False) as stream:
                octets = _exactly(stream.fileno(), self.status.st_size)
        except OSError as error:
            raise SourceError(self._name, "file-unreadable", _reason(error)) from None
        same = _marks(os.fstat(self._descriptor)) == _marks(self.status)
        return octets if same and len(octets) == self.status.st_size else None


def _exactly(descriptor: int, size: int) -> bytes:
    """Up to `size` octets from the start."""
    parts = []
    while size and (part := os.read(descriptor, min(size, 16 << 20))):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _opened_below(root: str, path: str, name: str) -> _OpenFile:
    """Open a resolved path below `root` without following any link. Raises SourceError."""
    *folders, last = posixpath.relpath(path, root).split("/")
    try:
        at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for folder in folders:
            below, at = at, -1
            try:
                at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=below)
            finally:
                os.close(below)
        try:
            # O_NONBLOCK: a FIFO must not make the reader wait for a writer; it is refused below.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            descriptor = os.open(last, flags, dir_fd=at)
        finally:
            os.close(at)
    except OSError as error:
        raise _unreadable(name, error) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise SourceError(name, "file-not-regular", "it is not a regular file")
    return _OpenFile(descriptor, status, name)


def _is_still(path: str, status: os.stat_result) -> bool:
    """Whether the path still leads to the file that was read, so that a file replaced meanwhile is read again."""
    try:
        return _marks(os.stat(path, follow_symlinks=False)) == _marks(status)
    except OSError:
        return False


def _is_below(path: str, root: str) -> bool:
    return path.startswith(root.rstrip("/") + "/")


def _marks(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _stamp(status: os.stat_result, now: int | None) -> str:
    """The stamp of a status; UNSURE when it was read at `now` and is too young."""
    if now is not None and now - YOUNG < status.st_ctime_ns // 1_000_000_000 + 1:
        return UNSURE
    return ":".join(str(mark) for mark in _marks(status))


def _unreadable(name: str, error: OSError | ValueError) -> SourceError:
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return SourceError(name, "file-missing" if is_missing else "file-unreadable", _reason(error))


def _reason(error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return (text or str(error)).lower()
