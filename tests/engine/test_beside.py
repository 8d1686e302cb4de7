"""Aliases and targets that lead from one zone into another one served beside it, and where they may not."""

import dns.dnssec
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from engine import (
    Block,
    Clock,
    Declined,
    Denial,
    Effects,
    Limiter,
    Responder,
    SignedVersion,
    SigningPlan,
    ZoneSlot,
    name_from_text,
)
from tests.engine.asking import NOW, Serving, build, lines, query, shown, signed, signing_key, text

ONE = """\
$ORIGIN one.test.
$TTL 3600
@ SOA ns admin 1 3600 300 3600000 600
@ NS ns
@ NS ns.two.test.
ns A 192.0.2.1
out CNAME www.two.test.
gone CNAME gone.two.test.
nodata CNAME www.two.test.
far CNAME out.two.test.
cut CNAME www.cut.two.test.
child CNAME www.sub.one.test.
below CNAME nowhere.sub.one.test.
away CNAME www.elsewhere.test.
*.wild CNAME www.two.test.
loop CNAME loop.two.test.
d DNAME two.test.
long DNAME a-label-of-some-length.two.test.
ping CNAME pong.two.test.
m MX 1 mail.two.test.
m MX 2 mail.sub.one.test.
m MX 3 mail.elsewhere.test.
m MX 4 host.cut.two.test.
_s._tcp SRV 0 0 22 www.two.test.
sub NS ns.sub
sub NS ns.two.test.
ns.sub A 192.0.2.99
glueless NS ns.two.test.
glueless NS ns.sub.one.test.
unserved NS ns.unserved
ns.unserved A 192.0.2.98
into CNAME x.unserved
tods CNAME sub
sub DS 57855 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B
"""
ONE_SOA = "one.test. 600 SOA ns.one.test. admin.one.test. 1 3600 300 3600000 600"

TWO = """\
$ORIGIN two.test.
$TTL 60
@ SOA ns admin 2 3600 300 3600000 30
@ NS ns
ns A 192.0.2.2
ns AAAA 2001:db8::2
www A 192.0.2.20
mail A 192.0.2.25
out CNAME www.sub.one.test.
loop CNAME loop.one.test.
pong CNAME last.one.test.
*.w CNAME www
cut NS ns.cut
ns.cut A 192.0.2.30
host.cut A 192.0.2.31
d2 DNAME sub.one.test.
"""
TWO_SOA = "two.test. 30 SOA ns.two.test. admin.two.test. 2 3600 300 3600000 30"

SUB = """\
$ORIGIN sub.one.test.
$TTL 300
@ SOA ns admin 3 3600 300 3600000 10
@ NS ns
ns A 192.0.2.3
www A 192.0.2.33
mail A 192.0.2.34
"""
SUB_SOA = "sub.one.test. 10 SOA ns.sub.one.test. admin.sub.one.test. 3 3600 300 3600000 10"

ZONES = {"one.test.": ONE, "two.test.": TWO, "sub.one.test.": SUB}


def versions(make=SignedVersion) -> dict[str, SignedVersion]:
    """The three zones."""
    return {origin: make(build(zone, origin)) for origin, zone in ZONES.items()}


@pytest.fixture(scope="module")
def beside() -> Serving:
    """All of them in one server block."""
    return Serving(versions())


# ------------------------------------------------------------------ aliases


