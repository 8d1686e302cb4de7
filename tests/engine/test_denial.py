"""Proofs of absence: RFC 4035 appendix B on its own zone, and every answer of generated zones judged by a validator."""

import subprocess
from pathlib import Path

import dns.dnssec
import dns.message
import dns.name
import dns.rrset
import pytest

from engine import Block, Clock, Responder, ZoneSlot
from tests.engine.asking import NOW, build, query, serve_signed, signed, signing_key, text
from tools import odd_zone
from tools.proofs import BogusError, Validator
from tools.servers import program, trust_anchors

# RFC 4035 appendix A without its DNSSEC records: ours replace them.
RFC4035 = """\
example. 3600 SOA ns1.example. bugs.x.w.example. 1081539377 3600 300 3600000 3600
example. 3600 NS ns1.example.
example. 3600 NS ns2.example.
example. 3600 MX 1 xx.example.
a.example. 3600 NS ns1.a.example.
a.example. 3600 NS ns2.a.example.
a.example. 3600 DS 57855 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B
ns1.a.example. 3600 A 192.0.2.5
ns2.a.example. 3600 A 192.0.2.6
ai.example. 3600 A 192.0.2.9
ai.example. 3600 HINFO "KLH-10" "ITS"
ai.example. 3600 AAAA 2001:db8::f00:baa9
b.example. 3600 NS ns1.b.example.
b.example. 3600 NS ns2.b.example.
ns1.b.example. 3600 A 192.0.2.7
ns2.b.example. 3600 A 192.0.2.8
ns1.example. 3600 A 192.0.2.1
ns2.example. 3600 A 192.0.2.2
*.w.example. 3600 MX 1 ai.example.
x.w.example. 3600 MX 1 xx.example.
x.y.w.example. 3600 MX 1 xx.example.
xx.example. 3600 A 192.0.2.10
xx.example. 3600 HINFO "KLH-10" "TOPS-20"
xx.example. 3600 AAAA 2001:db8::f00:baaa
"""
SOA = "example. 3600 SOA ns1.example. bugs.x.w.example. 1081539377 3600 300 3600000 3600\nexample. 3600 RRSIG SOA"


def brief(shown: str) -> str:
    """Signatures by what they cover alone."""
    return "\n".join(
        " ".join(line.split()[:4]) if line.split()[2:3] == ["RRSIG"] else line for line in shown.splitlines()
    )


