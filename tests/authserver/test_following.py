"""Directories that lose zones: to another source, by accident, or for good."""

import asyncio
import re

import pytest

from authserver.backend import ZoneTable
from authserver.corefile import Place
from authserver.following import DirectoryFollower, Registry, Site, World
from authserver.plugin import Source
from authserver.plugins.auto import AutoOptions
from engine import Clock
from zones.naming import Naming

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
    return DirectoryFollower(Site(source, "", lambda _: None), world)


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
