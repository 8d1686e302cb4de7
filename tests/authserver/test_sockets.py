"""DNS over TCP: framing, pipelining, streams, limits; the responder is a stand-in, the sockets are real."""

import asyncio
import contextlib

from authserver.sockets import StreamLimits, Streams, stream_socket


class Responder:
    """Answers what begins with `d` directly, declines what begins with `s`, says nothing to the rest."""

    def answer(self, listener, query, client, transport):
        assert transport == "tcp"
        if query.startswith(b"d"):
            return query.upper()
        return query_of(query) if query.startswith(b"s") else None


class query_of:  # noqa: N801 (stands in for Declined)
    def __init__(self, octets):
        self.octets = octets


async def dispatch(declined):
    if declined.octets.startswith(b"slow"):
        await asyncio.sleep(0.1)
        return b"late"

    async def messages():
        for number in range(200):
            yield bytes([number]) * 60000

    return messages()


def framed(*messages):
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


async def read(reader):
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


def talk(body, **limits):
    async def whole():
        streams = Streams(Responder(), dispatch, StreamLimits(**limits))
        bound = stream_socket("127.0.0.1", 0)
        port = bound.getsockname()[1]
        await streams.listen(1, bound)
        sweeper = asyncio.create_task(streams.sweep())
        try:
            await body(streams, port)
        finally:
            sweeper.cancel()
            await streams.close_all()

    asyncio.run(whole())


QUERY = b"direct query here"


def test_queries_in_one_segment_are_answered_one_by_one():
    async def body(_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(QUERY, QUERY, QUERY))
        assert [await read(reader) for _ in range(3)] == [QUERY.upper()] * 3
        writer.close()

    talk(body)


def test_a_query_that_comes_octet_by_octet_is_answered():
    async def body(_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for octet in framed(QUERY):
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0.002)
        assert await read(reader) == QUERY.upper()
        writer.close()

    talk(body)


def test_a_slow_answer_does_not_hold_up_a_quick_one():
    async def body(_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(b"slow query of mine", QUERY))
        assert await read(reader) == QUERY.upper()
        assert await read(reader) == b"late"
        writer.close()

    talk(body)


def test_a_stream_comes_whole_also_to_a_slow_reader_that_has_said_all():
    async def body(_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(b"stream all of it"))
        writer.write_eof()
        await asyncio.sleep(0.3)
        for number in range(200):
            assert await read(reader) == bytes([number]) * 60000
        assert await reader.read() == b""

    talk(body)


def test_idle_connections_are_closed_even_if_octets_trickle():
    async def body(streams, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                writer.write(b"\0")
                await writer.drain()
                await asyncio.sleep(0.1)
                if not streams.connections:
                    break
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert not streams.connections

    talk(body, idle=0.5)


def test_a_client_has_no_more_connections_than_it_may():
    async def body(streams, port):
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert len(streams.connections) == 3
        for _, writer in opened:
            writer.close()

    talk(body, connections_per_client=3)


def test_a_new_client_takes_the_place_of_the_longest_idle_connection():
    async def body(streams, port):
        first, _ = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.05)
        _second = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()
        with contextlib.suppress(ConnectionError):
            assert await first.read() == b""
        assert len(streams.connections) == 2

    talk(body, connections=2)


def test_junk_ends_the_connection():
    async def body(_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(b"x"))
        assert await reader.read() == b""
        writer.close()

    talk(body)


def test_many_connections_at_once_stay_within_the_limit():
    async def body(streams, port):
        most = 0
        writers = []
        for _ in range(4):
            opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(50)))
            writers += [writer for _, writer in opened]
            await asyncio.sleep(0.05)
            alive = sum(1 for reader, _ in opened if not reader.at_eof() and reader.exception() is None)
            most = max(most, sum(streams._clients.values()), alive)
        assert most <= 20
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()
        for one in [writer, *writers]:
            one.close()

    talk(body, connections=20)
