"""Who may update what: addresses and keys, patterns of names, types."""

import pytest

from engine import name_from_text
from zones.errors import UpdatePolicyError
from zones.transfer import parse_target
from zones.updatepolicy import Rule, admitted, parse_pattern, permission

KEY = name_from_text("host.example.test.")


@pytest.mark.parametrize(
    ("pattern", "name", "holds"),
    [
        ("www.example.test", "WWW.example.test.", True),
        ("www.example.test", "x.www.example.test.", False),
        ("*.dyn.example.test", "a.b.dyn.example.test.", True),
        ("*.dyn.example.test", "dyn.example.test.", False),
        ("*.dyn.example.test", "adyn.example.test.", False),
        ("_acme-challenge.*", "_acme-challenge.example.test.", True),
        ("_acme-challenge.*", "_ACME-challenge.www.example.test.", True),
        ("_acme-challenge.*", "_acme-challenge.", False),
        ("_acme-challenge.*", "x_acme-challenge.example.test.", False),
        ("_acme-challenge.*.example.test", "_acme-challenge.www.example.test.", True),
        ("_acme-challenge.*.example.test", "_acme-challenge.example.test.", False),
        ("*", "example.test.", True),
        ("self", "host.example.test.", True),
        ("self", "x.host.example.test.", False),
        ("*.self", "x.host.example.test.", True),
        ("_acme-challenge.self", "_acme-challenge.host.example.test.", True),
        ("_acme-challenge.self", "_acme-challenge.other.example.test.", False),
        ("self.", "self.", True),
        ("self.", "host.example.test.", False),
    ],
)
def test_patterns(pattern, name, holds):
    assert parse_pattern(pattern).holds(name_from_text(name), KEY) is holds


def test_self_is_nobody_without_a_key():
    assert not parse_pattern("self").holds(KEY, None)


@pytest.mark.parametrize("word", ["*.x.*", "a..b", "*.x.self"])
def test_words_that_are_no_patterns(word):
    with pytest.raises(UpdatePolicyError):
        parse_pattern(word)


@pytest.mark.parametrize(
    ("pattern", "may"),
    [
        ("www.example.test", True),
        ("www.other.test", False),
        ("*.test", True),
        ("*.sub.example.test", True),
        ("*.other", False),
        ("a.*", True),
        ("self", True),
    ],
)
def test_whether_a_pattern_is_about_a_zone(pattern, may):
    assert parse_pattern(pattern).may_hold_in(name_from_text("example.test.")) is may


def rule(*targets, keys=(), names=(), types=()):
    return Rule(
        tuple(map(parse_target, targets)),
        tuple(map(name_from_text, keys)),
        tuple(map(parse_pattern, names)),
        frozenset(types),
    )


def test_address_and_key_count_together():
    both = rule("192.0.2.0/24", keys=["k.", "l."])
    assert admitted([both], "192.0.2.7", name_from_text("l."))
    assert not admitted([both], "192.0.2.7", name_from_text("m."))
    assert not admitted([both], "192.0.2.7", None)
    assert not admitted([both], "198.51.100.7", name_from_text("k."))
    assert not admitted([], "192.0.2.7", None)


def test_types_that_are_not_named_are_all_but_those_of_the_zone_itself():
    may = permission([rule("*")], None)
    name = name_from_text("www.example.test.")
    assert [rtype for rtype in (1, 2, 6, 16, 43, 46, 47, 48) if may(name, rtype)] == [1, 16, 43]
    assert permission([rule("*", types=[2, 6])], None)(name, 6)
    every = permission([rule("*", types=[255])], None)
    assert [rtype for rtype in (1, 2, 6, 46, 48, 51) if every(name, rtype)] == [1, 2, 6]


def test_each_rule_allows_on_its_own():
    may = permission([rule("*", names=["a.*"], types=[1]), rule("*", names=["b.*"], types=[16])], None)
    a, b = name_from_text("a.test."), name_from_text("b.test.")
    assert (may(a, 1), may(a, 16), may(b, 1), may(b, 16)) == (True, False, False, True)
