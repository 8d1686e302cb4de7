from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from authserver import directives
from authserver.directives import GROUP, ORDER, Directives, PluginError, installed
from authserver.plugin import Plugin, Schema


def module(name, monkeypatch, **members):
    made = ModuleType(name)
    vars(made).update(members)
    monkeypatch.setitem(__import__("sys").modules, name, made)
    return made


@pytest.fixture
def stranger(monkeypatch):
    """Install a plugin of a third party."""

    def install(directive, **members):
        module("stranger", monkeypatch, **members)
        points = [EntryPoint(directive, "stranger", GROUP)]
        monkeypatch.setattr(directives, "entry_points", lambda **_: points)
        return installed()

    return install


def test_the_order_is_coredns_s():
    assert len(ORDER) == len(set(ORDER)) == 60
    assert [ORDER.index(name) + 1 for name in ("root", "bind", "prometheus", "dnssec", "file", "whoami", "nomad")] == [
        1,
        15,
        22,
        37,
        48,
        56,
        60,
    ]


def test_every_module_of_plugins_is_a_directive_of_the_order_or_says_where_it_stands():
    known = installed()
    ours = known.own - set(ORDER)
    assert {name for name in ours if known.plugin(name).before in ORDER} == ours


def test_own_plugins_load():
    known = installed()
    for name in ("bind", "root", "errors", "log", "whoami", "health", "ready", "reload", "prometheus"):
        plugin = known.plugin(name)
        assert plugin is not None
        assert plugin.name == name


def test_an_unknown_directive_gets_the_nearest_word_and_all_the_words():
    known = Directives(frozenset({"whoami", "log", "file"}), {})
    assert known.plugin("whoam") is None
    assert known.unknown("whoam") == "unknown directive 'whoam'; did you mean 'whoami'?; accepted: file, log, whoami"


def test_a_directive_that_coredns_has_is_told_apart():
    known = Directives(frozenset(), {})
    assert known.unknown("forward") == "forward: CoreDNS has this directive, this version of Zonewright does not yet"


def test_a_zone_where_a_directive_should_be_hints_at_braces():
    assert "must be in braces" in Directives(frozenset(), {}).unknown("example.org")


def test_a_third_party_s_plugin_is_found_by_its_entry_point(stranger):
    known = stranger("shout", SCHEMA=Schema(), setup=lambda _: None)
    assert "shout" in known.names
    assert isinstance(known.plugin("shout"), Plugin)


def test_a_third_party_may_say_where_it_stands(stranger):
    known = stranger("shout", SCHEMA=Schema(), setup=lambda _: None, BEFORE="log")
    assert known.in_order(["whoami", "log", "shout", "errors"]) == ["errors", "shout", "log", "whoami"]


def test_a_third_party_stands_ahead_of_the_zone_backends_by_itself(stranger):
    known = stranger("shout", SCHEMA=Schema(), setup=lambda _: None)
    assert known.in_order(["whoami", "shout", "log"]) == ["log", "shout", "whoami"]


def test_the_product_s_own_plugins_win(stranger):
    assert stranger("log", SCHEMA=Schema(), setup=lambda _: None).foreign == {}


@pytest.mark.parametrize("members", [{}, {"SCHEMA": Schema()}, {"SCHEMA": 1, "setup": print}])
def test_a_module_that_is_no_plugin_is_an_error_by_name(stranger, members):
    with pytest.raises(PluginError, match="shout: stranger has no SCHEMA or no setup"):
        stranger("shout", **members).plugin("shout")


def test_a_module_that_does_not_import_is_an_error_by_name(monkeypatch):
    points = [EntryPoint("shout", "no_such_module_here", GROUP)]
    monkeypatch.setattr(directives, "entry_points", lambda **_: points)
    with pytest.raises(PluginError, match="shout: cannot load no_such_module_here: ModuleNotFoundError"):
        installed().plugin("shout")
