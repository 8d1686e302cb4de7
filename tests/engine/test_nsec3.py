"""NSEC3: RFC 5155 appendix B on its own zone, made by us and presigned, and what opt-out, salts and TTLs change."""

import dns.message
import dns.rdata
import dns.rdatatype
import dns.rrset
import pytest

from engine import Denial, SignedVersion, SigningPlan, Version, name_from_text
from tests.engine.asking import (
    DNSKEY,
    EXPIRATION,
    NOW,
    Serving,
    build,
    query,
    rrsets,
    sealed,
    shown,
    signing_key,
    text,
)
from tools import odd_zone
from tools.hashed_proofs import HashedValidator
from tools.proofs import BogusError

NSEC3PARAM = 51
SALT = bytes.fromhex("aabbccdd")
RFC = Denial("nsec3", opt_out=True, iterations=12, salt=SALT)
RFC_PARAM = bytes([1, 0, 0, 12, 4]) + SALT
PLAIN = Denial("nsec3")
PLAIN_PARAM = bytes([1, 0, 0, 0, 0])
OPT_OUT = Denial("nsec3", opt_out=True)

# RFC 5155 appendix A without its DNSSEC records: ours replace them. The name that is a hash has an address on purpose.
RFC5155 = """\
example. 3600 SOA ns1.example. bugs.x.w.example. 1 3600 300 3600000 3600
example. 3600 NS ns1.example.
example. 3600 NS ns2.example.
example. 3600 MX 1 xx.example.
2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. 3600 A 192.0.2.127
a.example. 3600 NS ns1.a.example.
a.example. 3600 NS ns2.a.example.
a.example. 3600 DS 58470 5 1 3079F1593EBAD6DC121E202A8B766A6A4837206C
ns1.a.example. 3600 A 192.0.2.5
ns2.a.example. 3600 A 192.0.2.6
ai.example. 3600 A 192.0.2.9
ai.example. 3600 HINFO "KLH-10" "ITS"
ai.example. 3600 AAAA 2001:db8::f00:baa9
c.example. 3600 NS ns1.c.example.
c.example. 3600 NS ns2.c.example.
ns1.c.example. 3600 A 192.0.2.7
ns2.c.example. 3600 A 192.0.2.8
ns1.example. 3600 A 192.0.2.1
ns2.example. 3600 A 192.0.2.2
*.w.example. 3600 MX 1 ai.example.
x.w.example. 3600 MX 1 xx.example.
x.y.w.example. 3600 MX 1 xx.example.
xx.example. 3600 A 192.0.2.10
xx.example. 3600 HINFO "KLH-10" "TOPS-20"
xx.example. 3600 AAAA 2001:db8::f00:baaa
"""
SOA = "example. 3600 SOA ns1.example. bugs.x.w.example. 1 3600 300 3600000 3600\nexample. 3600 RRSIG SOA"
CHAIN = [
    ("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom", "NS SOA MX RRSIG DNSKEY NSEC3PARAM"),
    ("2t7b4g4vsa5smi47k61mv5bv1a22bojr", "A RRSIG"),
    ("2vptu5timamqttgl4luu9kg21e0aor3s", "MX RRSIG"),
    ("35mthgpgcu1qg68fab165klnsnk3dpvl", "NS DS RRSIG"),
    ("b4um86eghhds6nea196smvmlo4ors995", "MX RRSIG"),
    ("gjeqe526plbf1g8mklp59enfd789njgi", "A HINFO AAAA RRSIG"),
    ("ji6neoaepv8b5o6k4ev33abha8ht9fgc", ""),
    ("k8udemvp1j2f7eg6jebps17vp3n8i58h", ""),
    ("kohar7mbb8dc2ce8a9qvl8hon4k53uhi", "A RRSIG"),
    ("q04jkcevqvmu85r014c7dkba38o0ji5r", "A RRSIG"),
    ("r53bq7cc2uvmubfu5ocmm6pers9tk9en", "MX RRSIG"),
    ("t644ebqk9bibcna874givr6joj62mlhv", "A HINFO AAAA RRSIG"),
]


