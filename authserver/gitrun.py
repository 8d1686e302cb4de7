"""Runs git: a cache for each remote, polled for its tip, listed by tree, read by object id.

What git is told and how its answers are read is `zones.git`; here processes are started, bounded in time, memory,
processor and file size, and killed with their whole group when they are over it or not wanted any more.

Invariants: the working directory of every git is the cache, and nothing is ever checked out; output is bounded while
it comes; what a killed fetch left behind is removed before the next one.
Limits: one task uses a cache at a time, and one process (the state directory's lock sees to that).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from zones import git
from zones.errors import GitError, GitRewrittenError, SourceError
from zones.git import GitLimits, GitRemote, Snapshot, TreeEntry
from zones.naming import shown
from zones.source import ABSENT

log = logging.getLogger(__name__)

CHUNK: Final = 1 << 16
COMPLAINT_OCTETS: Final = 1 << 16
TIP_OCTETS: Final = 1 << 20
PACKS: Final = 40
"""So many packs are made one; every fetch that brings something leaves one."""

FAILURES: Final = (
    (r"host key verification failed|no .* host key is known", "git-host-key"),
    (r"authentication failed|permission denied|could not read (username|password)|access denied", "git-authentication"),
    (r"no space left|disk quota", "git-no-space"),
    (r"file size limit|file too large|signal 25", "git-too-large"),
    (r"fsck error|invalid .*object|error in object", "git-malformed"),
    (r"couldn't find remote ref", "git-ref-missing"),
)
"""What git says when it fails, and the rule id of it; everything else is `git-unreachable`."""

LASTING: Final = frozenset(
    {"git-rewritten", "git-empty", "git-path-missing", "git-too-many-entries", "git-too-large", "git-malformed"}
)
"""What is wrong with a tip as long as it is the tip; it is said again without fetching it again."""

DAMAGE: Final = re.compile(
    r"not a git repository|is corrupt|loose object|bad object|bad config|unable to (read|parse)|"
    r"did not send all necessary objects|index file .* (is too small|corrupt)|failed to read object"
)
"""What git says when a cache is damaged; it is then made anew."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a git ended: its exit status (negative for a signal) and what it complained about, in one printable line."""

    status: int
    complaint: str


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """What a commit says about itself; all of it is its author's word."""

    commit: str
    author: str
    committed_at: int
    subject: str


