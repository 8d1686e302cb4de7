"""Messages of a whole server: cookies that BIND and NSD know, dig's view of our options, rate limits over real sockets."""

import re
import socket
import subprocess
import time

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.interop.conftest import zone_file
from tools.servers import LOOPBACK, Named, Nsd, Zone, Zonewright, program

ORIGIN = "example.test."
SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
CLIENT = bytes.fromhex("2464c4abcf10c957")
COOKIE = 10


@pytest.fixture(params=[False, True], ids=["direct", "chained"])
def served(request, run, tmp_path):
    """A server with these lines in its block, in both ways of answering."""

    def served(lines):
        file = zone_file(tmp_path, ORIGIN, 100)
        text = (
            f"{ORIGIN}:{{port}} {{\n bind 127.0.0.1\n file {file} {ORIGIN} {{\n  {'fallthrough' if request.param else ''}\n }}\n"
            f" {lines}\n {'whoami' if request.param else ''}\n}}\n"
        )
        server = run(Zonewright, corefile=text)
        server.wait_served(ORIGIN)
        assert ("is chained" in server.log) == request.param
        return server

    return served


def ask(server, *options, qname="mail." + ORIGIN, **facts):
    """One query by UDP with these options, and its answer."""
    query = dns.message.make_query(qname, "A", use_edns=0, payload=1232, options=list(options))
    return dns.query.udp(query, LOOPBACK, 5, server.port, **facts)


def cookie_of(answer):
    """The whole cookie of an answer."""
    return next(option.to_wire() for option in answer.options if option.otype == COOKIE)


def with_cookie(data):
    """A COOKIE option."""
    return dns.edns.GenericOption(COOKIE, data)


PEERS = [
    pytest.param(Named, f'cookie-secret "{SECRET}"; cookie-algorithm siphash24; require-server-cookie yes;', id="BIND",
                 marks=pytest.mark.peer("named")),
    pytest.param(Nsd, f'answer-cookie: yes\n  cookie-secret: "{SECRET}"', id="NSD", marks=pytest.mark.peer("nsd")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "more"), PEERS)
def test_a_fleet_with_another_make_of_server_shares_its_cookies(run, tmp_path, kind, more):
    file = zone_file(tmp_path, ORIGIN, 100)
    ours = run(
        Zonewright,
        corefile=f"{ORIGIN}:{{port}} {{\n bind 127.0.0.1\n file {file} {ORIGIN}\n cookies {{\n  secret {SECRET}\n"
        "  require\n }\n}\n",
    )
    ours.wait_served(ORIGIN)
    peer = run(kind, zones=[Zone(ORIGIN, file)], more=more)
    theirs = cookie_of(ask(peer, with_cookie(CLIENT)))
    answer = ask(ours, with_cookie(theirs))
    assert (answer.rcode(), cookie_of(answer)) == (dns.rcode.NOERROR, theirs)
    own = cookie_of(ask(ours, with_cookie(CLIENT)))
    answer = ask(peer, with_cookie(own))
    assert (answer.rcode(), cookie_of(answer), len(answer.answer)) == (dns.rcode.NOERROR, own, 1)


def test_required_cookies_are_asked_for_and_then_enough(served):
    server = served(f"cookies {{\n  secret {SECRET}\n  require\n }}")
    first = ask(server, with_cookie(CLIENT))
    assert first.rcode() == dns.rcode.BADCOOKIE
    assert len(ask(server, with_cookie(cookie_of(first))).answer) == 1
    assert ask(server).flags & dns.flags.TC
    assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]


@pytest.mark.peer("delv")
def test_dig_reads_our_options_and_follows_badcookie(served):
    server = served(f"nsid ams-2\n cookies {{\n  secret {SECRET}\n  require\n }}")
    dig = program("dig") or "dig"
    done = subprocess.run(
        [dig, f"@{LOOPBACK}", "-p", str(server.port), "+nsid", "+cookie", "+keepalive", "mail." + ORIGIN],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert "status: NOERROR" in done.stdout
    assert "ams-2" in done.stdout
    assert re.search(r"COOKIE: [0-9a-f]{48} \(good\)", done.stdout)
    by_tcp = subprocess.run(
        [dig, f"@{LOOPBACK}", "-p", str(server.port), "+tcp", "+keepalive", "mail." + ORIGIN],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert "TCP-KEEPALIVE: 10.0 secs" in by_tcp.stdout.replace("TCP KEEPALIVE", "TCP-KEEPALIVE")


def test_a_flood_is_limited_and_logged_while_others_are_answered(served):
    server = served("rrl {\n  responses-per-second 10\n  slip-ratio 2\n }")
    query = dns.message.make_query("mail." + ORIGIN, "A", use_edns=0).to_wire()
    sent, whole, slipped = 400, 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.connect((LOOPBACK, server.port))
        flood.settimeout(0.5)
        for _ in range(sent):
            flood.send(query)
            time.sleep(0.0005)
        try:
            while True:
                if flood.recv(2048)[2] & 2:
                    slipped += 1
                else:
                    whole += 1
        except TimeoutError:
            pass
    assert 10 <= whole <= 40
    assert (sent - whole) // 2 - 20 <= slipped <= (sent - whole) // 2 + 20
    assert len(ask(server, qname="ns1." + ORIGIN).question) == 1
    assert server.ask("mail." + ORIGIN, tcp=True).answer
    time.sleep(1.5)
    assert f"limits answers for mail.{ORIGIN} to 127.0.0.0/24" in server.log
