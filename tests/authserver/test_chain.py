import asyncio
from pathlib import Path

import dns.rcode
import pytest

from authserver import chain
from authserver.directives import installed
from authserver.errors import CorefileErrors
from authserver.plugin import EFFECT, SOURCES, Argument, Effect, Plugin, Response, Schema, Source, Word

ZONE = Argument("ZONE", Word(), optional=True)


class Named:
    """A handler that notes its turn and passes on."""

    def __init__(self, name, following, turns):
        self.name, self.following, self.turns = name, following, turns

    async def serve(self, query):
        self.turns.append(self.name)
        return await self.following.serve(query)


def passing(name, turns, *, effect=None):
    def setup(build):
        if effect:
            build.offer(EFFECT, effect)
        return lambda following: Named(name, following, turns)

    return Plugin(name, Schema(), setup)


def backend(name="file", kind="file", *, falls_through=False):
    def setup(build):
        build.offer(SOURCES, Source(name, kind, "db", build.block.origins, 0, build.directive.place, falls_through))
        return lambda following: following

    return Plugin(name, Schema(arguments=(ZONE,)), setup)


@pytest.fixture
def known():
    return installed()


def errors(text, known=None):
    with pytest.raises(CorefileErrors) as raised:
        chain.load(text, {}, known=known)
    return [str(problem) for problem in raised.value.problems]


def only(text, known=None):
    (block,) = chain.load(text, {}, known=known).blocks
    return block


def test_errors_of_grammar_directives_arguments_and_set_up_come_at_once():
    text = "udp://a {\nwhoami x\n}\nb {\nbnd 1\nroot\nforward . 1.1.1.1\nerrors {\nconsolidate 1s (\n}\n}\ntls://c {\n}\n}\n"
    assert [error.split(": ", 1)[0] for error in errors(text)] == [f"Corefile:{n}" for n in (1, 2, 5, 6, 7, 9, 12, 14)]


def test_schemes_of_later_versions_are_told():
    assert errors("quic://a {\nwhoami\n}\n") == [
        "Corefile:1: key quic://a: CoreDNS has quic://, this version of Zonewright does not yet; it has dns, tls"
    ]


def test_a_set_up_that_crashes_is_a_line_of_the_report(known):
    def setup(build):
        raise KeyError("oops")

    known.add(Plugin("shout", Schema(), setup))
    assert errors(". {\nshout\n}\n", known) == ["Corefile:2: shout: set-up failed: KeyError: 'oops'"]


def test_queries_go_through_plugins_in_the_order_of_coredns(known, query):
    turns = []
    for name in ("cache", "errors", "loop"):
        known.add(passing(name, turns))
    block = only(". {\nloop\ncache\nerrors\n}\n", known)
    answer = asyncio.run(chain.serve(block, query()))
    assert turns == ["errors", "cache", "loop"]
    assert isinstance(answer, Response)
    assert answer.rcode == dns.rcode.REFUSED
    assert block.plugins == ("errors", "cache", "loop")


def test_what_a_plugin_raises_is_servfail_and_one_line(known, query, caplog):
    class Broken:
        async def serve(self, query):
            raise RuntimeError("oops")

    known.add(Plugin("shout", Schema(), lambda _: lambda _: Broken()))
    block = only(". {\nshout\n}\n", known)
    answer = asyncio.run(chain.serve(block, query()))
    assert answer.rcode == dns.rcode.SERVFAIL
    assert block.failures == 1
    assert [record.getMessage() for record in caplog.records] == ["example.org. 1: a plugin failed"]


def test_one_set_up_sees_all_lines_of_its_directive(known):
    seen = []

    def setup(build):
        seen.append([settings.get(ZONE, "") for settings in build.settings])

    known.add(Plugin("shout", Schema(arguments=(ZONE,)), setup))
    only(". {\nshout a\nlog\nshout b\n}\n", known)
    assert seen == [["a", "b"]]


def test_warnings_are_kept(tmp_path):
    configuration = chain.load(f". {{\nroot {tmp_path}/none\nlog x{{$NOT_SET}}\nwhoami\n}}\n", {})
    assert [warning.place.line for warning in configuration.warnings] == [2, 3]


def test_a_file_can_be_read_again(tmp_path):
    path = tmp_path / "Corefile"
    path.write_text(". {\nwhoami\n}\n")
    configuration = chain.load(path, {})
    path.write_text(".:54 {\nwhoami\n}\n")
    again, problems = configuration.reread()
    assert problems == []
    assert again.digest != configuration.corefile.digest


class TestDirect:
    @pytest.fixture
    def direct(self, known):
        for plugin in (
            backend(),
            backend("auto", "directory"),
            passing("cache", []),
            passing("nsid", [], effect=Effect()),
        ):
            known.add(plugin)

        def load(lines):
            return only(f"example.org {{\n{lines}\n}}\n", known)

        return load

    @pytest.mark.parametrize(
        "lines",
        [
            "file",
            "auto",
            "file\nauto",
            "log\nerrors\nprometheus :0\nfile",
            "bind lo\nroot /\nfile",
            "nsid\nfile",
            "file\nwhoami",
            "root /",
        ],
    )
    def test_a_block_is_direct_if_every_plugin_s_effect_is_data(self, direct, lines):
        block = direct(lines)
        assert block.chained_by is None
        assert block.is_direct

    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            ("cache\nfile", "cache stands ahead of file, and the engine can't do in its place what it does"),
            ("whoami", "whoami answers, and there is no zone in this server block"),
            ("auto\nwhoami", "whoami answers what auto does not"),
        ],
    )
    def test_a_block_is_chained_for_a_reason(self, direct, lines, reason):
        assert direct(lines).chained_by == reason

    def test_a_zone_that_falls_through_leaves_queries_to_others(self, known):
        known.add(backend(falls_through=True))
        assert only("example.org {\nfile\nwhoami\n}\n", known).chained_by == "whoami answers what file does not"

    def test_the_effects_of_plugins_add_up(self, direct):
        assert direct("log\nfile").effect == Effect(log=True)
        assert direct("errors\nfile").effect == Effect()


def test_a_thousand_blocks_are_built_in_no_time():
    text = "".join(f"z{n}.example:15520 {{\nbind 127.0.0.1\nlog\nerrors\nwhoami\n}}\n" for n in range(1000))
    assert len(chain.load(text, {}, file=str(Path("x"))).blocks) == 1000