class GitCache:
    """One remote and its cache.

    `poll` costs one process while nothing changes. What it returns is taken for handled when `accept` was called with
    it; until then the next `poll` returns it again.
    """

    def __init__(
        self,
        remote: GitRemote,
        directory: Path,
        *,
        limits: GitLimits | None = None,
        ours: Mapping[str, str] = os.environ,
    ) -> None:
        """`directory` is the state's folder for caches. Nothing is made or run yet."""
        self.remote = remote
        self.limits = limits or GitLimits()
        self._cache = directory / remote.cache_name
        self._home = directory / "home"
        self._configuration = self._cache.with_suffix(".config")
        self._environment = git.environment(
            {"PATH": os.defpath, **ours}, str(self._home), str(self._configuration), remote
        )
        self._accepted: tuple[str, str] | None = None
        self._refused: tuple[tuple[str, str | None], GitError] | None = None

    async def poll(self, served: str | None) -> Snapshot | None:
        """The files of the remote's tip, None if that was accepted before; `served` is the commit taken last.

        Raises GitError; GitRewrittenError when the tip does not descend from `served` and the remote's policy is to
        hold then. What serves is never touched by any of them.
        """
        await self._prepare()
        tip = await self._tip()
        if self._accepted is not None and self._accepted == (tip, served):
            return None
        if self._refused is not None and self._refused[0] == (tip, served):
            raise self._refused[1]
        try:
            return await self._snapshot(tip, served)
        except GitError as error:
            if error.rule in LASTING:
                self._refused = (tip, served), error
            raise

    def accept(self, snapshot: Snapshot) -> None:
        """Note that a snapshot was handled and its commit recorded as the one that serves."""
        self._accepted = (snapshot.tip, snapshot.commit)

    def blobs(self, snapshot: Snapshot) -> BlobReader:
        """The files of a snapshot, for `zones.source.read_candidate`; used with `with`."""
        return BlobReader(snapshot, git.cat_file_arguments(str(self._cache)), self._environment, self.limits)

    def facts(self, commit: str) -> CommitFacts:
        """Author, time and subject of a commit in the cache. Blocks for some milliseconds."""
        # Importing GitPython runs git, which a server without repositories need not have.
        from git import Repo
        from git.db import GitCmdObjectDB

        repo = Repo(self._cache, odbt=GitCmdObjectDB, search_parent_directories=False, expand_vars=False)
        with repo:
            repo.git.update_environment(**self._environment)
            found = repo.commit(commit)
            subject = str(found.message).split("\n", 1)[0]
            author = f"{found.author.name} <{found.author.email}>"
            return CommitFacts(commit, shown_text(author), int(found.committed_date), shown_text(subject))

    async def _snapshot(self, tip: str, served: str | None) -> Snapshot:
        await self._fetch()
        commit = await self._commit()
        await self._check_rewrite(served, commit)
        return Snapshot(self.remote, tip, commit, await self._entries(commit))

    async def _prepare(self) -> None:
        """A cache that is there and has no leftovers, and git's configuration file as it has to be."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = git.configuration(str(self._cache), self.remote)
        if not self._configuration.is_file() or self._configuration.read_text(encoding="utf-8") != text:
            self._configuration.write_text(text, encoding="utf-8")
        if not (self._cache / "HEAD").is_file():
            await asyncio.to_thread(shutil.rmtree, self._cache, ignore_errors=True)
            self._cache.mkdir(mode=0o700)
            await self._expect(git.init_arguments(str(self._cache)))

    async def _tip(self) -> str:
        """The object id the ref has over there."""
        answer = bytearray()
        arguments = git.ls_remote_arguments(str(self._cache), self.remote)
        outcome = await self._run(arguments, self.limits.network_seconds, _gather(answer, TIP_OCTETS, self.remote.url))
        if outcome.status:
            raise self._failure(outcome)
        tip = git.parse_tip(bytes(answer), self.remote.ref)
        if tip is None:
            raise GitError(self.remote.url, "git-ref-missing", f"it has no {self.remote.ref}")
        return tip

    async def _fetch(self) -> None:
        """The candidate brought up to date; a damaged cache is made anew once."""
        outcome = await self._fetch_once()
        if outcome.status and DAMAGE.search(outcome.complaint.lower()):
            log.warning("%s: the cache is damaged and is made anew: %s", self.remote.url, outcome.complaint)
            await self._drop()
            outcome = await self._fetch_once()
        if outcome.status:
            raise self._failure(outcome)
        if self._packs() > PACKS:
            await self._expect(git.repack_arguments(str(self._cache)))

    async def _fetch_once(self) -> Outcome:
        remove_leftovers(self._cache)
        arguments = git.fetch_arguments(str(self._cache), self.remote)
        # A first fetch that is given up would begin at nothing again, so it gets its time.
        seconds = self.limits.network_seconds if self._packs() else self.limits.first_fetch_seconds
        try:
            return await self._run(arguments, seconds, _nothing)
        finally:
            remove_leftovers(self._cache)

    def _packs(self) -> int:
        return sum(1 for _ in (self._cache / "objects" / "pack").glob("*.pack"))

    async def _commit(self) -> str:
        answer = bytearray()
        arguments = git.commit_arguments(str(self._cache))
        outcome = await self._run(arguments, self.limits.local_seconds, _gather(answer, CHUNK, self.remote.url))
        commit = bytes(answer).decode("ascii", "replace").strip()
        if outcome.status or not git.OBJECT_ID.fullmatch(commit):
            raise GitError(self.remote.url, "git-ref-missing", f"{self.remote.ref} is not a commit")
        return commit

    async def _check_rewrite(self, served: str | None, commit: str) -> None:
        """Raise GitRewrittenError unless the commit comes after the one that serves, or the policy is to follow."""
        if served is None or served == commit or not git.OBJECT_ID.fullmatch(served):
            return
        arguments = git.ancestry_arguments(str(self._cache), served, commit)
        # A commit that serves and is not even there any more was rewritten too, so every status but 0 says so.
        moved = self.remote.is_tag or (await self._run(arguments, self.limits.local_seconds, _nothing)).status != 0
        if not moved:
            return
        error = GitRewrittenError(self.remote.url, served, commit)
        if self.remote.on_rewrite == "hold":
            raise error
        log.warning("%s: followed, as configured", error)

    async def _entries(self, commit: str) -> dict[str, TreeEntry]:
        """The files below the configured folder, by name; none is an error."""
        cache, url = str(self._cache), self.remote.url
        tree = commit
        if self.remote.path:
            folder = await self._listing(git.folder_arguments(cache, commit, self.remote.path))
            tree = git.tree_of_folder(self.remote, commit, folder)
        entries = await self._listing(git.ls_tree_arguments(cache, tree))
        if not entries:
            place = f"folder {self.remote.path!r} of commit" if self.remote.path else "commit"
            raise GitError(url, "git-empty", f"{place} {commit[:12]} holds no file")
        return {entry.name: entry for entry in entries}

    async def _listing(self, arguments: Sequence[str]) -> list[TreeEntry]:
        records = _Records(self.limits, self.remote.url)
        outcome = await self._run(arguments, self.limits.local_seconds, records.take)
        if outcome.status:
            raise await self._damaged(outcome)
        return list(git.parse_tree(iter(records.whole)))

    async def _expect(self, arguments: Sequence[str]) -> None:
        """Run what has no reason to fail."""
        outcome = await self._run(arguments, self.limits.local_seconds, _nothing)
        if outcome.status:
            raise await self._damaged(outcome)

    async def _damaged(self, outcome: Outcome) -> GitError:
        await self._drop(again=False)
        return GitError(self.remote.url, "git-cache", f"the cache was damaged and is dropped: {outcome.complaint}")

    async def _drop(self, *, again: bool = True) -> None:
        await asyncio.to_thread(shutil.rmtree, self._cache, ignore_errors=True)
        if again:
            await self._prepare()

    def _failure(self, outcome: Outcome) -> GitError:
        if outcome.status == -signal.SIGXFSZ:
            return GitError(self.remote.url, "git-too-large", f"over the limit of {self.limits.pack_octets} octets")
        lower = outcome.complaint.lower()
        rule = next((rule for pattern, rule in FAILURES if re.search(pattern, lower)), "git-unreachable")
        return GitError(self.remote.url, rule, outcome.complaint or f"git ended with status {outcome.status}")

    async def _run(self, arguments: Sequence[str], seconds: int, take: Callable[[bytes], None]) -> Outcome:
        """Run one git to its end, its output given to `take`, which may raise to end it. Raises GitError."""
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                cwd=self._cache,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise GitError(self.remote.url, "git-program", f"git can't be started: {error}") from None
        try:
            _bound(process.pid, self.limits)
            async with asyncio.timeout(seconds):
                complaint = bytearray()
                await asyncio.gather(_drain(process.stdout, take), _drain(process.stderr, _keep_first(complaint)))
                status = await process.wait()
        except TimeoutError:
            reason = f"git {_command(arguments)} took more than {seconds} s"
            raise GitError(self.remote.url, "git-timeout", reason) from None
        finally:
            if process.returncode is None:
                _kill_group(process.pid)
                await asyncio.shield(process.wait())
        return Outcome(status, one_line(bytes(complaint)))


class BlobReader:
    """The blobs of a snapshot by name, read by one git that runs as long as the reader is open; for threads."""

    def __init__(
        self, snapshot: Snapshot, arguments: Sequence[str], environment: Mapping[str, str], limits: GitLimits
    ) -> None:
        """Nothing runs before the first read."""
        self._snapshot = snapshot
        self._arguments = arguments
        self._environment = environment
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str) -> tuple[str, bytes]:
        """(object id, octets) of a file of the snapshot. Raises SourceError."""
        entry = self._snapshot.readable(name, self._limits)
        with self._lock:
            try:
                return entry.object_id, self._read(entry)
            except (OSError, ValueError) as error:
                self._end()
                raise SourceError(name, "git-blob", f"blob {entry.object_id[:12]} can't be read: {error}") from None

    def stamp(self, name: str) -> str:
        """The object id of a file of the snapshot, ABSENT if it has none that is readable."""
        try:
            return self._snapshot.readable(name, self._limits).object_id
        except SourceError:
            return ABSENT

    def close(self) -> None:
        """End the git; a read that is under way in another thread fails, and so do later ones."""
        self._is_closed = True
        self._end()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        _kill_group(process.pid)
        # Killed before the lock is waited for: who reads comes to the pipe's end at once and lets go of it.
        with self._lock:
            if self._process is process:
                self._process = None
                with process:
                    process.wait()

    def _read(self, entry: TreeEntry) -> bytes:
        deadline = time.monotonic() + self._limits.local_seconds
        process = self._running()
        if process.stdin is None or process.stdout is None:
            raise ValueError("git has no pipes")
        process.stdin.write(entry.object_id.encode() + b"\n")
        pipe = _Pipe(process.stdout.fileno(), deadline)
        header = git.object_header(entry)
        answer = pipe.exactly(header, len(header) + (entry.size or 0) + 1)
        return bytes(memoryview(answer)[len(header) : -1])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._is_closed:
            raise ValueError("nothing is read from this commit any more")
        if self._process is None:
            self._process = subprocess.Popen(
                self._arguments,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
            _bound(self._process.pid, self._limits)
        return self._process


class _Pipe:
    """A pipe that is read until a deadline, never further than asked."""

    def __init__(self, descriptor: int, deadline: float) -> None:
        self._descriptor = descriptor
        self._deadline = deadline
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN | select.POLLHUP)

    def exactly(self, header: bytes, size: int) -> bytearray:
        """So many octets that begin with this header; anything else ends the reading at once."""
        octets = bytearray()
        while len(octets) < size:
            octets += self._some(min(size - len(octets), 1 << 20))
            if not octets.startswith(header[: len(octets)]):
                raise ValueError("git has not what the tree says")
        return octets

    def _some(self, size: int) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise ValueError("git took too long")
        octets = os.read(self._descriptor, size)
        if not octets:
            raise ValueError("git ended")
        return octets


class _Records:
    """NUL-ended records out of chunks; over the limits it raises, which ends the git that writes them."""

    def __init__(self, limits: GitLimits, url: str) -> None:
        self.whole: list[bytes] = []
        self._rest = b""
        self._octets = 0
        self._limits = limits
        self._url = url

    def take(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + chunk).split(b"\0")
        self.whole += whole
        self._octets += len(chunk)
        if len(self.whole) > self._limits.entries or self._octets > self._limits.answer_octets:
            reason = f"it has more than {self._limits.entries} files, or their names are too long"
            raise GitError(self._url, "git-too-many-entries", reason)


def _gather(into: bytearray, limit: int, url: str) -> Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        into.extend(chunk)
        if len(into) > limit:
            raise GitError(url, "git-too-large", f"git answered more than {limit} octets")

    return take


def _keep_first(into: bytearray) -> Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        into.extend(chunk[: max(0, COMPLAINT_OCTETS - len(into))])

    return take


def _nothing(_: bytes) -> None:
    """What is done with output nobody asked for."""


async def _drain(stream: asyncio.StreamReader | None, take: Callable[[bytes], None]) -> None:
    while stream is not None and (chunk := await stream.read(CHUNK)):
        take(chunk)


def _bound(pid: int, limits: GitLimits) -> None:
    """Limit a process from outside, so that it can be started without running Python between fork and exec.

    What it starts inherits the limits; git starts nothing in its first microseconds.
    """
    with suppress(ProcessLookupError):
        for what, wanted in (
            (resource.RLIMIT_FSIZE, limits.pack_octets),
            (resource.RLIMIT_CPU, limits.cpu_seconds),
            (resource.RLIMIT_AS, limits.memory_octets),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.prlimit(pid, what)[1]
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.prlimit(pid, what, (most, most))


def _kill_group(pid: int) -> None:
    """Kill a process that leads its own session, and all it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def remove_leftovers(cache: Path) -> None:
    """Remove what a killed git leaves in a cache: half-written objects and packs, and locks."""
    objects = cache / "objects"
    for pattern in ("tmp_obj_*", "??/tmp_obj_*", "pack/tmp_*", "pack/.tmp-*", "tmp_objdir-*", "incoming-*"):
        for leftover in objects.glob(pattern):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
    for lock in (*cache.glob("*.lock"), *cache.glob("refs/**/*.lock")):
        lock.unlink(missing_ok=True)


def one_line(complaint: bytes) -> str:
    """What git complained about in one printable line; the first line mostly is the cause, the last the effect."""
    lines = [line.strip() for line in complaint.decode("utf-8", "surrogateescape").splitlines()]
    telling = [line.removeprefix("fatal: ").removeprefix("error: ") for line in lines if not line.startswith("hint:")]
    return shown_text("; ".join(line for line in telling if line))


def shown_text(text: str, limit: int = 300) -> str:
    """Foreign text fit for a log line: printable, and not too long."""
    return (text if text.isprintable() else shown(text))[:limit]


def _command(arguments: Sequence[str]) -> str:
    """The subcommand of an argument list, for people."""
    words = iter(arguments[1:])
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""
