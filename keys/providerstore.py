"""Other providers in the state's database: schema, load and save, in a transaction that is handed down."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from engine import key_tag
from keys import joining, store
from keys.ds import DIGESTS, ds_rdata
from keys.policy import Policy
from keys.providers import Provider
from keys.rollover import Move, ServedTTLs
from keys.states import ON_ITS_WAY, Goal, Key, Provenance, RecordKind, RecordState, Sighting, Standing, key_id
from keys.store import Transaction

SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE provider (
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        name TEXT NOT NULL,
        servers TEXT NOT NULL,
        dnskey_ttl INTEGER NOT NULL,
        leaves_at INTEGER,
        PRIMARY KEY (origin, view, name)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE provider_key (
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        dnskey BLOB NOT NULL,
        provider TEXT NOT NULL,
        is_anchor INTEGER NOT NULL,
        goal TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        retire_at INTEGER,
        facts TEXT NOT NULL,
        PRIMARY KEY (origin, view, dnskey)
    ) STRICT, WITHOUT ROWID""",
    # Our own keys, as far as a provider's servers are known to publish them.
    """CREATE TABLE provider_seen (
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        provider TEXT NOT NULL,
        dnskey BLOB NOT NULL,
        facts TEXT NOT NULL,
        PRIMARY KEY (origin, view, provider, dnskey)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE csync (
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        serial INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        is_published INTEGER NOT NULL,
        PRIMARY KEY (origin, view)
    ) STRICT, WITHOUT ROWID""",
)
TABLES: Final = ("provider", "provider_key", "provider_seen", "csync")

_OF_ZONE: Final = "WHERE origin = ? AND view = ?"

Zone = tuple[bytes, str]
"""Origin, in lower case, and view."""


@dataclass(frozen=True, slots=True)
class Csync:
    """What stands, or stood last, in the CSYNC record of a zone (RFC 7477 section 2.1.1): its serial and flags."""

    serial: int
    flags: int
    is_published: bool = True


# ------------------------------------------------------------------ providers


def load(tx: Transaction, zone: Zone) -> tuple[Provider, ...]:
    """The other providers of a zone, by name."""
    rows = tx.execute(
        f"SELECT name, servers, dnskey_ttl, leaves_at FROM provider {_OF_ZONE} ORDER BY name",  # noqa: S608
        zone,
    ).fetchall()
    return tuple(
        Provider(
            name,
            tuple((str(address), int(port)) for address, port in json.loads(servers)),
            dnskey_ttl,
            leaves_at,
            tuple(_keys(tx, zone, name)),
            _seen(tx, zone, name),
        )
        for name, servers, dnskey_ttl, leaves_at in rows
    )


def save(tx: Transaction, zone: Zone, provider: Provider) -> None:
    """Save all but its keys."""
    tx.execute(
        "INSERT OR REPLACE INTO provider (origin, view, name, servers, dnskey_ttl, leaves_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (*zone, provider.name, json.dumps(provider.servers), provider.dnskey_ttl, provider.leaves_at),
    )
    tx.execute(f"DELETE FROM provider_seen {_OF_ZONE} AND provider = ?", (*zone, provider.name))  # noqa: S608
    for dnskey, seen in provider.seen.items():
        row = (*zone, provider.name, dnskey, json.dumps(seen))
        tx.execute("INSERT INTO provider_seen (origin, view, provider, dnskey, facts) VALUES (?, ?, ?, ?, ?)", row)


def save_key(tx: Transaction, provider: str, key: Key) -> None:
    """Save a foreign key as it stands."""
    facts = {
        "states": {str(kind): standing for kind, standing in key.states.items()},
        "sighting": key.sighting,
        "is_request_open": key.is_request_open,
    }
    tx.execute(
        "INSERT OR REPLACE INTO provider_key "
        "(origin, view, dnskey, provider, is_anchor, goal, created_at, retire_at, facts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(key.origin, key.view, key.dnskey, provider, int(key.is_ksk)),
            *(key.goal, key.created_at, key.retire_at, json.dumps(facts)),
        ),
    )


def advance(
    tx: Transaction,
    zone: Zone,
    providers: Iterable[Provider],
    ours: Sequence[Key],
    policy: Policy,
    ttls: ServedTTLs,
    now: int,
) -> tuple[tuple[Provider, ...], int | None]:
    """The providers after all steps of their keys that are due, saved, and when to look again.

    A provider none of whose keys is left is forgotten.
    """
    after, moments = [], []
    for provider in providers:
        joined = joining.settle(provider, ours, policy, ttls, now)
        for step in joined.steps:
            if isinstance(step, Move):
                store.note(tx, step.key, now, step.kind, step.state, step.reason)
            else:
                store.note(tx, step.key, now, "key", "deleted", step.reason)
                tx.execute(f"DELETE FROM provider_key {_OF_ZONE} AND dnskey = ?", (*zone, step.key.dnskey))  # noqa: S608
        moved = {step.key.id for step in joined.steps}
        for key in joined.provider.keys:
            if key.id in moved:
                save_key(tx, provider.name, key)
        if joined.provider.keys:
            after.append(joined.provider)
        else:
            _forget_provider(tx, zone, provider.name)
        if joined.until is not None:
            moments.append(joined.until)
    return tuple(after), min(moments, default=None)


