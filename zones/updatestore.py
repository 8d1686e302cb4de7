"""What UPDATE has of zones, in the state's database: a content as it was once, and each change since.

Of a zone that is all UPDATE's the content is a master file, which any version of this program can read; of an overlay
it is a record run. A change is two record runs, what is gone and what is new. When the changes have grown to a part of
the content, the content is written anew and they go. Functions take the transaction they work in; none commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from zones.history import Transaction

Kind: TypeAlias = Literal["zone", "overlay"]

SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE update_content (
        zone_id INTEGER NOT NULL REFERENCES zone ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('zone', 'overlay')),
        content BLOB NOT NULL,
        written_at INTEGER NOT NULL,
        octets_since INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (zone_id, kind)
    ) STRICT""",
    """CREATE TABLE update_change (
        change_id INTEGER PRIMARY KEY AUTOINCREMENT,
        zone_id INTEGER NOT NULL REFERENCES zone ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('zone', 'overlay')),
        gone BLOB NOT NULL,
        new BLOB NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX update_change_of_zone ON update_change (zone_id, kind, change_id)",
)

LEAST_KEPT: Final = 1 << 16
"""Octets of changes that are kept beside a content of any size."""

_OF_ZONE: Final = "zone_id = (SELECT zone_id FROM zone WHERE origin = ? AND view = ?) AND kind = ?"


@dataclass(frozen=True, slots=True)
class Stored:
    """A content, None where none was ever written, and the changes since, oldest first, as (gone, new)."""

    content: bytes | None
    changes: tuple[tuple[bytes, bytes], ...]


def has(tx: Transaction, origin: bytes, view: str, kind: Kind) -> bool:
    """Whether a content was written."""
    return tx.execute(f"SELECT 1 FROM update_content WHERE {_OF_ZONE}", (origin, view, kind)).fetchone() is not None  # noqa: S608


def load(tx: Transaction, origin: bytes, view: str, kind: Kind) -> Stored:
    """What there is of a zone."""
    row = tx.execute(f"SELECT content FROM update_content WHERE {_OF_ZONE}", (origin, view, kind)).fetchone()  # noqa: S608
    changes = tx.execute(
        f"SELECT gone, new FROM update_change WHERE {_OF_ZONE} ORDER BY change_id",  # noqa: S608
        (origin, view, kind),
    ).fetchall()
    return Stored(None if row is None else bytes(row[0]), tuple((bytes(gone), bytes(new)) for gone, new in changes))


def write(tx: Transaction, origin: bytes, view: str, kind: Kind, content: bytes, now: int) -> None:
    """Write the content whole, in the place of all there was; the zone was noted by `history.see` before."""
    tx.execute(f"DELETE FROM update_change WHERE {_OF_ZONE}", (origin, view, kind))  # noqa: S608
    tx.execute(
        "INSERT OR REPLACE INTO update_content (zone_id, kind, content, written_at) "
        "SELECT zone_id, ?, ?, ? FROM zone WHERE origin = ? AND view = ?",
        (kind, content, now, origin, view),
    )


def append(tx: Transaction, origin: bytes, view: str, kind: Kind, gone: bytes, new: bytes, now: int) -> bool:
    """Add a change to a content that was written; whether there are so many by now that it is to be written anew."""
    tx.execute(
        "INSERT INTO update_change (zone_id, kind, gone, new, changed_at) "
        "SELECT zone_id, ?, ?, ?, ? FROM zone WHERE origin = ? AND view = ?",
        (kind, gone, new, now, origin, view),
    )
    since, length = tx.execute(
        f"UPDATE update_content SET octets_since = octets_since + ? WHERE {_OF_ZONE} "  # noqa: S608
        "RETURNING octets_since, length(content)",
        (len(gone) + len(new), origin, view, kind),
    ).fetchone()
    return bool(since > max(LEAST_KEPT, length // 4))
