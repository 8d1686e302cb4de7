"""Compact denial of existence (RFC 9824): one NSEC for each question, and what CO and NXNAME do."""

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest

from engine import Denial, SignedVersion, SigningPlan
from tests.engine.asking import DNSKEY, EXPIRATION, NOW, Serving, build, query, sealed, shown, signing_key

CO = 0x4000
NXNAME = 128
ZONE = """\
@ 3600 SOA ns1 hostmaster 1 7200 900 1209600 300
@ 3600 NS ns1
ns1 3600 A 192.0.2.1
host 3600 A 192.0.2.2
*.w 3600 MX 10 host
*.alias 3600 CNAME nothing
x.ent 3600 A 192.0.2.3
plain 3600 NS ns.plain
ns.plain 3600 A 192.0.2.4
"""


@pytest.fixture(scope="module")
def version():
    key = signing_key(15)
    zone = build(ZONE).edited([(b"\7example\0", DNSKEY, 3600, [key.dnskey])])
    plan = SigningPlan([(key, True, True)], inception=NOW - 3600, expiration=EXPIRATION, denial=Denial("compact"))
    signed = SignedVersion(zone, plan)
    assert signed.check(NOW) == []
    return signed


@pytest.fixture(scope="module")
def zone(version):
    return Serving({"example.": version})


@pytest.fixture(scope="module")
def keys(zone):
    return {dns.name.from_text("example."): zone_keys(zone)}


def zone_keys(zone: Serving) -> dns.rrset.RRset:
    return dns.message.from_wire(zone.octets(query("example.", "DNSKEY").to_wire())).answer[0]


def ask(zone: Serving, qname: str, qtype: str, *, compact_ok: bool = False) -> dns.message.Message:
    message = query(qname, qtype, dnssec=True)
    if compact_ok:
        message.ednsflags |= CO
    return dns.message.from_wire(zone.octets(message.to_wire()))


def proof(response: dns.message.Message) -> str:
    (nsec,) = (rrset for rrset in response.authority if rrset.rdtype == dns.rdatatype.NSEC)
    return nsec.to_text()


CASES = [
    ("nothing.example.", "A", r"nothing.example. 300 IN NSEC \000.nothing.example. RRSIG NSEC TYPE128"),
    ("Deep.Down.example.", "A", r"deep.down.example. 300 IN NSEC \000.deep.down.example. RRSIG NSEC TYPE128"),
    ("host.example.", "MX", r"host.example. 300 IN NSEC \000.host.example. A RRSIG NSEC"),
    ("ent.example.", "A", r"ent.example. 300 IN NSEC \000.ent.example. RRSIG NSEC"),
    ("x.w.example.", "A", r"x.w.example. 300 IN NSEC \000.x.w.example. MX RRSIG NSEC"),
    ("plain.example.", "DS", r"plain.example. 300 IN NSEC \000.plain.example. NS RRSIG NSEC"),
    ("a.plain.example.", "A", r"plain.example. 300 IN NSEC \000.plain.example. NS RRSIG NSEC"),
    ("x.alias.example.", "A", r"nothing.example. 300 IN NSEC \000.nothing.example. RRSIG NSEC TYPE128"),
]


@pytest.mark.parametrize(("qname", "qtype", "expected"), CASES)
def test_one_nsec_at_the_name_proves_all(zone, keys, qname, qtype, expected):
    response = ask(zone, qname, qtype)
    assert response.rcode() == 0
    assert proof(response).lower().replace("nxname", "type128") == expected.lower()
    for section in (response.answer, response.authority):
        for rrset in section:
            if rrset.rdtype not in (dns.rdatatype.RRSIG, dns.rdatatype.NS):
                rrsigs = response.get_rrset(section, rrset.name, 1, dns.rdatatype.RRSIG, rrset.rdtype)
                dns.dnssec.validate(rrset, rrsigs, keys, now=NOW)
                assert rrsigs[0].labels == len(rrset.name.labels) - 1


def test_a_wildcard_answers_as_if_the_name_were_there(zone, keys):
    """RFC 9824 section 3.3: the signature has the labels of the name, so no proof goes with it."""
    response = ask(zone, "some.thing.w.example.", "MX")
    mx, rrsigs = response.answer
    assert rrsigs[0].labels == 4
    dns.dnssec.validate(mx, rrsigs, keys, now=NOW)
    assert response.authority == []


def test_those_who_say_co_are_told_nxdomain(zone):
    response = ask(zone, "nothing.example.", "A", compact_ok=True)
    assert (response.rcode(), bool(response.ednsflags & CO)) == (3, True)
    assert "NXNAME" in proof(response) or "TYPE128" in proof(response)
    assert ask(zone, "host.example.", "MX", compact_ok=True).rcode() == 0
    assert ask(zone, "nothing.example.", "A").ednsflags & CO == 0


def test_those_without_do_are_told_nxdomain(zone):
    assert zone.show("nothing.example.").startswith("NXDOMAIN AA")


def test_nxname_is_never_asked_for(zone):
    """RFC 9824 section 3.5: FORMERR, and the extended error that says why."""
    response = ask(zone, "host.example.", "TYPE128")
    assert response.rcode() == 1
    assert [option.code for option in response.options] == [30]


def test_nsec_asked_for_by_name_is_the_compact_one(zone):
    response = ask(zone, "host.example.", "NSEC")
    assert response.answer[0].to_text() == r"host.example. 300 IN NSEC \000.host.example. A RRSIG NSEC"


def test_a_name_too_long_to_go_below_has_a_successor_all_the_same(zone, keys):
    long = ".".join(["a" * 63] * 3 + ["b" * 53, "example."])
    assert len(dns.name.from_text(long).to_wire()) == 255
    response = ask(zone, long, "A")
    nsec = next(rrset for rrset in response.authority if rrset.rdtype == dns.rdatatype.NSEC)
    assert nsec.name < nsec[0].next
    assert nsec[0].next.labels[1:] == nsec.name.labels[1:]


def test_a_transfer_shows_an_ordinary_chain(version):
    text = sealed(version).to_text().decode()
    assert "host.example.\t300\tIN\tNSEC\tns1.example. A RRSIG NSEC" in text
    assert "NXNAME" not in text
    assert SignedVersion(build(text)).check_presigned(NOW) == []


def test_other_zones_do_not_know_of_co():
    assert "NXDOMAIN" in shown(ask(Serving({"example.": SignedVersion(build(ZONE))}), "no.example.", "A"))
