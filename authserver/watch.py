"""Hints that files may have changed: watchdog's events, gathered, settled and given to the loop as calls.

A *hint* says "look again", never what changed: events get lost, and a look at contents is what decides. So nobody
may rely on a hint coming; whoever watches also looks from time to time, and calls `rearm` then.

A *chain* is everything on the way to a path that can make it lead elsewhere: the path itself, and each link that is
passed. The directories that hold the chain's names are watched, not the file: a watch on a file dies when it is
replaced, and says nothing when a link before it is swung (as Kubernetes' ConfigMaps and git-sync do).

Limits: `most` directories are watched (each costs a thread); what is over that, or what the system refuses, is in
`unwatched` with the reason. File systems of the network give no events.
"""

# Names are text here, as events have them; a Path would resolve what is compared as it stands.
# ruff: noqa: PTH100, PTH115, PTH116

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

MAX_LINKS: Final = 40
"""Links on the way to a file, as Linux counts them (path_resolution(7))."""

HINTLESS: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs", "virtiofs", "fuse")
"""Types of file systems that change without telling this machine's kernel."""

TELLING: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""Events that can mean a change; reading a file makes events too, which must not make it be read again."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The names a path depends on, the directories that hold them, and the directory it leads to, if it does."""

    names: frozenset[str]
    folders: frozenset[str]
    directory: str | None


def chain_of(path: str) -> Chain:
    """The chain of a path as it is now; what is missing ends it, and its folder is where it will appear."""
    names: set[str] = set()
    folders: set[str] = set()
    waiting = [part for part in os.path.abspath(path).split("/") if part][::-1]
    at, links = "/", 0
    while waiting:
        part = waiting.pop()
        if part in ("", ".", ".."):
            at = os.path.dirname(at) if part == ".." else at
            continue
        name = os.path.join(at, part)
        try:
            mode = os.lstat(name).st_mode
            target = os.readlink(name) if stat.S_ISLNK(mode) else None
        except OSError:
            return Chain(frozenset(names | {name}), frozenset(folders | {at}), None)
        if target is not None:
            names.add(name)
            folders.add(at)
            links += 1
            if links > MAX_LINKS:
                break
            waiting += target.split("/")[::-1]
            at = "/" if target.startswith("/") else at
        elif waiting:
            at = name
        else:
            directory = name if stat.S_ISDIR(mode) else None
            return Chain(frozenset(names | {name}), frozenset(folders | {at}), directory)
    return Chain(frozenset(names), frozenset(folders), None)


def hintless(path: str, mounts: str = "/proc/self/mounts") -> str | None:
    """The type of the file system a path is on, if that gives no hints: such a path is better looked at often."""
    real = os.path.realpath(path)
    best, kind = "", ""
    with suppress(OSError):
        for line in Path(mounts).read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            _, point, name, *_ = line.split(" ")
            point = point.replace("\\040", " ")
            # The last one of equal length lies on top of the others.
            if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
                best, kind = point, name
    return kind if kind.partition(".")[0] in HINTLESS else None


@dataclass(eq=False, slots=True)
class Watch:
    """A path that is watched, and who is called in the loop when a hint about it has settled."""

    path: str
    on_change: Callable[[], None]
    chain: Chain
    first: float = 0.0
    timer: asyncio.TimerHandle | None = field(default=None)

    def is_about(self, paths: AbstractSet[str]) -> bool:
        """Whether any path is of the chain, holds it, or lies in the directory it leads to."""
        chain = self.chain
        if not (chain.names.isdisjoint(paths) and chain.folders.isdisjoint(paths)):
            return True
        if chain.directory is None:
            return False
        below = chain.directory.rstrip("/") + "/"
        return any(path.startswith(below) for path in paths)


