"""What the tests of keys share: a database with their schema, and keys to put into it."""

import sqlite3
from collections.abc import Callable, Iterator

import pytest

from keys import store
from keys.states import Goal, Key, RecordKind, RecordState, Standing, hidden_states, key_id

ORIGIN = b"\x07example\x04test\x00"


def database() -> sqlite3.Connection:
    """A database in memory, with the schema of keys."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in (
        *store.SCHEMA,
        *store.ROLLOVER_SCHEMA,
        *store.TRASH_SCHEMA,
        *store.WORD_SCHEMA,
        *store.SHARING_SCHEMA,
        *store.OFFLINE_SCHEMA,
    ):
        connection.execute(statement)
    return connection


@pytest.fixture
def tx() -> Iterator[sqlite3.Connection]:
    connection = database()
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


@pytest.fixture
def make_key() -> Callable[..., Key]:
    """A CSK nobody has seen, `number` making its public part; any field can be given."""

    def make(number: int = 1, *, now: int = 1_000_000, **fields: object) -> Key:
        dnskey = b"\x01\x01\x03\x0d" + number.to_bytes(64, "big")
        roles = {"is_ksk": fields.pop("is_ksk", True), "is_zsk": fields.pop("is_zsk", True)}
        facts = {
            "id": key_id(ORIGIN, "", dnskey),
            "origin": ORIGIN,
            "view": "",
            "algorithm": 13,
            "dnskey": dnskey,
            "tag": number,
            "goal": Goal.PRESENT,
            "states": hidden_states(**roles, since=now),
            "created_at": now,
            **roles,
        }
        return Key(**{**facts, **fields})

    return make


@pytest.fixture
def standing() -> Callable[..., dict[RecordKind, Standing]]:
    """States by one letter for DNSKEY, ZRRSIG, KRRSIG and DS: `HROUS`, or `-` for a record the key doesn't have."""
    letters = {state.value[0]: state for state in RecordState}

    def states(word: str, since: int = 0) -> dict[RecordKind, Standing]:
        pairs = zip(RecordKind, word.lower(), strict=True)
        return {kind: Standing(letters[letter], since) for kind, letter in pairs if letter != "-"}

    return states
