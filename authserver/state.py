"""The state directory: its lock, its database, its pack files; whole after a kill at any point.

```
DIR/            0700, locked by flock on `lock` while a server or a changing command has it
  lock          the holder's process id, for people
  state.db      SQLite, WAL: keys, serials, TTLs served, which image stands in which pack, audit log
  images/       NNNNNNNN.pack: zone images, signatures and large changes, written whole and fsynced before the database
                names them
  git/          bare caches of repositories
  control.sock  the running server's control socket
```
A pack that no row names was never committed and goes at the next open; a row never names a pack that is not on the disk
in full. Safe to use from several threads: one writer at a time, readers see a snapshot. On a full disk it is opened for
reading, so that what was served last can be served again; every transaction tries whether there is room by now.
"""

import fcntl
import os
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from authserver.errors import (
    StateCorrupt,
    StateError,
    StateInsecure,
    StateInUse,
    StateMissing,
    StateOfOtherSchema,
)
from keys import custody, keyfiles, providerstore, store
from zones import copies, history, journal, updatestore

APPLICATION_ID: Final = 0x5A_57_52_54
"""What `file` and SQLite see of a database of ours."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), last_event INTEGER) STRICT",
        "INSERT INTO state (only, last_event) VALUES (1, NULL)",
        *store.SCHEMA,
        *history.SCHEMA,
    ),
    ("ALTER TABLE state ADD COLUMN disclaimed INTEGER",),
    store.ROLLOVER_SCHEMA,
    keyfiles.SCHEMA,
    store.TRASH_SCHEMA,
    (*store.WORD_SCHEMA, *providerstore.SCHEMA),
    store.SHARING_SCHEMA,
    store.OFFLINE_SCHEMA,
    journal.SCHEMA,
    copies.SCHEMA,
    updatestore.SCHEMA,
)
"""The statements that lead from schema n to n + 1; a released one is never edited."""

_DATABASE: Final = "state.db"
_PACK_MAGIC: Final = b"ZWPACK\x00\x01"
_PRIVATE_DIRECTORY: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_BUSY_MS: Final = 10_000
_NO_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


@dataclass(frozen=True, slots=True)
class PackRef:
    """Where one octet string stands: file name below `images/`, offset and length in octets."""

    pack: str
    offset: int
    length: int


class Place(Protocol):
    """What a PackRef and a `zones.history.Image` have in common."""

    @property
    def pack(self) -> str:
        """The file's name."""

    @property
    def offset(self) -> int:
        """Where the octets begin."""

    @property
    def length(self) -> int:
        """How many there are."""


def named_packs(tx: sqlite3.Connection) -> set[str]:
    """All packs that the database names: what is in no others may go."""
    return {image.pack for image in history.images_of(tx)} | journal.packs(tx)


def default_directory(effective_uid: int) -> Path:
    """Where the state is when nothing else is said."""
    return Path("/var/lib/zonewright") if effective_uid == 0 else Path("state")


