"""Backups of keys and of all that rollovers rest on: taken while it runs, encrypted, restored without going back.

A backup holds, by zone, the rows of the tables in `PARTS`: keys with their private parts and states, their history, the
trash, TTLs served, the serials published last. Zone content is in its source, and is not in it;
nor is what UPDATE made, which `zone dump` writes.

Limits: the newest `SERIALS` versions of a zone; a backup is made and read in memory, some 2 KiB a zone.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from authserver.state import MIGRATIONS
from engine import name_to_text
from keys import custody, providerstore, store
from keys.errors import BackupError
from zones import history
from zones.serial import is_after

MAGIC: Final = b"ZWBACKUP1 "
SERIALS: Final = 10
LARGEST: Final = 1 << 30

OF_ZONE: Final = {
    "published": ("published_id", f"WHERE zone_id = ?1 ORDER BY published_id DESC LIMIT {SERIALS}"),
    "ttl_served": ("", "WHERE zone_id = ?1"),
}
"""Tables that belong to a zone by its number: the column that counts rows, and which rows."""
OF_KEY: Final = {"key_private": "", "key_states": "", "key_history": "number"}
REPLACED: Final = ("zone_policy", "key_files", *providerstore.TABLES, "key_planned", "key_response")
BY_NAME: Final = ("keys", "key_trash", *REPLACED)
SEALED: Final = ("key_private", "key_trash", "key_planned")
"""Tables with private parts, which a backup has open."""
PARTS: Final = frozenset({"zone", *OF_ZONE, *OF_KEY, *BY_NAME})
CONTENT: Final = ("secondary", "journal", "update_content", "update_change")
LEFT_OUT: Final = frozenset({"state", "key_wrapping", "image", "source", "audit", "sqlite_sequence", *CONTENT})
"""What is of this machine alone (where files lie, how keys are sealed, what was done by whom), and content."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ZoneBackup:
    """The rows of one zone by table."""

    origin: bytes
    view: str
    tables: Mapping[str, list[Row]] = field(repr=False)

    @property
    def name(self) -> str:
        """For people."""
        return name_to_text(self.origin) + (f" in view {self.view}" if self.view else "")

    def rows(self, table: str) -> list[Row]:
        """A table's rows; none where the backup is older than the table."""
        return self.tables.get(table, [])

    @property
    def facts(self) -> dict[str, list[Row]]:
        """What the future of the zone depends on: all but what happened to it, and since when it is known."""
        return {table: rows for table, rows in self.tables.items() if table not in {"key_history", "zone"}}

    @property
    def serial(self) -> int | None:
        """The serial published last."""
        rows = self.rows("published")
        return int(rows[-1]["serial"]) if rows else None


@dataclass(frozen=True, slots=True)
class Backup:
    """All that a backup holds; private parts are as the vault of no state seals them: open."""

    made_at: int
    schema: int
    last_event: int | None
    zones: tuple[ZoneBackup, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: zones taken over, how many were the same already, and what stood against it."""

    zones: tuple[tuple[bytes, str], ...]
    same: int
    differences: tuple[str, ...]


# ------------------------------------------------------------------ making


def take(tx: sqlite3.Connection, vault: custody.Vault, now: int, origin: bytes | None = None) -> Backup:
    """A snapshot out of one reading transaction, of all zones or of those of one name. Raises KeysError."""
    zones = [zone for zone in history.zones(tx) if origin is None or zone.origin == origin]
    (last_event,) = tx.execute("SELECT last_event FROM state").fetchone()
    taken = tuple(_zone(tx, vault, zone.origin, zone.view) for zone in zones)
    return Backup(now, len(MIGRATIONS), last_event, taken)


def _zone(tx: sqlite3.Connection, vault: custody.Vault, origin: bytes, view: str) -> ZoneBackup:
    tables: dict[str, list[Row]] = {}
    tables["zone"] = _rows(tx, "zone", "WHERE origin = ?1 AND view = ?2", (origin, view))
    number = tables["zone"][0].pop("zone_id")
    for table, (counter, where) in OF_ZONE.items():
        rows = _rows(tx, table, where, (number,))
        tables[table] = [_without(row, "zone_id", counter) for row in (reversed(rows) if counter else rows)]
    for table in BY_NAME:
        tables[table] = _rows(tx, table, "WHERE origin = ?1 AND view = ?2", (origin, view))
    ids = [row["id"] for row in tables["keys"]] + [row["key_id"] for row in tables["key_trash"]]
    for table, counter in OF_KEY.items():
        order = f" ORDER BY {counter}" if counter else ""
        rows = [row for key_id in ids for row in _rows(tx, table, f"WHERE key_id = ?1{order}", (key_id,))]
        tables[table] = [_without(row, counter) for row in rows]
    for table in SEALED:
        for row in tables[table]:
            row["octets"] = row["octets"] and vault.open(row["key_id"], row["octets"])
    return ZoneBackup(origin, view, tables)


def _rows(tx: sqlite3.Connection, table: str, where: str, parameters: Sequence[Any]) -> list[Row]:
    cursor = tx.execute(f"SELECT * FROM {table} {where}", parameters)  # noqa: S608 (the names above)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def to_octets(backup: Backup, passphrase: bytes) -> bytes:
    """The encrypted file."""
    facts = {
        "made_at": backup.made_at,
        "schema": backup.schema,
        "last_event": backup.last_event,
        "zones": [{"origin": zone.origin, "view": zone.view, "tables": zone.tables} for zone in backup.zones],
    }
    return custody.lock_file(MAGIC, zlib.compress(json.dumps(facts, default=_octets_to_json).encode()), passphrase)


def from_octets(octets: bytes, passphrase: bytes) -> Backup:
    """What an encrypted file holds. Raises BackupError, PassphraseError."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(custody.unlock_file(MAGIC, octets, passphrase), LARGEST)
        facts = json.loads(text, object_hook=_octets_from_json)
        zones = tuple(ZoneBackup(one["origin"], one["view"], one["tables"]) for one in facts["zones"])
        backup = Backup(facts["made_at"], facts["schema"], facts["last_event"], zones)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise BackupError(f"not a backup: {error}") from None
    if backup.schema > len(MIGRATIONS):
        raise BackupError(f"made by a newer version: schema {backup.schema}, this one knows {len(MIGRATIONS)}")
    return backup


def _octets_to_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"octets": b64encode(value).decode()}
    raise TypeError(f"{type(value)} is in no table")


