"""Keys in the state's database: schema, load and save, in a transaction that is handed down.

Private parts go through as the sealed octets that `private.Vault` made; nothing here can read them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from keys.policy import DEFAULT, KeySpec, Policy, from_text, to_text
from keys.states import ON_ITS_WAY, Goal, Key, Provenance, RecordKind, RecordState, Sharing, Sighting, Standing

SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        algorithm INTEGER NOT NULL,
        is_ksk INTEGER NOT NULL,
        is_zsk INTEGER NOT NULL,
        dnskey BLOB NOT NULL,
        tag INTEGER NOT NULL,
        goal TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        active_at INTEGER,
        predecessor TEXT,
        successor TEXT,
        provenance TEXT NOT NULL,
        timing TEXT NOT NULL DEFAULT '{}',
        UNIQUE (origin, view, algorithm, tag)
    ) STRICT""",
    """CREATE TABLE key_private (
        key_id TEXT PRIMARY KEY REFERENCES keys (id) ON DELETE CASCADE,
        octets BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE key_states (
        key_id TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (key_id, kind)
    ) STRICT, WITHOUT ROWID""",
    # Without a foreign key: what happened stays known after the key itself is gone.
    """CREATE TABLE key_history (
        number INTEGER PRIMARY KEY,
        key_id TEXT NOT NULL,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX key_history_of ON key_history (key_id, number)",
    """CREATE TABLE key_wrapping (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        parameters TEXT NOT NULL
    ) STRICT""",
)

ROLLOVER_SCHEMA: Final[tuple[str, ...]] = (
    "ALTER TABLE keys ADD COLUMN retire_at INTEGER",
    "ALTER TABLE keys ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE keys ADD COLUMN store TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE keys ADD COLUMN is_request_open INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE keys ADD COLUMN seen_present INTEGER",
    "ALTER TABLE keys ADD COLUMN seen_since INTEGER",
    "ALTER TABLE keys ADD COLUMN seen_until INTEGER",
    "ALTER TABLE keys ADD COLUMN seen_ttl INTEGER",
    "ALTER TABLE key_states ADD COLUMN served_at INTEGER",
    "UPDATE key_states SET served_at = (SELECT active_at FROM keys WHERE id = key_id)",
    """CREATE TABLE zone_policy (
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        facts TEXT NOT NULL,
        PRIMARY KEY (origin, view)
    ) STRICT, WITHOUT ROWID""",
)
"""What the tables above get for rollovers."""

TRASH_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE key_trash (
        key_id TEXT PRIMARY KEY,
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        dnskey BLOB NOT NULL,
        tag INTEGER NOT NULL,
        octets BLOB NOT NULL,
        deleted_at INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)
"""What was deleted and may still be wanted: no key of any zone, until its time of grace is over."""

WORD_SCHEMA: Final[tuple[str, ...]] = (
    "ALTER TABLE keys ADD COLUMN seen_is_word INTEGER NOT NULL DEFAULT 0",
    # What no server can have shown: it was said to hold for ever.
    "UPDATE keys SET seen_is_word = 1 WHERE seen_until > 1 << 39",
    "UPDATE key_history SET at = at - (1 << 40) WHERE at > 1 << 39",
)
"""An operator's word about the parent is told from what was seen."""

SHARING_SCHEMA: Final[tuple[str, ...]] = (
    "ALTER TABLE keys ADD COLUMN shared_by TEXT",
    "ALTER TABLE keys ADD COLUMN shared_since INTEGER",
    """CREATE INDEX keys_shared ON keys (view, shared_by, algorithm, is_ksk, is_zsk, store, shared_since)
        WHERE shared_by IS NOT NULL""",
    "CREATE INDEX keys_of_dnskey ON keys (dnskey)",
)
"""Key pairs that several zones have: each has a row, states and a sealed private part of its own."""

