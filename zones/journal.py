"""The journal: how each sealed version of a zone came of the one before, in the state's database.

An *entry* is one change: the serial before, the serial after, and two record runs, what was deleted and what was added,
each beginning with the SOA of its version; signatures and proofs of absence are in it, as transfers have them. The
entries of a zone are a *chain*: each begins with the serial that the one before ends with, the newest ends with the
version that was sealed last. `record` is called in the transaction that notes the seal, so that there is never one
without the other. Small runs lie in the row, large ones in a pack of their own, which goes when its entry does.

Functions take the transaction they work in; none commits. A zone is its origin in lower case and its view.

Limits: `Limits`. A chain is also cut where serial arithmetic (RFC 1982) does not lead from its beginning to its end,
since one serial in it could stand for two versions.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final

from zones.history import Transaction, find
from zones.serial import is_after

SCHEMA: Final[tuple[str, ...]] = (
    # The octets are the last column, so that whoever counts does not read them.
    """CREATE TABLE journal (
        entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
        zone_id INTEGER NOT NULL REFERENCES zone ON DELETE CASCADE,
        serial_before INTEGER NOT NULL,
        serial_after INTEGER NOT NULL,
        sealed_at INTEGER NOT NULL,
        deleted_records INTEGER NOT NULL,
        added_records INTEGER NOT NULL,
        deleted_octets INTEGER NOT NULL,
        added_octets INTEGER NOT NULL,
        pack TEXT,
        "offset" INTEGER,
        octets BLOB,
        CHECK ((pack IS NULL) = ("offset" IS NULL) AND (pack IS NULL) = (octets IS NOT NULL))
    ) STRICT""",
    "CREATE INDEX journal_of_zone ON journal (zone_id, entry_id)",
)

IN_ROW: Final = 64 * 1024
"""Octets of an entry that lie in the row at most."""
AGE: Final = 30 * 86400
"""Seconds that an entry is kept: longer than secondaries serve what they can't refresh."""
ENTRIES: Final = 1000
"""Entries of a chain."""
SMALL: Final = 128 * 1024
"""Octets that the chain of a small zone may have."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a chain is kept: octets of its runs, seconds since an entry was made, entries."""

    octets: int
    age: int = AGE
    entries: int = ENTRIES

    @classmethod
    def of(cls, zone_octets: int) -> Limits:
        """For a zone whose records have so many octets: twice as many, as in BIND, and some more for small ones."""
        return cls(max(SMALL, 2 * zone_octets))


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of a chain; its octets, deletions first, are in the row, or where `pack` and `offset` say.

    `octets` is also None of an entry that was read without them.
    """

    before: int
    after: int
    sealed_at: int
    deleted_records: int
    added_records: int
    deleted_octets: int
    added_octets: int
    pack: str | None = None
    offset: int | None = None
    octets: bytes | None = None

    @property
    def length(self) -> int:
        """Octets of both runs."""
        return self.deleted_octets + self.added_octets


@dataclass(frozen=True, slots=True)
class Totals:
    """How much of a zone's history there is: entries, octets of their runs, the first serial that they lead from."""

    entries: int = 0
    octets: int = 0
    oldest: int | None = None


_FACTS: Final = (
    "SELECT serial_before, serial_after, sealed_at, deleted_records, added_records, deleted_octets, added_octets, "
    'pack, "offset" FROM journal WHERE zone_id = ? ORDER BY entry_id'
)
_SINCE: Final = (
    "SELECT serial_before, serial_after, sealed_at, deleted_records, added_records, deleted_octets, added_octets, "
    'pack, "offset", octets FROM journal WHERE zone_id = ?1 AND entry_id >= '
    "(SELECT max(entry_id) FROM journal WHERE zone_id = ?1 AND serial_before = ?2) ORDER BY entry_id"
)


def record(tx: Transaction, origin: bytes, view: str, entry: Entry) -> None:
    """Add an entry of a zone that was noted before; a chain that does not lead to its beginning is cut first."""
    zone_id = find(tx, origin, view)
    last = tx.execute(
        "SELECT serial_after FROM journal WHERE zone_id = ? ORDER BY entry_id DESC LIMIT 1", (zone_id,)
    ).fetchone()
    if last is not None and last[0] != entry.before:
        cut(tx, origin, view)
    tx.execute(
        "INSERT INTO journal (zone_id, serial_before, serial_after, sealed_at, deleted_records, added_records, "
        'deleted_octets, added_octets, pack, "offset", octets) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        (zone_id, *astuple(entry)),
    )


def cut(tx: Transaction, origin: bytes, view: str) -> None:
    """Forget a zone's chain: nothing leads to the version that is sealed last any more."""
    tx.execute("DELETE FROM journal WHERE zone_id = ?", (find(tx, origin, view),))


def trim(tx: Transaction, origin: bytes, view: str, limits: Limits, now: int) -> Totals:
    """Forget the older part of a chain, as far as it is over a limit or does not lead forward; what is left."""
    zone_id = find(tx, origin, view)
    rows = tx.execute(
        "SELECT entry_id, serial_before, serial_after, sealed_at, deleted_octets + added_octets "
        "FROM journal WHERE zone_id = ? ORDER BY entry_id DESC",
        (zone_id,),
    ).fetchall()
    kept = Totals()
    for entry_id, before, _, sealed_at, octets in rows:
        more = Totals(kept.entries + 1, kept.octets + octets, before)
        is_over = more.entries > limits.entries or more.octets > limits.octets or sealed_at + limits.age <= now
        if is_over or not is_after(rows[0][2], before):
            tx.execute("DELETE FROM journal WHERE zone_id = ? AND entry_id <= ?", (zone_id, entry_id))
            break
        kept = more
    return kept


def expire(tx: Transaction, now: int, age: int = AGE) -> None:
    """Forget what is too old, of all zones."""
    # Entries are made in the order of their numbers: the first one that is young enough ends the search.
    tx.execute(
        "DELETE FROM journal WHERE entry_id < coalesce("
        "(SELECT entry_id FROM journal WHERE sealed_at + ? > ? ORDER BY entry_id LIMIT 1), "
        "(SELECT max(entry_id) + 1 FROM journal))",
        (age, now),
    )


def changes(tx: Transaction, origin: bytes, view: str, since: int, upto: int) -> list[Entry]:
    """The entries that lead from one serial to another, with octets that are in the row; [] when none do."""
    rows = tx.execute(_SINCE, (find(tx, origin, view), since)).fetchall()
    ends = [number for number, row in enumerate(rows) if row[1] == upto]
    return [Entry(*row) for row in rows[: ends[0] + 1]] if ends else []


def entries(tx: Transaction, origin: bytes, view: str) -> list[Entry]:
    """The whole chain without octets, oldest first."""
    return [Entry(*row) for row in tx.execute(_FACTS, (find(tx, origin, view),)).fetchall()]


def totals(tx: Transaction, origin: bytes, view: str) -> Totals:
    """How much there is of a zone."""
    found = entries(tx, origin, view)
    return Totals(len(found), sum(entry.length for entry in found), found[0].before) if found else Totals()


def packs(tx: Transaction) -> set[str]:
    """All packs that entries lie in."""
    return {row[0] for row in tx.execute("SELECT DISTINCT pack FROM journal WHERE pack IS NOT NULL").fetchall()}