@pytest.mark.parametrize(
    ("qname", "qtype", "expected"),
    [
        (  # B.1 Answer
            "x.w.example.",
            "MX",
            """\
            NOERROR AA
            ANSWER
            x.w.example. 3600 MX 1 xx.example.
            x.w.example. 3600 RRSIG MX
            ADDITIONAL
            xx.example. 3600 A 192.0.2.10
            xx.example. 3600 RRSIG A
            xx.example. 3600 AAAA 2001:db8::f00:baaa
            xx.example. 3600 RRSIG AAAA
            """,
        ),
        (  # B.2 Name Error
            "ml.example.",
            "A",
            f"""\
            NXDOMAIN AA
            AUTHORITY
            {SOA}
            b.example. 3600 NSEC ns1.example. NS RRSIG NSEC
            b.example. 3600 RRSIG NSEC
            example. 3600 NSEC a.example. NS SOA MX RRSIG NSEC DNSKEY
            example. 3600 RRSIG NSEC
            """,
        ),
        (  # B.3 No Data Error
            "ns1.example.",
            "MX",
            f"""\
            NOERROR AA
            AUTHORITY
            {SOA}
            ns1.example. 3600 NSEC ns2.example. A RRSIG NSEC
            ns1.example. 3600 RRSIG NSEC
            """,
        ),
        (  # B.4 Referral to Signed Zone
            "mc.a.example.",
            "MX",
            """\
            NOERROR
            AUTHORITY
            a.example. 3600 NS ns1.a.example.
            a.example. 3600 NS ns2.a.example.
            a.example. 3600 DS 57855 5 1 b6dcd485719adca18e5f3d48a2331627fdd3636b
            a.example. 3600 RRSIG DS
            ADDITIONAL
            ns1.a.example. 3600 A 192.0.2.5
            ns2.a.example. 3600 A 192.0.2.6
            """,
        ),
        (  # B.5 Referral to Unsigned Zone
            "mc.b.example.",
            "MX",
            """\
            NOERROR
            AUTHORITY
            b.example. 3600 NS ns1.b.example.
            b.example. 3600 NS ns2.b.example.
            b.example. 3600 NSEC ns1.example. NS RRSIG NSEC
            b.example. 3600 RRSIG NSEC
            ADDITIONAL
            ns1.b.example. 3600 A 192.0.2.7
            ns2.b.example. 3600 A 192.0.2.8
            """,
        ),
        (  # B.6 Wildcard Expansion
            "a.z.w.example.",
            "MX",
            """\
            NOERROR AA
            ANSWER
            a.z.w.example. 3600 MX 1 ai.example.
            a.z.w.example. 3600 RRSIG MX
            AUTHORITY
            x.y.w.example. 3600 NSEC xx.example. MX RRSIG NSEC
            x.y.w.example. 3600 RRSIG NSEC
            ADDITIONAL
            ai.example. 3600 A 192.0.2.9
            ai.example. 3600 RRSIG A
            ai.example. 3600 AAAA 2001:db8::f00:baa9
            ai.example. 3600 RRSIG AAAA
            """,
        ),
        (  # B.7 Wildcard No Data Error
            "a.z.w.example.",
            "AAAA",
            f"""\
            NOERROR AA
            AUTHORITY
            {SOA}
            *.w.example. 3600 NSEC x.w.example. MX RRSIG NSEC
            *.w.example. 3600 RRSIG NSEC
            x.y.w.example. 3600 NSEC xx.example. MX RRSIG NSEC
            x.y.w.example. 3600 RRSIG NSEC
            """,
        ),
        (  # B.8 DS Child Zone No Data Error
            "example.",
            "DS",
            f"""\
            NOERROR AA
            AUTHORITY
            {SOA}
            example. 3600 NSEC a.example. NS SOA MX RRSIG NSEC DNSKEY
            example. 3600 RRSIG NSEC
            """,
        ),
    ],
)
def test_answers_are_those_of_rfc_4035_appendix_b(qname, qtype, expected):
    zone = serve_signed(RFC4035)
    assert brief(zone.show(qname, qtype, dnssec=True)) == text(expected)
    verdict = validator("example.").judge(zone.octets(query(qname, qtype, dnssec=True).to_wire()))
    assert verdict in {"answer", "nodata", "nxdomain", "referral", "insecure referral"}


def validator(origin: str) -> Validator:
    rdata = signing_key().dnskey
    keys = dns.rrset.from_rdata(origin, 3600, dns.rdata.from_wire("IN", "DNSKEY", rdata, 0, len(rdata)))
    return Validator(origin, keys, NOW)


def test_without_do_there_is_no_proof_and_no_signature():
    zone = serve_signed(RFC4035)
    assert zone.show("ml.example.") == f"NXDOMAIN AA\nAUTHORITY\n{SOA.splitlines()[0]}"
    assert "RRSIG" not in zone.show("x.w.example.", "MX")
    assert "DS" not in zone.show("mc.a.example.")


def test_the_nsec_ttl_is_that_of_negative_answers():
    """RFC 9077: the smaller of the SOA's TTL and MINIMUM."""
    zone = serve_signed("@ 300 SOA ns.x. a.x. 1 2 3 4 900\n@ 60 NS ns.x.\n")
    assert "example. 300 NSEC example. NS SOA RRSIG NSEC DNSKEY" in zone.show("no.example.", dnssec=True)


def test_an_alias_to_no_name_carries_the_proof_for_its_target():
    zone = serve_signed(RFC4035 + "al.example. 60 CNAME gone.example.\n*.x.example. 60 CNAME gone.w.example.\n")
    judge = validator("example.").judge
    assert judge(zone.octets(query("al.example.", dnssec=True).to_wire())) == "nxdomain"
    assert judge(zone.octets(query("q.x.example.", dnssec=True).to_wire())) == "nodata"
    assert judge(zone.octets(query("q.x.example.", "MX", dnssec=True).to_wire())) == "answer"


def test_long_chains_through_wildcards_are_proven_record_by_record():
    chain = "".join(f"*.w{i:02} CNAME q.w{i + 1:02}\n" for i in range(12)) + "*.w12 A 192.0.2.1\n"
    zone = serve_signed("@ 60 SOA ns.x. a.x. 1 2 3 4 5\n@ 60 NS ns.x.\n$TTL 60\n" + chain)
    assert validator("example.").judge(zone.octets(query("q.w00.example.", dnssec=True).to_wire())) == "answer"