OFFLINE_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE key_planned (
        key_id TEXT PRIMARY KEY,
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        dnskey BLOB NOT NULL,
        publish_at INTEGER NOT NULL,
        active_at INTEGER NOT NULL,
        retire_at INTEGER,
        octets BLOB
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE key_response (
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        since INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (origin, view, since)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX key_planned_of ON key_planned (origin, view)",
)
"""With an offline KSK: zone signing keys made ahead (without octets once they are keys), and what was signed ahead."""

_COLUMNS: Final = (
    "id, origin, view, algorithm, is_ksk, is_zsk, dnskey, tag, goal, created_at, active_at, predecessor, successor,"
    " provenance, retire_at, generation, store, is_request_open, seen_present, seen_since, seen_until, seen_ttl,"
    " seen_is_word, shared_by, shared_since"
)
_MARKS: Final = ", ".join("?" * len(_COLUMNS.split(",")))


class Transaction(Protocol):
    """What the state hands down: a sqlite3 connection within BEGIN … COMMIT, or anything shaped like it."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run one statement; its rows by iteration, `fetchone` and `fetchall`."""


def load(tx: Transaction, origin: bytes, view: str = "") -> list[Key]:
    """The keys of one zone, oldest first."""
    where = "WHERE origin = ? AND view = ? ORDER BY created_at, id"
    return _load(tx, where, (origin.lower(), view))


def load_all(tx: Transaction) -> dict[tuple[bytes, str], list[Key]]:
    """All keys by (origin, view), oldest first; two statements however many zones there are."""
    zones: dict[tuple[bytes, str], list[Key]] = {}
    for key in _load(tx, "ORDER BY origin, view, created_at, id", ()):
        zones.setdefault((key.origin, key.view), []).append(key)
    return zones


def load_key(tx: Transaction, key_id: str) -> Key | None:
    """One key by its id."""
    keys = _load(tx, "WHERE id = ?", (key_id,))
    return keys[0] if keys else None


def insert(tx: Transaction, key: Key, sealed: bytes, timing: Mapping[str, int] | None = None, reason: str = "") -> None:
    """Store a new key with its sealed private part; `timing` is what an imported key's files said of its life."""
    tx.execute(
        f"INSERT INTO keys ({_COLUMNS}, timing) VALUES ({_MARKS}, ?)",  # noqa: S608 (no outside text)
        (*_row(key), json.dumps(dict(timing or {}), sort_keys=True)),
    )
    tx.execute("INSERT INTO key_private (key_id, octets) VALUES (?, ?)", (key.id, sealed))
    _save_states(tx, key, key.states, reason or f"{key.provenance}", key.created_at)


def update(tx: Transaction, key: Key, what: str, value: str, reason: str, now: int) -> None:
    """Save a decision about a key: its goal, its end, its links; history keeps `what` it was, its value, its reason."""
    _update(tx, key)
    note(tx, key, now, what, value, reason)


def update_states(tx: Transaction, key: Key, reason: str, now: int) -> None:
    """Save what may change in a key's life: states, goal, roles, links; with its history."""
    _update(tx, key)
    stored = _states_of(tx, "WHERE key_id = ?", (key.id,)).get(key.id, {})
    changed = {kind: standing for kind, standing in key.states.items() if stored.get(kind) != standing}
    _save_states(tx, key, changed, reason, now)


def save_move(tx: Transaction, before: Key, key: Key, kind: RecordKind, reason: str, now: int) -> None:
    """Save that one record of a key has moved, with its history."""
    if (key.active_at, key.is_request_open) != (before.active_at, before.is_request_open):
        _update(tx, key)
    _save_states(tx, key, {kind: key.states[kind]}, reason, now)


def mark_served(tx: Transaction, key: Key, now: int) -> Key:
    """The key after noting that its present states are served everywhere, as far as they were not and still stand."""
    for kind, standing in key.states.items():
        if standing.served_at is None and standing.state in ON_ITS_WAY:
            marked = tx.execute(
                "UPDATE key_states SET served_at = ? "
                "WHERE key_id = ? AND kind = ? AND state = ? AND since = ? AND served_at IS NULL",
                (now, key.id, kind, standing.state, standing.since),
            )
            if marked.rowcount:
                note(tx, key, now, kind, "served", f"every server can have it as {standing.state}")
    return load_key(tx, key.id) or key.served(now)


def record_sighting(tx: Transaction, key: Key, seen: Sighting) -> None:
    """Note what the parent has of a key; a change of it is history."""
    if key.sighting is None or key.sighting.is_present != seen.is_present:
        state = "seen" if seen.is_present else "not seen"
        by = "by an operator's word" if seen.is_word else "by every server of the parent"
        note(tx, key, seen.since, RecordKind.DS, state, by)
    tx.execute(
        "UPDATE keys SET seen_present = ?, seen_since = ?, seen_until = ?, seen_ttl = ?, seen_is_word = ? WHERE id = ?",
        (*seen, key.id),
    )


def pkcs8(tx: Transaction, key_id: str) -> bytes:
    """The sealed private part of a key, for `private.Vault.open`. Raises KeyError."""
    row = tx.execute("SELECT octets FROM key_private WHERE key_id = ?", (key_id,)).fetchone()
    if row is None:
        raise KeyError(key_id)
    return bytes(row[0])


def all_pkcs8(tx: Transaction) -> list[tuple[str, bytes]]:
    """Every sealed private part with its key's id, those in the trash and those made ahead too."""
    sql = (
        "SELECT key_id, octets FROM key_private UNION SELECT key_id, octets FROM key_trash "
        "UNION SELECT key_id, octets FROM key_planned WHERE octets IS NOT NULL"
    )
    return [(key_id, bytes(octets)) for key_id, octets in tx.execute(sql)]


def replace_pkcs8(tx: Transaction, sealed: Iterable[tuple[str, bytes]]) -> None:
    """Put private parts that were sealed anew in the place of the old ones."""
    for key_id, octets in sealed:
        tx.execute("UPDATE key_private SET octets = ? WHERE key_id = ?", (octets, key_id))
        tx.execute("UPDATE key_trash SET octets = ? WHERE key_id = ?", (octets, key_id))
        tx.execute("UPDATE key_planned SET octets = ? WHERE key_id = ? AND octets IS NOT NULL", (octets, key_id))


def wrapping(tx: Transaction) -> str | None:
    """How the private parts are sealed, None when they are not."""
    row = tx.execute("SELECT parameters FROM key_wrapping").fetchone()
    return None if row is None else str(row[0])


def set_wrapping(tx: Transaction, parameters: str) -> None:
    """Remember how the private parts are sealed from now on."""
    tx.execute("INSERT OR REPLACE INTO key_wrapping (only, parameters) VALUES (1, ?)", (parameters,))


def withdraw_private(tx: Transaction, key: Key, sealed: bytes, reason: str, now: int) -> None:
    """Put a key's private part into the trash, and `sealed` in its place: the key stays, as one that is offline."""
    tx.execute(
        "INSERT OR REPLACE INTO key_trash (key_id, origin, view, dnskey, tag, octets, deleted_at, reason) "
        "SELECT id, origin, view, dnskey, tag, octets, ?, ? FROM keys JOIN key_private ON key_id = id WHERE id = ?",
        (now, reason, key.id),
    )
    tx.execute("UPDATE key_private SET octets = ? WHERE key_id = ?", (sealed, key.id))
    tx.execute("UPDATE keys SET provenance = ? WHERE id = ?", (str(Provenance.OFFLINE), key.id))
    note(tx, key, now, "key", "private part deleted", reason)


def timing(tx: Transaction, key_id: str) -> dict[str, int]:
    """What an imported key's files said of its life: event name to Unix seconds."""
    row = tx.execute("SELECT timing FROM keys WHERE id = ?", (key_id,)).fetchone()
    return {} if row is None else {str(event): int(at) for event, at in json.loads(row[0]).items()}


def history(tx: Transaction, key_id: str) -> list[tuple[int, str, str, str]]:
    """What happened to a key, oldest first: (at, kind, state, reason)."""
    sql = "SELECT at, kind, state, reason FROM key_history WHERE key_id = ? ORDER BY number"
    return [(int(at), kind, state, reason) for at, kind, state, reason in tx.execute(sql, (key_id,))]


def delete(tx: Transaction, key: Key, reason: str, now: int) -> None:
    """Delete one key; its history stays and says why, its private part goes to the trash unless another zone has it."""
    note(tx, key, now, "key", "deleted", reason)
    if not is_elsewhere(tx, key.id, key.dnskey):
        tx.execute(
            "INSERT OR REPLACE INTO key_trash (key_id, origin, view, dnskey, tag, octets, deleted_at, reason) "
            "SELECT id, origin, view, dnskey, tag, octets, ?, ? FROM keys JOIN key_private ON key_id = id WHERE id = ?",
            (now, reason, key.id),
        )
    tx.execute("DELETE FROM keys WHERE id = ?", (key.id,))


def is_elsewhere(tx: Transaction, key_id: str, dnskey: bytes) -> bool:
    """Whether another zone has the same key pair: then it is no secret to be rid of yet."""
    return (
        tx.execute("SELECT 1 FROM keys WHERE dnskey = ? AND id <> ? LIMIT 1", (dnskey, key_id)).fetchone() is not None
    )


def newest_shared(tx: Transaction, view: str, policy: str, spec: KeySpec, since: int) -> Key | None:
    """The newest key of this kind, made after `since`, that zones of a policy have in common: one zone's row of it."""
    row = tx.execute(
        "SELECT id FROM keys WHERE view = ? AND shared_by = ? AND algorithm = ? AND is_ksk = ? AND is_zsk = ? "
        "AND store = ? AND shared_since > ? AND goal = 'present' ORDER BY shared_since DESC LIMIT 1",
        (view, policy, spec.algorithm, spec.role.is_ksk, spec.role.is_zsk, spec.store, since),
    ).fetchone()
    return None if row is None else load_key(tx, row[0])


def load_same(tx: Transaction, key: Key) -> list[Key]:
    """The same key pair in every zone that has it, this one's included."""
    return _load(tx, "WHERE dnskey = ? ORDER BY origin, view", (key.dnskey,))


def sharers(tx: Transaction) -> dict[bytes, int]:
    """How many zones have each key that zones have in common, by its DNSKEY rdata."""
    found = tx.execute("SELECT dnskey, count(*) FROM keys WHERE shared_by IS NOT NULL GROUP BY dnskey")
    return {bytes(dnskey): int(count) for dnskey, count in found}


@dataclass(frozen=True, slots=True)
class Trashed:
    """A deleted key whose private part is still there, sealed."""

    key_id: str
    origin: bytes
    view: str
    dnskey: bytes
    tag: int
    octets: bytes = field(repr=False)
    deleted_at: int
    reason: str


def trash(tx: Transaction, origin: bytes | None = None, before: int | None = None) -> list[Trashed]:
    """What is in the trash, oldest first: of one zone if it is given, and deleted before or at `before` if that is."""
    rows = tx.execute(
        "SELECT key_id, origin, view, dnskey, tag, octets, deleted_at, reason FROM key_trash "
        "WHERE (?1 IS NULL OR origin = ?1) AND (?2 IS NULL OR deleted_at <= ?2) ORDER BY deleted_at, key_id",
        (origin, before),
    )
    return [Trashed(row[0], bytes(row[1]), row[2], bytes(row[3]), row[4], bytes(row[5]), *row[6:]) for row in rows]


def wipe(tx: Transaction, thrown: Trashed, now: int) -> None:
    """Take a key out of the trash for good; the database overwrites its octets (secure_delete)."""
    tx.execute("DELETE FROM key_trash WHERE key_id = ?", (thrown.key_id,))
    tx.execute(
        "INSERT INTO key_history (key_id, at, kind, state, reason) VALUES (?, ?, 'key', 'wiped', ?)",
        (thrown.key_id, now, f"deleted at {thrown.deleted_at}: {thrown.reason}"),
    )


def forget(tx: Transaction, origin: bytes, view: str = "") -> None:
    """Delete a zone's keys, private parts included; only for zones gone longer than state is kept."""
    for table in ("keys", "key_trash", "zone_policy", "key_planned", "key_response"):
        tx.execute(f"DELETE FROM {table} WHERE origin = ? AND view = ?", (origin.lower(), view))  # noqa: S608 (the names)


def last_event(tx: Transaction) -> int | None:
    """The latest point in time any key remembers."""
    sql = "SELECT max(at) FROM key_history"
    (at,) = tx.execute(sql).fetchone()
    return None if at is None else int(at)


def _load(tx: Transaction, where: str, parameters: tuple[object, ...]) -> list[Key]:
    rows = tx.execute(f"SELECT {_COLUMNS} FROM keys {where}", parameters).fetchall()  # noqa: S608 (no outside text)
    if len(rows) == 1:
        states = _states_of(tx, "WHERE key_id = ?", (rows[0][0],))
    else:
        chosen = f"WHERE key_id IN (SELECT id FROM keys {where})"  # noqa: S608 (no outside text)
        states = _states_of(tx, chosen, parameters)
    return [_key(row, states.get(row[0], {})) for row in rows]


def _states_of(tx: Transaction, where: str, parameters: tuple[object, ...]) -> dict[str, dict[RecordKind, Standing]]:
    states: dict[str, dict[RecordKind, Standing]] = {}
    sql = f"SELECT key_id, kind, state, since, served_at FROM key_states {where}"  # noqa: S608 (no outside text)
    for key_id, kind, state, since, served_at in tx.execute(sql, parameters):
        states.setdefault(key_id, {})[RecordKind(kind)] = Standing(RecordState(state), int(since), served_at)
    return states


def _update(tx: Transaction, key: Key) -> None:
    tx.execute(
        "UPDATE keys SET goal = ?, active_at = ?, predecessor = ?, successor = ?, is_ksk = ?, is_zsk = ?, "
        "retire_at = ?, is_request_open = ? WHERE id = ?",
        (
            key.goal,
            key.active_at,
            key.predecessor,
            key.successor,
            key.is_ksk,
            key.is_zsk,
            key.retire_at,
            key.is_request_open,
            key.id,
        ),
    )


def _save_states(tx: Transaction, key: Key, states: Mapping[RecordKind, Standing], reason: str, now: int) -> None:
    for kind, standing in states.items():
        tx.execute(
            "INSERT OR REPLACE INTO key_states (key_id, kind, state, since, served_at) VALUES (?, ?, ?, ?, ?)",
            (key.id, kind, *standing),
        )
        note(tx, key, now, kind, standing.state, reason)


def note(tx: Transaction, key: Key, now: int, kind: str, state: str, reason: str) -> None:
    """Add to the history of a key."""
    tx.execute(
        "INSERT INTO key_history (key_id, at, kind, state, reason) VALUES (?, ?, ?, ?, ?)",
        (key.id, now, kind, state, reason),
    )


def _row(key: Key) -> tuple[object, ...]:
    roles = (int(key.is_ksk), int(key.is_zsk))
    life = (str(key.goal), key.created_at, key.active_at, key.predecessor, key.successor, str(key.provenance))
    parent = (int(key.is_request_open), *(key.sighting or (None, None, None, None, False)))
    rolling = (key.retire_at, key.generation, key.store, *parent, *(key.sharing or (None, None)))
    return (key.id, key.origin.lower(), key.view, key.algorithm, *roles, key.dnskey, key.tag, *life, *rolling)


def _key(row: Sequence[Any], states: Mapping[RecordKind, Standing]) -> Key:
    return Key(
        id=row[0],
        origin=bytes(row[1]),
        view=row[2],
        algorithm=row[3],
        is_ksk=bool(row[4]),
        is_zsk=bool(row[5]),
        dnskey=bytes(row[6]),
        tag=row[7],
        goal=Goal(row[8]),
        # In the order of RecordKind, whatever order the rows came in.
        states=MappingProxyType({kind: states[kind] for kind in RecordKind if kind in states}),
        created_at=row[9],
        active_at=row[10],
        predecessor=row[11],
        successor=row[12],
        provenance=Provenance(row[13]),
        retire_at=row[14],
        generation=row[15],
        store=row[16],
        is_request_open=bool(row[17]),
        sighting=None if row[18] is None else Sighting(bool(row[18]), row[19], row[20], row[21], bool(row[22])),
        sharing=None if row[23] is None else Sharing(*row[23:25]),
    )


def record_policy(tx: Transaction, origin: bytes, view: str, policy: Policy) -> None:
    """Note by which policy a zone's keys live, for those who look while no server runs, or when it has none."""
    facts = to_text(policy)
    tx.execute(
        "INSERT INTO zone_policy (origin, view, facts) VALUES (?1, ?2, ?3) ON CONFLICT (origin, view) DO UPDATE "
        "SET facts = ?3 WHERE facts <> ?3",
        (origin.lower(), view, facts),
    )


def policy_of(tx: Transaction, origin: bytes, view: str = "") -> Policy:
    """The policy that a zone's keys lived by last; the default one where none was noted."""
    row = tx.execute("SELECT facts FROM zone_policy WHERE origin = ? AND view = ?", (origin.lower(), view)).fetchone()
    return DEFAULT if row is None else from_text(str(row[0]))