@pytest.mark.parametrize(
    ("qname", "qtype", "expected"),
    [
        (
            "out.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            out.one.test. 3600 CNAME www.two.test.
            www.two.test. 60 A 192.0.2.20
            """,
        ),
        ("out.one.test.", "CNAME", "NOERROR AA\nANSWER\nout.one.test. 3600 CNAME www.two.test."),
        # RFC 2308 section 2 and RFC 6604 section 3: the response code and the SOA are of the last name's zone.
        ("gone.one.test.", "A", f"NXDOMAIN AA\nANSWER\ngone.one.test. 3600 CNAME gone.two.test.\nAUTHORITY\n{TWO_SOA}"),
        (
            "nodata.one.test.",
            "MX",
            f"NOERROR AA\nANSWER\nnodata.one.test. 3600 CNAME www.two.test.\nAUTHORITY\n{TWO_SOA}",
        ),
        # Through two zones into a third one, which is a child of the first.
        (
            "far.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            far.one.test. 3600 CNAME out.two.test.
            out.two.test. 60 CNAME www.sub.one.test.
            www.sub.one.test. 300 A 192.0.2.33
            """,
        ),
        # AA is of the first name (RFC 1035 section 4.1.1), also where the chain ends in a referral.
        (
            "cut.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            cut.one.test. 3600 CNAME www.cut.two.test.
            AUTHORITY
            cut.two.test. 60 NS ns.cut.two.test.
            ADDITIONAL
            ns.cut.two.test. 60 A 192.0.2.30
            """,
        ),
        # Over a cut to a child that is served here, too: answered as a question for the target is.
        (
            "child.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            child.one.test. 3600 CNAME www.sub.one.test.
            www.sub.one.test. 300 A 192.0.2.33
            """,
        ),
        (
            "below.one.test.",
            "A",
            f"NXDOMAIN AA\nANSWER\nbelow.one.test. 3600 CNAME nowhere.sub.one.test.\nAUTHORITY\n{SUB_SOA}",
        ),
        ("away.one.test.", "A", "NOERROR AA\nANSWER\naway.one.test. 3600 CNAME www.elsewhere.test."),
        (
            "x.wild.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            x.wild.one.test. 3600 CNAME www.two.test.
            www.two.test. 60 A 192.0.2.20
            """,
        ),
        (
            "Loop.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            Loop.one.test. 3600 CNAME loop.two.test.
            loop.two.test. 60 CNAME loop.one.test.
            """,
        ),
        (
            "x.w.d.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            d.one.test. 3600 DNAME two.test.
            x.w.d.one.test. 3600 CNAME x.w.two.test.
            x.w.two.test. 60 CNAME www.two.test.
            www.two.test. 60 A 192.0.2.20
            """,
        ),
        (
            "mail.d2.d.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            d.one.test. 3600 DNAME two.test.
            mail.d2.d.one.test. 3600 CNAME mail.d2.two.test.
            d2.two.test. 60 DNAME sub.one.test.
            mail.d2.two.test. 60 CNAME mail.sub.one.test.
            mail.sub.one.test. 300 A 192.0.2.34
            """,
        ),
        # Back into the first zone.
        (
            "ping.one.test.",
            "A",
            f"""\
            NXDOMAIN AA
            ANSWER
            ping.one.test. 3600 CNAME pong.two.test.
            pong.two.test. 60 CNAME last.one.test.
            AUTHORITY
            {ONE_SOA}
            """,
        ),
        # RFC 4035 section 3.1.4.1: the DS of the target is a matter of its parent.
        (
            "tods.one.test.",
            "DS",
            """\
            NOERROR AA
            ANSWER
            tods.one.test. 3600 CNAME sub.one.test.
            sub.one.test. 3600 DS 57855 5 1 b6dcd485719adca18e5f3d48a2331627fdd3636b
            """,
        ),
        # A cut to a zone that is not served here is a referral, as ever.
        (
            "into.one.test.",
            "A",
            """\
            NOERROR AA
            ANSWER
            into.one.test. 3600 CNAME x.unserved.one.test.
            AUTHORITY
            unserved.one.test. 3600 NS ns.unserved.one.test.
            ADDITIONAL
            ns.unserved.one.test. 3600 A 192.0.2.98
            """,
        ),
    ],
)
def test_aliases_are_followed_through_all_zones_served(beside, qname, qtype, expected):
    assert beside.show(qname, qtype) == text(expected)


def test_a_name_too_long_in_another_zone_is_yxdomain_there():
    """RFC 6672 section 2.2."""
    zones = ZONES | {"two.test.": TWO + "deep DNAME " + ".".join(["x" * 60] * 3) + ".sub.one.test.\n"}
    labels = ".".join(["a" * 60] * 2)
    shown = Serving({origin: SignedVersion(build(zone, origin)) for origin, zone in zones.items()}).show(
        f"{labels}.deep.d.one.test."
    )
    assert shown.splitlines()[0] == "YXDOMAIN AA"
    assert len(shown.splitlines()) == 5, shown


