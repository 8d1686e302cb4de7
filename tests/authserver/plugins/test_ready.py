import asyncio

import pytest

from authserver.plugin import READY, Readiness

TEXT = "a {{\nready 127.0.0.1:0 {{\nmonitor {}\n}}\n}}\nb {{\nroot /\n}}\n"


def answers(load, running, monitor, states):
    configuration = load(TEXT.format(monitor))
    now = {"file": False, "auto": True}
    for block, name in zip(configuration.blocks, now, strict=True):
        block.offer(name, READY, Readiness(name, lambda name=name: now[name]))

    async def run():
        found = []
        async with running(configuration) as get:
            for state in states:
                now.update(state)
                found.append(await get("/ready"))
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("monitor", ["until-ready", "continuously"])
def test_all_plugins_of_all_blocks_must_be_ready(load, running, monitor):
    found = answers(load, running, monitor, [{}, {"auto": False}, {"auto": True, "file": True}])
    again = "file" if monitor == "until-ready" else "auto,file"
    assert found == [(503, "file"), (503, again), (200, "OK")]


@pytest.mark.parametrize(("monitor", "last"), [("until-ready", (200, "OK")), ("continuously", (503, "file"))])
def test_who_was_ready_is_asked_again_only_when_monitored(load, running, monitor, last):
    assert answers(load, running, monitor, [{"file": True}, {"file": False}]) == [(200, "OK"), last]


def test_nobody_to_wait_for_is_ready(load, running):
    async def run():
        async with running(load(TEXT.format("until-ready"))) as get:
            return await get("/ready")

    assert asyncio.run(run()) == (200, "OK")


def test_a_wrong_word_names_the_accepted_ones(errors):
    assert errors(". {\nready {\nmonitor always\n}\n}\n") == [
        "Corefile:3: ready: monitor: WHEN: 'always' is unknown; accepted: until-ready, continuously"
    ]


def test_zones_must_be_live_or_held(load, running):
    settled = []

    async def run():
        async with running(load(TEXT.format("until-ready")), is_settled=lambda: bool(settled)) as get:
            before = await get("/ready")
            settled.append(1)
            return before, await get("/ready")

    assert asyncio.run(run()) == ((503, "zones"), (200, "OK"))
