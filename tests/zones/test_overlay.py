"""Overlays: what is laid over a source, what the source hides, and what comes back out of the state."""

import pytest

from engine import Version, name_from_text, rdata_from_text, read_zone
from zones.overlay import HIDDEN, IN_SOURCE, Nothing, Updating, lay, replayed, stored, without
from zones.update import Changes, Record, records_of, run
from zones.updatepolicy import parse_pattern

ORIGIN = name_from_text("example.test.")
TEXT = """$TTL 3600
@ SOA ns admin 7 3600 600 604800 300
@ NS ns
ns A 192.0.2.1
www A 192.0.2.2
sub NS ns.sub
ns.sub A 192.0.2.3
"""
UPDATING = Updating((parse_pattern("_acme-challenge.*"), parse_pattern("dyn.example.test")), 100)


def source(more=""):
    version, findings = Version.build(read_zone(ORIGIN, [("db", (TEXT + more).encode())]))
    assert version is not None, findings
    return version


def txt(owner, text="t"):
    return Record(name_from_text(owner, ORIGIN), 16, 1, 60, rdata_from_text(16, f'"{text}"', ORIGIN))


def own(*records):
    return replayed(Changes(Nothing()), (), records)


def test_records_are_laid_over_the_source_and_taken_off_again():
    version = source()
    laid = lay(UPDATING, version, own(txt("_acme-challenge.www"), txt("dyn")))
    assert laid.version.rrset(name_from_text("dyn", ORIGIN), 16)
    assert laid.version.record_count == version.record_count + 2
    assert without(laid.version, laid.own).to_text() == version.to_text()
    assert laid.findings == ()


def test_where_the_source_has_a_record_it_wins_and_a_warning_says_so():
    version = source('_acme-challenge.www 60 TXT "reviewed"\n_Acme-Challenge.x.y A 192.0.2.9\n')
    laid = lay(UPDATING, version, own(txt("_acme-challenge.www")))
    owner = name_from_text("_acme-challenge.www", ORIGIN)
    assert laid.version.to_text() == version.to_text()
    assert laid.is_hidden(owner)
    assert not laid.is_updatable(owner)
    assert [found.rule for found in laid.findings] == [IN_SOURCE, HIDDEN]
    assert all(found.severity == "warning" for found in laid.findings)
    assert "_acme-challenge.x.y.example.test." in laid.findings[0].message


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("_acme-challenge.www", True),
        ("_acme-challenge", True),
        ("dyn", True),
        ("x.dyn", False),
        ("www", False),
        ("_acme-challenge.sub", False),
        ("_acme-challenge.deep.sub", False),
    ],
)
def test_what_may_be_updated(name, may):
    assert lay(UPDATING, source(), own()).is_updatable(name_from_text(name, ORIGIN)) is may


def test_records_below_a_cut_are_hidden():
    laid = lay(UPDATING, source(), own(txt("_acme-challenge.sub")))
    assert laid.is_hidden(name_from_text("_acme-challenge.sub", ORIGIN))


def test_an_update_changes_the_overlay_and_leaves_what_was_as_it_was():
    before = lay(UPDATING, source(), own(txt("dyn")))
    changes = Changes(before)
    changes.put(txt("dyn", "second"))
    changes.drop(txt("dyn"))
    after = before.after(changes)
    assert [one.rdata for one in before.records] == [b"\1t"]
    assert [one.rdata for one in after.records] == [b"\6second"]
    assert after.version.rrset(name_from_text("dyn", ORIGIN), 16) == (60, [b"\6second"])
    emptied = Changes(after)
    emptied.drop(txt("dyn", "second"))
    assert after.after(emptied).own.names == {}
    assert after.after(emptied).version.to_text() == source().to_text()


def test_what_was_stored_comes_back():
    base, first, second = run([txt("a"), txt("b")]), run([txt("a")]), run([txt("c")])
    assert sorted(stored(base, [(first, second)]).difference().new) == sorted([txt("b"), txt("c")])
    assert list(records_of(base)) == [txt("a"), txt("b")]