@pytest.mark.parametrize(("count", "is_whole"), [(16, True), (17, False)])
def test_sixteen_aliases_are_followed_whichever_zones_they_lead_through(count, is_whole):
    zones = {"one.test.": ONE, "two.test.": TWO}
    origins = sorted(zones)
    for number in range(count):
        here, there = origins[number % 2], origins[(number + 1) % 2]
        zones[here] += f"n{number}.{here} CNAME n{number + 1}.{there}\n"
    zones[origins[count % 2]] += f"n{count} A 192.0.2.77\n"
    serving = Serving({origin: SignedVersion(build(zone, origin)) for origin, zone in zones.items()})
    response = serving.ask("n0.one.test.")
    assert response.rcode() == dns.rcode.NOERROR
    assert len(response.answer) == 17
    assert (response.answer[-1].rdtype == dns.rdatatype.A) == is_whole


def test_a_zone_that_has_no_version_ends_the_chain():
    serving = Serving(versions())
    serving.slots["two.test."].withdraw()
    assert serving.show("out.one.test.") == "NOERROR AA\nANSWER\nout.one.test. 3600 CNAME www.two.test."
    assert serving.show("www.two.test.") == "SERVFAIL"
    assert lines(serving.ask("m.one.test.", "MX").additional) == ["mail.sub.one.test. 300 A 192.0.2.34"]


# ------------------------------------------------------------------ proofs


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_each_zone_proves_and_signs_its_own_part(denial):
    """RFC 4035 section 3.1: the wildcard of the first zone is proved by it, the absence in the second by that one."""

    def make(version):
        key = signing_key()
        more = [(version.origin, 51, 0, [b"\1\0\0\0\0"])] if denial == "nsec3" else []
        with_key = version.edited([(version.origin, 48, 3600, [key.dnskey]), *more])
        plan = SigningPlan([(key, True, True)], inception=NOW - 60, expiration=NOW + 86400, denial=Denial(denial))
        return SignedVersion(with_key, plan)

    zones = ZONES | {"one.test.": ONE + "*.lost CNAME gone.two.test.\n"}
    serving = Serving({origin: make(build(zone, origin)) for origin, zone in zones.items()})
    response = serving.ask("x.lost.one.test.", dnssec=True)
    assert response.rcode() == dns.rcode.NXDOMAIN
    response = dns.message.from_wire(serving.octets(query("x.lost.one.test.", dnssec=True).to_wire()))
    kind = dns.rdatatype.from_text(denial)
    keys = {}
    for origin in ZONES:
        dnskey = dns.message.from_wire(serving.octets(query(origin, "DNSKEY").to_wire())).answer[0]
        keys[dnskey.name] = dnskey
    signers = set()
    for section in (response.answer, response.authority):
        for rrset in [one for one in section if one.rdtype != dns.rdatatype.RRSIG]:
            (rrsig,) = (one for one in section if one.name == rrset.name and one.covers == rrset.rdtype)
            dns.dnssec.validate(rrset, rrsig, keys, now=NOW)
            signers.add((rrset.rdtype, rrsig[0].signer.to_text()))
    assert {signer for rdtype, signer in signers if rdtype == kind} == {"one.test.", "two.test."}
    assert {signer for rdtype, signer in signers if rdtype == dns.rdatatype.SOA} == {"two.test."}
    assert {signer for rdtype, signer in signers if rdtype == dns.rdatatype.CNAME} == {"one.test."}


def test_an_unsigned_zone_is_unsigned_also_behind_a_signed_one():
    made = {
        origin: (signed if origin == "one.test." else SignedVersion)(build(ZONES[origin], origin)) for origin in ZONES
    }
    response = Serving(made).ask("out.one.test.", dnssec=True)
    assert [(str(one.name), dns.rdatatype.to_text(one.rdtype)) for one in response.answer] == [
        ("out.one.test.", "CNAME"),
        ("out.one.test.", "RRSIG"),
        ("www.two.test.", "A"),
    ]


# ------------------------------------------------------------------ additional


