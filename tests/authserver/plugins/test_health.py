import asyncio
import time

import pytest

TEXT = ". {{\nhealth 127.0.0.1:0 {{\nlameduck {}\n}}\n}}\n"


def test_the_process_says_it_lives(load, running):
    async def run():
        async with running(load(TEXT.format("0"))) as get:
            return await get("/health"), await get("/ready")

    assert asyncio.run(run()) == ((200, "OK"), (404, "Not Found\n"))


@pytest.mark.parametrize(("is_stopping", "least", "most"), [(True, 0.15, 2), (False, 0, 0.15)])
def test_the_end_of_the_process_waits_and_a_reload_does_not(load, running, is_stopping, least, most):
    async def run():
        async with running(load(TEXT.format("150ms")), is_stopping=lambda: is_stopping):
            begun = time.monotonic()
        return time.monotonic() - begun

    assert least <= asyncio.run(run()) < most


def test_the_default_is_every_address_as_in_coredns(load):
    assert "('', 8080)" in repr(load(". {\nhealth\n}\n").blocks[0].start_hooks[0][1].__self__)


def test_an_address_in_use_stops_the_start(load, running):
    async def run():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            async with running(load(f". {{\nhealth 127.0.0.1:{port}\n}}\n")):
                pass
        server.close()

    asyncio.run(run())


def test_errors_have_their_lines(errors):
    assert len(errors(". {\nhealth x:y {\nlameduck 5\nlame\n}\n}\na {\nhealth\nhealth\n}\n")) == 4
