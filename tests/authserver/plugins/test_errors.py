import asyncio
import logging

import dns.rcode
import pytest

from authserver.plugins import errors as plugin


@pytest.fixture
def link(load):
    """The handler of `errors` with this body, around another handler."""

    def link(following, body=""):
        configuration = load(f". {{\nerrors {{\n{body}\n}}\nwhoami\n}}\n")
        (block,) = configuration.blocks
        assert isinstance(block.handler, plugin.Errors)
        handler = plugin.Errors(following, block.handler.shows_trace, block.handler.consolidations)
        return handler, configuration

    return link


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_what_a_plugin_raises_is_one_line_and_servfail(link, answering, ask, query, caplog):
    handler, _ = link(answering(error=OSError("upstream gone")))
    assert ask(handler, query("example.org. MX")).rcode == dns.rcode.SERVFAIL
    assert lines(caplog) == [("ERROR", "2 example.org. MX: upstream gone")]
    assert caplog.records[0].exc_info is None


def test_an_answer_is_passed_on(link, answering, ask, query, caplog):
    handler, _ = link(answering(dns.rcode.NXDOMAIN))
    assert ask(handler, query()).rcode == dns.rcode.NXDOMAIN
    assert lines(caplog) == []


def test_the_stack_is_shown_when_asked_for(link, answering, ask, query, caplog):
    handler, _ = link(answering(error=OSError("gone")), "stacktrace")
    ask(handler, query())
    assert caplog.records[0].exc_info is not None


def test_like_errors_are_told_once_in_a_period(link, answering, query, caplog):
    following = answering(error=OSError("read udp: i/o timeout"))
    handler, _ = link(following, 'consolidate 20ms ".* i/o timeout$" warning\nconsolidate 1h other')

    async def run():
        for _ in range(3):
            await handler.serve(query())
        assert lines(caplog) == []
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert lines(caplog) == [("WARNING", "3 errors like '.* i/o timeout$' occurred in last 0.02s")]


def test_the_first_is_shown_at_once_when_asked_for(link, answering, query, caplog):
    handler, configuration = link(answering(error=OSError("boom")), "consolidate 1h boom show_first")

    async def run():
        await handler.serve(query())
        assert lines(caplog) == [("ERROR", "2 example.org. A: boom")]
        await configuration.stop()
        await handler.serve(query())
        await handler.serve(query())
        await configuration.stop()

    asyncio.run(run())
    assert lines(caplog)[1:] == [
        ("ERROR", "2 example.org. A: boom"),
        ("ERROR", "2 errors like 'boom' occurred in last 3600s"),
    ]


def test_what_matches_no_pattern_is_told_as_ever(link, answering, ask, query, caplog):
    handler, _ = link(answering(error=OSError("boom")), "consolidate 1h other")
    ask(handler, query())
    assert lines(caplog) == [("ERROR", "2 example.org. A: boom")]


def test_errors_of_the_directive_have_their_lines(errors):
    found = errors(
        ". {\nerrors {\nconsolidate 0 x\nconsolidate 1s (\nconsolidate 1s x warn\nconsolidate 1s\n}\n}\nb {\nerrors {\nconsolidate 1s (\nconsolidate 1s x info error\n}\n}\n"
    )
    assert [error.split(":")[1] for error in found] == ["3", "5", "6", "11", "12"]
    assert "accepted: debug, info, warning, error, show_first" in found[1]


def test_it_leaves_the_engine_alone(load):
    assert load(". {\nerrors\n}\n").blocks[0].is_direct
    assert logging.getLogger(plugin.__name__)