def hashed(
    version: Version,
    denial: Denial = PLAIN,
    param: bytes = PLAIN_PARAM,
    previous: SignedVersion | None = None,
    **times: int,
) -> SignedVersion:
    """The version signed by our key with NSEC3."""
    key = signing_key()
    edits = [(version.origin, DNSKEY, 3600, [key.dnskey]), (version.origin, NSEC3PARAM, 0, [param])]
    facts = {"inception": NOW - 3600, "expiration": EXPIRATION} | times
    plan = SigningPlan([(key, True, True)], denial=denial, **facts)
    return SignedVersion(version.edited(edits), plan, previous)


def presigned(signed: SignedVersion, origin: str = "example.") -> SignedVersion:
    """The same zone as it comes from a file that holds all its records."""
    return SignedVersion(build(sealed(signed).to_text().decode(), origin))


def nsec3(*labels: str) -> str:
    """NSEC3 records of the chain above and their signatures, as `brief` shows them."""
    names = [label for label, _ in CHAIN]
    lines = []
    for label in labels:
        (place,) = (place for place, name in enumerate(names) if name.startswith(label))
        following = names[(place + 1) % len(names)]
        types = " ".join(["", CHAIN[place][1]]).rstrip()
        lines.append(f"{names[place]}.example. 3600 NSEC3 1 1 12 aabbccdd {following}{types}")
        lines.append(f"{names[place]}.example. 3600 RRSIG NSEC3")
    return "\n".join(lines)


def brief(shown: str) -> str:
    """Signatures by what they cover alone."""
    return "\n".join(
        " ".join(line.split()[:4]) if line.split()[2:3] == ["RRSIG"] else line for line in shown.splitlines()
    )


@pytest.fixture(scope="module", params=["made", "presigned"])
def rfc(request):
    """The zone of appendix A, by either way."""
    signed = hashed(build(RFC5155), RFC, RFC_PARAM)
    assert signed.check(NOW) == []
    return Serving({"example.": signed if request.param == "made" else presigned(signed)})