def mark_served(
    tx: Transaction, zone: Zone, dnskeys: Sequence[bytes], cds: Sequence[bytes], now: int
) -> tuple[Provider, ...]:
    """The providers after noting what a sealed version has of their keys, by its DNSKEY and CDS rdatas."""
    providers = load(tx, zone)
    for provider in providers:
        for key in provider.keys:
            marked = _marked(key, dnskeys, cds, now)
            if marked != key:
                save_key(tx, provider.name, marked)
    return load(tx, zone) if providers else ()


def _marked(key: Key, dnskeys: Sequence[bytes], cds: Sequence[bytes], now: int) -> Key:
    is_asked_for = any(ds_rdata(key, digest) in cds for digest in DIGESTS)
    is_there = {RecordKind.DNSKEY: key.dnskey in dnskeys, RecordKind.DS: is_asked_for}
    states = {}
    for kind, one in key.states.items():
        is_coming = one.state is RecordState.RUMOURED
        # A policy may have no CDS published at all; then nothing of a DS is to be waited for here.
        is_so = is_there[kind] == is_coming or (kind is RecordKind.DS and is_coming)
        is_new = one.served_at is None and one.state in ON_ITS_WAY and is_so
        states[kind] = one._replace(served_at=now) if is_new else one
    return replace(key, states=MappingProxyType(states))


def sighted(tx: Transaction, provider: str, key: Key, look: Sighting) -> Key:
    """The foreign key after noting what the parent was seen, or said, to have of it."""
    after = key.sighted(look)
    if key.sighting is None or key.sighting.is_present != look.is_present:
        by = "by an operator's word" if look.is_word else "by every server of the parent"
        store.note(tx, key, look.since, RecordKind.DS, "seen" if look.is_present else "not seen", by)
    save_key(tx, provider, after)
    return after


def forget(tx: Transaction, zone: Zone) -> None:
    """Nothing is remembered of a zone's other providers."""
    for table in TABLES:
        tx.execute(f"DELETE FROM {table} {_OF_ZONE}", zone)  # noqa: S608 (the names above)


def _forget_provider(tx: Transaction, zone: Zone, name: str) -> None:
    tx.execute(f"DELETE FROM provider {_OF_ZONE} AND name = ?", (*zone, name))  # noqa: S608
    tx.execute(f"DELETE FROM provider_seen {_OF_ZONE} AND provider = ?", (*zone, name))  # noqa: S608


def _keys(tx: Transaction, zone: Zone, provider: str) -> list[Key]:
    rows = tx.execute(
        "SELECT dnskey, is_anchor, goal, created_at, retire_at, facts FROM provider_key "  # noqa: S608
        f"{_OF_ZONE} AND provider = ? ORDER BY created_at, dnskey",
        (*zone, provider),
    )
    return [_key(zone, row) for row in rows]


def _key(zone: Zone, row: Sequence[Any]) -> Key:
    dnskey, is_anchor, goal, created_at, retire_at, text = row
    dnskey, facts = bytes(dnskey), json.loads(text)
    states = {
        RecordKind(kind): Standing(RecordState(state), since, served_at)
        for kind, (state, since, served_at) in facts["states"].items()
    }
    return Key(
        id=key_id(*zone, dnskey),
        origin=zone[0],
        view=zone[1],
        algorithm=dnskey[3],
        is_ksk=bool(is_anchor),
        is_zsk=not is_anchor,
        dnskey=dnskey,
        tag=key_tag(dnskey),
        goal=Goal(goal),
        states=MappingProxyType(states),
        created_at=created_at,
        provenance=Provenance.FOREIGN,
        retire_at=retire_at,
        sighting=Sighting(*facts["sighting"]) if facts["sighting"] is not None else None,
        is_request_open=bool(facts["is_request_open"]),
    )


def _seen(tx: Transaction, zone: Zone, provider: str) -> Mapping[bytes, Sighting]:
    rows = tx.execute(f"SELECT dnskey, facts FROM provider_seen {_OF_ZONE} AND provider = ?", (*zone, provider))  # noqa: S608
    return {bytes(dnskey): Sighting(*json.loads(facts)) for dnskey, facts in rows}


# ------------------------------------------------------------------ CSYNC


def csync(tx: Transaction, zone: Zone) -> Csync | None:
    """What was asked for CSYNC of a zone last; None when nothing ever was."""
    row = tx.execute(f"SELECT serial, flags, is_published FROM csync {_OF_ZONE}", zone).fetchone()  # noqa: S608
    return None if row is None else Csync(int(row[0]), int(row[1]), bool(row[2]))


def set_csync(tx: Transaction, zone: Zone, wanted: Csync) -> None:
    """Have CSYNC published from the next version on, or withdrawn."""
    row = (*zone, wanted.serial, wanted.flags, int(wanted.is_published))
    tx.execute("INSERT OR REPLACE INTO csync (origin, view, serial, flags, is_published) VALUES (?, ?, ?, ?, ?)", row)