@pytest.mark.parametrize("dropped", ["NSEC", "SOA", "first"])
def test_the_validator_refuses_what_lacks_a_part(dropped):
    """The judge itself is judged: a response robbed of a record is bogus."""
    octets = serve_signed(RFC4035).octets(query("ml.example.", dnssec=True).to_wire())
    response = dns.message.from_wire(octets)
    if dropped == "first":
        response.authority = [rrset for rrset in response.authority if rrset.name != dns.name.from_text("b.example.")]
    else:
        response.authority = [rrset for rrset in response.authority if dropped not in rrset.to_text().split()[3]]
    with pytest.raises(BogusError):
        validator("example.").judge(response.to_wire())


def test_the_validator_refuses_a_proof_about_other_names():
    octets = serve_signed(RFC4035).octets(query("ml.example.", dnssec=True).to_wire())
    response = dns.message.from_wire(octets)
    response.question[0].name = dns.name.from_text("zz.example.")
    with pytest.raises(BogusError):
        validator("example.").judge(response.to_wire())


@pytest.mark.parametrize("seed", range(30))
def test_every_answer_of_a_generated_zone_is_proven(seed):
    zone = odd_zone.plain_records(seed)
    serving = serve_signed(odd_zone.text(zone), odd_zone.ORIGIN)
    judge = validator(odd_zone.ORIGIN).judge
    for qname, qtype in odd_zone.questions(zone, 150, seed):
        if not qname.endswith(odd_zone.ORIGIN) or qtype == "RRSIG":
            continue  # no zone of ours; RRSIGs are no RRset and are not signed
        octets = serving.octets(query(qname, qtype, dnssec=True).to_wire())
        try:
            judge(octets)
        except BogusError as error:
            pytest.fail(f"{qname} {qtype}: {error}\n{dns.message.from_wire(octets)}\n{odd_zone.text(zone)}")


@pytest.fixture
def loopback():
    """Our engine on a UDP port: zones' text in, an address for real clients out."""
    responder = Responder(Clock())
    listener = responder.bind("127.0.0.1", 0)

    def start(text: str, origin: str) -> tuple[str, int]:
        now = Clock().now()
        version = signed(build(text, origin), inception=now - 3600, expiration=now + 86400)
        slot = ZoneSlot(version.version.origin)
        slot.publish(version)
        responder.route([Block(1, [listener], [slot.origin], [(slot.origin, slot)])])
        responder.start()
        return responder.address(listener)

    yield start
    responder.stop()


def delv(address: tuple[str, int], anchors: Path, origin: str, qname: str, qtype: str) -> str:
    """What delv says of one question."""
    words = [
        program("delv") or "delv", f"@{address[0]}", "-p", str(address[1]), "-a", str(anchors), f"+root={origin}",
        "-t", qtype, "-q", qname,
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


@pytest.mark.peer("delv")
def test_delv_validates_a_sample(loopback, tmp_path):
    """No DNAME is among it: delv asks for those again by TCP, which is not served here."""
    address = loopback(RFC4035 + "al.example. 60 CNAME a.z.w.example.\n", "example.")
    key = validator("example.").keys[dns.name.from_text("example.")][0]
    ds = dns.dnssec.make_ds("example.", key, "SHA256").to_text()
    anchors = tmp_path / "anchors"
    anchors.write_text(trust_anchors("example.", [ds]))
    for qname, qtype, verdict in (
        ("example.", "SOA", "fully validated"),
        ("x.w.example.", "MX", "fully validated"),
        ("a.z.w.example.", "MX", "fully validated"),
        ("al.example.", "MX", "fully validated"),
        ("a.example.", "DS", "fully validated"),
        ("ml.example.", "A", "negative response, fully validated"),
        ("ns1.example.", "MX", "negative response, fully validated"),
        ("y.w.example.", "A", "negative response, fully validated"),
        ("a.z.w.example.", "AAAA", "negative response, fully validated"),
        ("b.example.", "DS", "negative response, fully validated"),
        ("example.", "TXT", "negative response, fully validated"),
    ):
        said = delv(address, anchors, "example.", qname, qtype)
        assert f"; {verdict}" in said, f"{qname} {qtype}: {said}"