CASES = {
    "B.1 name error": (
        ("a.c.x.w.example.", "A"),
        f"NXDOMAIN AA\nAUTHORITY\n{SOA}\n" + nsec3("b4um", "0p9m", "35mt"),
    ),
    "B.2 no data": (("ns1.example.", "MX"), f"NOERROR AA\nAUTHORITY\n{SOA}\n" + nsec3("2t7b")),
    "B.2.1 no data, empty non-terminal": (("y.w.example.", "A"), f"NOERROR AA\nAUTHORITY\n{SOA}\n" + nsec3("ji6n")),
    "B.3 referral to an opt-out unsigned zone": (
        ("mc.c.example.", "MX"),
        "NOERROR\nAUTHORITY\nc.example. 3600 NS ns1.c.example.\nc.example. 3600 NS ns2.c.example.\n"
        + nsec3("0p9m", "35mt")
        + "\nADDITIONAL\nns1.c.example. 3600 A 192.0.2.7\nns2.c.example. 3600 A 192.0.2.8",
    ),
    "B.4 wildcard expansion": (
        ("a.z.w.example.", "MX"),
        "NOERROR AA\nANSWER\na.z.w.example. 3600 MX 1 ai.example.\na.z.w.example. 3600 RRSIG MX\nAUTHORITY\n"
        + nsec3("q04j")
        + "\nADDITIONAL\nai.example. 3600 A 192.0.2.9\nai.example. 3600 RRSIG A"
        "\nai.example. 3600 AAAA 2001:db8::f00:baa9\nai.example. 3600 RRSIG AAAA",
    ),
    "B.5 wildcard no data": (
        ("a.z.w.example.", "AAAA"),
        f"NOERROR AA\nAUTHORITY\n{SOA}\n" + nsec3("k8ud", "q04j", "r53b"),
    ),
    "B.6 DS child zone no data": (("example.", "DS"), f"NOERROR AA\nAUTHORITY\n{SOA}\n" + nsec3("0p9m")),
    "DS of an opt-out delegation (7.2.4)": (
        ("c.example.", "DS"),
        f"NOERROR AA\nAUTHORITY\n{SOA}\n" + nsec3("0p9m", "35mt"),
    ),
    "referral to a signed zone": (
        ("mc.a.example.", "MX"),
        """\
        NOERROR
        AUTHORITY
        a.example. 3600 NS ns1.a.example.
        a.example. 3600 NS ns2.a.example.
        a.example. 3600 DS 58470 5 1 3079f1593ebad6dc121e202a8b766a6a4837206c
        a.example. 3600 RRSIG DS
        ADDITIONAL
        ns1.a.example. 3600 A 192.0.2.5
        ns2.a.example. 3600 A 192.0.2.6
        """,
    ),
    "the owner of an NSEC3 does not exist (7.2.8)": (
        ("35mthgpgcu1qg68fab165klnsnk3dpvl.example.", "NSEC3"),
        None,
    ),
    "a name that is a hash and has an address exists": (
        ("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.", "NSEC3"),
        f"NOERROR AA\nAUTHORITY\n{SOA}\n" + nsec3("koha"),
    ),
    "its address is answered": (
        ("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.", "A"),
        """\
        NOERROR AA
        ANSWER
        2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. 3600 A 192.0.2.127
        2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. 3600 RRSIG A
        """,
    ),
    "and so are its signatures, not those of the NSEC3": (
        ("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.", "RRSIG"),
        "NOERROR AA\nANSWER\n2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. 3600 RRSIG A",
    ),
    "NSEC does not exist here": (("ns1.example.", "NSEC"), f"NOERROR AA\nAUTHORITY\n{SOA}\n" + nsec3("2t7b")),
    "parameters": (
        ("example.", "NSEC3PARAM"),
        "NOERROR AA\nANSWER\nexample. 0 NSEC3PARAM 1 0 12 aabbccdd\nexample. 0 RRSIG NSEC3PARAM",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_rfc_5155_appendix_b(rfc, case):
    (qname, qtype), expected = CASES[case]
    shown = brief(rfc.show(qname, qtype, dnssec=True))
    if expected is None:
        assert shown.startswith("NXDOMAIN AA\nAUTHORITY\n" + SOA), case
        assert "\n35mthgpgcu1qg68fab165klnsnk3dpvl.example." not in shown.replace(nsec3("35mt"), "")
    else:
        assert shown == text(expected), case


def test_names_below_the_owner_of_an_nsec3_are_not_there(rfc):
    shown = rfc.show("a.b.35mthgpgcu1qg68fab165klnsnk3dpvl.example.", "A", dnssec=True)
    assert shown.startswith("NXDOMAIN")
    assert "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. 3600 NSEC3" in shown


def test_without_do_there_is_no_proof(rfc):
    assert rfc.show("a.c.x.w.example.") == f"NXDOMAIN AA\nAUTHORITY\n{SOA.splitlines()[0]}"


def test_what_is_presigned_is_found_right():
    assert presigned(hashed(build(RFC5155), RFC, RFC_PARAM)).check_presigned(NOW) == []
    assert presigned(hashed(build(RFC5155))).check_presigned(NOW) == []
    assert presigned(hashed(build(RFC5155), OPT_OUT)).check_presigned(NOW) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda line: "" if line.startswith("b4um") and " NSEC3 " in line.replace("\t", " ") else line, "denial"),
        (lambda line: line.replace("192.0.2.10", "192.0.2.11"), "signature-wrong"),
        (lambda line: "" if "RRSIG\tMX" in line and line.startswith("xx") else line, None),
        (lambda line: "" if "RRSIG\tHINFO" in line and line.startswith("xx") else line, "signature-missing"),
        (lambda line: line.replace("x.w.example.\t3600\tIN\tMX", "q.w.example.\t3600\tIN\tMX"), "denial"),
    ],
)
def test_what_is_presigned_and_broken_is_found(change, rule):
    whole = sealed(hashed(build(RFC5155), RFC, RFC_PARAM)).to_text().decode()
    broken = "\n".join(change(line) for line in whole.splitlines())
    rules = {found.rule for found in SignedVersion(build(broken)).check_presigned(NOW)}
    assert (f"presigned-{rule}" in rules) if rule else (rules == set())