class State:
    """The opened state. Make one by `open` or `open_readonly`, end it by `close` or as a context manager."""

    def __init__(self, directory: Path, lock: int, *, readonly: bool) -> None:
        self.directory: Final = directory
        self.notices: Final[list[str]] = []
        """What was found wrong and put right at open; the caller says it to people."""
        self.vault: custody.Vault = custody.PlainVault()
        self._lock: Final = lock
        self._readonly: Final = readonly
        self._writing: Final = threading.Lock()
        self._writer_thread: int | None = None
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock: Final = threading.Lock()
        self._pack_lock: Final = threading.Lock()
        self._pending_packs: set[str] = set()
        self._next_pack = 1
        self._closed = False
        self._writer: sqlite3.Connection | None = None

    # -------------------------------------------------------------- opening

    @classmethod
    def open(cls, directory: Path | str | None = None, passphrase: bytes | None = None) -> Self:
        """Take the state for serving or changing it; made when it isn't there, brought to the present schema.

        Raises StateInUse, StateInsecure, StateOfOtherSchema, StateCorrupt, keys.errors.PassphraseError, OSError.
        """
        path = Path(directory) if directory is not None else default_directory(os.geteuid())
        notices = _make_private_directory(path)
        state = cls(path.resolve(), _take_lock(path, fcntl.LOCK_EX), readonly=False)
        try:
            state.notices.extend(notices)
            state._set_up(passphrase)
        except BaseException:
            state.close()
            raise
        return state

    @classmethod
    def open_readonly(cls, directory: Path | str | None = None) -> Self:
        """Read the state while no server has it; nothing in it is changed, private keys stay sealed.

        Raises StateMissing, StateInUse (then ask the server), StateOfOtherSchema, StateCorrupt.
        """
        path = Path(directory) if directory is not None else default_directory(os.geteuid())
        if not (path / _DATABASE).is_file():
            raise StateMissing(path)
        state = cls(path.resolve(), _take_lock(path, fcntl.LOCK_SH), readonly=True)
        try:
            with state.reader() as tx:
                state._check_schema(tx, exactly=True)
        except BaseException:
            state.close()
            raise
        return state

    def _set_up(self, passphrase: bytes | None) -> None:
        for part in (self.images_directory, self.git_directory):
            self.notices.extend(_make_private_directory(part))
        self.notices.extend(_make_private_file(self.directory / _DATABASE))
        try:
            self._take_up(passphrase)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _NO_ROOM:
                raise
            self._look_only(passphrase, error)
        self._tidy_packs()

    def _take_up(self, passphrase: bytes | None) -> None:
        """Open the database for writing."""
        self._writer = self._connect()
        try:
            self._migrate(self._writer)
            had_plain_keys = self._open_vault(passphrase)
        except sqlite3.OperationalError:
            self._writer.close()
            self._writer = None
            raise
        if had_plain_keys:
            # The log still holds what was overwritten; the database file itself is wiped by secure_delete.
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _look_only(self, passphrase: bytes | None, error: sqlite3.OperationalError) -> None:
        """Open what a server that ended in order left on a disk that is full now. Raises StateError."""
        path = self.directory / _DATABASE
        log = path.with_name(_DATABASE + "-wal")
        # A log with something in it can't be left out, and needs no room that isn't there already.
        if not path.stat().st_size or (log.exists() and log.stat().st_size):
            raise StateError(f"{path}: {error}") from error
        with self.reader() as tx:
            self._check_schema(tx, exactly=True)
            self.vault = custody.open_vault(tx, passphrase)
        self.notices.append(f"{path}: {error}; what was served last is served, and nothing new before there is room")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = self._check_schema(connection, exactly=False)
        if version == len(MIGRATIONS):
            return  # a full disk takes no write, not even one that changes nothing
        with self.transaction() as tx:
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    tx.execute(statement)
            tx.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            tx.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _check_schema(self, connection: sqlite3.Connection, *, exactly: bool) -> int:
        path = self.directory / _DATABASE
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise StateCorrupt(path, str(error)) from error
        if verdict != "ok":
            raise StateCorrupt(path, verdict)
        if application not in (0, APPLICATION_ID) or (application == 0 and version):
            raise StateCorrupt(path, f"application id {application:#x} is not {APPLICATION_ID:#x}: not a state of ours")
        if version > len(MIGRATIONS) or (exactly and version != len(MIGRATIONS)):
            raise StateOfOtherSchema(path, version, len(MIGRATIONS))
        return int(version)

    def _open_vault(self, passphrase: bytes | None) -> bool:
        """Whether keys that were in plain are encrypted from now on."""
        with self.transaction() as tx:
            was_sealed = store.wrapping(tx) is not None
            self.vault = custody.open_vault(tx, passphrase)
            return not was_sealed and store.wrapping(tx) is not None

    @property
    def _is_looked_at_only(self) -> bool:
        """Whether the disk was full when it was opened, and still was at the last try."""
        return self._writer is None and not self._readonly

    def _connect_to_look(self) -> sqlite3.Connection:
        """A connection that needs no room: we have the lock, and there is no log, so nothing can change below it."""
        place = (self.directory / _DATABASE).as_uri() + "?immutable=1"
        return sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.directory / _DATABASE,
            timeout=_BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            if self._readonly:
                connection.execute("PRAGMA query_only = ON")
            else:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StateCorrupt(self.directory / _DATABASE, str(error)) from error
        return connection

    def close(self) -> None:
        """Close the database and give the lock back. Safe to call twice; nothing may be running in it."""
        if self._closed:
            return
        self._closed = True
        with self._readers_lock:
            connections, self._readers = self._readers, []
        if self._writer is not None:
            connections.append(self._writer)
        for connection in connections:
            connection.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------- places

    @property
    def images_directory(self) -> Path:
        """Where the packs are."""
        return self.directory / "images"

    @property
    def git_directory(self) -> Path:
        """Where the bare caches of repositories are."""
        return self.directory / "git"

    @property
    def control_path(self) -> Path:
        """Where the running server's control socket is."""
        return self.directory / "control.sock"

    # -------------------------------------------------------------- the database

    @contextmanager
    def transaction(self, now: int | None = None) -> Iterator[sqlite3.Connection]:
        """The one writing transaction: committed and on the disk when the block ends, undone when it raises.

        With `now`, it counts as an event at that time. One thread at a time, the others wait; not to be nested.
        """
        if self._readonly:
            raise StateError(f"{self.directory}: opened for reading only")
        if self._writer_thread == threading.get_ident():
            raise StateError(f"{self.directory}: a transaction within a transaction")
        with self._writing:
            self._writer_thread = threading.get_ident()
            try:
                if self._writer is None:
                    self._writer = self._connect()
                yield from _committed(self._writer, now)
            finally:
                self._writer_thread = None

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A consistent snapshot for reading; writers go on meanwhile."""
        if self._is_looked_at_only:
            with closing(self._connect_to_look()) as looking:
                yield looking
            return
        with self._readers_lock:
            connection = self._readers.pop() if self._readers else None
        connection = connection or self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._readers_lock:
            if not self._closed:
                self._readers.append(connection)
                return
        connection.close()

    def last_event(self) -> int | None:
        """The latest point in time anything here remembers; a clock before it is wrong now, or was wrong then."""
        with self.reader() as tx:
            (at,) = tx.execute("SELECT last_event FROM state").fetchone()
            events = [event for event in (at, store.last_event(tx)) if event is not None]
        return max(events, default=None)

    def ahead_of(self, now: int) -> int:
        """How many seconds of what is remembered are still to come by this clock; 0 once that was disclaimed."""
        last = self.last_event()
        if last is None or last <= now:
            return 0
        with self.reader() as tx:
            (disclaimed,) = tx.execute("SELECT disclaimed FROM state").fetchone()
        return 0 if disclaimed is not None and last <= disclaimed else last - now

    def disclaim(self) -> None:
        """What is remembered of times to come was written by a wrong clock: `ahead_of` counts it no more."""
        last = self.last_event()
        with self.transaction() as tx:
            tx.execute("UPDATE state SET disclaimed = ?", (last,))

    def wipe_log(self) -> None:
        """Empty the database's log, which still has what was overwritten; secure_delete wipes the file itself."""
        with self._writing:
            if self._writer is not None:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # -------------------------------------------------------------- packs

    def write_pack(self, images: Sequence[bytes]) -> list[PackRef]:
        """Write octet strings into one new file and see it on the disk; only then may a transaction name its refs.

        Call `release_pack` when that transaction is done, well or not.
        """
        with self._pack_lock:
            file = f"{self._next_pack:08d}.pack"
            self._next_pack += 1
            self._pending_packs.add(file)
        path = self.images_directory / file
        try:
            _write_durably(path, [_PACK_MAGIC, *images])
        except OSError:
            # A full disk must not keep what can't be used.
            with suppress(OSError):
                path.unlink()
            raise
        return _refs(file, images)

    def release_pack(self, refs: Iterable[PackRef]) -> None:
        """The transaction that was to name these is over: the packs live on only while something names them."""
        with self._pack_lock:
            self._pending_packs.difference_update(ref.pack for ref in refs)

    def read_pack(self, ref: Place) -> bytes:
        """The octets of one image. Raises StateCorrupt when the file ends before they do, OSError."""
        path = self.images_directory / _plain_name(ref.pack)
        with path.open("rb") as file:
            file.seek(ref.offset)
            octets = file.read(ref.length)
        if len(octets) != ref.length:
            raise StateCorrupt(path, f"{len(octets)} octets at {ref.offset} where {ref.length} should be")
        return octets

    def drop_unreferenced(self, named: AbstractSet[str]) -> list[str]:
        """Delete the packs that are not `named` (by the database: `named_packs`); the names of those deleted.

        They are read before this is called: packs still being committed are left alone.
        """
        with self._pack_lock:
            kept = named | self._pending_packs
            dropped = [path for path in self._packs() if path.name not in kept]
            for path in dropped:
                path.unlink(missing_ok=True)
        return sorted(path.name for path in dropped)

    def _packs(self) -> list[Path]:
        return [path for path in self.images_directory.iterdir() if path.suffix == ".pack"]

    def _tidy_packs(self) -> None:
        """Packs that were never committed go; numbers go on after all that are there or named."""
        with self.reader() as tx:
            named = named_packs(tx)
        stems = [path.stem for path in self._packs()] + [pack.removesuffix(".pack") for pack in named]
        self._next_pack = max((int(stem) for stem in stems if stem.isdecimal()), default=0) + 1
        self.drop_unreferenced(named)


