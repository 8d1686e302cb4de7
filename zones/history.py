"""What was served, remembered in the state's database: zones, serials, TTLs, images, commits, and the audit log.

Everything is keyed by origin and view (`""` is the default view). Functions take the transaction they work in and,
where they note a time, `now`; none commits. The origin is a wire name in lower case.

Invariants: a serial stands for one content, so that the last published serial and its content digest are written
before the version is published; a TTL that was ever served is known until nothing can have it cached any more, which
is what the timing of rollovers rests on. A zone that is removed is kept for `RETENTION`, with all of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from zones.serial import published_serial
from zones.source import Provenance

RETENTION: Final = 90 * 86400
"""Seconds for which a removed zone's state is kept."""

KEPT_PER_ZONE: Final = 1000
"""How many published versions of a zone are remembered."""

Kind: TypeAlias = Literal["content", "signatures"]


class Rows(Protocol):
    """The result of a statement, as sqlite3's cursor has it."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Transaction(Protocol):
    """What is needed of a database connection inside a transaction."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Rows: ...


SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE zone (
        zone_id INTEGER PRIMARY KEY,
        origin BLOB NOT NULL,
        view TEXT NOT NULL DEFAULT '',
        first_seen INTEGER NOT NULL,
        removed_at INTEGER,
        UNIQUE (origin, view)
    ) STRICT""",
    """CREATE TABLE published (
        published_id INTEGER PRIMARY KEY AUTOINCREMENT,
        zone_id INTEGER NOT NULL REFERENCES zone ON DELETE CASCADE,
        serial INTEGER NOT NULL,
        source_serial INTEGER NOT NULL,
        content_digest BLOB NOT NULL,
        identity TEXT NOT NULL,
        published_at INTEGER NOT NULL,
        sealed_at INTEGER,
        source TEXT,
        commit_id TEXT,
        blob_id TEXT,
        file TEXT
    ) STRICT""",
    "CREATE INDEX published_of_zone ON published (zone_id, published_id)",
    """CREATE TABLE ttl_served (
        zone_id INTEGER NOT NULL REFERENCES zone ON DELETE CASCADE,
        kind TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        last_served_at INTEGER,
        PRIMARY KEY (zone_id, kind, ttl)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE image (
        zone_id INTEGER NOT NULL REFERENCES zone ON DELETE CASCADE,
        serial INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('content', 'signatures')),
        pack TEXT NOT NULL,
        "offset" INTEGER NOT NULL,
        length INTEGER NOT NULL,
        written_at INTEGER NOT NULL,
        PRIMARY KEY (zone_id, serial, kind)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE source (
        source TEXT PRIMARY KEY,
        commit_id TEXT NOT NULL,
        served_since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE audit (
        audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        origin BLOB,
        view TEXT,
        actor TEXT NOT NULL,
        event TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX audit_of_zone ON audit (origin, view, at)",
)
"""The tables, to be made in this order in an empty database."""


# Zones.


@dataclass(frozen=True, slots=True)
class KnownZone:
    """A zone that was ever seen; `removed_at` is None while it is configured."""

    origin: bytes
    view: str
    first_seen: int
    removed_at: int | None


def see(tx: Transaction, origin: bytes, view: str, now: int) -> int:
    """Note that a zone is there, for the first time or again; its number in this database."""
    tx.execute(
        "INSERT INTO zone (origin, view, first_seen) VALUES (?, ?, ?) "
        "ON CONFLICT (origin, view) DO UPDATE SET removed_at = NULL WHERE removed_at IS NOT NULL",
        (origin, view, now),
    )
    return _zone_id(tx, origin, view)


def zones(tx: Transaction) -> list[KnownZone]:
    """All zones of the state, removed ones too."""
    rows = tx.execute("SELECT origin, view, first_seen, removed_at FROM zone ORDER BY origin, view").fetchall()
    return [KnownZone(*row) for row in rows]


def mark_removed(tx: Transaction, origin: bytes, view: str, now: int) -> None:
    """Note that a zone is no longer configured; the time of the first note counts."""
    tx.execute(
        "UPDATE zone SET removed_at = ? WHERE origin = ? AND view = ? AND removed_at IS NULL", (now, origin, view)
    )


def expired(tx: Transaction, now: int, retention: int = RETENTION) -> list[tuple[bytes, str]]:
    """(origin, view) of zones that were removed long enough ago to be forgotten."""
    rows = tx.execute("SELECT origin, view FROM zone WHERE removed_at + ? <= ?", (retention, now)).fetchall()
    return [(origin, view) for origin, view in rows]


def forget(tx: Transaction, origin: bytes, view: str) -> None:
    """Forget everything about a zone, but not its lines in the audit log."""
    zone_id = find(tx, origin, view)
    for table in ("published", "ttl_served", "image", "zone"):
        tx.execute(f"DELETE FROM {table} WHERE zone_id = ?", (zone_id,))  # noqa: S608 - the four names above


# Serials.


@dataclass(frozen=True, slots=True)
class Published:
    """One version as it was published; `sealed_at` is None while it may still be open."""

    serial: int
    source_serial: int
    content_digest: bytes
    identity: str
    published_at: int
    sealed_at: int | None
    provenance: Provenance | None


_PUBLISHED: Final = (
    "SELECT serial, source_serial, content_digest, identity, published_at, sealed_at, source, commit_id, blob_id, file "
    "FROM published NATURAL JOIN zone WHERE origin = ? AND view = ?"
)


def last_published(tx: Transaction, origin: bytes, view: str) -> Published | None:
    """The version that was published last."""
    row = tx.execute(_PUBLISHED + " ORDER BY published_id DESC LIMIT 1", (origin, view)).fetchone()
    return None if row is None else _published(row)


def published(tx: Transaction, origin: bytes, view: str, limit: int = 100) -> list[Published]:
    """The versions that were published, newest first."""
    rows = tx.execute(_PUBLISHED + " ORDER BY published_id DESC LIMIT ?", (origin, view, limit)).fetchall()
    return [_published(row) for row in rows]


def next_serial(tx: Transaction, origin: bytes, view: str, source_serial: int, content_digest: bytes) -> int:
    """The serial to publish content with; the last one again if it is the last content with no later source serial."""
    last = last_published(tx, origin, view)
    if last is None:
        return source_serial
    return published_serial(source_serial, last.serial, changed=content_digest != last.content_digest)


def record_published(
    tx: Transaction,
    origin: bytes,
    view: str,
    *,
    serial: int,
    source_serial: int,
    content_digest: bytes,
    identity: str,
    provenance: Provenance | None,
    now: int,
) -> None:
    """Note a version before it is published.

    The same serial once more (a restart, a file renamed, a commit that says the same) keeps its first time and its
    seal and takes the new identity and provenance. With another digest it raises ValueError: that is never to happen.
    """
    zone_id = see(tx, origin, view, now)
    origins = _columns(provenance)
    last = last_published(tx, origin, view)
    if last is not None and last.serial == serial:
        if last.content_digest != content_digest:
            raise ValueError(f"serial {serial} was published with another content")
        tx.execute(
            "UPDATE published SET identity = ?, source = ?, commit_id = ?, blob_id = ?, file = ? "
            "WHERE published_id = (SELECT max(published_id) FROM published WHERE zone_id = ?)",
            (identity, *origins, zone_id),
        )
        return
    record_same_serial(
        tx,
        origin,
        view,
        serial=serial,
        source_serial=source_serial,
        content_digest=content_digest,
        identity=identity,
        provenance=provenance,
        now=now,
    )


def record_same_serial(
    tx: Transaction,
    origin: bytes,
    view: str,
    *,
    serial: int,
    source_serial: int,
    content_digest: bytes,
    identity: str,
    provenance: Provenance | None,
    now: int,
) -> None:
    """Note a version though its serial may stand for another content, too; it is not to be sealed then."""
    zone_id = see(tx, origin, view, now)
    origins = _columns(provenance)
    tx.execute(
        "INSERT INTO published (zone_id, serial, source_serial, content_digest, identity, published_at, "
        "source, commit_id, blob_id, file) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (zone_id, serial, source_serial, content_digest, identity, now, *origins),
    )
    tx.execute(
        "DELETE FROM published WHERE zone_id = ?1 AND published_id <= "
        "(SELECT published_id FROM published WHERE zone_id = ?1 ORDER BY published_id DESC LIMIT 1 OFFSET ?2)",
        (zone_id, KEPT_PER_ZONE),
    )


def had_other_content(tx: Transaction, origin: bytes, view: str, serial: int, content_digest: bytes) -> bool:
    """Whether this serial was published with another content, as far back as versions are known."""
    row = tx.execute(
        "SELECT 1 FROM published NATURAL JOIN zone "
        "WHERE origin = ? AND view = ? AND serial = ? AND content_digest <> ? LIMIT 1",
        (origin, view, serial, content_digest),
    ).fetchone()
    return row is not None


def record_sealed(tx: Transaction, origin: bytes, view: str, serial: int, now: int) -> None:
    """Note that the version of a serial is sealed; the time of the first note counts."""
    tx.execute(
        "UPDATE published SET sealed_at = ?1 WHERE sealed_at IS NULL AND published_id = "
        "(SELECT max(published_id) FROM published WHERE zone_id = ?2 AND serial = ?3)",
        (now, _zone_id(tx, origin, view), serial),
    )


def last_sealed(tx: Transaction, origin: bytes, view: str) -> Published | None:
    """The version that was sealed last, which is what transfers may show."""
    row = tx.execute(
        _PUBLISHED + " AND sealed_at IS NOT NULL ORDER BY published_id DESC LIMIT 1", (origin, view)
    ).fetchone()
    return None if row is None else _published(row)


# TTLs.


def record_ttls(tx: Transaction, origin: bytes, view: str, ttls: Mapping[str, int], now: int) -> None:
    """Note the TTLs that are served from now on, by kind; the other TTLs of these kinds were served until now."""
    zone_id = _zone_id(tx, origin, view)
    for kind, ttl in ttls.items():
        tx.execute(
            "UPDATE ttl_served SET last_served_at = ? "
            "WHERE zone_id = ? AND kind = ? AND ttl <> ? AND last_served_at IS NULL",
            (now, zone_id, kind, ttl),
        )
        tx.execute(
            "INSERT INTO ttl_served (zone_id, kind, ttl, last_served_at) VALUES (?, ?, ?, NULL) "
            "ON CONFLICT (zone_id, kind, ttl) DO UPDATE SET last_served_at = NULL",
            (zone_id, kind, ttl),
        )


def largest_ttls(tx: Transaction, origin: bytes, view: str, now: int) -> dict[str, int]:
    """By kind, the largest TTL that is served or may still be cached by someone."""
    rows = tx.execute(
        "SELECT kind, max(ttl) FROM ttl_served NATURAL JOIN zone WHERE origin = ? AND view = ? "
        "AND (last_served_at IS NULL OR last_served_at + ttl >= ?) GROUP BY kind",
        (origin, view, now),
    ).fetchall()
    return dict(rows)


# Images.


@dataclass(frozen=True, slots=True)
class Image:
    """Where the octets of a version, or of its signatures, lie in the packs of the state directory."""

    origin: bytes
    view: str
    serial: int
    kind: Kind
    pack: str
    offset: int
    length: int


def record_image(tx: Transaction, image: Image, now: int) -> None:
    """Name an image that was written and synced before; it replaces one of the same serial and kind."""
    tx.execute(
        'INSERT OR REPLACE INTO image (zone_id, serial, kind, pack, "offset", length, written_at) '
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            _zone_id(tx, image.origin, image.view),
            image.serial,
            image.kind,
            image.pack,
            image.offset,
            image.length,
            now,
        ),
    )


def images_of(tx: Transaction) -> list[Image]:
    """All images that are named; what no image names in the packs may go."""
    rows = tx.execute(
        'SELECT origin, view, serial, kind, pack, "offset", length FROM image NATURAL JOIN zone '
        "ORDER BY origin, view, serial, kind"
    ).fetchall()
    return [Image(*row) for row in rows]


def last_images(tx: Transaction) -> list[Image]:
    """The images of each configured zone's last published version, for the start."""
    rows = tx.execute(
        'SELECT origin, view, serial, kind, pack, "offset", length FROM image NATURAL JOIN zone '
        "WHERE removed_at IS NULL AND serial = (SELECT p.serial FROM published p WHERE p.zone_id = image.zone_id "
        "ORDER BY p.published_id DESC LIMIT 1) ORDER BY origin, view, kind"
    ).fetchall()
    return [Image(*row) for row in rows]


def images_of_version(tx: Transaction, origin: bytes, view: str, serial: int) -> dict[Kind, Image]:
    """The images of a zone's version of this serial, by kind."""
    return {image.kind: image for image in _images(tx, origin, view) if image.serial == serial}


def drop_superseded_images(tx: Transaction, origin: bytes, view: str) -> None:
    """Forget a zone's images, except those of the version published last and of the one sealed last."""
    zone_id = _zone_id(tx, origin, view)
    keep = [one.serial for one in (last_published(tx, origin, view), last_sealed(tx, origin, view)) if one]
    for serial in {image.serial for image in _images(tx, origin, view)} - set(keep):
        tx.execute("DELETE FROM image WHERE zone_id = ? AND serial = ?", (zone_id, serial))


def _images(tx: Transaction, origin: bytes, view: str) -> list[Image]:
    rows = tx.execute(
        'SELECT origin, view, serial, kind, pack, "offset", length FROM image NATURAL JOIN zone '
        "WHERE origin = ? AND view = ?",
        (origin, view),
    ).fetchall()
    return [Image(*row) for row in rows]


# Commits.


def served_commit(tx: Transaction, source: str) -> str | None:
    """The commit of a git source that was taken last; what comes next has to descend from it."""
    row = tx.execute("SELECT commit_id FROM source WHERE source = ?", (source,)).fetchone()
    return None if row is None else str(row[0])


def record_commit(tx: Transaction, source: str, commit: str, now: int) -> None:
    """Note the commit of a git source that is taken now."""
    tx.execute(
        "INSERT INTO source (source, commit_id, served_since) VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE SET "
        "commit_id = excluded.commit_id, served_since = excluded.served_since WHERE commit_id <> excluded.commit_id",
        (source, commit, now),
    )


# The audit log.


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One deed: when, to which zone if any, by whom, what, and its facts as text."""

    at: int
    origin: bytes | None
    view: str | None
    actor: str
    event: str
    detail: str


def record_audit(tx: Transaction, line: AuditLine) -> None:
    """Add a line; there is no way to change or remove one."""
    tx.execute(
        "INSERT INTO audit (at, origin, view, actor, event, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (line.at, line.origin, line.view, line.actor, line.event, line.detail),
    )


def audit_log(tx: Transaction, origin: bytes | None = None, limit: int = 100) -> list[AuditLine]:
    """The newest lines first, of one origin if it is given."""
    rows = tx.execute(
        "SELECT at, origin, view, actor, event, detail FROM audit WHERE ?1 IS NULL OR origin = ?1 "
        "ORDER BY audit_id DESC LIMIT ?2",
        (origin, limit),
    ).fetchall()
    return [AuditLine(*row) for row in rows]


def find(tx: Transaction, origin: bytes, view: str) -> int | None:
    """A zone's number in this database; None of one that was never noted."""
    row = tx.execute("SELECT zone_id FROM zone WHERE origin = ? AND view = ?", (origin, view)).fetchone()
    return None if row is None else int(row[0])


def _zone_id(tx: Transaction, origin: bytes, view: str) -> int:
    zone_id = find(tx, origin, view)
    if zone_id is None:
        raise LookupError(f"the zone {origin!r} of view {view!r} was not noted by `see` before")
    return zone_id


def _columns(provenance: Provenance | None) -> tuple[str | None, ...]:
    if provenance is None:
        return (None, None, None, None)
    return (provenance.source, provenance.commit, provenance.blob, provenance.file)


def _published(row: Sequence[Any]) -> Published:
    provenance = None if row[6] is None else Provenance(*row[6:10])
    return Published(row[0], row[1], bytes(row[2]), row[3], row[4], row[5], provenance)
