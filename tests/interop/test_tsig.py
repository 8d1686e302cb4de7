"""Whether BIND, NSD, Knot DNS and dig agree with us about TSIG: transfers, answers, and what is not signed as it should be."""

import subprocess
import time

import dns.message
import dns.query
import dns.rcode
import dns.tsig
import pytest

from tests.interop.conftest import zone_file
from tests.interop.test_transfers import has_serial
from tools.servers import Knot, Named, Nsd, SharedKey, Zone, Zonewright, free_port, program, wait_until, zone_records

ORIGIN = "example.test."
KEY = SharedKey("xfr.example.test.", "8Qrx2Rlyk0oXaBDIVmZ6zyDKHQ2DlFmCKEEJsDXLrmI=")
OTHER = SharedKey("xfr.example.test.", "7NQbBZ7ZkkCyb6XgVhA1e0VmPA3CHLPe7IQaF6XlNyI=")
UNKNOWN = SharedKey("unknown.example.test.", KEY.secret)
SECONDARIES = [
    pytest.param(Named, marks=pytest.mark.peer("named")),
    pytest.param(Nsd, marks=pytest.mark.peer("nsd")),
    pytest.param(Knot, marks=pytest.mark.peer("knotd")),
]
COREFILE = """{origin}:{{port}} {{
    bind 127.0.0.1
    file {file} {origin}
    dnssec
    tsig {{
        {secrets}
        {more}
    }}
    transfer {{
        to {to} key xfr.example.test
        also {also} key xfr.example.test
    }}
}}
"""


def corefile(file, to="127.0.0.1", more="", also="127.0.0.9", keys=(KEY,)):
    secrets = "\n        ".join(f"secret {key.name} {key.secret} {key.algorithm}" for key in keys)
    return COREFILE.format(origin=ORIGIN, file=file, to=to, more=more, also=also, secrets=secrets)