# ------------------------------------------------------------------ files


def _committed(connection: sqlite3.Connection, now: int | None) -> Iterator[sqlite3.Connection]:
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        if now is not None:
            connection.execute("UPDATE state SET last_event = max(coalesce(last_event, ?1), ?1)", (now,))
        connection.execute("COMMIT")
    except BaseException:
        # After a failed COMMIT (disk full) SQLite may have rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make_private_directory(path: Path) -> list[str]:
    """Make it 0700, or tighten what is there; what was tightened. Raises StateInsecure if it is somebody else's."""
    try:
        path.mkdir(mode=_PRIVATE_DIRECTORY, parents=True)
    except FileExistsError:
        if not path.is_dir():
            raise StateError(f"{path}: not a directory") from None
        return _tighten(path, _PRIVATE_DIRECTORY)
    # mkdir's mode goes through the umask, which may be stricter than the owner needs.
    path.chmod(_PRIVATE_DIRECTORY)
    return []


def _make_private_file(path: Path) -> list[str]:
    """SQLite gives its other files the permissions of this one, so it exists before SQLite sees it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _PRIVATE_FILE))
    except FileExistsError:
        return [note for file in sorted(path.parent.glob(path.name + "*")) for note in _tighten(file, _PRIVATE_FILE)]
    return []


def _tighten(path: Path, mode: int) -> list[str]:
    facts = path.stat()
    if facts.st_uid != os.geteuid():
        raise StateInsecure(path, f"belongs to user {facts.st_uid}, not to {os.geteuid()}")
    loose = stat.S_IMODE(facts.st_mode)
    if not loose & ~mode:
        return []
    path.chmod(mode)
    return [f"{path}: permissions were {loose:04o}, made {mode:04o}"]


def _take_lock(directory: Path, kind: int) -> int:
    """The open lock file; the lock is held as long as it is open, and is gone with the process whatever ends it."""
    path = directory / "lock"
    flags = os.O_RDWR | os.O_CREAT if kind == fcntl.LOCK_EX else os.O_RDONLY
    try:
        lock = os.open(path, flags | os.O_CLOEXEC, _PRIVATE_FILE)
    except FileNotFoundError:
        raise StateMissing(directory) from None
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise StateInUse(directory, holder) from None
    if kind == fcntl.LOCK_EX:
        with suppress(OSError):  # the number is for people, and a full disk has no room for it
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _write_durably(path: Path, parts: Sequence[bytes]) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _PRIVATE_FILE)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor)
        file.writelines(parts)
        file.flush()
        os.fsync(descriptor)
    # The name has to be on the disk too.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _refs(file: str, images: Sequence[bytes]) -> list[PackRef]:
    refs = []
    offset = len(_PACK_MAGIC)
    for image in images:
        refs.append(PackRef(file, offset, len(image)))
        offset += len(image)
    return refs


def _plain_name(file: str) -> str:
    if not file.endswith(".pack") or "/" in file:
        raise StateError(f"{file!r} is not the name of a pack")
    return file
