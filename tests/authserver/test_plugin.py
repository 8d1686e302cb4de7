import asyncio
from pathlib import Path

import pytest

from authserver import chain
from authserver.corefile import parse
from authserver.errors import CorefileErrors
from authserver.plugin import LISTEN, ROOT, Block, Build, Capability, Configuration, Listen, Settings

COLOUR = Capability("a colour")
SHAPE = Capability("a shape")


def block(text="example.org 10.0.0.0/23 {\nd x\n}\n"):
    return Block(0, parse(text, {}).blocks[0])


def build(**more):
    made = block(**more)
    settings = tuple(Settings(directive) for directive in made.source.directives)
    return Build("d", settings, made, Configuration(parse(". {\n}\n", {}), (made,)))


def test_offers_are_found_by_capability_in_the_order_they_came():
    made = build()
    made.offer(COLOUR, "red")
    made.offer(SHAPE, "round")
    made.offer(COLOUR, "blue")
    assert made.block.offered(COLOUR) == ("red", "blue")
    assert made.configuration.offered(SHAPE) == ("round",)
    assert made.block.offered_by("other", COLOUR) == ()
    assert made.need(COLOUR) == "blue"


def test_capabilities_of_one_name_are_not_the_same():
    made = build()
    made.offer(COLOUR, "red")
    assert made.block.offered(Capability("a colour")) == ()


def test_what_is_needed_and_not_there_is_an_error_with_its_line():
    with pytest.raises(
        CorefileErrors, match=r"^Corefile:2: d: needs a plugin in this server block that gives a colour$"
    ):
        build().need(COLOUR)


def test_failing_names_the_line_and_the_directive():
    with pytest.raises(CorefileErrors, match=r"^Corefile:2: d: too bad$"):
        build().fail("too bad")


def test_zones_are_those_named_or_the_block_s():
    made = build()
    assert made.zones([(b"\1a\0",), (b"\1b\0", b"\1a\0")]) == (b"\1a\0", b"\1b\0")
    assert made.zones([]) == made.block.origins
    assert len(made.block.origins) == 3


def test_paths_start_from_the_root():
    made = build()
    assert made.path("zones/a") == Path("zones/a")
    made.offer(ROOT, Path("/etc/dns"))
    assert made.path("zones/a") == Path("/etc/dns/zones/a")
    assert made.path("/abs") == Path("/abs")


def test_a_block_is_labelled_by_its_first_address():
    made = block("example.org:1053 {\nd\n}\n")
    assert made.label == "dns://:1053"
    made.offer("bind", LISTEN, Listen(("::1", "127.0.0.1"), (), made.place))
    assert made.label == "dns://[::1]:1053"
    assert made.addresses == ("::1", "127.0.0.1")


class Recorder:
    def __init__(self):
        self.said = []

    def hook(self, word, error=None):
        async def run():
            self.said.append(word)
            if error:
                raise error

        return run


def test_hooks_run_in_order_and_back():
    said = Recorder()
    configuration = chain.load("a {\nroot /\n}\nb {\nroot /\n}\n", {})
    for each in configuration.blocks:
        each.start_hooks += [("x", said.hook(f"start {each.number}.1")), ("x", said.hook(f"start {each.number}.2"))]
        each.stop_hooks += [("x", said.hook(f"stop {each.number}.1")), ("x", said.hook(f"stop {each.number}.2"))]
    asyncio.run(configuration.start())
    asyncio.run(configuration.stop())
    assert said.said == [
        "start 0.1",
        "start 0.2",
        "start 1.1",
        "start 1.2",
        "stop 1.2",
        "stop 1.1",
        "stop 0.2",
        "stop 0.1",
    ]


def test_a_start_that_fails_is_undone():
    said = Recorder()
    configuration = chain.load("a {\nroot /\n}\nb {\nroot /\n}\nc {\nroot /\n}\n", {})
    for each in configuration.blocks:
        each.start_hooks.append(
            ("x", said.hook(f"start {each.number}", OSError("in use") if each.number == 1 else None))
        )
        each.stop_hooks.append(("x", said.hook(f"stop {each.number}")))
    with pytest.raises(OSError, match="in use"):
        asyncio.run(configuration.start())
    assert said.said == ["start 0", "start 1", "stop 1", "stop 0"]