def dig(server, *words, key=None):
    """Its output: the answer as it is, and what is wrong with its signature."""
    signed = ["-y", key.dig] if key else []
    at = [f"@{server.address}", "-p", str(server.port)]
    command = [program("dig") or "dig", *at, *signed, "+tries=1", "+time=5", "+norecurse", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


@pytest.mark.parametrize("secondary", SECONDARIES)
def test_a_secondary_with_the_key_gets_the_zone_and_every_change(run, tmp_path, secondary):
    """4,000 records are several messages, all of them signed; NOTIFY is taken only if it is signed."""
    file = zone_file(tmp_path, ORIGIN, 4000)
    their_port = free_port()
    ours = run(Zonewright, corefile=corefile(file, to=f"127.0.0.1:{their_port}"))
    ours.wait_served(ORIGIN)
    theirs = run(secondary, zones=[Zone(ORIGIN, primary_port=ours.port, key=KEY)], port=their_port)
    wait_until(lambda: has_serial(theirs, ours.serial(ORIGIN)), 30, "the zone is there\n" + theirs.log[-2000:])
    file.write_text(file.read_text() + f'added.{ORIGIN} 60 IN TXT "by a change"\n')
    wait_until(lambda: ours.texts("added." + ORIGIN, "TXT"), 10, "the change is live")
    wait_until(lambda: has_serial(theirs, ours.serial(ORIGIN)), 30, "NOTIFY brought it\n" + theirs.log[-2000:])
    expected = sorted(line for line in ours.dump(ORIGIN).splitlines() if line)
    assert len(zone_records(theirs.transfer(ORIGIN))) == len(expected)


@pytest.mark.peer("named")
def test_a_secondary_with_a_wrong_key_gets_nothing_and_says_why(run, tmp_path):
    ours = run(Zonewright, corefile=corefile(zone_file(tmp_path, ORIGIN, 50)))
    ours.wait_served(ORIGIN)
    theirs = run(Named, zones=[Zone(ORIGIN, primary_port=ours.port, key=OTHER)])
    wait_until(lambda: "tsig indicates error" in theirs.log, 30, "it says why\n" + theirs.log[-2000:])
    assert theirs.ask(ORIGIN, "SOA").rcode() != dns.rcode.NOERROR


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tsig")
    cut = SharedKey("cut.example.test.", KEY.secret, "hmac-sha256-128")
    sha512 = SharedKey("long.example.test.", KEY.secret, "hmac-sha512")
    file = zone_file(directory, ORIGIN, 4000)
    text = corefile(file, keys=(KEY, OTHER, cut, sha512), more="require_opcode NOTIFY UPDATE")
    with Zonewright(directory=directory / "server", corefile=text) as server:
        server.wait_served(ORIGIN)
        wait_until(lambda: "sealed" in server.new_log, 30, "sealed")
        yield server


@pytest.mark.peer("dig")
@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha512", "hmac-sha256-128"])
def test_dig_verifies_our_answers(ours, by, algorithm):
    name = {"hmac-sha256": KEY.name, "hmac-sha512": "long.example.test.", "hmac-sha256-128": "cut.example.test."}[
        algorithm
    ]
    said = dig(ours, ORIGIN, "SOA", by, "+dnssec", key=SharedKey(name, KEY.secret, algorithm))
    assert "status: NOERROR" in said
    assert "TSIG PSEUDOSECTION" in said
    assert "NOERROR 0" in said
    assert "WARNING" not in said


@pytest.mark.peer("dig")
@pytest.mark.parametrize("key", [KEY, OTHER], ids=["first", "second"])
def test_dig_transfers_with_either_secret_of_the_key(ours, key):
    said = dig(ours, ORIGIN, "AXFR", key=key)
    assert "XFR size:" in said, said[-500:]
    messages = int(said.rpartition("messages ")[2].split(",")[0])
    assert messages >= 2
    assert said.count("TSIG") >= messages
    assert "WARNING" not in said


@pytest.mark.peer("dig")
def test_who_does_not_sign_may_not_transfer(ours):
    assert "Transfer failed" in dig(ours, ORIGIN, "AXFR")


@pytest.mark.peer("dig")
@pytest.mark.parametrize(
    ("key", "error"),
    [(UNKNOWN, "BADKEY"), (SharedKey(KEY.name, "AAAAAAAAAAAAAAAAAAAAAA=="), "BADSIG"),
     (SharedKey(KEY.name, KEY.secret, "hmac-sha1"), "BADKEY")],
)  # fmt: skip
@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
def test_what_is_signed_wrongly_is_answered_as_the_rfc_says(ours, key, error, by):
    said = dig(ours, "nothing-here.test.", "A", by, key=key) + dig(ours, ORIGIN, "SOA", by, key=key)
    assert "status: NOTAUTH" in said
    assert error in said


def test_clocks_apart_are_told_with_our_time(ours, monkeypatch):
    query = dns.message.make_query(ORIGIN, "SOA")
    query.use_tsig(dns.tsig.Key(KEY.name, KEY.secret))
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real - 1000)
    octets = query.to_wire()
    monkeypatch.undo()
    with pytest.raises(dns.tsig.PeerBadTime):
        dns.query.udp(octets_of(query, octets), ours.address, 5, ours.port)


def octets_of(query, octets):
    """The query, which goes out as these octets."""
    query.to_wire = lambda *_args, **_keywords: octets
    return query


def test_an_unsigned_update_is_refused_where_it_has_to_be_signed(ours):
    update = dns.message.make_query(ORIGIN, "SOA")
    update.set_opcode(5)
    assert dns.query.udp(update, ours.address, 5, ours.port).rcode() == dns.rcode.REFUSED


def test_no_secret_is_in_the_log(ours):
    assert KEY.secret not in ours.log
    assert OTHER.secret not in ours.log


def test_what_has_to_be_signed_is_refused_unsigned(run, tmp_path):
    server = run(Zonewright, corefile=corefile(zone_file(tmp_path, ORIGIN, 50), more="require TXT"))
    server.wait_served(ORIGIN)
    assert server.ask(ORIGIN, "TXT").rcode() == dns.rcode.REFUSED
    query = dns.message.make_query(ORIGIN, "TXT")
    query.use_tsig(dns.tsig.Key(KEY.name, KEY.secret))
    answer = dns.query.udp(query, server.address, 5, server.port)
    assert (answer.rcode(), answer.had_tsig) == (dns.rcode.NOERROR, True)
