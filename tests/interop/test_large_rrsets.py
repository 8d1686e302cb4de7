"""RRsets of thousands of records, rdata that fills a message, names of 255 octets, large TTLs: served, moved, kept."""

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from keys.policy import DEFAULT
from tools.servers import Named, Zone, Zonewright, wait_until, zone_records

ORIGIN = "example.test."
COREFILE = """example.test:{port} {
    bind 127.0.0.1
    file {directory}/db.example.test
    dnssec
    transfer {
        to *
    }
}
"""
LABEL = "a" * 63
LONGEST = ".".join([LABEL, LABEL, LABEL, "b" * (255 - 3 * 64 - 1 - 13 - 1)])
"""Below the origin, whose name has 14 octets, the longest name there can be."""
SHORTENED = DEFAULT.max_zone_ttl
"""What a signature is sure to have left."""
COUNT = 8000
FITTING = 3000
WIDE = ("NOERROR", False, {"TYPE65300": 1, "RRSIG": 1})
HEAD = "$TTL 300\n@ SOA ns h 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\n"


def zone() -> str:
    lines = [HEAD]
    lines += [f"large A 10.0.{number >> 8}.{number & 255}\n" for number in range(COUNT)]
    lines += [f"large TXT t{number}\n" for number in range(COUNT)]
    lines += [f"fits A 10.1.{number >> 8}.{number & 255}\n" for number in range(FITTING)]
    lines += [f"fits TXT {number:04}\n" for number in range(FITTING)]
    return "".join(lines)


def odd() -> str:
    """Names of 255 octets as owner, in rdata and both; TTLs at the edges; rdata that fills a message."""
    lines = [
        HEAD,
        f"{LONGEST} A 192.0.2.9\n",
        f"mx MX 10 {LONGEST}\n",
        f"{LONGEST.replace('b', 'c')} CNAME {LONGEST}\n",
        "zero 2147483648 A 192.0.2.2\nzero 4294967295 A 192.0.2.3\n",
        "most 2147483647 A 192.0.2.4\n",
        "edge 1073741724 A 192.0.2.5\n",
        # With header, question, OPT and a signature by P-256 around it this still is a message.
        f"wide TYPE65300 \\# 65000 {'ab' * 65000}\n",
    ]
    return "".join(lines)


@pytest.fixture
def start(run, tmp_path):
    """Serve a text by us."""

    def start(text: str) -> Zonewright:
        directory = tmp_path / "server"
        directory.mkdir()
        (directory / "db.example.test").write_text(text)
        server = run(Zonewright, directory=directory, corefile=COREFILE)
        server.wait_served(ORIGIN)
        return server

    return start


def ask(server, qname, qtype, send=dns.query.tcp):
    query = dns.message.make_query(f"{qname}.{ORIGIN}", qtype, want_dnssec=True)
    return send(query, "127.0.0.1", port=server.port, timeout=20)


def facts(response):
    """RCODE, whether it was cut, records in the answer by type."""
    counts = {dns.rdatatype.to_text(rrset.rdtype): len(rrset) for rrset in response.answer}
    return dns.rcode.to_text(response.rcode()), bool(response.flags & dns.flags.TC), counts


@pytest.mark.peer("named")
def test_rrsets_of_thousands_are_served_whole_or_cut_as_bind_does_and_kept(start, run, tmp_path):
    server = start(zone())
    before = zone_records(server.wait_sealed(ORIGIN))
    peer_file = tmp_path / "peer.zone"
    peer_file.write_text(zone())
    peer = run(Named, zones=[Zone(ORIGIN, peer_file)], more="max-records-per-type 0;")
    for qtype in ("A", "TXT"):
        # What fits a message of 65,535 octets is whole, with its signature; UDP is cut.
        assert facts(ask(server, "fits", qtype)) == ("NOERROR", False, {qtype: FITTING, "RRSIG": 1})
        assert facts(ask(peer, "fits", qtype)) == ("NOERROR", False, {qtype: FITTING})
        assert facts(ask(server, "fits", qtype, dns.query.udp)) == ("NOERROR", True, {})
        # What fits none is cut by TCP, too, as BIND does it.
        assert facts(ask(server, "large", qtype)) == facts(ask(peer, "large", qtype)) == ("NOERROR", True, {})
    assert sum(f"large.{ORIGIN}" in record.split()[0] for record in before) >= 2 * COUNT
    server.kill()
    server.start()
    assert zone_records(server.wait_sealed(ORIGIN)) == before


@pytest.mark.peer("named")
def test_long_names_wide_rdata_and_large_ttls_are_served_signed_moved_and_kept(start, run):
    server = start(odd())
    before = server.wait_sealed(ORIGIN)
    secondary = run(Named, zones=[Zone(ORIGIN, primary_port=server.port)])
    wait_until(lambda: facts(ask(secondary, "wide", "TYPE65300")) == WIDE, 20, "BIND has it by transfer")
    other = LONGEST.replace("b", "c")
    expected = {
        (LONGEST, "A"): {"A": 1, "RRSIG": 1},
        ("mx", "MX"): {"MX": 1, "RRSIG": 1},
        (other, "A"): {"CNAME": 1, "A": 1, "RRSIG": 1},
        ("zero", "A"): {"A": 2, "RRSIG": 1},
        ("most", "A"): {"A": 1, "RRSIG": 1},
        ("edge", "A"): {"A": 1, "RRSIG": 1},
        ("wide", "TYPE65300"): {"TYPE65300": 1, "RRSIG": 1},
    }
    # RFC 2181 section 8 makes 0 of those over 2^31 - 1; those that outlast a signature are shortened.
    ttls = {"zero": 0, "most": SHORTENED, "edge": SHORTENED}
    for (qname, qtype), counts in expected.items():
        response = ask(server, qname, qtype)
        assert facts(response) == ("NOERROR", False, counts), qname
        assert {rrset.ttl for rrset in response.answer} == {ttls.get(qname, 300)}
        signatures = [one for rrset in response.answer if rrset.rdtype == dns.rdatatype.RRSIG for one in rrset]
        assert {one.original_ttl for one in signatures} == {ttls.get(qname, 300)}
    assert "ttl-capped" in server.new_log
    server.kill()
    server.start()
    assert server.wait_sealed(ORIGIN) == before
