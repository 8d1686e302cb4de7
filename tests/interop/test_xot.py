"""Zone transfer over TLS (RFC 9103) to BIND and NSD, and queries by TLS of dig and kdig."""

import contextlib
import json
import socket
import ssl
import subprocess

import dns.message
import dns.query
import dns.rcode
import pytest

from authserver.tls import ClientTLS, KeyPair
from tests.certificates import Authority
from tests.interop.conftest import zone_file
from tests.interop.test_transfers import has_serial
from tests.interop.test_tsig import KEY
from tools.servers import LOOPBACK, Named, Nsd, SharedKey, Zone, Zonewright, free_port, program, wait_until

ORIGIN = "example.test."
COREFILE = """{origin}:{{port}} tls://{origin}:{tls_port} {{
    bind 127.0.0.1
    file {file} {origin}
    dnssec
    prometheus 127.0.0.1:{metrics}
    tls {own.certificate} {own.key} {ca} {{
        client_auth {auth}
    }}
    tsig {{
        secret {key.name} {key.secret}
        secret nsd.example.test {key.secret}
    }}
    transfer {{
        to 127.0.0.1 key {key.name} tls secondary.test
        to 127.0.0.2 tls secondary.test
        to 127.0.0.1 key nsd.example.test
    }}
}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Our server, its TLS port, the authority of both sides, and a certificate for a secondary."""
    directory = tmp_path_factory.mktemp("xot")
    authority = Authority(directory)
    own, secondary = authority.certify("primary.test"), authority.certify("secondary.test")
    file = zone_file(directory, ORIGIN, 4000)
    tls_port, metrics = free_port(), free_port()
    text = COREFILE.format(
        origin=ORIGIN, tls_port=tls_port, file=file, own=own, ca=authority.path, auth="verify_if_given", key=KEY,
        metrics=metrics,
    )  # fmt: skip
    with Zonewright(directory=directory / "server", corefile=text) as server:
        server.wait_served(ORIGIN)
        wait_until(lambda: "is sealed" in server.new_log, 30, "sealed")
        yield server, tls_port, authority, secondary


def context(authority, own=None, alpn=("dot",)):
    """As a strict client has it."""
    made = ClientTLS("primary.test", "primary.test", authority.path, KeyPair(own.certificate, own.key) if own else None)
    found = made.context()
    found.set_alpn_protocols(list(alpn))
    return found


def ask(server, port, secured, qtype="SOA", source="127.0.0.2", count=1):
    """The first messages that come back by TLS."""
    query = dns.message.make_query(ORIGIN, qtype).to_wire()
    with (
        socket.create_connection((LOOPBACK, port), 10, source_address=(source, 0)) as plain,
        secured.wrap_socket(plain, server_hostname="primary.test") as stream,
    ):
        stream.sendall(len(query).to_bytes(2, "big") + query)
        with stream.makefile("rb") as answers:
            return [dns.message.from_wire(answers.read(int.from_bytes(answers.read(2), "big"))) for _ in range(count)]


@pytest.mark.peer("named")
def test_bind_transfers_by_mutual_tls_and_hears_of_changes(run, made):
    server, port, authority, secondary = made
    top = (
        f'tls strict {{ ca-file "{authority.path}"; remote-hostname "primary.test"; cert-file "{secondary.certificate}"; '
        f'key-file "{secondary.key}"; protocols {{ TLSv1.3; }}; }};'
    )
    theirs = run(Named, zones=[Zone(ORIGIN, primary_port=port, key=KEY, tls="strict")], top=top)
    wait_until(lambda: has_serial(theirs, server.serial(ORIGIN)), 20, "the zone is there\n" + theirs.log[-3000:])
    assert theirs.ask(ORIGIN, "DNSKEY").answer


@pytest.mark.peer("named")
def test_bind_without_a_certificate_gets_nothing(run, made):
    _, port, authority, _ = made
    top = f'tls strict {{ ca-file "{authority.path}"; remote-hostname "primary.test"; }};'
    theirs = run(Named, zones=[Zone(ORIGIN, primary_port=port, key=KEY, tls="strict")], top=top)
    wait_until(lambda: "REFUSED" in theirs.log, 20, "it says why\n" + theirs.log[-3000:])
    assert not has_serial(theirs, 2026010101)


@pytest.mark.peer("nsd")
def test_nsd_transfers_by_strict_tls(run, made):
    """It shows no certificate (4.6.1), so its key alone says who it is."""
    server, port, authority, _ = made
    top = "tls-auth:\n  name: strict\n  auth-domain-name: primary.test\n"
    key = SharedKey("nsd.example.test.", KEY.secret)
    zone = Zone(ORIGIN, primary_port=port, key=key, tls="strict")
    theirs = run(Nsd, zones=[zone], top=top, more=f'tls-cert-bundle: "{authority.path}"')
    wait_until(lambda: has_serial(theirs, server.serial(ORIGIN)), 20, "the zone is there\n" + theirs.log[-3000:])