@pytest.mark.parametrize(
    ("qname", "qtype", "additional"),
    [
        (
            "one.test.",
            "NS",
            ["ns.one.test. 3600 A 192.0.2.1", "ns.two.test. 60 A 192.0.2.2", "ns.two.test. 60 AAAA 2001:db8::2"],
        ),
        # What lies below a cut is glue, and no answer; below one to a zone served here that zone answers.
        ("m.one.test.", "MX", ["mail.two.test. 60 A 192.0.2.25", "mail.sub.one.test. 300 A 192.0.2.34"]),
        ("_s._tcp.one.test.", "SRV", ["www.two.test. 60 A 192.0.2.20"]),
        # A referral has its zone's own glue, then what zones beside it say of other servers (RFC 9471 section 3).
        (
            "x.glueless.one.test.",
            "A",
            ["ns.sub.one.test. 3600 A 192.0.2.99", "ns.two.test. 60 A 192.0.2.2", "ns.two.test. 60 AAAA 2001:db8::2"],
        ),
    ],
)
def test_additional_addresses_come_from_the_zone_that_has_them(beside, qname, qtype, additional):
    assert sorted(lines(beside.ask(qname, qtype).additional)) == sorted(additional)


def test_addresses_of_a_zone_beside_have_its_signatures():
    response = Serving(versions(signed)).ask("_s._tcp.one.test.", "SRV", dnssec=True)
    assert [dns.rdatatype.to_text(one.rdtype) for one in response.additional] == ["A", "RRSIG"]
    assert response.additional[1][0].signer == dns.name.from_text("two.test.")


SERVICES = """\
$ORIGIN svc.test.
$TTL 60
@ SOA ns admin 1 2 3 4 5
@ NS ns
ns A 192.0.2.1
@ HTTPS 0 pool
pool HTTPS 1 . alpn=h2
pool A 192.0.2.10
pool AAAA 2001:db8::10
many HTTPS 1 pool
many HTTPS 2 back
back A 192.0.2.11
via HTTPS 0 c1
c1 CNAME c2
c2 CNAME pool
out HTTPS 0 apex.two.test.
none HTTPS 0 .
gone HTTPS 0 gone
l1 HTTPS 0 l2
l2 HTTPS 0 l1
l2 A 192.0.2.12
cl HTTPS 0 cl1
cl1 CNAME cl2
cl2 CNAME cl1
deep HTTPS 0 many
self HTTPS 1 .
self A 192.0.2.13
_dns SVCB 1 pool alpn=dot
"""
POOL = ["pool.svc.test. 60 A 192.0.2.10", "pool.svc.test. 60 AAAA 2001:db8::10"]
POOLED = [*POOL, 'pool.svc.test. 60 HTTPS 1 . alpn="h2"']


@pytest.mark.parametrize(
    ("qname", "qtype", "additional"),
    [
        ("svc.test.", "HTTPS", POOLED),
        # The TargetName "." is the owner (RFC 9460 section 2.5.2), and nothing in AliasMode (section 2.5.1).
        ("self.svc.test.", "HTTPS", ["self.svc.test. 60 A 192.0.2.13"]),
        ("none.svc.test.", "HTTPS", []),
        ("pool.svc.test.", "HTTPS", POOL),
        ("many.svc.test.", "HTTPS", [*POOLED, "back.svc.test. 60 A 192.0.2.11"]),
        ("_dns.svc.test.", "SVCB", POOL),
        (
            "via.svc.test.",
            "HTTPS",
            ["c1.svc.test. 60 CNAME c2.svc.test.", "c2.svc.test. 60 CNAME pool.svc.test.", *POOLED],
        ),
        # An alias to an alias to a pool in another zone.
        (
            "out.svc.test.",
            "HTTPS",
            ["apex.two.test. 60 A 192.0.2.40", "apex.two.test. 60 HTTPS 0 pool.svc.test.", *POOLED],
        ),
        # An alias to records with targets of their own.
        (
            "deep.svc.test.",
            "HTTPS",
            [
                "many.svc.test. 60 HTTPS 1 pool.svc.test.",
                "many.svc.test. 60 HTTPS 2 back.svc.test.",
                *POOL,
                "back.svc.test. 60 A 192.0.2.11",
            ],
        ),
        ("gone.svc.test.", "HTTPS", []),
        # Loops of either kind end.
        ("l1.svc.test.", "HTTPS", ["l2.svc.test. 60 A 192.0.2.12", "l2.svc.test. 60 HTTPS 0 l1.svc.test."]),
        ("cl.svc.test.", "HTTPS", ["cl1.svc.test. 60 CNAME cl2.svc.test.", "cl2.svc.test. 60 CNAME cl1.svc.test."]),
    ],
)
def test_service_bindings_bring_what_a_client_needs_next(qname, qtype, additional):
    """RFC 9460 section 4.1."""
    two = TWO + "apex HTTPS 0 pool.svc.test.\napex A 192.0.2.40\n"
    zones = {"svc.test.": SERVICES, "two.test.": two}
    serving = Serving({origin: SignedVersion(build(zone, origin)) for origin, zone in zones.items()})
    assert lines(serving.ask(qname, qtype).additional) == additional