def _octets_from_json(value: dict[str, Any]) -> Any:
    return b64decode(value["octets"]) if value.keys() == {"octets"} and isinstance(value["octets"], str) else value


def prove(backup: Backup) -> int:
    """How many keys the backup holds, each private part being its DNSKEY's. Raises PrivateKeyError, BackupError."""
    count = 0
    for zone in backup.zones:
        parts = {row["key_id"]: row["octets"] for row in zone.rows("key_private")}
        for row in zone.rows("keys"):
            if row["id"] not in parts:
                raise BackupError(f"{zone.name}: key {row['tag']} has no private part")
            custody.prove(row["id"], row["dnskey"], parts[row["id"]])
            count += 1
    return count


# ------------------------------------------------------------------ restoring


def restore(
    tx: sqlite3.Connection, vault: custody.Vault, backup: Backup, zones: Iterable[ZoneBackup], now: int, *, force: bool
) -> Restored:
    """Put zones of a backup in the place of what is there. Serials, TTLs and history only ever grow.

    Raises BackupError with each difference when that would go back behind what is known here, unless `force`; then keys
    that the backup does not have go to the trash.
    """
    wanted = list(zones)
    pairs = [(zone, present(tx, vault, zone)) for zone in wanted]
    differences = tuple(line for zone, here in pairs for line in behind(zone, here))
    if differences and not force:
        raise BackupError("the backup is behind what is known here; with --force it counts all the same", differences)
    changed = [(zone, here) for zone, here in pairs if here is None or zone.facts != here.facts]
    for zone, here in changed:
        _put(tx, vault, zone, here, backup, now)
    if backup.last_event is not None:
        tx.execute("UPDATE state SET last_event = max(coalesce(last_event, ?1), ?1)", (backup.last_event,))
    return Restored(tuple((zone.origin, zone.view) for zone, _ in changed), len(wanted) - len(changed), differences)


def present(tx: sqlite3.Connection, vault: custody.Vault, zone: ZoneBackup) -> ZoneBackup | None:
    """What is known here of a zone, as a backup would hold it."""
    found = tx.execute("SELECT 1 FROM zone WHERE origin = ? AND view = ?", (zone.origin, zone.view)).fetchone()
    return _zone(tx, vault, zone.origin, zone.view) if found else None


def behind(zone: ZoneBackup, here: ZoneBackup | None) -> list[str]:
    """What is known here of a zone and is newer than its backup, a line each."""
    if here is None:
        return []
    lines = []
    if zone.serial is None and here.serial is not None:
        lines.append(f"{zone.name}: serial {here.serial} was published here, none in the backup")
    elif zone.serial is not None and here.serial is not None and is_after(here.serial, zone.serial):
        lines.append(f"{zone.name}: serial {here.serial} was published here, {zone.serial} in the backup")
    theirs = {row["id"]: row for row in zone.rows("keys")}
    ours = {row["id"]: row for row in here.rows("keys")}
    gone = {row["key_id"]: row for row in here.rows("key_trash")}
    lines += [f"{zone.name}: key {row['tag']} is here, and not in the backup" for row in _only(ours, theirs)]
    lines += [
        f"{zone.name}: key {row['tag']} was deleted here at {_shown(gone[row['id']]['deleted_at'])}"
        for row in _only(theirs, ours)
        if row["id"] in gone
    ]
    foreign = {row["dnskey"]: row["provider"] for row in zone.rows("provider_key")}
    lines += [
        f"{zone.name}: a key of {row['provider']} is here, and not in the backup"
        for row in here.rows("provider_key")
        if row["dnskey"] not in foreign
    ]
    then = {(row["key_id"], row["kind"]): row for row in zone.rows("key_states")}
    for row in here.rows("key_states"):
        old = then.get((row["key_id"], row["kind"]))
        if old is not None and _moment(row) > _moment(old):
            tag, kind = ours[row["key_id"]]["tag"], row["kind"]
            lines.append(f"{zone.name}: key {tag}: {kind} is {row['state']} here, {old['state']} in the backup")
    return lines