@pytest.mark.peer("kdig")
def test_kdig_asks_by_tls_and_knows_us(made):
    server, port, authority, _ = made
    words = [f"@{server.address}", "-p", str(port), f"+tls-ca={authority.path}", "+tls-host=primary.test", "+norec"]
    done = subprocess.run(
        [program("kdig") or "kdig", *words, ORIGIN, "SOA"], capture_output=True, text=True, timeout=30, check=False
    )
    assert "TLS1.3" in done.stdout
    assert "status: NOERROR" in done.stdout


@pytest.mark.peer("dig")
def test_dig_asks_by_tls(made):
    server, port, *_ = made
    words = [f"@{server.address}", "-p", str(port), "+tls", "+norecurse", "+tries=1", ORIGIN, "SOA"]
    done = subprocess.run([program("dig") or "dig", *words], capture_output=True, text=True, timeout=30, check=False)
    assert "status: NOERROR" in done.stdout
    assert "(TLS)" in done.stdout


def test_a_client_with_the_certificate_transfers_messages_in_many_records(made):
    server, port, authority, secondary = made
    first, second = ask(server, port, context(authority, secondary), "AXFR", count=2)
    assert first.rcode() == second.rcode() == dns.rcode.NOERROR
    assert len(first.answer) + len(second.answer) > 100


@pytest.mark.parametrize("case", ["no certificate", "another name", "no dot", "another address", "by tcp"])
def test_who_is_not_known_by_all_that_is_asked_may_not_transfer(made, case):
    server, port, authority, secondary = made
    if case == "by tcp":
        query = dns.message.make_query(ORIGIN, "AXFR")
        answer = dns.query.tcp(query, LOOPBACK, 5, server.port, source="127.0.0.2")
    else:
        own = {"no certificate": None, "another name": authority.certify("stranger.test")}.get(case, secondary)
        secured = context(authority, own, ("http/1.1",) if case == "no dot" else ("dot",))
        source = "127.0.0.3" if case == "another address" else "127.0.0.2"
        (answer,) = ask(server, port, secured, "AXFR", source)
    assert answer.rcode() == dns.rcode.REFUSED


def test_a_certificate_of_another_authority_and_an_old_tls_are_not_taken(made, tmp_path):
    server, port, authority, _ = made
    with pytest.raises((ssl.SSLError, ConnectionError, dns.exception.DNSException)):
        ask(server, port, context(authority, Authority(tmp_path, "other").certify("secondary.test")))
    old = ssl.create_default_context(cafile=authority.path)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(server, port, old)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(server, port, ssl.create_default_context())


def test_plain_octets_at_the_tls_port_harm_nobody(made):
    server, port, authority, _ = made
    with socket.create_connection((LOOPBACK, port), 10) as plain:
        plain.sendall(b"\0\x10GET / HTTP/1.1\r\n\r\n")
        plain.settimeout(10)
        with contextlib.suppress(ConnectionError):
            while plain.recv(65535):
                pass
    (answer,) = ask(server, port, context(authority))
    assert answer.rcode() == dns.rcode.NOERROR


def test_facts_tell_of_connections_by_tls(made):
    server, port, authority, _ = made
    (answer,) = ask(server, port, context(authority))
    assert answer.rcode() == dns.rcode.NOERROR
    status = json.loads(server.control("status", "--json").stdout)
    assert f"{LOOPBACK} {port}" in status["listening"]


def test_a_certificate_that_is_replaced_is_in_force_without_a_reload(run, tmp_path):
    authority = Authority(tmp_path)
    own = authority.certify("primary.test")
    text = COREFILE.format(
        origin=ORIGIN, tls_port=(port := free_port()), file=zone_file(tmp_path, ORIGIN, 20), own=own, ca=authority.path,
        auth="nocert", key=KEY, metrics=free_port(),
    ).replace(" tls secondary.test", "")  # fmt: skip
    server = run(Zonewright, corefile=text)
    server.wait_served(ORIGIN)
    assert ask(server, port, context(authority))
    own.certificate.write_text("torn")
    assert ask(server, port, context(authority))
    second = Authority(tmp_path, "second")
    renewed = second.certify("primary.test", "renewed")
    renewed.key.replace(own.key)
    renewed.certificate.replace(own.certificate)

    def is_renewed():
        try:
            return ask(server, port, context(second))
        except ssl.SSLError:
            return False

    wait_until(is_renewed, 20, "the new certificate is shown")