# ------------------------------------------------------------------ server blocks


class Blocks:
    """The three zones in server blocks of their own on one listener; `facts` are those of the block of `two.test.`."""

    def __init__(self, first: Effects | None = None, **facts):
        self.responder = Responder(Clock())
        self.slots = {}
        blocks = []
        for number, (origin, version) in enumerate(versions().items()):
            slot = ZoneSlot(name_from_text(origin))
            slot.publish(version)
            self.slots[origin] = slot
            own = facts if origin == "two.test." else {"effects": first}
            blocks.append(Block(number, [0], [slot.origin], [(slot.origin, slot)], **own))
        self.responder.route(blocks)

    def show(self, qname: str) -> str:
        answer = self.responder.answer(0, query(qname).to_wire(), ("192.0.2.99", 4242), "udp")
        assert not isinstance(answer, Declined)
        return shown(dns.message.from_wire(answer))


FOLLOWED = text("""\
    NOERROR AA
    ANSWER
    out.one.test. 3600 CNAME www.two.test.
    www.two.test. 60 A 192.0.2.20
""")
ENDED = "NOERROR AA\nANSWER\nout.one.test. 3600 CNAME www.two.test."


def limits() -> Effects:
    return Effects(limiter=Limiter([9] * 6))


def test_a_chain_goes_on_into_another_direct_block_of_the_listener():
    assert Blocks().show("out.one.test.") == FOLLOWED


def test_a_chain_ends_ahead_of_a_block_that_python_has_to_see():
    assert Blocks(chained=True).show("out.one.test.") == ENDED
    assert Blocks(chained=True, guarded=True).show("out.one.test.") == ENDED


def test_a_chain_ends_ahead_of_a_block_that_limits_what_the_first_one_does_not():
    assert Blocks(effects=limits()).show("out.one.test.") == ENDED
    assert Blocks(first=limits(), effects=limits()).show("out.one.test.") == FOLLOWED
    assert Blocks(first=limits()).show("out.one.test.") == FOLLOWED


def test_a_chain_ends_where_the_target_is_served_on_another_listener_alone():
    blocks = Blocks()
    one, two = (blocks.slots[origin] for origin in ("one.test.", "two.test."))
    blocks.responder.route(
        [Block(0, [0], [one.origin], [(one.origin, one)]), Block(1, [1], [two.origin], [(two.origin, two)])]
    )
    assert blocks.show("out.one.test.") == ENDED


@pytest.mark.parametrize(("is_guarded", "expected"), [(False, FOLLOWED), (True, ENDED)])
def test_a_chained_block_is_left_and_entered_by_itself_unless_python_guards_its_zones(is_guarded, expected):
    blocks = Blocks()
    zones = [(slot.origin, slot) for slot in blocks.slots.values()]
    blocks.responder.route([Block(0, [0], [origin for origin, _ in zones], zones, chained=True, guarded=is_guarded)])
    octets = query("out.one.test.").to_wire()
    slot = blocks.slots["one.test."]
    assert shown(dns.message.from_wire(blocks.responder.answer_from(slot, octets, "udp", None, 0))) == expected
    # Without a listener, or by one where the question would not come to this zone, nothing is followed.
    for listener in (None, 1):
        answer = blocks.responder.answer_from(slot, octets, "udp", None, listener)
        assert shown(dns.message.from_wire(answer)) == ENDED


def test_a_target_of_a_block_that_is_not_open_is_no_more_than_a_name():
    assert "ADDITIONAL" not in Blocks(chained=True).show("_s._tcp.one.test.")


# ------------------------------------------------------------------ DS


