"""Catalog zones: what is read out of one, what breaks one, what is written, and who owns a member."""

import pytest

from engine import Version, name_from_text, read_zone
from zones.catalog import Catalog, Listing, Member, Owned, consumed, label_of, produced, read, text_of
from zones.errors import CatalogError

ORIGIN = name_from_text("catalog.test.")
OTHER = name_from_text("other-catalog.test.")
HEAD = "@ 0 SOA invalid. invalid. 1 3600 600 2147483646 0\n@ 0 NS invalid.\n"
GOOD = (
    HEAD
    + 'version 0 TXT "2"\na.zones 0 PTR One.test.\ngroup.a.zones 0 TXT "corp"\ngroup.a.zones 0 TXT "eu"\nb.zones 0 PTR two.test.\ncoo.b.zones 0 PTR other-catalog.test.\n'
)


def name(text):
    return name_from_text(text)


def zone(text):
    version, findings = Version.build(read_zone(ORIGIN, [("catalog", text.encode())]))
    assert version is not None, findings
    return version


def test_a_catalog_is_read_and_what_is_not_understood_is_passed_over():
    more = 'x.ext 0 TXT "private"\nzones 0 TXT "?"\nc.d.zones 0 PTR not-a-member.test.\nserial.a.zones 0 TXT "5"\n'
    catalog = read(zone(GOOD + more))
    assert dict(catalog.members) == {
        name("one.test."): Member(name("one.test."), b"a", ("corp", "eu")),
        name("two.test."): Member(name("two.test."), b"b", (), OTHER),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEAD, "version is none"),
        (HEAD + 'version 0 TXT "1"\n', "version is 1"),
        (HEAD + 'version 0 TXT "2"\nversion 0 TXT "3"\n', "version is"),
        (GOOD + "a.zones 0 PTR three.test.\n", "more than one PTR"),
        (GOOD + "c.zones 0 PTR one.test.\n", "listed twice"),
        (GOOD + "coo.b.zones 0 PTR third.test.\n", "more than one coo"),
    ],
)
def test_what_breaks_a_catalog(text, reason):
    with pytest.raises(CatalogError, match=reason):
        read(zone(text))


def test_what_is_written_is_read_again_and_labels_stay():
    listings = (
        Listing((name("one.test."),), (), ('q"uo\\ted', "eu"), OTHER),
        Listing((), (name("sub.test."),), ("sub",)),
        Listing((name("two.test."),), ()),
    )
    zones = [
        name(text) for text in ("ONE.test.", "sub.test.", "a.sub.test.", "two.test.", "three.test.", "catalog.test.")
    ]
    catalog = produced(ORIGIN, zones, listings)
    assert set(catalog.members) == {name(text) for text in ("one.test.", "a.sub.test.", "two.test.")}
    again = read(zone(text_of(catalog).decode()))
    assert again == catalog
    assert text_of(produced(ORIGIN, reversed(zones), listings)) == text_of(catalog)
    assert label_of(name("ONE.test.")) == label_of(name("one.test.")) != label_of(name("two.test."))
    everything = produced(ORIGIN, zones, [Listing((), (b"\0",))])
    assert set(everything.members) == {one.lower() for one in zones} - {ORIGIN}


def member(text, label=b"a", groups=(), owner=None):
    return Member(name(text), label, groups, owner)


def catalog(*members, origin=ORIGIN):
    return Catalog(origin, {one.origin: one for one in members})


def test_members_come_go_change_and_begin_anew():
    first = consumed({}, catalog(member("one.test."), member("two.test."), member("three.test.")))
    assert first.added == {name("one.test."), name("two.test."), name("three.test.")}
    second = consumed(
        first.members, catalog(member("one.test.", b"other"), member("two.test.", groups=("g",)), member("four.test."))
    )
    assert (second.added, second.gone) == ({name("four.test.")}, {name("three.test.")})
    assert (second.reset, second.changed) == ({name("one.test.")}, {name("two.test.")})
    assert not consumed(second.members, catalog(*(one.member for one in second.members.values()))).added


def test_a_member_changes_its_owner_only_where_the_one_that_has_it_hands_it_over():
    mine = consumed({}, catalog(member("one.test."), member("two.test.", owner=OTHER)))
    wanted = catalog(member("one.test."), member("two.test."), origin=OTHER)
    both = consumed(mine.members, wanted)
    assert both.clashes == {name("one.test.")}
    assert both.members[name("one.test.")].catalog == ORIGIN
    assert both.members[name("two.test.")] == Owned(OTHER, member("two.test."))
    assert (both.reset, both.changed) == (frozenset(), {name("two.test.")})
    # It is the new owner's now, and leaves the old one's list without being removed.
    assert not consumed(both.members, catalog(member("one.test."))).gone
    reset = consumed(mine.members, catalog(member("two.test.", b"new"), origin=OTHER))
    assert reset.reset == {name("two.test.")}


def test_a_zone_of_the_corefile_is_no_catalog_s():
    done = consumed({}, catalog(member("one.test."), member("catalog.test.")), [name("one.test.")])
    assert done.clashes == {name("one.test."), ORIGIN}
    assert done.members == {}
