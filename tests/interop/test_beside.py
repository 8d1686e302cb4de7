"""Answers that lead through several zones: by direct and by chained blocks of real servers, and beside NSD and BIND."""

import random
import socket

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.engine.asking import lines
from tests.engine.test_beside import SERVICES, ZONES
from tools import odd_zone
from tools.servers import Named, Nsd, Server, Zone, Zonewright

QUESTIONS = [
    (f"{owner}.one.test.", qtype)
    for owner in (
        *("out", "gone", "nodata", "far", "cut", "child", "below", "away", "x.wild", "loop", "ping", "into", "tods"),
        *("x.w.d", "mail.d2.d", "x.sub", "nothing", "m", "sub"),
    )
    for qtype in ("A", "MX", "DS", "CNAME")
]
DIRECT = """{origin}:{{port}} {{
    bind 127.0.0.1
    file {file}
}}
"""
CHAINED = """{origins}:{{port}} {{
    bind 127.0.0.1
{files}
    whoami
}}
"""


def files(directory, zones):
    """The zones in files, by origin."""
    paths = {}
    for origin, zone in zones.items():
        paths[origin] = directory / f"{origin}zone"
        paths[origin].write_text(zone)
    return paths


def octets(server: Server, query: bytes, *, tcp: bool) -> bytes:
    """One query, one response, as it came."""
    if tcp:
        with socket.create_connection((server.address, server.port), 5) as client, client.makefile("rwb") as stream:
            stream.write(len(query).to_bytes(2, "big") + query)
            stream.flush()
            return stream.read(int.from_bytes(stream.read(2), "big"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((server.address, server.port))
        client.send(query)
        return client.recv(65535)


def test_direct_and_chained_servers_answer_octet_for_octet_alike(run, tmp_path):
    records = odd_zone.records(7)
    paths = files(tmp_path, ZONES | {"svc.test.": SERVICES, odd_zone.ORIGIN: odd_zone.text(records)})
    one_block_each = "".join(DIRECT.format(origin=origin, file=path) for origin, path in paths.items())
    backends = "\n".join(
        f"    file {path} {origin} {{\n        fallthrough nowhere.test\n    }}" for origin, path in paths.items()
    )
    origins = ":{port} ".join(paths)
    direct = run(Zonewright, corefile=one_block_each)
    chained = run(Zonewright, corefile=CHAINED.format(origins="ORIGINS", files=backends).replace("ORIGINS", origins))
    assert "chained" in chained.new_log
    asked = [*QUESTIONS, ("svc.test.", "HTTPS"), ("out.svc.test.", "HTTPS")]
    asked += odd_zone.questions(records, 150, 7)
    dice = random.Random(7)
    for qname, qtype in asked:
        query = dns.message.make_query(qname, qtype, id=dice.randrange(65536))
        if dice.random() < 0.5:
            query.use_edns(0, dice.choice((0, dns.flags.DO)), dice.choice((512, 1232)))
        for tcp in (False, True):
            ours, theirs = (octets(server, query.to_wire(), tcp=tcp) for server in (direct, chained))
            assert ours == theirs, f"{qname} {qtype} {'TCP' if tcp else 'UDP'}"


@pytest.mark.peer("named", "nsd")
@pytest.mark.parametrize("peer", [Named, Nsd])
def test_chains_through_several_zones_are_those_of_nsd_and_go_on_where_bind_ends(peer, run, tmp_path):
    """What is answered, by whose authority, and what is said to be missing; RFC 1034 section 4.3.2 step 3a."""
    paths = files(tmp_path, ZONES)
    ours = run(Zonewright, corefile="".join(DIRECT.format(origin=origin, file=path) for origin, path in paths.items()))
    for origin in paths:
        ours.wait_served(origin)
    theirs = run(peer, zones=[Zone(origin, path) for origin, path in paths.items()])
    different = []
    for qname, qtype in QUESTIONS:
        mine, other = (facts(server.ask(qname, qtype)) for server in (ours, theirs))
        if peer is Named and is_ended(other):
            # BIND does not leave the first zone for those who ask for no recursion.
            mine, other = ((fact[1], set(fact[2])) for fact in (mine, other))
            if mine[0] != other[0] or not other[1] <= mine[1]:
                different.append(f"{qname} {qtype}: {mine} {other}")
        elif mine != other:
            different.append(f"{qname} {qtype}: {mine} {other}")
    assert different == [], "(ours, theirs)\n" + "\n".join(different)


def is_ended(facts: tuple[str, str, list[str], list[str]]) -> bool:
    """Whether an answer is no more than aliases."""
    rcode, _, answer, authority = facts
    return rcode == "NOERROR" and bool(answer) and not authority and not any(" a " in line for line in answer)


def facts(response: dns.message.Message) -> tuple[str, str, list[str], list[str]]:
    """Response code, AA, answer; and AUTHORITY of what is no plain answer, where others put NS as a courtesy."""
    authority = [
        line for line in lines(response.authority) if response.rcode() or not response.answer or " NS " not in line
    ]
    return (
        dns.rcode.to_text(response.rcode()),
        dns.flags.to_text(response.flags & (dns.flags.AA | dns.flags.TC)),
        sorted(line.lower() for line in lines(response.answer)),
        sorted(line.lower() for line in authority),
    )