def _only(these: Mapping[str, Row], those: Mapping[str, Row]) -> list[Row]:
    return [row for key_id, row in these.items() if key_id not in those]


def _moment(row: Row) -> tuple[int, int]:
    return row["since"], row.get("served_at") or 0


def _put(
    tx: sqlite3.Connection,
    vault: custody.Vault,
    zone: ZoneBackup,
    here: ZoneBackup | None,
    backup: Backup,
    now: int,
) -> None:
    number = history.see(tx, zone.origin, zone.view, now)
    kept = {row["id"] for row in zone.rows("keys")}
    for key in store.load(tx, zone.origin, zone.view):
        if key.id not in kept:
            store.delete(tx, key, f"not in the backup of {_shown(backup.made_at)}, which was restored", now)
    for key_id in kept:
        tx.execute("DELETE FROM keys WHERE id = ?", (key_id,))
        tx.execute("DELETE FROM key_trash WHERE key_id = ?", (key_id,))
    for table in REPLACED:
        tx.execute(f"DELETE FROM {table} WHERE origin = ? AND view = ?", (zone.origin, zone.view))  # noqa: S608 (above)
    sealed = {
        table: [
            {**row, "octets": row["octets"] and vault.seal(row["key_id"], row["octets"])} for row in zone.rows(table)
        ]
        for table in SEALED
    }
    plain = {table: zone.rows(table) for table in ("keys", "key_states", *REPLACED) if table not in SEALED}
    for table, rows in (plain | sealed).items():
        for row in rows:
            _insert(tx, table, row, "OR IGNORE" if table == "key_trash" else "")
    _put_history(tx, zone, backup, now)
    _put_serials(tx, number, zone, here)
    for row in zone.rows("ttl_served"):
        _put_ttl(tx, number, row)


def _put_history(tx: sqlite3.Connection, zone: ZoneBackup, backup: Backup, now: int) -> None:
    """History is only added to: that of keys which are known here goes on."""
    ids = [row["id"] for row in zone.rows("keys")]
    unknown = {key_id for key_id in ids if not store.history(tx, key_id)}
    for row in zone.rows("key_history"):
        if row["key_id"] in unknown:
            _insert(tx, "key_history", row)
    for key_id in ids:
        reason = f"from the backup of {_shown(backup.made_at)}"
        _insert(tx, "key_history", {"key_id": key_id, "at": now, "kind": "key", "state": "restored", "reason": reason})


def _put_serials(tx: sqlite3.Connection, number: int, zone: ZoneBackup, here: ZoneBackup | None) -> None:
    """The versions of both, the greatest serial last: no serial is ever given twice."""
    both = [*zone.rows("published")]
    for row in here.rows("published") if here is not None else ():
        if row not in both and (not both or is_after(row["serial"], both[-1]["serial"])):
            both.append(row)
    tx.execute("DELETE FROM published WHERE zone_id = ?", (number,))
    for row in both:
        _insert(tx, "published", {**row, "zone_id": number})


def _put_ttl(tx: sqlite3.Connection, number: int, row: Row) -> None:
    """A TTL was served until the later of both; NULL is: it still is."""
    tx.execute(
        "INSERT INTO ttl_served (zone_id, kind, ttl, last_served_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (zone_id, kind, ttl) DO UPDATE SET last_served_at = "
        "CASE WHEN last_served_at IS NULL OR excluded.last_served_at IS NULL THEN NULL "
        "ELSE max(last_served_at, excluded.last_served_at) END",
        (number, row["kind"], row["ttl"], row["last_served_at"]),
    )


def _insert(tx: sqlite3.Connection, table: str, row: Row, conflict: str = "") -> None:
    known = {column[1] for column in tx.execute(f"PRAGMA table_info({table})")}
    if not row.keys() <= known:
        raise BackupError(f"table {table} has no {', '.join(sorted(row.keys() - known))}")
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    tx.execute(f"INSERT {conflict} INTO {table} ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608 (checked)


def _shown(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
