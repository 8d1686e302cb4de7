"""The named messages of `tests/vectors/messages.txt`: over the boundary, through a chain, and over UDP and TCP sockets."""

import asyncio
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest

from authserver.plugin import StreamLimits
from authserver.sockets import stream_socket
from authserver.streams import Streams
from engine import Block, Clock, Declined, Responder, SignedVersion, ZoneSlot, name_from_text
from tests.engine.asking import NOW, Serving, build

VECTORS = Path(__file__).parents[1] / "vectors/messages.txt"
FLAGS = ("AA", "TC", "RD", "RA", "AD", "CD")
TRANSPORTS = ("udp", "tcp")

ZONE = """\
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
ns A 192.0.2.1
www CNAME ns
*.wild A 192.0.2.3
cut NS ns.cut
ns.cut A 192.0.2.4
""" + "".join(f'large TXT "{letter * 240}"\n' for letter in "abcdefghijkl")

PROBE = dns.message.make_query("ns.example.", "A", id=0xBEEF).to_wire()


@dataclass(frozen=True)
class Case:
    """One message, and what is said to it by each transport."""

    name: str
    reference: str
    octets: bytes
    said: dict[str, str]


def octets_of(text):
    """The octets of a line of the vectors."""
    octets = b""
    for word in re.findall(r'"[^"]*"|\S+', text):
        if word.startswith('"'):
            octets += dns.name.from_text(word[1:-1]).to_wire()
        elif word.startswith("#16:"):
            octets += int(word[4:]).to_bytes(2, "big")
        else:
            count, _, digits = word.rpartition("*")
            octets += bytes.fromhex(digits) * int(count or 1)
    return octets


def cases():
    """All of the file."""
    text = re.sub(r"^#.*\n", "", VECTORS.read_text(), flags=re.MULTILINE)
    for block in re.split(r"^\[", text, flags=re.MULTILINE)[1:]:
        head, sent, *said = block.strip().splitlines()
        name, reference = head.split("] ")
        answers = {}
        for line in said:
            key, _, answer = line[1:].partition(" ")
            answers |= dict.fromkeys([key] if key else TRANSPORTS, answer)
        yield Case(name, reference, octets_of(sent.removeprefix(">")), answers)


CASES = list(cases())


def shown(octets):
    """An answer as the vectors write it down."""
    message = dns.message.from_wire(octets)
    flags = [name for name in FLAGS if message.flags & dns.flags.Flag[name]]
    counts = [str(int.from_bytes(octets[at : at + 2], "big")) for at in (4, 6, 8, 10)]
    options = []
    for option in message.options:
        if option.otype == dns.edns.OptionType.EDE:
            options.append(f"ede={int(option.code)}")
        elif option.otype == dns.edns.OptionType.COOKIE:
            options.append("cookie")
    return " ".join([dns.rcode.to_text(message.rcode()), *flags, *counts, *options])


def check(case, transport, octets):
    """That the answer is the one of the vectors, and speaks of this query."""
    assert shown(octets) == case.said[transport]
    assert octets[:2] == case.octets[:2]
    if octets[4:6] == b"\0\1":
        end = 12 + len(dns.name.from_wire(case.octets, 12)[0].to_wire()) + 4
        assert octets[12:end] == case.octets[12:end]


def responder():
    """An engine that serves the zone on its listener 0."""
    clock = Clock()
    clock.stop_at(NOW)
    return Responder(clock)


def route(engine, listener):
    """Serve the zone there."""
    origin = name_from_text("example.")
    slot = ZoneSlot(origin)
    slot.publish(SignedVersion(build(ZONE)))
    engine.route([Block(0, [listener], [origin], [(origin, slot)])])
    return slot


def test_there_are_many_with_names_of_their_own():
    assert len(CASES) == len({case.name for case in CASES}) >= 100
    assert all(re.match(r"\d{4} \d", case.reference) and set(case.said) == set(TRANSPORTS) for case in CASES)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_is_answered_as_its_rfc_says(case, transport):
    engine = responder()
    _kept = route(engine, 0)
    answer = engine.answer(0, case.octets, ("192.0.2.99", 4242), transport)
    if case.said[transport] == "DECLINED":
        assert isinstance(answer, Declined)
    elif case.said[transport] == "SILENCE":
        assert answer is None
    else:
        check(case, transport, answer)


@pytest.fixture(scope="module")
def both() -> Serving:
    """The zone in a direct and in a chained block."""
    return Serving({"example.": SignedVersion(build(ZONE))})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_is_answered_the_same_by_a_chained_block(case, both):
    """`Serving` compares the two octet for octet, by both transports."""
    if case.said["udp"] != "DECLINED":
        answer = both.octets(case.octets, "udp")
        assert (answer is None) == (case.said["udp"] == "SILENCE")


def test_all_of_them_by_udp_leave_the_server_as_it_was():
    engine = responder()
    listener = engine.bind("127.0.0.1", 0)
    _kept = route(engine, listener)
    engine.start()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(engine.address(listener))
            for case in CASES:
                client.send(case.octets)
                # What follows is answered, too: so silence needs no waiting.
                client.send(PROBE)
                answer = client.recv(65535)
                if case.said["udp"] not in {"SILENCE", "DECLINED"}:
                    check(case, "udp", answer)
                    answer = client.recv(65535)
                assert answer[:2] == PROBE[:2], case.name
    finally:
        engine.stop()
    assert engine.totals()["panics"] == 0


async def ask_by_tcp(address, octets):
    """The first message that comes back, b"" when the server hangs up."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(len(octets).to_bytes(2, "big") + octets)
    try:
        async with asyncio.timeout(10):
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        writer.close()


def test_all_of_them_by_tcp_leave_the_server_as_it_was():
    async def run():
        engine = responder()
        _kept = route(engine, 7)

        async def dispatch(declined, tls):
            return engine.refuse(declined.octets, dns.rcode.REFUSED)

        streams = Streams(engine, dispatch, room=100)
        bound = stream_socket("127.0.0.1", 0)
        address = bound.getsockname()
        streams.listen(7, bound, StreamLimits())
        try:
            for case in CASES:
                answer = await ask_by_tcp(address, case.octets)
                if case.said["tcp"] == "SILENCE":
                    assert answer == b"", case.name
                elif case.said["tcp"] != "DECLINED":
                    check(case, "tcp", answer)
                assert (await ask_by_tcp(address, PROBE))[:2] == PROBE[:2], case.name
        finally:
            streams.close_all()

    asyncio.run(run())