NESTED = {
    "test.": "@ 60 SOA ns.x. a.x. 1 2 3 4 5\n@ 60 NS ns.x.\none 60 NS ns.x.\none 60 DS 1 13 2 " + "aa" * 32 + "\n",
    "one.test.": "@ 60 SOA ns.x. a.x. 2 2 3 4 5\n@ 60 NS ns.x.\nsub 60 NS ns.x.\nsub 60 DS 2 13 2 " + "bb" * 32 + "\n",
    "sub.one.test.": "@ 60 SOA ns.x. a.x. 3 2 3 4 5\n@ 60 NS ns.x.\nwww 60 A 192.0.2.1\n",
}


def nested(blocks: dict[str, tuple[str, ...]], chained: tuple[str, ...] = ()) -> Responder:
    """Server blocks by their key, with zones of `NESTED`."""
    responder = Responder(Clock())
    made = []
    for number, (key, origins) in enumerate(blocks.items()):
        zones = []
        for origin in origins:
            slot = ZoneSlot(name_from_text(origin))
            slot.publish(SignedVersion(build(NESTED[origin], origin)))
            zones.append((slot.origin, slot))
        made.append(Block(number, [0], [name_from_text(key)], zones, chained=key in chained))
    responder.route(made)
    return responder


def ds(responder: Responder, qname: str, qtype: str = "DS") -> str | int:
    """The answer's first record, or the number of the block it was declined for."""
    answer = responder.answer(0, query(qname, qtype).to_wire(), ("192.0.2.99", 4242), "udp")
    if isinstance(answer, Declined):
        return answer.block
    response = dns.message.from_wire(answer)
    found = lines([*response.answer, *response.authority])
    return " ".join(found[0].split()[:5]) if found else dns.rcode.to_text(response.rcode())


ONE_DS, SUB_DS = "one.test. 60 DS 1 13", "sub.one.test. 60 DS 2 13"


@pytest.mark.parametrize(
    "blocks",
    [
        {"test.": ("test.", "one.test.", "sub.one.test.")},
        {"test.": ("test.",), "one.test.": ("one.test.",), "sub.one.test.": ("sub.one.test.",)},
        {"test.": ("test.", "one.test."), "sub.one.test.": ("sub.one.test.",)},
        {"sub.one.test.": ("sub.one.test.",), "test.": ("test.", "one.test.")},
        {".": ("test.", "one.test.", "sub.one.test.")},
    ],
    ids=["one block", "three blocks", "two blocks", "the child first", "a block of the root"],
)
def test_a_ds_question_goes_to_the_longest_matching_proper_parent(blocks):
    """RFC 4035 section 3.1.4.1, whichever blocks parent, child and grandchild are in."""
    responder = nested(blocks)
    assert ds(responder, "ONE.test.").lower() == ONE_DS.lower()
    assert ds(responder, "sub.one.test.") == SUB_DS
    # Neither an apex nor a cut: the zone itself says that there is none.
    assert ds(responder, "www.sub.one.test.") == "sub.one.test. 5 SOA ns.x. a.x."
    # Other questions at the same names are the child's.
    assert ds(responder, "sub.one.test.", "NS") == "sub.one.test. 60 NS ns.x."
    # A parent that is not served: the apex says that there is none.
    assert ds(responder, "test.") == "test. 5 SOA ns.x. a.x."


def test_a_ds_question_goes_past_a_parent_that_is_not_served_to_the_one_above():
    """What the grandparent has to say is a referral to the parent."""
    responder = nested({"test.": ("test.",), "sub.one.test.": ("sub.one.test.",)})
    assert ds(responder, "sub.one.test.") == "one.test. 60 NS ns.x."


def test_a_child_alone_says_that_it_has_no_ds():
    responder = nested({"sub.one.test.": ("sub.one.test.",)})
    assert ds(responder, "sub.one.test.") == "sub.one.test. 5 SOA ns.x. a.x."


def test_a_ds_question_goes_to_the_chain_of_the_parent_but_not_to_that_of_the_root():
    """CoreDNS asks the block of the root only for what belongs to no other."""
    child = {"sub.one.test.": ("sub.one.test.",)}
    assert ds(nested({"one.test.": (), **child}, chained=("one.test.",)), "sub.one.test.") == 0
    assert ds(nested({".": (), **child}, chained=(".",)), "sub.one.test.") == "sub.one.test. 5 SOA ns.x. a.x."
