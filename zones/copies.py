"""What the state remembers of secondary zones: when each copy was confirmed last, by whom, and when it expires.

Functions take the transaction they work in; none commits. A zone that is forgotten takes its row along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zones.history import Transaction

SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE secondary (
        zone_id INTEGER PRIMARY KEY REFERENCES zone ON DELETE CASCADE,
        confirmed_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        primary_server TEXT NOT NULL
    ) STRICT""",
)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The last time a primary said that a copy is current, or gave it; Unix seconds."""

    confirmed_at: int
    expires_at: int
    primary: str


_RECORD: Final = (
    "INSERT INTO secondary (zone_id, confirmed_at, expires_at, primary_server) "
    "SELECT zone_id, ?, ?, ? FROM zone WHERE origin = ? AND view = ? "
    "ON CONFLICT (zone_id) DO UPDATE SET confirmed_at = excluded.confirmed_at, expires_at = excluded.expires_at, "
    "primary_server = excluded.primary_server"
)
_LOAD: Final = (
    "SELECT confirmed_at, expires_at, primary_server FROM secondary NATURAL JOIN zone WHERE origin = ? AND view = ?"
)


def record(tx: Transaction, origin: bytes, view: str, one: Confirmation) -> None:
    """Note the last confirmation of a zone that the state knows."""
    tx.execute(_RECORD, (one.confirmed_at, one.expires_at, one.primary, origin, view))


def load(tx: Transaction, origin: bytes, view: str) -> Confirmation | None:
    """The last confirmation of a zone, None when it was never a secondary's."""
    row = tx.execute(_LOAD, (origin, view)).fetchone()
    return None if row is None else Confirmation(*row)
