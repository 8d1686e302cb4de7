"""DNS over streams: framing, pipelining, transfers, limits; the responder is a stand-in, the sockets are real."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import time

import pytest

from authserver.plugin import StreamLimits
from authserver.sockets import stream_socket
from authserver.streams import IN_FLIGHT, TRANSFERS_A_CLIENT, Messages, Streams, client_of

GUARD_S = 20


class Responder:
    """Answers what begins with `d` directly, declines what begins with `s`, says nothing to the rest."""

    def __init__(self):
        self.idles = []

    def answer(self, listener, query, client, transport, idle_ms, local):
        assert (listener, transport) == (1, "tcp")
        assert client[0].startswith(("127.", "::1"))
        assert local in {"127.0.0.1", "::1"}
        self.idles.append(idle_ms)
        if query.startswith(b"d"):
            return query.upper()
        return Query(query) if query.startswith(b"s") else None


class Query:
    """Stands in for Declined."""

    def __init__(self, octets):
        self.octets = octets


class Dispatcher:
    """A late answer for `slow`, a failure for `sad`, else a transfer of 200 messages."""

    def __init__(self):
        self.asked = self.transfers = self.most_transfers = 0

    async def __call__(self, declined, tls):
        self.asked += 1
        if declined.octets.startswith(b"some large"):
            return bytes(65000)
        if declined.octets.startswith(b"slow"):
            await asyncio.sleep(0.05)
            return b"late" + declined.octets[4:]
        if declined.octets.startswith(b"sad"):
            raise RuntimeError(declined.octets.decode())
        return Messages(self.messages(), lambda: b"busy")

    async def messages(self):
        self.transfers += 1
        self.most_transfers = max(self.most_transfers, self.transfers)
        for number in range(200):
            yield bytes([number]) * 60000
        self.transfers -= 1


class Talk:
    """Streams that listen on a free port, and clients of them."""

    def __init__(self, room, limits, address="127.0.0.1"):
        self.responder = Responder()
        self.dispatcher = Dispatcher()
        self.streams = Streams(self.responder, self.dispatcher, room)
        bound = stream_socket(address, 0)
        self.address, self.port = bound.getsockname()[:2]
        self.streams.listen(1, bound, limits)
        self.writers = []

    async def client(self, address=None):
        local = (address, 0) if address else None
        reader, writer = await asyncio.open_connection(self.address, self.port, local_addr=local)
        self.writers.append(writer)
        return reader, writer

    @property
    def facts(self):
        return self.streams.facts

    @property
    def closed(self):
        return {reason: count for (_, reason), count in self.facts.closed.items()}

    async def until(self, condition):
        while not condition():  # noqa: ASYNC110 (nothing says when)
            await asyncio.sleep(0.01)


def talk(body, room=1000, address="127.0.0.1", **limits):
    async def whole():
        talk = Talk(room, StreamLimits(**limits), address)
        sweeper = asyncio.create_task(talk.streams.sweep())
        try:
            async with asyncio.timeout(GUARD_S):
                return await body(talk)
        finally:
            sweeper.cancel()
            for writer in talk.writers:
                writer.transport.abort()
            talk.streams.close_all()

    return asyncio.run(whole())


@pytest.fixture(autouse=True)
def _short_sweeps(monkeypatch):
    monkeypatch.setattr("authserver.streams.SWEEP_S", 0.05)


def framed(*messages):
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


async def read(reader):
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def rest(reader):
    """Whatever comes until the end, which may be a reset."""
    try:
        return await reader.read()
    except ConnectionError:
        return b"reset"


QUERY = b"direct query here"


def numbered(number):
    return b"direct query %d" % number


# ------------------------------------------------------------------ framing and order


@pytest.mark.parametrize("at", range(len(framed(QUERY, QUERY)) + 1))
def test_two_messages_are_answered_wherever_they_are_split(at):
    async def body(talk):
        reader, writer = await talk.client()
        octets = framed(QUERY, QUERY)
        writer.write(octets[:at])
        await asyncio.sleep(0.005)
        writer.write(octets[at:])
        assert [await read(reader) for _ in range(2)] == [QUERY.upper()] * 2

    talk(body)


def test_a_query_that_comes_octet_by_octet_is_answered():
    async def body(talk):
        reader, writer = await talk.client()
        for octet in framed(QUERY):
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0.002)
        assert await read(reader) == QUERY.upper()

    talk(body)


def test_ipv6_is_no_different():
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()

    talk(body, address="::1")


def test_a_slow_answer_does_not_hold_up_a_quick_one():
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(b"slow query of mine", QUERY))
        assert await read(reader) == QUERY.upper()
        assert await read(reader) == b"late query of mine"

    talk(body)


def test_a_thousand_queries_in_one_write_are_all_answered_each_once():
    async def body(talk):
        reader, writer = await talk.client()
        queries = [b"slow query %d" % n if n % 3 == 0 else numbered(n) for n in range(1000)]
        writer.write(framed(*queries))
        writer.write_eof()
        answers = [await read(reader) for _ in queries]
        assert await reader.read() == b""
        assert sorted(answers) == sorted(
            b"late" + query[4:] if query.startswith(b"slow") else query.upper() for query in queries
        )
        assert answers.index(b"late query 0") > answers.index(b"DIRECT QUERY 1")

    talk(body)


@pytest.mark.parametrize("word", [b"direct", b"slow"])
def test_messages_of_the_largest_size_go_both_ways(word):
    async def body(talk):
        reader, writer = await talk.client()
        query = word + b"x" * (65535 - len(word))
        writer.write(framed(query, QUERY, query))
        answers = sorted([await read(reader) for _ in range(3)], key=len)
        assert [len(answer) for answer in answers] == [len(QUERY), 65535, 65535]

    talk(body)


@pytest.mark.parametrize("junk", [b"", b"d", b"d" * 11, b"no query at all"])
def test_junk_ends_the_connection_when_what_came_before_is_answered(junk):
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(b"slow query of mine", QUERY, junk, QUERY))
        assert await read(reader) == QUERY.upper()
        assert await read(reader) == b"late query of mine"
        assert await reader.read() == b""
        writer.close()
        await talk.until(lambda: talk.closed == {"malformed": 1})

    talk(body)


def test_an_answer_that_fails_ends_its_connection_and_no_other(caplog):
    async def body(talk):
        (sad, sad_writer), (good, writer) = await talk.client(), await talk.client()
        sad_writer.write(framed(b"sad query of mine"))
        assert await rest(sad) in (b"", b"reset")
        writer.write(framed(QUERY))
        assert await read(good) == QUERY.upper()
        assert talk.closed == {"failed": 1}

    talk(body)
    assert "RuntimeError('sad query of mine')" in caplog.text


# ------------------------------------------------------------------ transfers


def test_a_stream_comes_whole_also_to_a_slow_reader_that_has_said_all():
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(b"stream all of it"))
        writer.write_eof()
        await asyncio.sleep(0.3)
        for number in range(200):
            assert await read(reader) == bytes([number]) * 60000
        assert await reader.read() == b""

    talk(body)


def test_transfers_of_one_client_hold_up_nobody_and_few_go_on_at_a_time():
    async def body(talk):
        (many, many_writer), (reader, writer) = await talk.client(), await talk.client()
        transfers = IN_FLIGHT
        many_writer.write(framed(*[b"stream all of it"] * transfers))

        async def swallow():
            octets = 0
            while octets < transfers * 200 * 60002:
                octets += len(await many.read(1 << 20))

        swallowing = asyncio.create_task(swallow())
        await talk.until(lambda: talk.dispatcher.transfers)
        for number in range(500):
            writer.write(framed(numbered(number)))
            assert await read(reader) == numbered(number).upper()
        assert not swallowing.done(), "the transfers were over before the queries"
        assert talk.dispatcher.most_transfers == TRANSFERS_A_CLIENT
        swallowing.cancel()

    talk(body)


def test_transfers_of_two_clients_take_turns():
    async def body(talk):
        clients = [await talk.client(f"127.0.0.{last}") for last in (2, 3)]
        for _, writer in clients:
            writer.write(framed(b"stream all of it"))
        order = []

        async def swallow(name, reader):
            for _ in range(200):
                await read(reader)
                order.append(name)

        await asyncio.gather(*(swallow(name, reader) for name, (reader, _) in enumerate(clients)))
        assert 50 < sum(order[:200]) < 150

    talk(body)


def test_no_more_answers_are_made_than_the_client_reads():
    async def body(talk):
        reader, writer = await talk.client()
        writer.transport.pause_reading()
        writer.write(framed(*[b"some large answer"] * IN_FLIGHT))
        await talk.until(lambda: talk.dispatcher.asked)
        await asyncio.sleep(0.1)
        (connection,) = talk.streams.connections
        assert connection._transport.get_write_buffer_size() < 65536 + 65002
        writer.transport.resume_reading()
        assert [len(await read(reader)) for _ in range(IN_FLIGHT)] == [65000] * IN_FLIGHT

    talk(body)


# ------------------------------------------------------------------ limits of time


def test_idle_connections_are_closed():
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()
        assert await reader.read() == b""
        assert talk.closed == {"idle": 1}

    talk(body, idle=0.3)


def test_a_connection_that_asks_now_and_then_stays():
    async def body(talk):
        reader, writer = await talk.client()
        for _ in range(8):
            writer.write(framed(QUERY))
            assert await read(reader) == QUERY.upper()
            await asyncio.sleep(0.2)
        assert talk.closed == {}

    talk(body, idle=0.6)


@pytest.mark.parametrize("first", [b"", b"\0", b"\0\x10", b"\0\x10half a"])
def test_a_message_that_is_not_finished_in_time_ends_the_connection_though_octets_trickle(first):
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(QUERY) + first)
        assert await read(reader) == QUERY.upper()
        while not talk.closed:
            writer.write(b"x")
            await asyncio.sleep(0.06)
        assert talk.closed == {"read": 1}

    talk(body, read=0.3, idle=60)


def test_who_reads_nothing_is_closed_and_what_is_kept_for_it_is_bounded():
    async def body(talk):
        _, writer = await talk.client()
        writer.transport.pause_reading()
        writer.write(framed(*[b"stream all of it"] * 20))
        await talk.until(lambda: talk.dispatcher.transfers)
        await asyncio.sleep(0.2)
        (connection,) = talk.streams.connections
        assert connection._transport.get_write_buffer_size() < 65536 + 60002
        await talk.until(lambda: talk.closed == {"write": 1})

    talk(body, write=0.5)


def test_who_reads_slowly_gets_all():
    async def body(talk):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", talk.port))
            await loop.sock_sendall(client, framed(b"stream all of it"))
            octets, begun = 0, time.monotonic()
            while octets < 200 * 60002:
                octets += len(await loop.sock_recv(client, 1 << 18))
                await asyncio.sleep(0.02)
            assert time.monotonic() - begun > 1, "it was not slow"
            assert talk.closed == {}

    talk(body, write=0.6)


def test_who_does_not_read_its_answers_is_closed():
    async def body(talk):
        _, writer = await talk.client()
        writer.transport.pause_reading()
        writer.write(framed(*[b"direct" + b"x" * 65000] * 100))
        await talk.until(lambda: talk.closed)
        assert talk.closed == {"write": 1}
        assert 0 < len(talk.responder.idles) < 100

    talk(body, idle=0.3, write=0.4)


def test_a_connection_has_a_lifetime_and_what_was_asked_in_it_is_answered():
    async def body(talk):
        reader, writer = await talk.client()
        answered = 0
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                writer.write(framed(b"slow query of mine"))
                await read(reader)
                answered += 1
        assert answered > 2
        writer.close()
        await talk.until(lambda: talk.closed == {"lifetime": 1})

    talk(body, lifetime=0.5)


def test_a_connection_carries_so_many_queries_all_of_them_answered():
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(*(b"slow query %d" % n if n % 2 else numbered(n) for n in range(1000))))
        answers = [await read(reader) for _ in range(7)]
        assert await reader.read() == b""
        assert sorted(answers) == sorted([*(numbered(n).upper() for n in (0, 2, 4, 6)), *LATE])
        writer.close()
        await talk.until(lambda: talk.closed == {"queries": 1})
        assert talk.responder.idles == [10_000] * 6 + [0]

    talk(body, queries=7)


LATE = [b"late query 1", b"late query 3", b"late query 5"]


def test_who_does_not_close_after_its_last_answer_is_closed():
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()
        assert await reader.read() == b""
        await talk.until(lambda: talk.closed == {"queries": 1})

    talk(body, queries=1, read=0.3)


def test_limits_that_change_are_in_force_for_connections_that_stand():
    async def body(talk):
        reader, _ = await talk.client()
        await talk.until(lambda: talk.streams.connections)
        talk.streams.limit(1, StreamLimits(idle=0.1))
        assert await reader.read() == b""

    talk(body, idle=60)


# ------------------------------------------------------------------ limits of number


def test_a_client_has_no_more_connections_than_it_may():
    async def body(talk):
        opened = [await talk.client() for _ in range(5)]
        await talk.until(lambda: talk.facts.refused == {("tcp", "client"): 2})
        assert len(talk.streams.connections) == 3
        reader, writer = await talk.client("127.0.0.2")
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()
        opened[0][1].close()
        await talk.until(lambda: len(talk.streams.connections) == 3)
        reader, writer = await talk.client()
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()

    talk(body, connections_per_client=3)


def test_a_client_is_an_address_or_a_network_of_ipv6():
    assert client_of("192.0.2.1") != client_of("192.0.2.2")
    assert client_of("2001:db8:0:100::1") == client_of("2001:db8:0:1ff::1")
    assert client_of("2001:db8:0:100::1") != client_of("2001:db8:0:200::1")
    assert client_of("fe80::1%eth0") == client_of("fe80::2%eth1")


@pytest.mark.parametrize(("room", "connections"), [(2, 100), (100, 2)])
def test_a_new_client_takes_the_place_of_the_connection_that_has_waited_longest(room, connections):
    async def body(talk):
        first, first_writer = await talk.client()
        second, _ = await talk.client()
        first_writer.write(framed(QUERY))
        assert await read(first) == QUERY.upper()  # now the second has waited longer
        reader, writer = await talk.client()
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()
        assert await rest(second) in (b"", b"reset")
        assert len(talk.streams.connections) == 2
        assert talk.closed == {"room": 1}

    talk(body, room=room, connections=connections)


def test_where_all_are_busy_a_new_client_is_turned_away():
    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(b"slow query of mine"))
        await talk.until(lambda: talk.responder.idles)
        late, _ = await talk.client()
        assert await rest(late) in (b"", b"reset")
        assert await read(reader) == b"late query of mine"
        assert talk.facts.refused == {("tcp", "room"): 1}

    talk(body, connections=1)


def test_who_asks_is_told_to_close_when_room_is_about_to_be_wanted():
    async def body(talk):
        for _ in range(10):
            reader, writer = await talk.client()
            writer.write(framed(QUERY))
            assert await read(reader) == QUERY.upper()
        assert talk.responder.idles == [60_000] * 9 + [0]

    talk(body, connections=10, idle=60)


def test_many_connections_at_once_stay_within_the_limit():
    async def body(talk):
        most = 0
        for _ in range(4):
            opened = await asyncio.gather(*(talk.client() for _ in range(50)))
            await asyncio.sleep(0.05)
            alive = sum(1 for reader, _ in opened if not reader.at_eof() and reader.exception() is None)
            most = max(most, talk.facts.standing["tcp"], alive)
        assert most <= 20
        reader, writer = await talk.client()
        writer.write(framed(QUERY))
        assert await read(reader) == QUERY.upper()

    talk(body, connections=20)


def test_connections_that_end_are_forgotten():
    async def body(talk):
        for reset in (False, True):
            reader, writer = await talk.client()
            writer.write(framed(QUERY, b"slow query of mine") + b"\0\x20half")
            assert await read(reader) == QUERY.upper()
            if reset:
                linger = b"\1\0\0\0\0\0\0\0"
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
        await talk.until(lambda: not talk.streams.connections)
        assert talk.closed == {"client": 2}
        assert talk.facts.standing == {"tcp": 0}

    talk(body)


def test_want_of_descriptors_makes_idle_connections_give_way_and_ends_nothing(monkeypatch, caplog):
    async def body(talk):
        idle = [await talk.client() for _ in range(3)]
        await talk.until(lambda: len(talk.streams.connections) == 3)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket() as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                await loop.sock_connect(client, ("127.0.0.1", talk.port))
                await talk.until(lambda: talk.closed == {"room": 3})
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await loop.sock_sendall(client, framed(QUERY))
            assert await loop.sock_recv(client, 1000) == framed(QUERY.upper())
        for reader, _ in idle:
            assert await rest(reader) in (b"", b"reset")

    talk(body)
    assert caplog.text.count(os.strerror(errno.EMFILE)) == 1


@pytest.mark.parametrize(("limit", "reason"), [("TRANSFERS", "room"), ("TRANSFERS_OF_A_CLIENT", "client")])
def test_one_transfer_too_many_is_told_so_and_the_others_go_on(monkeypatch, limit, reason):
    monkeypatch.setattr(f"authserver.streams.{limit}", 2)

    async def body(talk):
        reader, writer = await talk.client()
        writer.write(framed(b"some transfer 1", b"some transfer 2", b"some transfer 3"))
        got = [await read(reader) for _ in range(401)]
        assert got.count(b"busy") == 1
        assert talk.dispatcher.most_transfers <= 2
        assert talk.facts.transfers_refused == {("tcp", reason): 1}
        await talk.until(lambda: talk.facts.transfers["tcp"] == 0)
        writer.write(framed(b"some transfer 4"))
        assert b"busy" not in [await read(reader) for _ in range(200)]

    talk(body)
