"""Which files are zones, and of what origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import name_from_text
from zones.errors import NamingError, SourceError
from zones.naming import Entry, is_at_or_below, naming, scan, shown

ORG = name_from_text("example.org.")


def origins(names: list[str], regexp: str = r"db\.(.*)", template: str = "{1}", allowed: str = "") -> dict[str, str]:
    result = scan(map(Entry, names), naming(regexp, template), [name_from_text(allowed)] if allowed else [])
    return {origin.decode("latin-1"): entry.name for origin, entry in result.zones.items()}


@pytest.mark.parametrize(
    ("regexp", "template", "name", "origin"),
    [
        (r"db\.(.*)", "{1}", "db.example.org", "example.org."),
        (r"db\.(.*)", "{1}", "a/b/db.Example.ORG", "example.org."),
        (r"(.*)\.zone", "{1}", "example.org.zone", "example.org."),
        (r"(.*)\.(.*)\.zone", "{2}.{1}.example.org", "a.b.zone", "b.a.example.org."),
        (r"(?:x|(y))z", "q{1}", "xz", "q."),
        (r"db\.(.*)", "{1}.example.org.", "db.sub", "sub.example.org."),
    ],
)
def test_origins_by_name(regexp: str, template: str, name: str, origin: str) -> None:
    assert list(origins([name], regexp, template)) == [name_from_text(origin).decode("latin-1")]


@pytest.mark.parametrize(
    "name",
    [
        "x.db.example.org",
        "db.example.org~",
        ".db.example.org.swp",
        "db.example.org.bak",
        "#db.example.org#",
        "4913",
        "README",
        "db.example.org.jnl",
    ],
)
def test_what_is_not_a_zone_is_left_alone(name: str) -> None:
    result = scan([Entry(name)], naming(), [])
    assert not result.zones
    assert not result.findings


def test_two_files_of_one_origin_hold_it_and_no_other() -> None:
    result = scan(map(Entry, ["db.example.org", "sub/db.EXAMPLE.org", "db.example.net"]), naming(), [])
    assert list(result.zones) == [name_from_text("example.net.")]
    assert list(result.held) == [ORG]
    assert [(one.file, one.rule) for one in result.findings] == [
        ("db.example.org", "duplicate-origin"),
        ("sub/db.EXAMPLE.org", "duplicate-origin"),
    ]


def test_zones_that_are_not_ones_own_are_refused() -> None:
    names = ["db.example.org", "db.sub.example.org", "db.notexample.org", "db.org", "db.evil.com"]
    result = scan(map(Entry, names), naming(), [ORG])
    assert sorted(result.zones) == sorted([ORG, name_from_text("sub.example.org.")])
    assert {(one.file, one.rule) for one in result.findings} == {
        (name, "zone-not-allowed") for name in ("db.notexample.org", "db.org", "db.evil.com")
    }


@pytest.mark.parametrize("text", ["a..b", "x" * 64, ".".join(["y" * 60] * 5)])
def test_names_that_are_no_origin_are_named(text: str) -> None:
    result = scan([Entry(f"db.{text}")], naming(), [])
    assert [one.rule for one in result.findings] == ["zone-name"]


def test_a_name_of_nothing_is_not_the_root() -> None:
    result = scan([Entry("db.")], naming(), [])
    assert not result.zones
    assert result.findings


def test_a_file_that_is_refused_holds_its_zone() -> None:
    result = scan([Entry("db.example.org", ("git-symlink", "a link"))], naming(), [])
    assert not result.zones
    assert [one.rule for one in result.held[ORG]] == ["git-symlink"]


def test_unprintable_names_are_said_and_escaped() -> None:
    result = scan(map(Entry, ["db.a\nb", "db.\udce9", "db.\x1b[31m"]), naming(), [])
    assert not result.zones
    assert [one.rule for one in result.findings] == ["file-name"] * 3
    assert all(str(one).isprintable() for one in result.findings)


def test_removed_zones_are_those_without_a_file() -> None:
    net = name_from_text("example.net.")
    result = scan([Entry("db.example.org", ("git-symlink", "a link")), Entry("db.example.com")], naming(), [])
    assert result.removed([ORG, net], "x") == {net}


def test_a_source_that_lost_all_its_zones_is_an_error() -> None:
    result = scan([Entry("README")], naming(), [])
    assert result.removed([], "x") == frozenset()
    with pytest.raises(SourceError) as caught:
        result.removed([ORG], "x")
    assert caught.value.rule == "source-emptied"


@pytest.mark.parametrize(
    ("regexp", "template", "rule"),
    [
        ("(", "{1}", "naming-regexp"),
        ("x" * 10_001, "{1}", "naming-regexp"),
        ("(.*)", "{2}", "naming-template"),
        (".*", "{1}", "naming-template"),
    ],
)
def test_namings_that_can_not_be_used(regexp: str, template: str, rule: str) -> None:
    with pytest.raises(NamingError) as caught:
        naming(regexp, template)
    assert caught.value.rule == rule


def test_below_means_whole_labels() -> None:
    assert is_at_or_below(name_from_text("A.Example.org."), ORG)
    assert is_at_or_below(ORG, b"\0")
    assert not is_at_or_below(name_from_text("aexample.org."), ORG)
    assert not is_at_or_below(name_from_text("org."), ORG)


@given(st.binary(max_size=40))
def test_shown_names_are_always_printable(octets: bytes) -> None:
    assert shown(octets.decode("utf-8", "surrogateescape")).isprintable()