def test_dates_of_presigned_zones_are_looked_at():
    zone = presigned(hashed(build(RFC5155), RFC, RFC_PARAM))
    assert {found.rule for found in zone.check_presigned(EXPIRATION + 1)} == {"presigned-expired"}
    assert {found.rule for found in zone.check_presigned(NOW - 7200)} == {"presigned-not-yet-valid"}


def test_the_ttl_of_nsec3_is_that_of_negative_answers():
    """RFC 9077 section 3: the smaller of the SOA's TTL and MINIMUM."""
    zone = build(RFC5155.replace("3600000 3600", "3600000 77", 1))
    shown = Serving({"example.": hashed(zone)}).show("nothing.example.", "A", dnssec=True)
    assert {line.split()[1] for line in shown.splitlines()[2:]} == {"77"}


def test_by_default_there_is_no_salt_and_one_round():
    """RFC 9276 section 3.1."""
    shown = Serving({"example.": hashed(build(RFC5155))}).show("nothing.example.", "A", dnssec=True)
    assert [line.split()[3:7] for line in shown.splitlines() if " 3600 NSEC3 " in line] == [["1", "0", "0", "-"]] * 3


def test_opt_out_leaves_out_insecure_delegations_but_nothing_above_them():
    zone = build(RFC5155 + "deep.below.example. 3600 NS ns1.example.\n*.example. 3600 TXT wild\n")
    full, spare = hashed(zone), hashed(zone, OPT_OUT)
    assert full.slots - spare.slots == 2  # c.example. and deep.below.example.
    serving = Serving({"example.": spare})
    assert serving.show("below.example.", "A", dnssec=True).count(" 3600 NSEC3 ") == 1
    shown = serving.show("no.below.example.", "A", dnssec=True)
    assert shown.startswith("NXDOMAIN")
    assert shown.count(" 3600 NSEC3 ") >= 2


def test_a_chain_that_leaves_out_what_is_above_insecure_delegations_is_served_as_it_is():
    """Other signers leave out empty non-terminals with opt-out (RFC 5155 erratum 3441)."""
    zone = build(RFC5155 + "deep.below.example. 3600 NS ns1.example.\n*.example. 3600 TXT wild\n")
    pruned = zone.edited([(name_from_text("deep.below.example."), 2, 0, [])])
    whole = sealed(hashed(pruned, OPT_OUT)).to_text().decode() + "deep.below.example. 3600 NS ns1.example.\n"
    brought = SignedVersion(build(whole))
    assert brought.check_presigned(NOW) == []
    serving = Serving({"example.": brought})
    assert serving.show("below.example.", "A", dnssec=True).startswith("NOERROR AA\nAUTHORITY\nexample. 3600 SOA")
    assert serving.show("no.below.example.", "A", dnssec=True).startswith("NXDOMAIN AA")
    assert serving.show("x.deep.below.example.", "A", dnssec=True).count(" 3600 NSEC3 ") == 2


def test_a_chain_is_checked_against_the_parameters_published():
    wrong = hashed(build(RFC5155), RFC, PLAIN_PARAM)
    assert [found.rule for found in wrong.check(NOW)] == ["nsec3param-wrong"]


def test_an_origin_too_long_for_hashed_owners_is_a_finding():
    origin = ".".join(["a" * 63] * 3 + ["b" * 31]) + "."
    zone = build("@ 60 SOA a b 1 2 3 4 5\n@ 60 NS ns.example.\n", origin)
    (found,) = hashed(zone).check(NOW)
    assert found.rule == "nsec3-name-too-long"


def test_records_of_a_chain_are_found_by_their_owners():
    zone = hashed(build(RFC5155), RFC, RFC_PARAM)
    ttl, (rdata,) = rrsets(zone, "35mthgpgcu1qg68fab165klnsnk3dpvl.example.", "NSEC3")
    assert (ttl, rdata[:2]) == (3600, bytes([1, 1]))
    assert rrsets(zone, "35mthgpgcu1qg68fab165klnsnk3dpvl.example.", "RRSIG")
    assert rrsets(zone, "a.example.", "NSEC3") is None


