"""Directories that lose zones: to another source, by accident, or for good."""

import asyncio
import re

import pytest

from authserver.backend import ZoneTable
from authserver.corefile import Place
from authserver.following import DirectoryFollower, Registry, Site, World
from authserver.plugin import Source
from authserver.plugins.auto import AutoOptions
from authserver.publication import ZoneKey
from engine import Clock
from keys.policy import DEFAULT
from zones.naming import Naming
from zones.source import Provenance

NOW = 1_800_000_000
TEXT = "$TTL 300\n@ SOA ns admin 1 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\n"


class NoPipeline:
    """Takes zones and work, and does nothing with them."""

    def __init__(self):
        self.zones = {}

    async def restore(self, zones):
        self.zones.update((zone.key, zone) for zone in zones)

    async def remove(self, zones):
        for zone in zones:
            self.zones.pop(zone.key)

    def submit(self, works):
        pass


@pytest.fixture
def world():
    clock = Clock()
    clock.stop_at(NOW)
    pipeline = NoPipeline()
    return World(Registry(pipeline), pipeline, None, clock, lambda: None, lambda _: None)


def follower(world, directory):
    directory.mkdir(exist_ok=True)
    options = AutoOptions(ZoneTable(), Naming(re.compile(r"db\.(.*)"), "{1}"))
    source = Source("auto", "directory", str(directory), (b"\x00",), 60, Place("Corefile", 1), options=options)
    return DirectoryFollower(Site(source, "", "dns://:53", lambda _: None), world)


def add(directory, *names):
    for name in names:
        (directory / f"db.{name}").write_text(TEXT)


def look(*followers):
    for one in followers:
        asyncio.run(one.look())


def names(one):
    return sorted(origin[1 : 1 + origin[0]].decode() for origin in one.zones)


def test_the_last_zone_of_a_directory_may_be_moved_to_another_one_of_the_block(world, tmp_path):
    first, second = follower(world, tmp_path / "first"), follower(world, tmp_path / "second")
    add(tmp_path / "first", "a.test")
    look(first, second)
    (tmp_path / "first/db.a.test").rename(tmp_path / "second/db.a.test")
    look(second, first, first)
    assert names(first) == []
    assert names(second) == ["a"]
    assert first.problem is None
    (zone,) = second.zones.values()
    assert world.registry.is_owner(zone, second.name)


def test_the_last_zone_of_a_directory_that_nobody_else_has_is_kept(world, tmp_path):
    first = follower(world, tmp_path / "first")
    add(tmp_path / "first", "a.test")
    look(first)
    (tmp_path / "first/db.a.test").unlink()
    look(first, first, first)
    assert names(first) == ["a"]
    assert "holds no zone any more" in first.problem


def test_many_zones_that_vanish_at_once_are_kept_with_a_finding_and_go_later(world, tmp_path):
    first = follower(world, tmp_path / "first")
    add(tmp_path / "first", *(f"{name}.test" for name in "abcde"))
    look(first)
    for name in "abcd":
        (tmp_path / f"first/db.{name}.test").unlink()
    look(first, first, first)
    assert names(first) == list("abcde")
    assert [one.rule for one in first.findings] == ["many-zones-gone"]
    assert "4 of 5 zones" in str(first.findings[0])
    for minute in range(1, 11):
        world.clock.stop_at(NOW + 60 * minute)
        look(first)
    assert names(first) == ["e"]
    assert first.findings == ()


def test_a_single_zone_goes_at_the_second_look(world, tmp_path):
    first = follower(world, tmp_path / "first")
    add(tmp_path / "first", *(f"{name}.test" for name in "abcde"))
    look(first)
    (tmp_path / "first/db.a.test").unlink()
    look(first)
    assert names(first) == list("abcde")
    look(first)
    assert names(first) == list("bcde")


# ------------------------------------------------------------------ what zones are kept under

ORIGIN = b"\1a\4test\0"


def site(file, server="dns://127.0.0.1:53", view="", policy=None):
    source = Source("file", "file", f"/zones/{file}", (ORIGIN,), 60, Place("Corefile", 1))
    return Site(source, view, server, lambda _: policy)


def kept_as(sites, known=None):
    """The names of the sites' zones, claimed in this order, by their files."""
    known = {
        ZoneKey(ORIGIN, view): Provenance(f"file /zones/{file}", "", "", file) for view, file in (known or {}).items()
    }
    registry = Registry(NoPipeline(), sites, known)
    return {one.source.location[7:]: registry.claim(ORIGIN, one.source.location, one).key.view for one in sites}


FIRST, SECOND = "dns://127.0.0.1:53", "dns://127.0.0.2:53"


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_zone_in_a_view_is_kept_under_the_view_s_name_wherever_its_block_stands(is_turned):
    sites = [site("x", view="inside"), site("y", view="outside"), site("z")]
    assert kept_as(sites[::-1] if is_turned else sites) == {"x": "inside", "y": "outside", "z": ""}


def test_blocks_of_other_addresses_are_named_by_their_server_and_the_first_is_not():
    assert kept_as([site("x", FIRST), site("y", SECOND)]) == {"x": "", "y": SECOND}


def test_zones_without_a_view_keep_their_names_when_blocks_change_places():
    known = {"": "x", SECOND: "y"}
    assert kept_as([site("y", SECOND), site("x", FIRST)], known) == {"x": "", "y": SECOND}
    assert kept_as([site("new", "dns://127.0.0.3:53"), site("y", SECOND), site("x", FIRST)], known) == {
        "x": "",
        "y": SECOND,
        "new": "dns://127.0.0.3:53",
    }


def test_a_zone_does_not_take_the_keys_of_another_one_that_is_gone():
    assert kept_as([site("y", SECOND)], {"": "x", SECOND: "y"}) == {"y": SECOND}


def test_a_file_of_another_name_goes_on_with_the_zone_s_keys():
    assert kept_as([site("renamed", FIRST)], {"": "x"}) == {"renamed": ""}
    assert kept_as([site("renamed", FIRST), site("x", FIRST)], {"": "x"}) == {"renamed": "", "x": ""}


def test_the_same_file_signed_the_same_is_one_zone_on_every_address_and_signed_otherwise_another():
    one, two = site("x", FIRST), site("x", SECOND)
    registry = Registry(NoPipeline(), [one, two])
    assert registry.claim(ORIGIN, "x", one) is registry.claim(ORIGIN, "x", two)
    other = site("x", SECOND, policy=DEFAULT)
    assert registry.claim(ORIGIN, "x", other).key.view == SECOND
