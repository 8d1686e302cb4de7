"""What `zones.journal` keeps, on a real SQLite database: chains, their limits, what they lead from and to."""

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zones import history, journal
from zones.journal import Entry, Limits, Totals
from zones.serial import is_after

ORIGIN = b"\x07example\x03org\x00"
OTHER = b"\x05other\x03org\x00"
NOW = 1_800_000_000
PLENTY = Limits(1 << 30)


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA foreign_keys = ON")
    for statement in (*history.SCHEMA, *journal.SCHEMA):
        connection.execute(statement)
    for origin in (ORIGIN, OTHER):
        history.see(connection, origin, "", NOW)
    return connection


@pytest.fixture
def tx() -> Iterator[sqlite3.Connection]:
    connection = database()
    yield connection
    connection.close()


def entry(before: int, after: int, octets: bytes = b"deladded", at: int = NOW) -> Entry:
    return Entry(before, after, at, 1, 2, 3, len(octets) - 3, octets=octets)


def written(tx: sqlite3.Connection, *serials: int, origin: bytes = ORIGIN, at: int = NOW) -> None:
    """A chain through these serials."""
    for before, after in itertools.pairwise(serials):
        journal.record(tx, origin, "", entry(before, after, at=at))


def leads(tx: sqlite3.Connection, since: int, upto: int) -> list[tuple[int, int]]:
    return [(one.before, one.after) for one in journal.changes(tx, ORIGIN, "", since, upto)]


def test_a_chain_leads_from_each_of_its_serials_to_each_later_one(tx):
    written(tx, 1, 2, 5, 6)
    assert leads(tx, 1, 6) == [(1, 2), (2, 5), (5, 6)]
    assert leads(tx, 2, 5) == [(2, 5)]
    assert leads(tx, 5, 6) == [(5, 6)]
    for since, upto in ((3, 6), (6, 6), (6, 5), (5, 2), (1, 4), (0, 6)):
        assert leads(tx, since, upto) == [], (since, upto)


def test_octets_come_back_and_are_not_read_for_the_facts(tx):
    written(tx, 1, 2)
    (found,) = journal.changes(tx, ORIGIN, "", 1, 2)
    assert found == entry(1, 2)
    assert journal.entries(tx, ORIGIN, "") == [replace(entry(1, 2), octets=None)]
    assert journal.totals(tx, ORIGIN, "") == Totals(1, 8, 1)
    assert journal.totals(tx, OTHER, "") == Totals()


def test_an_entry_lies_in_the_row_or_in_a_pack(tx):
    in_pack = replace(entry(1, 2), octets=None, pack="00000007.pack", offset=8)
    journal.record(tx, ORIGIN, "", in_pack)
    assert journal.changes(tx, ORIGIN, "", 1, 2) == [in_pack]
    assert journal.packs(tx) == {"00000007.pack"}
    for wrong in (replace(in_pack, octets=b"x"), replace(in_pack, pack=None, offset=None), replace(in_pack, pack=None)):
        with pytest.raises(sqlite3.IntegrityError):
            journal.record(tx, ORIGIN, "", wrong)
    journal.cut(tx, ORIGIN, "")
    assert journal.packs(tx) == set()


def test_a_chain_that_does_not_lead_to_the_next_entry_is_cut(tx):
    written(tx, 1, 2, 3)
    written(tx, 1, 2, origin=OTHER)
    journal.record(tx, ORIGIN, "", entry(7, 8))
    assert leads(tx, 1, 8) == []
    assert leads(tx, 7, 8) == [(7, 8)]
    assert len(journal.entries(tx, OTHER, "")) == 1


@pytest.mark.parametrize(
    ("limits", "oldest"),
    [(PLENTY, 1), (Limits(24), 3), (Limits(23), 4), (Limits(1 << 30, entries=2), 4), (Limits(1 << 30, age=100), 1)],
)
def test_a_chain_is_trimmed_to_its_limits(tx, limits, oldest):
    written(tx, 1, 2, 3, 4, 5, 6)
    assert journal.trim(tx, ORIGIN, "", limits, NOW) == Totals(6 - oldest, 8 * (6 - oldest), oldest)
    assert journal.totals(tx, ORIGIN, "") == Totals(6 - oldest, 8 * (6 - oldest), oldest)


def test_what_is_too_old_goes(tx):
    written(tx, 1, 2, 3)
    written(tx, 1, 2, origin=OTHER)
    written(tx, 3, 4, at=NOW + 100)
    assert journal.trim(tx, ORIGIN, "", Limits(1 << 30, age=100), NOW + 100) == Totals(1, 8, 3)
    journal.expire(tx, NOW + 50, 100)
    assert journal.totals(tx, OTHER, "").entries == 1
    journal.expire(tx, NOW + 100, 100)
    assert (journal.totals(tx, OTHER, "").entries, journal.totals(tx, ORIGIN, "").entries) == (0, 1)
    journal.expire(tx, NOW + 200, 100)
    assert journal.totals(tx, ORIGIN, "").entries == 0
    journal.expire(tx, NOW + 200, 100)


def test_a_small_zone_may_have_more_history_than_content():
    assert Limits.of(100).octets == 128 * 1024
    assert Limits.of(1 << 20).octets == 2 << 20


def test_a_zone_that_is_forgotten_has_no_history(tx):
    written(tx, 1, 2)
    history.forget(tx, ORIGIN, "")
    assert tx.execute("SELECT count(*) FROM journal").fetchone() == (0,)


def test_serials_wrap_and_never_stand_for_two_versions(tx):
    """RFC 1982: a chain of three thirds of all serials comes back to where it began."""
    third = 2**32 // 3
    written(tx, 5, 5 + third, 5 + 2 * third, 4)
    assert journal.trim(tx, ORIGIN, "", PLENTY, NOW) == Totals(1, 8, 5 + 2 * third)
    written(tx, 4, 5)
    journal.trim(tx, ORIGIN, "", PLENTY, NOW)
    assert leads(tx, 5, 5) == []
    assert leads(tx, 5 + 2 * third, 5) == [(5 + 2 * third, 4), (4, 5)]


@given(st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_whatever_the_steps_no_serial_of_a_chain_is_in_it_twice(steps, start):
    tx = database()
    serials = [start]
    for step in steps:
        serials.append((serials[-1] + step) % 2**32)
        written(tx, *serials[-2:])
        journal.trim(tx, ORIGIN, "", PLENTY, NOW)
    kept = journal.entries(tx, ORIGIN, "")
    assert [one.after for one in kept] == serials[-len(kept) :]
    before = [one.before for one in kept]
    assert len({*before, serials[-1]}) == len(before) + 1
    assert all(is_after(serials[-1], one) for one in before)
    tx.close()
