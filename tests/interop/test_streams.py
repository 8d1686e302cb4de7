"""Connections to the running server: ten thousand idle ones, slow, broken and greedy clients, messages of 64 KiB."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.conftest import IN_CI
from tests.interop.conftest import zone_file
from tools.servers import Server, Zonewright, free_port, wait_until

ORIGIN = "example.test."
IDLE = 10_000
SLOW = 200
GUARD_S = 60
MIB = 1 << 20

BLOCKS = """{origin}:{{port}} {{
    bind 127.0.0.1
    timeouts {{
{limits}
    }}
    file {file} {origin}
    transfer {{
        to *
    }}
    prometheus 127.0.0.1:{metrics}
}}
who.test.:{{port}} {{
    bind 127.0.0.1
    whoami
}}
"""

Start = Callable[..., Zonewright]


@pytest.fixture
def start(run: Callable[..., Server], tmp_path: Path) -> Start:
    """A server with a direct block, a chained one, and these lines in `timeouts`."""

    def start(limits: str, *, count: int = 50, more: str = "", prefix: tuple[str, ...] = ()) -> Zonewright:
        file = zone_file(tmp_path, ORIGIN, count)
        file.write_text(file.read_text() + more)
        metrics = free_port()
        text = BLOCKS.format(origin=ORIGIN, limits=limits, file=file, metrics=metrics)
        server = run(Zonewright, corefile=text, prefix=prefix)
        assert isinstance(server, Zonewright)
        server.metrics_port = metrics  # type: ignore[attr-defined]
        server.wait_served(ORIGIN)
        return server

    return start


def metrics(server: Zonewright) -> dict[str, float]:
    """What is said of streams: `name{labels}` without the common beginning."""
    address = f"http://127.0.0.1:{server.metrics_port}/metrics"  # type: ignore[attr-defined]
    with urllib.request.urlopen(address, timeout=10) as response:
        lines = response.read().decode().splitlines()
    rows = [line.removeprefix("zonewright_stream_").rpartition(" ") for line in lines if "zonewright_stream" in line]
    return {name: float(value) for name, _, value in rows if not name.startswith("#")}


def closed(server: Zonewright) -> dict[str, float]:
    """How many connections ended, by reason."""
    named = "closed_total{reason="
    return {
        name.split('"')[1]: count for name, count in metrics(server).items() if name.startswith(named) and count > 0
    }


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def query(qname: str = "mail." + ORIGIN, qtype: str = "A", number: int = 1, **edns: object) -> bytes:
    message = dns.message.make_query(qname, qtype, id=number, **edns)
    return message.to_wire()


def receive(client: socket.socket, octets: int) -> bytes:
    received = bytearray()
    while len(received) < octets:
        some = client.recv(octets - len(received))
        assert some, f"the end after {len(received)} octets of {octets}"
        received += some
    return bytes(received)


def read(client: socket.socket) -> bytes:
    return receive(client, int.from_bytes(receive(client, 2), "big"))


def is_at_end(client: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        return client.recv(1) == b""
    return True


def connect(server: Zonewright, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((server.address, server.port), timeout=GUARD_S, source_address=(source, 0))


def assert_serves(server: Zonewright, times: int = 50) -> None:
    """Others are answered, and answered right, by every transport, directly and by the chain."""
    for _ in range(times):
        assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]
    with connect(server, "127.0.9.9") as client:
        for number in range(times):
            client.sendall(framed(query(number=number)))
            answer = dns.message.from_wire(read(client))
            assert (answer.id, [str(rdata) for rdata in answer.answer[0]]) == (number, ["192.0.2.25"])
    for tcp in (False, True):
        assert server.ask("who.test.", tcp=tcp).additional


def cpu_share(server: Zonewright, seconds: float = 2.0) -> float:
    """How much of a core the server takes for so long from now."""
    before = sum(server.cpu_ticks())
    time.sleep(seconds)
    return (sum(server.cpu_ticks()) - before) / os.sysconf("SC_CLK_TCK") / seconds


# ------------------------------------------------------------------ idle connections


@pytest.fixture
def idle() -> Iterator[int]:
    """How many idle connections there may be: ten thousand, or as many as the machine allows, which won't do in CI."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = before[1]
    allowed = IDLE if most == resource.RLIM_INFINITY else min(IDLE, most * 3 // 4 - 100)
    assert allowed == IDLE or not IN_CI, (
        f"{most} descriptors may be open (RLIMIT_NOFILE), too few for {IDLE} connections"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield allowed
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_ten_thousand_idle_connections_are_held_while_others_are_served(start, idle):
    server = start("        idle 2m")
    assert_serves(server, 5)
    at_rest = cpu_share(server)
    before, begun = server.rss(), time.monotonic()
    with contextlib.ExitStack() as stack:
        for number in range(idle):
            client = stack.enter_context(connect(server, f"127.0.1.{number // 500 + 1}"))
            if number % 100 == 99:  # each is taken before there are more than the system keeps
                client.sendall(framed(query()))
                assert len(read(client)) > 12
        opened = time.monotonic() - begun
        assert metrics(server)['connections{transport="tcp"}'] == idle
        octets = (server.rss() - before) / idle
        share = cpu_share(server)
        print(
            f"{idle} opened in {opened:.1f} s; {octets:.0f} octets each; {share:.1%} of a core with, {at_rest:.1%} without"
        )
        assert_serves(server)
        client.sendall(framed(query(number=77)))
        assert dns.message.from_wire(read(client)).id == 77
    assert octets < 16384
    wait_until(lambda: metrics(server)['connections{transport="tcp"}'] == 0, GUARD_S, "all are forgotten")
    assert_serves(server, 5)


# ------------------------------------------------------------------ slow and broken clients


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An octet of a query now and then, never the last."""
    for octet in framed(query())[:-1] * 10:
        writer.write(bytes([octet]))
        await asyncio.sleep(1)
        if reader.at_eof():
            return


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Half a query, and nothing more."""
    writer.write(framed(query())[:15])
    await reader.read()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Nothing at all."""
    del writer
    await reader.read()


TRANSFERS = framed(*[query(ORIGIN, "AXFR")] * 8)
LARGE_ANSWERS = framed(*[query("large." + ORIGIN, "TXT")] * 1000)


async def sip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Transfers, read octet by octet."""
    writer.transport.pause_reading()
    writer.write(TRANSFERS)
    client = writer.get_extra_info("socket")
    while True:
        with contextlib.suppress(BlockingIOError):
            client._sock.recv(1)
        await asyncio.sleep(1)


async def gulp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Large answers, none of them read."""
    writer.transport.pause_reading()
    writer.write(LARGE_ANSWERS)
    await asyncio.sleep(GUARD_S)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A reset in the middle of a message."""
    writer.write(framed(query(), query("who.test."))[:-3])
    await reader.readexactly(2)
    client = writer.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


KINDS = (trickle, half, silence, sip, gulp, reset)


def large(octets: int) -> str:
    """TXT records of one owner with so many octets of rdata and a little."""
    strings = [f'large.{ORIGIN} 60 IN TXT "{number:04}{"x" * 245}"\n' for number in range(octets // 250)]
    return "".join(strings)


def test_two_hundred_slow_and_broken_clients_do_no_harm_and_are_closed(start):
    server = start("        read 2s\n        write 2s\n        idle 3s", count=4_000, more=large(60_000))
    server.wait_sealed(ORIGIN)
    assert_serves(server, 5)
    before = server.rss()

    def are_closed() -> bool:
        ended = closed(server)
        return ended.get("read", 0) + ended.get("idle", 0) + ended.get("write", 0) >= SLOW - SLOW // len(KINDS) - 1

    async def client(number: int) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            source = (f"127.0.2.{number + 1}", 0)
            reader, writer = await asyncio.open_connection(server.address, server.port, local_addr=source, limit=1024)
            try:
                await KINDS[number % len(KINDS)](reader, writer)
            finally:
                writer.transport.abort()

    async def run() -> int:
        async with asyncio.timeout(GUARD_S):
            clients = [asyncio.create_task(client(number)) for number in range(SLOW)]
            most = 0
            while not await asyncio.to_thread(are_closed):
                await asyncio.to_thread(assert_serves, server, 5)
                most = max(most, server.rss())
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            return most

    grown = asyncio.run(run()) - before
    ended = closed(server)
    print(f"{SLOW} slow clients: {grown / MIB:.1f} MiB more; ended by {ended}")
    assert grown < 64 * MIB
    assert {"read", "idle", "write"} <= ended.keys()
    wait_until(lambda: metrics(server)['connections{transport="tcp"}'] == 0, GUARD_S, "all are forgotten")
    assert_serves(server, 5)
    assert "Traceback" not in server.new_log


# ------------------------------------------------------------------ pipelining and sizes


def test_a_thousand_queries_in_one_write_are_answered_directly_and_by_the_chain(start):
    server = start("        idle 1m")
    names = ["mail." + ORIGIN if number % 3 else "who.test." for number in range(1000)]
    with connect(server) as client:
        client.sendall(framed(*(query(name, number=number) for number, name in enumerate(names))))
        answers = [dns.message.from_wire(read(client)) for _ in names]
    assert sorted(answer.id for answer in answers) == list(range(1000))
    for answer in answers:
        assert str(answer.question[0].name) == names[answer.id]
        assert answer.rcode() == dns.rcode.NOERROR
        assert bool(answer.answer) == (answer.id % 3 != 0)
    order = [answer.id for answer in answers]
    assert order != sorted(order), "what the chain answers came no later than what the engine answered behind it"


def test_queries_split_at_every_octet_are_answered(start):
    server = start("        idle 1m")
    octets = framed(query(number=1), query("who.test.", number=2))
    with connect(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(octets) + 1):
            client.sendall(octets[:at])
            time.sleep(0.002)
            client.sendall(octets[at:])
            assert {dns.message.from_wire(read(client)).id for _ in range(2)} == {1, 2}


def test_messages_of_64_kib_go_both_ways(start):
    server = start("        idle 1m", more=large(62_250))
    plain = query("large." + ORIGIN, "TXT", use_edns=0)
    padding = 65_535 - len(plain) - 4
    # The OPT is last: its length of options, then the padding (RFC 7830 section 3).
    option = b"\0\x0c" + padding.to_bytes(2, "big") + bytes(padding)
    largest = plain[:-2] + (padding + 4).to_bytes(2, "big") + option
    with connect(server) as client:
        client.sendall(framed(largest, largest))
        for _ in range(2):
            octets = read(client)
            answer = dns.message.from_wire(octets)
            assert len(octets) > 65_000
            assert len(answer.answer[0]) == 249
            assert not answer.flags & dns.flags.TC
            assert answer.options == (), "padding is for encrypted transports (RFC 7830 section 6)"


@pytest.mark.parametrize("junk", [b"\0\0", b"\0\x0b" + b"x" * 11, b"\0\x0c" + b"\0\1\x80" + b"\0" * 9])
def test_what_is_no_query_ends_the_connection_behind_the_answers(start, junk):
    server = start("        idle 1m")
    with connect(server) as client:
        client.sendall(framed(query(number=1), query("who.test.", number=2)) + junk + framed(query(number=3)))
        assert {dns.message.from_wire(read(client)).id for _ in range(2)} == {1, 2}
        assert is_at_end(client)
    assert_serves(server, 2)


# ------------------------------------------------------------------ limits of the Corefile


def test_limits_of_the_corefile_hold_and_change_with_a_reload(start):
    server = start("        idle 3\n        maxtcpqueries 2\n        max_connections_per_client 2")
    keepalive = query(use_edns=0, options=[dns.edns.GenericOption(11, b"")])
    with connect(server) as first, connect(server) as second, connect(server) as third:
        assert is_at_end(third)
        first.sendall(framed(keepalive, keepalive, keepalive))
        told = [dns.message.from_wire(read(first)).options[0].to_wire() for _ in range(2)]
        assert told == [(30).to_bytes(2, "big"), (0).to_bytes(2, "big")]
        assert is_at_end(first)
        assert is_at_end(second)
    wait_until(lambda: metrics(server)['connections{transport="tcp"}'] == 0, GUARD_S, "all have ended")
    assert closed(server) == {"queries": 1, "idle": 1}
    assert metrics(server)['refused_total{reason="client",transport="tcp"}'] == 1
    server.write_corefile(server.corefile.replace("idle 3\n", "idle 2m\n").replace("maxtcpqueries 2", "lifetime 1h"))
    with connect(server) as client:
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "is in force" in server.new_log, 10, "the reload is done")
        client.sendall(framed(*[keepalive] * 3))
        told = [dns.message.from_wire(read(client)).options[0].to_wire() for _ in range(3)]
        assert told == [(1200).to_bytes(2, "big")] * 3


def test_a_process_that_may_open_few_files_serves_on_and_takes_connections_again(start):
    # A UDP socket for each core, and what the rest of the process needs, which is less than what connections may have.
    few = ("sh", "-c", f'ulimit -n {70 + len(os.sched_getaffinity(0))}; exec "$@"', "sh")
    server = start("        idle 2s", prefix=few)
    assert "descriptors may be open" in server.new_log
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(200)]
        for _ in range(100):
            assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]
        print(f"{cpu_share(server):.1%} of a core while no descriptor is left")
        # Who knocked last is taken in the end: those before made room.
        clients[-1].sendall(framed(query(number=9)))
        assert dns.message.from_wire(read(clients[-1])).id == 9
    wait_until(lambda: metrics(server)['connections{transport="tcp"}'] == 0, GUARD_S, "all have ended")
    assert_serves(server, 5)
    assert "no connection can be taken beside the " in server.new_log
    assert Counter(server.new_log.splitlines()).most_common(1)[0][1] < 5, server.new_log