class Watcher:
    """All watches of a server, over one observer; made, used and closed in the loop."""

    def __init__(self, *, settle: float = 0.1, cap: float = 1.0, most: int = 2048) -> None:
        """A hint waits until nothing came for `settle` seconds, and no longer than `cap`."""
        self.unwatched: dict[str, str] = {}
        self._settle = settle
        self._cap = cap
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._watches: set[Watch] = set()
        self._observer: BaseObserver | None = None
        self._armer = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._armed: dict[tuple[str, bool], tuple[ObservedWatch, tuple[int, int]]] = {}
        self._is_arming = False
        self._quiet = asyncio.Event()
        self._is_closed = False
        self._suspect: set[str] = set()
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._handler = _Handler(self._on_event)

    def watch(self, path: str | Path, on_change: Callable[[], None]) -> Watch:
        """Watch a file, or a directory with all below it, that need not be there yet."""
        watch = Watch(os.path.abspath(path), on_change, chain_of(str(path)))
        self._watches.add(watch)
        self.rearm()
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Call nobody about this any more."""
        self._watches.discard(watch)
        if watch.timer is not None:
            watch.timer.cancel()
        self.rearm()

    def rearm(self) -> None:
        """See to it that the directories are watched which the chains lead through now."""
        if not self._is_arming and not self._is_closed:
            self._is_arming = True
            self._quiet.clear()
            self._loop.call_soon(self._arm_soon)

    async def armed(self) -> None:
        """Wait until what was asked for is watched."""
        while self._is_arming:
            await self._quiet.wait()

    def close(self) -> None:
        """Stop; nobody is called after this."""
        self._is_closed = True
        for watch in self._watches:
            if watch.timer is not None:
                watch.timer.cancel()
        self._watches.clear()
        self._armer.submit(self._stop_observer)
        self._armer.shutdown(wait=False)

    def _stop_observer(self) -> None:
        if self._observer is not None:
            self._observer.stop()

    # What happens when something happened.

    def _on_event(self, paths: list[str]) -> None:
        """In the observer's thread: note the paths, wake the loop once."""
        with self._lock:
            is_first = not self._seen
            self._seen.update(paths)
        if is_first:
            with suppress(RuntimeError):  # the loop may be closed already
                self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        with self._lock:
            paths, self._seen = self._seen, set()
        concerned = [watch for watch in self._watches if watch.is_about(paths)]
        for watch in concerned:
            self._hint(watch)
        moved = {path for watch in concerned for path in watch.chain.names | watch.chain.folders if path in paths}
        if moved:
            self._suspect |= moved
            self.rearm()

    def _hint(self, watch: Watch) -> None:
        """Put the call off until it is quiet, but not for ever."""
        now = self._loop.time()
        if watch.timer is None:
            watch.first = now
        else:
            watch.timer.cancel()
        watch.timer = self._loop.call_at(min(now + self._settle, watch.first + self._cap), self._call, watch)

    def _call(self, watch: Watch) -> None:
        watch.timer = None
        if not self._is_closed:
            watch.on_change()

    # What is watched.

    def _arm_soon(self) -> None:
        if self._is_closed:
            self._on_quiet()
            return
        suspect, self._suspect = self._suspect, set()
        paths = [watch.path for watch in self._watches]
        future = self._loop.run_in_executor(self._armer, self._arm, paths, suspect)
        future.add_done_callback(self._on_armed)

    def _on_quiet(self) -> None:
        self._is_arming = False
        self._quiet.set()

    def _on_armed(self, future: asyncio.Future[tuple[dict[str, Chain], bool]]) -> None:
        self._on_quiet()
        if future.cancelled() or self._is_closed:
            return
        if (error := future.exception()) is not None:
            log.error("watching files failed, they are looked at from time to time only: %r", error)
            return
        chains, is_new = future.result()
        for watch in self._watches:
            chain = chains.get(watch.path, watch.chain)
            if is_new and chain != watch.chain:
                # What happened before the new directories were watched gave no event.
                self._hint(watch)
            watch.chain = chain
        if self._suspect:
            self.rearm()

    def _arm(self, paths: list[str], suspect: set[str]) -> tuple[dict[str, Chain], bool]:
        """In the armer's thread: make the watched directories those of the chains; whether one is new."""
        chains = {path: chain_of(path) for path in paths}
        wanted = dict.fromkeys((folder, False) for chain in chains.values() for folder in sorted(chain.folders))
        wanted |= dict.fromkeys((chain.directory, True) for chain in chains.values() if chain.directory is not None)
        for key, (_, identity) in list(self._armed.items()):
            if key not in wanted or key[0] in suspect or _identity(key[0]) != identity:
                self._disarm(key)
        self.unwatched = {}
        is_new = False
        for key in wanted:
            if key not in self._armed:
                is_new |= self._arm_one(key)
        return chains, is_new

    def _arm_one(self, key: tuple[str, bool]) -> bool:
        folder, is_recursive = key
        try:
            if len(self._armed) >= self._most:
                raise OSError(f"more than {self._most} directories")
            identity = _identity(folder)
            observed = self._running().schedule(
                self._handler, folder, recursive=is_recursive, event_filter=list(TELLING)
            )
        except OSError as error:
            self.unwatched[folder] = error.strerror or str(error)
            return False
        self._armed[key] = (observed, identity)
        return True

    def _disarm(self, key: tuple[str, bool]) -> None:
        observed, _ = self._armed.pop(key)
        with suppress(KeyError, OSError):
            self._running().unschedule(observed)

    def _running(self) -> BaseObserver:
        if self._observer is None:
            self._observer = Observer(timeout=1)
            self._observer.daemon = True
            self._observer.start()
        return self._observer


class _Handler(FileSystemEventHandler):
    """Hands the paths of events on."""

    def __init__(self, take: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._take = take

    def on_any_event(self, event: FileSystemEvent) -> None:
        """In the observer's thread."""
        self._take([os.fsdecode(path) for path in (event.src_path, event.dest_path) if path])


def _identity(folder: str) -> tuple[int, int]:
    try:
        status = os.stat(folder, follow_symlinks=False)
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)