def test_signatures_of_a_chain_are_carried_over_and_restored():
    before = sealed(hashed(build(RFC5155), RFC, RFC_PARAM))
    edited = build(RFC5155.replace("192.0.2.10", "192.0.2.11"))
    after = hashed(edited, RFC, RFC_PARAM, before)
    assert after.slots - after.slots_made == 1
    assert hashed(edited, RFC, RFC_PARAM).restore(before.signatures()) == 0
    again = hashed(build(RFC5155), RFC, RFC_PARAM)
    assert again.restore(before.signatures()) == again.slots
    other = hashed(build(RFC5155), Denial("nsec3", iterations=12, salt=SALT), RFC_PARAM)
    assert other.restore(before.signatures()) == 0


def test_parameters_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="nsec3 alone"):
        Denial("nsec", opt_out=True)
    with pytest.raises(ValueError, match="255"):
        Denial("nsec3", salt=bytes(256))


def test_a_transfer_carries_the_chain():
    """What a transfer shows is what a dump shows."""
    zone = sealed(hashed(build(RFC5155), RFC, RFC_PARAM))
    octets, position = zone.transfer(dns.message.make_query("example.", "AXFR").to_wire())
    assert position == -1
    answer = dns.message.from_wire(octets, one_rr_per_rrset=True).answer
    assert len(answer) == len(zone.to_text().splitlines()) + 1
    assert zone.version.origin == name_from_text("example.")


def judge_of(signed: SignedVersion, origin: str) -> HashedValidator:
    rdata = signing_key().dnskey
    keys = dns.rrset.from_rdata(origin, 3600, dns.rdata.from_wire("IN", "DNSKEY", rdata, 0, len(rdata)))
    return HashedValidator(origin, keys, NOW)


@pytest.mark.parametrize("denial", ["plain", "opt-out", "salted"])
@pytest.mark.parametrize("seed", range(20))
def test_every_answer_of_a_generated_zone_is_proven_and_presigned_the_same(seed, denial):
    choice, param = {"plain": (PLAIN, PLAIN_PARAM), "opt-out": (OPT_OUT, PLAIN_PARAM), "salted": (RFC, RFC_PARAM)}[
        denial
    ]
    records = odd_zone.plain_records(seed)
    signed = hashed(build(odd_zone.text(records), odd_zone.ORIGIN), choice, param)
    assert signed.check(NOW) == []
    made, brought = (Serving({odd_zone.ORIGIN: one}) for one in (signed, presigned(signed, odd_zone.ORIGIN)))
    assert brought.zones[odd_zone.ORIGIN].check_presigned(NOW) == []
    validator = judge_of(signed, odd_zone.ORIGIN)
    for qname, qtype in odd_zone.questions(records, 100, seed):
        if not qname.endswith(odd_zone.ORIGIN) or qtype == "RRSIG":
            continue
        asked = query(qname, qtype, dnssec=True).to_wire()
        octets = made.octets(asked)
        try:
            validator.judge(octets)
        except BogusError as error:
            raise AssertionError(f"{qname} {qtype}: {error}\n{dns.message.from_wire(octets)}") from error
        assert brief(shown(dns.message.from_wire(brought.octets(asked)))) == brief(shown(dns.message.from_wire(octets)))


@pytest.mark.parametrize("dropped", range(3))
def test_the_validator_refuses_a_proof_that_lacks_a_record(dropped):
    """The judge itself is judged."""
    signed = hashed(build(RFC5155), RFC, RFC_PARAM)
    octets = Serving({"example.": signed}).octets(query("a.c.x.w.example.", dnssec=True).to_wire())
    response = dns.message.from_wire(octets)
    owners = [rrset.name for rrset in response.authority if rrset.rdtype == dns.rdatatype.NSEC3]
    response.authority = [rrset for rrset in response.authority if rrset.name != owners[dropped]]
    with pytest.raises(BogusError):
        judge_of(signed, "example.").judge(response.to_wire())
