import asyncio
import contextlib

import pytest

from authserver.http import MAX_HEAD_OCTETS, HttpServers, Reply

ANY = ("127.0.0.1", 0)


async def fine(_):
    return Reply(200, b"OK")


async def exchange(port, octets):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(octets)
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    return answer


def talk(*octets, path="/health", answer=fine):
    async def run():
        servers = HttpServers()
        endpoint = await servers.add(ANY, path, answer)
        answers = [await exchange(servers.port(ANY), each) for each in octets]
        await servers.remove(endpoint)
        return answers

    return asyncio.run(run())


def test_get_gives_the_body_and_head_does_not():
    got, head = talk(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD /health?x=1 HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"Content-Length: 2\r\nConnection: close\r\n\r\nOK")
    assert head == got.removesuffix(b"OK")


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /health HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"405 Method Not Allowed"),
        (b"GET /health\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\r\n\r\n", b"400 Bad Request"),
    ],
)
def test_everything_else_gets_its_status(octets, status):
    assert talk(octets)[0].startswith(b"HTTP/1.1 " + status)


def test_a_head_without_end_is_given_up():
    long, after = talk(b"GET /" + b"x" * 2 * MAX_HEAD_OCTETS, b"GET /health HTTP/1.1\r\n\r\n")
    assert long == b""
    assert after.endswith(b"OK")


def test_an_answer_that_fails_is_500_and_logged(caplog):
    async def broken(_):
        raise RuntimeError("oops")

    (got,) = talk(b"GET /health HTTP/1.1\r\n\r\n", answer=broken)
    assert got.startswith(b"HTTP/1.1 500")
    assert "/health at 127.0.0.1:0 failed" in caplog.text


def test_the_last_endpoint_of_a_path_answers_and_the_socket_stays_until_all_are_gone():
    async def new(_):
        return Reply(200, b"new")

    async def run():
        servers = HttpServers()
        first = await servers.add(ANY, "/x", fine)
        port = servers.port(ANY)
        second = await servers.add(ANY, "/x", new)
        await servers.remove(first)
        answer = await exchange(port, b"GET /x HTTP/1.1\r\n\r\n")
        await servers.remove(second)
        with pytest.raises(OSError):
            await exchange(port, b"GET /x HTTP/1.1\r\n\r\n")
        return answer

    assert asyncio.run(run()).endswith(b"new")


def test_an_address_in_use_is_an_error():
    async def run():
        servers, others = HttpServers(), HttpServers()
        await servers.add(ANY, "/x", fine)
        with pytest.raises(OSError):
            await others.add(("127.0.0.1", servers.port(ANY)), "/x", fine)

    asyncio.run(run())
