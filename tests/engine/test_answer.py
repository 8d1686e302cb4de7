"""Answers as the RFCs write them down: whole sections as presentation text, zone text in."""

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from engine import Declined, Version, name_from_text, read_zone
from tests.engine.asking import DIRECT, Serving, build, lines, query, serve, serve_signed, shown, signed, text

# ------------------------------------------------------------------ RFC 1034 section 6.2

RFC1034_ROOT = """\
$TTL 86400
. IN SOA SRI-NIC.ARPA. HOSTMASTER.SRI-NIC.ARPA. 870611 1800 300 604800 86400
. NS A.ISI.EDU.
. NS C.ISI.EDU.
. NS SRI-NIC.ARPA.
MIL. 86400 NS SRI-NIC.ARPA.
MIL. 86400 NS A.ISI.EDU.
EDU. 86400 NS SRI-NIC.ARPA.
EDU. 86400 NS C.ISI.EDU.
SRI-NIC.ARPA. A 26.0.0.73
SRI-NIC.ARPA. A 10.0.0.51
SRI-NIC.ARPA. MX 0 SRI-NIC.ARPA.
SRI-NIC.ARPA. HINFO DEC-2060 TOPS20
ACC.ARPA. A 26.6.0.65
ACC.ARPA. HINFO PDP-11/70 UNIX
ACC.ARPA. MX 10 ACC.ARPA.
USC-ISIC.ARPA. CNAME C.ISI.EDU.
73.0.0.26.IN-ADDR.ARPA. PTR SRI-NIC.ARPA.
65.0.6.26.IN-ADDR.ARPA. PTR ACC.ARPA.
51.0.0.10.IN-ADDR.ARPA. PTR SRI-NIC.ARPA.
52.0.0.10.IN-ADDR.ARPA. PTR C.ISI.EDU.
103.0.3.26.IN-ADDR.ARPA. PTR A.ISI.EDU.
A.ISI.EDU. 86400 A 26.3.0.103
C.ISI.EDU. 86400 A 10.0.0.52
"""

ROOT_SOA = ". 86400 SOA SRI-NIC.ARPA. HOSTMASTER.SRI-NIC.ARPA. 870611 1800 300 604800 86400"


@pytest.mark.parametrize(
    ("qname", "qtype", "expected"),
    [
        # 6.2.1
        (
            "SRI-NIC.ARPA.",
            "A",
            """\
            NOERROR AA
            ANSWER
            SRI-NIC.ARPA. 86400 A 10.0.0.51
            SRI-NIC.ARPA. 86400 A 26.0.0.73
            """,
        ),
        # 6.2.2, one RRset of it as RFC 8482 section 4.1 has it
        (
            "SRI-NIC.ARPA.",
            "ANY",
            """\
            NOERROR AA
            ANSWER
            SRI-NIC.ARPA. 86400 A 10.0.0.51
            SRI-NIC.ARPA. 86400 A 26.0.0.73
            """,
        ),
        # 6.2.3
        (
            "SRI-NIC.ARPA.",
            "MX",
            """\
            NOERROR AA
            ANSWER
            SRI-NIC.ARPA. 86400 MX 0 SRI-NIC.ARPA.
            ADDITIONAL
            SRI-NIC.ARPA. 86400 A 10.0.0.51
            SRI-NIC.ARPA. 86400 A 26.0.0.73
            """,
        ),
        # 6.2.4, with the SOA of RFC 2308 section 3
        ("SRI-NIC.ARPA.", "NS", f"NOERROR AA\nAUTHORITY\n{ROOT_SOA}"),
        # 6.2.5
        ("SIR-NIC.ARPA.", "A", f"NXDOMAIN AA\nAUTHORITY\n{ROOT_SOA}"),
        # 6.2.6
        (
            "BRL.MIL.",
            "A",
            """\
            NOERROR
            AUTHORITY
            MIL. 86400 NS A.ISI.EDU.
            MIL. 86400 NS SRI-NIC.ARPA.
            ADDITIONAL
            A.ISI.EDU. 86400 A 26.3.0.103
            SRI-NIC.ARPA. 86400 A 10.0.0.51
            SRI-NIC.ARPA. 86400 A 26.0.0.73
            """,
        ),
        # 6.2.7, by a server that has not the EDU zone
        (
            "USC-ISIC.ARPA.",
            "A",
            """\
            NOERROR AA
            ANSWER
            USC-ISIC.ARPA. 86400 CNAME C.ISI.EDU.
            AUTHORITY
            EDU. 86400 NS C.ISI.EDU.
            EDU. 86400 NS SRI-NIC.ARPA.
            ADDITIONAL
            C.ISI.EDU. 86400 A 10.0.0.52
            SRI-NIC.ARPA. 86400 A 10.0.0.51
            SRI-NIC.ARPA. 86400 A 26.0.0.73
            """,
        ),
        # 6.2.8
        ("USC-ISIC.ARPA.", "CNAME", "NOERROR AA\nANSWER\nUSC-ISIC.ARPA. 86400 CNAME C.ISI.EDU."),
    ],
)
def test_the_root_answers_as_rfc_1034_section_6_2(qname, qtype, expected):
    assert serve(RFC1034_ROOT, ".").show(qname, qtype) == text(expected)


# ------------------------------------------------------------------ RFC 4592

RFC4592 = """\
$ORIGIN example.
example. 3600 IN SOA ns.example.com. admin.example. 1 3600 300 3600000 3600
example. 3600 NS ns.example.com.
example. 3600 NS ns.example.net.
*.example. 3600 TXT "this is a wildcard"
*.example. 3600 MX 10 host1.example.
sub.*.example. 3600 TXT "this is not a wildcard"
host1.example. 3600 A 192.0.2.1
_ssh._tcp.host1.example. 3600 SRV 0 0 22 host1.example.
_ssh._tcp.host2.example. 3600 SRV 0 0 22 host2.example.
subdel.example. 3600 NS ns.example.com.
subdel.example. 3600 NS ns.example.net.
"""

RFC4592_SOA = "example. 3600 SOA ns.example.com. admin.example. 1 3600 300 3600000 3600"


@pytest.mark.parametrize(
    ("qname", "qtype", "expected"),
    [
        # Section 2.2.1: synthesized from the wildcard.
        (
            "host3.example.",
            "MX",
            """\
            NOERROR AA
            ANSWER
            host3.example. 3600 MX 10 host1.example.
            ADDITIONAL
            host1.example. 3600 A 192.0.2.1
            """,
        ),
        ("host3.example.", "A", f"NOERROR AA\nAUTHORITY\n{RFC4592_SOA}"),
        ("foo.bar.example.", "TXT", 'NOERROR AA\nANSWER\nfoo.bar.example. 3600 TXT "this is a wildcard"'),
        # Not synthesized.
        ("host1.example.", "MX", f"NOERROR AA\nAUTHORITY\n{RFC4592_SOA}"),
        ("sub.*.example.", "MX", f"NOERROR AA\nAUTHORITY\n{RFC4592_SOA}"),
        ("_telnet._tcp.host1.example.", "SRV", f"NXDOMAIN AA\nAUTHORITY\n{RFC4592_SOA}"),
        (
            "host.subdel.example.",
            "A",
            """\
            NOERROR
            AUTHORITY
            subdel.example. 3600 NS ns.example.com.
            subdel.example. 3600 NS ns.example.net.
            """,
        ),
        ("ghost.*.example.", "MX", f"NXDOMAIN AA\nAUTHORITY\n{RFC4592_SOA}"),
        # Section 2.2.2: empty non-terminals exist.
        ("_tcp.host1.example.", "SRV", f"NOERROR AA\nAUTHORITY\n{RFC4592_SOA}"),
        ("host2.example.", "MX", f"NOERROR AA\nAUTHORITY\n{RFC4592_SOA}"),
        # Section 2.3: the asterisk label asked for by name is no more than a name.
        ("*.example.", "TXT", 'NOERROR AA\nANSWER\n*.example. 3600 TXT "this is a wildcard"'),
        ("sub.*.example.", "TXT", 'NOERROR AA\nANSWER\nsub.*.example. 3600 TXT "this is not a wildcard"'),
        # Section 3.3.2: closest enclosers and sources of synthesis.
        (
            "_telnet._tcp.host3.example.",
            "TXT",
            'NOERROR AA\nANSWER\n_telnet._tcp.host3.example. 3600 TXT "this is a wildcard"',
        ),
        ("_dns._udp.host2.example.", "TXT", f"NXDOMAIN AA\nAUTHORITY\n{RFC4592_SOA}"),
        (
            "_chat._udp.host3.example.",
            "TXT",
            'NOERROR AA\nANSWER\n_chat._udp.host3.example. 3600 TXT "this is a wildcard"',
        ),
        ("foobar.*.example.", "TXT", f"NXDOMAIN AA\nAUTHORITY\n{RFC4592_SOA}"),
    ],
)
def test_wildcards_answer_as_rfc_4592(qname, qtype, expected):
    assert serve(RFC4592).show(qname, qtype) == text(expected)


HEAD = """\
$ORIGIN example.
$TTL 3600
@ SOA ns admin 1 3600 300 3600000 600
@ NS ns
ns A 192.0.2.53
"""
NEGATIVE = "example. 600 SOA ns.example. admin.example. 1 3600 300 3600000 600"


def of(records: str) -> Serving:
    """A small zone with these records besides its apex."""
    return serve(HEAD + records)


def test_a_wildcard_cname_is_followed_from_the_name_asked():
    zone = of("*.w CNAME ns\n")
    assert zone.show("a.w.example.", "A") == text("""\
        NOERROR AA
        ANSWER
        a.w.example. 3600 CNAME ns.example.
        ns.example. 3600 A 192.0.2.53
    """)


def test_a_wildcard_below_an_empty_non_terminal_stands_only_for_names_below_it():
    zone = of('*.ent TXT "w"\n')
    assert zone.show("x.ent.example.", "TXT") == text('NOERROR AA\nANSWER\nx.ent.example. 3600 TXT "w"')
    assert zone.show("ent.example.", "TXT") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"
    assert zone.show("x.example.", "TXT") == f"NXDOMAIN AA\nAUTHORITY\n{NEGATIVE}"


def test_an_empty_wildcard_is_a_source_of_synthesis_all_the_same():
    """RFC 4592 section 2.2.3: *.w is an empty non-terminal, and gives NODATA."""
    zone = of("a.*.w A 192.0.2.1\n")
    assert zone.show("x.w.example.", "A") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"


def test_a_wildcard_does_not_stand_for_what_a_cut_or_a_deeper_name_takes():
    zone = of("*.w A 192.0.2.1\nsub.w NS ns.elsewhere.\nb.a.w A 192.0.2.2\n")
    assert zone.show("x.sub.w.example.") == "NOERROR\nAUTHORITY\nsub.w.example. 3600 NS ns.elsewhere."
    assert zone.show("x.a.w.example.") == f"NXDOMAIN AA\nAUTHORITY\n{NEGATIVE}"
    assert zone.show("a.w.example.") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"


def test_wildcards_stand_at_every_depth_each_for_what_no_deeper_name_takes():
    zone = of('* TXT "apex"\n*.a TXT "a"\n*.b.a TXT "b"\n*.*.c TXT "star"\nd.e.a A 192.0.2.1\n')
    for qname, word in (
        ("x.example.", "apex"),
        ("y.x.example.", "apex"),
        ("x.a.example.", "a"),
        ("y.x.a.example.", "a"),
        ("x.b.a.example.", "b"),
        ("z.y.x.b.a.example.", "b"),
        # An asterisk in the middle is a label like any (RFC 4592 section 2.1.1), and has a wildcard of its own here.
        ("x.*.c.example.", "star"),
        ("*.b.a.example.", "b"),
    ):
        assert zone.show(qname, "TXT") == f'NOERROR AA\nANSWER\n{qname} 3600 TXT "{word}"'
    # *.c is an empty non-terminal, b.a and e.a too: no wildcard goes past them (section 2.2.2).
    for qname in ("x.c.example.", "b.a.example.", "e.a.example."):
        assert zone.show(qname, "TXT") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"
    assert zone.show("x.e.a.example.", "TXT") == f"NXDOMAIN AA\nAUTHORITY\n{NEGATIVE}"


def test_a_wildcard_cname_to_its_own_domain_closes_a_loop_and_one_past_a_dname_goes_on():
    zone = of("*.w CNAME x.d\nd DNAME t\n*.t A 192.0.2.1\n")
    assert zone.show("a.w.example.") == text("""\
        NOERROR AA
        ANSWER
        a.w.example. 3600 CNAME x.d.example.
        d.example. 3600 DNAME t.example.
        x.d.example. 3600 CNAME x.t.example.
        x.t.example. 3600 A 192.0.2.1
    """)


def test_ns_at_a_wildcard_holds_the_zone_and_dname_there_warns():
    """RFC 4592 sections 4.2 and 4.4, RFC 6672 section 3.3; as named-checkzone has it."""
    findings = {}
    for rtype in ("NS", "DNAME"):
        records = read_zone(name_from_text("example."), [("zone", (HEAD + f"*.w {rtype} ns.test.\n").encode())])
        version, found = Version.build(records)
        findings[rtype] = (version is None, [(one.rule, one.severity) for one in found])
    assert findings["NS"] == (True, [("wildcard-ns", "error")])
    assert findings["DNAME"] == (False, [("wildcard-dname", "warning")])


def test_a_dname_at_a_wildcard_is_data_that_the_wildcard_has_and_redirects_below_the_asterisk_alone():
    zone = of("*.w DNAME t\n*.t A 192.0.2.1\n")
    assert zone.show("x.w.example.", "DNAME") == "NOERROR AA\nANSWER\nx.w.example. 3600 DNAME t.example."
    assert zone.show("x.w.example.") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"
    assert lines(zone.ask("x.*.w.example.").answer)[1:] == [
        "x.*.w.example. 3600 CNAME x.t.example.",
        "x.t.example. 3600 A 192.0.2.1",
    ]


# ------------------------------------------------------------------ RFC 2308


@pytest.mark.parametrize(("ttl", "minimum", "shown_ttl"), [(3600, 600, 600), (300, 600, 300), (0, 600, 0), (7, 0, 0)])
def test_the_soa_of_a_negative_answer_has_the_smaller_of_its_ttl_and_minimum(ttl, minimum, shown_ttl):
    zone = serve(f"@ {ttl} SOA ns.x. a.x. 1 2 3 4 {minimum}\n@ 60 NS ns.x.\n")
    soa = f"example. {shown_ttl} SOA ns.x. a.x. 1 2 3 4 {minimum}"
    assert zone.show("no.example.") == f"NXDOMAIN AA\nAUTHORITY\n{soa}"
    assert zone.show("example.", "TXT") == f"NOERROR AA\nAUTHORITY\n{soa}"
    assert zone.show("example.", "SOA").splitlines()[2] == f"example. {ttl} SOA ns.x. a.x. 1 2 3 4 {minimum}"


RFC2308 = """\
$TTL 86400
example. SOA ns1.xx. hostmaster.example. 1 1800 300 604800 86400
example. NS ns1.xx.
an.example. CNAME triple.example.
another.example. CNAME tripple.example.
"""


def test_an_alias_to_no_name_is_a_name_error_about_its_target():
    """RFC 2308 section 2.1: AN.EXAMPLE and TRIPPLE.XX, here both in one zone; RFC 6604 section 3 sets the rcode."""
    assert serve(RFC2308).show("an.example.") == text("""\
        NXDOMAIN AA
        ANSWER
        an.example. 86400 CNAME triple.example.
        AUTHORITY
        example. 86400 SOA ns1.xx. hostmaster.example. 1 1800 300 604800 86400
    """)


# ------------------------------------------------------------------ RFC 6672


@pytest.mark.parametrize(
    ("qname", "owner", "target", "result"),
    [  # Table 1; the zone is the root, so that "no match" is a name error.
        ("com.", "example.com.", "example.net.", None),
        ("a.example.com.", "example.com.", "example.net.", "a.example.net."),
        ("a.b.example.com.", "example.com.", "example.net.", "a.b.example.net."),
        ("ab.example.com.", "b.example.com.", "example.net.", None),
        ("foo.example.com.", "example.com.", "example.net.", "foo.example.net."),
        ("a.x.example.com.", "x.example.com.", "example.net.", "a.example.net."),
        ("a.example.com.", "example.com.", "y.example.net.", "a.y.example.net."),
        ("cyc.example.com.", "example.com.", "example.com.", "cyc.example.com."),
        ("cyc.example.com.", "example.com.", "c.example.com.", "cyc.c.example.com."),
        ("shortloop.x.x.", "x.", ".", "shortloop.x."),
        ("shortloop.x.", "x.", ".", "shortloop."),
    ],
)
def test_dname_substitutes_as_table_1_of_rfc_6672(qname, owner, target, result):
    zone = serve(f". 9 SOA ns. a. 1 2 3 4 5\n. 9 NS ns.x.test.\n{owner} 60 DNAME {target}\n", ".")
    answer = lines(zone.ask(qname, "CNAME").answer)
    assert answer == ([f"{owner} 60 DNAME {target}", f"{qname} 60 CNAME {result}"] if result else [])


def test_a_dname_does_not_redirect_its_own_owner():
    zone = of('d DNAME elsewhere.\nd TXT "here"\n')
    assert zone.show("d.example.", "TXT") == 'NOERROR AA\nANSWER\nd.example. 3600 TXT "here"'
    assert zone.show("d.example.", "DNAME") == "NOERROR AA\nANSWER\nd.example. 3600 DNAME elsewhere."
    assert zone.show("d.example.", "A") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"


def test_a_dname_at_the_apex_redirects_everything_below_and_nothing_at_the_apex():
    """RFC 6672 section 2.3."""
    zone = serve("@ 60 SOA ns.x. a.x. 1 2 3 4 5\n@ 60 NS ns.x.\n@ 60 DNAME new.test.\nwww 60 A 192.0.2.1\n")
    assert zone.show("www.example.") == text("""\
        NOERROR AA
        ANSWER
        example. 60 DNAME new.test.
        www.example. 60 CNAME www.new.test.
    """)
    assert zone.show("example.", "NS") == "NOERROR AA\nANSWER\nexample. 60 NS ns.x."


def test_what_a_dname_makes_is_answered_on_in_the_zone():
    zone = of("d DNAME new\nwww.new A 192.0.2.7\n")
    assert zone.show("www.d.example.") == text("""\
        NOERROR AA
        ANSWER
        d.example. 3600 DNAME new.example.
        www.d.example. 3600 CNAME www.new.example.
        www.new.example. 3600 A 192.0.2.7
    """)
    assert zone.show("no.d.example.") == text(f"""\
        NXDOMAIN AA
        ANSWER
        d.example. 3600 DNAME new.example.
        no.d.example. 3600 CNAME no.new.example.
        AUTHORITY
        {NEGATIVE}
    """)


def test_a_dname_that_makes_a_name_too_long_is_yxdomain_with_the_dname():
    """RFC 6672 section 2.2: 255 octets are a name, 256 are not."""
    zone = serve("@ 60 SOA ns.x. a.x. 1 2 3 4 5\n@ 60 NS ns.x.\nd 60 DNAME abcde.test.\n")
    labels = ".".join(["a" * 63] * 3 + ["a" * 50])  # 243 octets, and 12 of the target
    assert zone.show(f"{labels}.d.example.") == text(f"""\
        NOERROR AA
        ANSWER
        d.example. 60 DNAME abcde.test.
        {labels}.d.example. 60 CNAME {labels}.abcde.test.
    """)
    assert zone.show(f"{labels}a.d.example.") == "YXDOMAIN AA\nANSWER\nd.example. 60 DNAME abcde.test."


def test_a_dname_that_aliases_led_through_is_answered_once():
    """RFC 2181 section 5: no record stands twice in a section."""
    zone = of("d DNAME new\nx.new CNAME d\n")
    assert zone.show("x.d.example.", "DNAME") == text("""\
        NOERROR AA
        ANSWER
        d.example. 3600 DNAME new.example.
        x.d.example. 3600 CNAME x.new.example.
        x.new.example. 3600 CNAME d.example.
    """)


def test_a_chain_of_dnames_keeps_the_case_of_the_labels_asked():
    zone = of("d1 DNAME d2\nd2 DNAME d3\nx.d3 A 192.0.2.9\n")
    assert zone.show("X.d1.example.") == text("""\
        NOERROR AA
        ANSWER
        d1.example. 3600 DNAME d2.example.
        X.d1.example. 3600 CNAME X.d2.example.
        d2.example. 3600 DNAME d3.example.
        X.d2.example. 3600 CNAME X.d3.example.
        X.d3.example. 3600 A 192.0.2.9
    """)


# ------------------------------------------------------------------ chains of aliases

CHAINS = """\
c1 CNAME c2
c2 CNAME c3
c3 A 192.0.2.3
nx CNAME gone
nodata CNAME ns
del CNAME host.sub
out CNAME www.other.test.
self CNAME self
l1 CNAME l2
l2 CNAME l3
l3 CNAME l1
in CNAME l1
*.wl CNAME x.wl
sub NS ns.sub
ns.sub A 192.0.2.54
dl DNAME dl
d1 DNAME d2
d2 DNAME d1
back CNAME x.d3
d3 DNAME d4
x.d4 CNAME y.d3
y.d4 A 192.0.2.4
"""


@pytest.mark.parametrize(
    ("qname", "qtype", "expected"),
    [
        (
            "c1.example.",
            "A",
            """\
            NOERROR AA
            ANSWER
            c1.example. 3600 CNAME c2.example.
            c2.example. 3600 CNAME c3.example.
            c3.example. 3600 A 192.0.2.3
            """,
        ),
        ("c1.example.", "CNAME", "NOERROR AA\nANSWER\nc1.example. 3600 CNAME c2.example."),
        ("c1.example.", "ANY", "NOERROR AA\nANSWER\nc1.example. 3600 CNAME c2.example."),
        ("nx.example.", "A", f"NXDOMAIN AA\nANSWER\nnx.example. 3600 CNAME gone.example.\nAUTHORITY\n{NEGATIVE}"),
        ("nodata.example.", "MX", f"NOERROR AA\nANSWER\nnodata.example. 3600 CNAME ns.example.\nAUTHORITY\n{NEGATIVE}"),
        (
            "del.example.",
            "A",
            """\
            NOERROR AA
            ANSWER
            del.example. 3600 CNAME host.sub.example.
            AUTHORITY
            sub.example. 3600 NS ns.sub.example.
            ADDITIONAL
            ns.sub.example. 3600 A 192.0.2.54
            """,
        ),
        ("out.example.", "A", "NOERROR AA\nANSWER\nout.example. 3600 CNAME www.other.test."),
        # Loops end where they close, each record once.
        ("self.example.", "A", "NOERROR AA\nANSWER\nself.example. 3600 CNAME self.example."),
        (
            "in.example.",
            "A",
            """\
            NOERROR AA
            ANSWER
            in.example. 3600 CNAME l1.example.
            l1.example. 3600 CNAME l2.example.
            l2.example. 3600 CNAME l3.example.
            l3.example. 3600 CNAME l1.example.
            """,
        ),
        (
            "a.wl.example.",
            "A",
            """\
            NOERROR AA
            ANSWER
            a.wl.example. 3600 CNAME x.wl.example.
            x.wl.example. 3600 CNAME x.wl.example.
            """,
        ),
        (
            "a.dl.example.",
            "A",
            """\
            NOERROR AA
            ANSWER
            dl.example. 3600 DNAME dl.example.
            a.dl.example. 3600 CNAME a.dl.example.
            """,
        ),
        (
            "a.d1.example.",
            "A",
            """\
            NOERROR AA
            ANSWER
            d1.example. 3600 DNAME d2.example.
            a.d1.example. 3600 CNAME a.d2.example.
            d2.example. 3600 DNAME d1.example.
            a.d2.example. 3600 CNAME a.d1.example.
            """,
        ),
        # A DNAME that two aliases lead through stands there once.
        (
            "back.example.",
            "A",
            """\
            NOERROR AA
            ANSWER
            back.example. 3600 CNAME x.d3.example.
            d3.example. 3600 DNAME d4.example.
            x.d3.example. 3600 CNAME x.d4.example.
            x.d4.example. 3600 CNAME y.d3.example.
            y.d3.example. 3600 CNAME y.d4.example.
            y.d4.example. 3600 A 192.0.2.4
            """,
        ),
    ],
)
def test_aliases_are_followed_in_the_zone_to_their_end(qname, qtype, expected):
    assert of(CHAINS).show(qname, qtype) == text(expected)


def test_a_chain_of_many_aliases_ends_without_an_error():
    zone = of("".join(f"n{i} CNAME n{i + 1}\n" for i in range(40)) + "n40 A 192.0.2.1\n")
    response = zone.ask("n0.example.")
    assert response.rcode() == dns.rcode.NOERROR
    names = [rrset.name for rrset in response.answer]
    assert len(names) == len(set(names)) >= 12


# ------------------------------------------------------------------ delegations

CUTS = """\
sub NS ns1.sub
sub NS ns2.sub
sub NS ns.sib
sub NS ns.other.test.
ns1.sub A 192.0.2.11
ns1.sub AAAA 2001:db8::11
ns2.sub A 192.0.2.12
sib NS ns.sib
ns.sib A 192.0.2.13
none NS ns.none
ds NS ns.other.test.
ds DS 57855 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B
own NS own
own A 192.0.2.14
hidden.sub TXT "occluded"
www.hidden.sub A 192.0.2.15
deep.sub NS ns.deep.sub
ns.deep.sub A 192.0.2.16
auth NS ns
"""
SUB = """\
NOERROR
AUTHORITY
sub.example. 3600 NS ns.sib.example.
sub.example. 3600 NS ns.other.test.
sub.example. 3600 NS ns1.sub.example.
sub.example. 3600 NS ns2.sub.example.
ADDITIONAL
ns1.sub.example. 3600 A 192.0.2.11
ns1.sub.example. 3600 AAAA 2001:db8::11
ns2.sub.example. 3600 A 192.0.2.12
ns.sib.example. 3600 A 192.0.2.13
"""


@pytest.mark.parametrize(
    ("qname", "qtype"),
    [
        ("sub.example.", "A"),
        ("sub.example.", "NS"),
        ("sub.example.", "ANY"),
        ("sub.example.", "NSEC"),
        ("www.sub.example.", "A"),
        ("www.sub.example.", "DS"),
        ("hidden.sub.example.", "TXT"),
        ("www.hidden.sub.example.", "A"),
        ("no.www.hidden.sub.example.", "A"),
        ("ns1.sub.example.", "A"),
        ("deep.sub.example.", "A"),
        ("deep.sub.example.", "DS"),
        ("x.deep.sub.example.", "A"),
    ],
)
def test_whatever_is_at_or_below_a_cut_is_a_referral_with_glue_of_its_domain_first(qname, qtype):
    assert of(CUTS).show(qname, qtype) == text(SUB)


@pytest.mark.parametrize(
    ("qname", "expected"),
    [
        ("x.none.example.", "NOERROR\nAUTHORITY\nnone.example. 3600 NS ns.none.example."),
        ("x.ds.example.", "NOERROR\nAUTHORITY\nds.example. 3600 NS ns.other.test."),
        (
            "x.own.example.",
            "NOERROR\nAUTHORITY\nown.example. 3600 NS own.example.\nADDITIONAL\nown.example. 3600 A 192.0.2.14",
        ),
        (
            "x.auth.example.",
            "NOERROR\nAUTHORITY\nauth.example. 3600 NS ns.example.\nADDITIONAL\nns.example. 3600 A 192.0.2.53",
        ),
    ],
)
def test_referrals_have_the_glue_there_is(qname, expected):
    assert of(CUTS).show(qname) == expected


def test_the_ds_is_answered_by_the_parent_side_of_a_cut():
    """RFC 4035 section 3.1.4.1."""
    zone = of(CUTS)
    assert zone.show("ds.example.", "DS") == text("""\
        NOERROR AA
        ANSWER
        ds.example. 3600 DS 57855 5 1 b6dcd485719adca18e5f3d48a2331627fdd3636b
    """)
    assert zone.show("sub.example.", "DS") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"


def test_a_server_of_both_sides_of_a_cut_answers_ds_from_above_and_the_rest_from_below():
    child = build("@ 60 SOA ns.x. a.x. 1 2 3 4 5\n@ 60 NS ns.x.\nwww 60 A 192.0.2.1\n", "ds.example.")
    zones = Serving({"example.": signed(build(HEAD + CUTS)), "ds.example.": signed(child)})
    assert zones.show("DS.example.", "DS") == text("""\
        NOERROR AA
        ANSWER
        DS.example. 3600 DS 57855 5 1 b6dcd485719adca18e5f3d48a2331627fdd3636b
    """)
    assert zones.show("www.ds.example.") == "NOERROR AA\nANSWER\nwww.ds.example. 60 A 192.0.2.1"
    assert zones.show("ds.example.", "NS") == "NOERROR AA\nANSWER\nds.example. 60 NS ns.x."
    assert zones.show("www.ds.example.", "DS").startswith("NOERROR AA\nAUTHORITY\nds.example. 5 SOA")


def test_a_server_of_the_child_alone_says_that_there_is_no_ds():
    zone = of("")
    assert zone.show("example.", "DS") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"


def test_data_at_and_below_a_cut_is_never_answered_nor_added():
    zone = of(
        CUTS + "m MX 1 ns1.sub\nm MX 2 own\nm MX 3 ns.deep.sub\nc CNAME hidden.sub\nd DNAME x\n_s SRV 0 0 1 ns1.sub\n"
    )
    assert zone.ask("m.example.", "MX").additional == []
    assert zone.ask("_s.example.", "SRV").additional == []
    assert zone.show("own.example.").splitlines()[:2] == ["NOERROR", "AUTHORITY"]
    assert lines(zone.ask("c.example.", "TXT").answer) == ["c.example. 3600 CNAME hidden.sub.example."]
    # Not even by ANY, RRSIG or NSEC, nor where it is signed.
    secure = serve_signed(HEAD + CUTS)
    for qtype in ("ANY", "RRSIG", "NSEC", "NS", "TXT"):
        response = secure.ask("hidden.sub.example.", qtype, dnssec=True)
        assert response.answer == []
        assert {dns.rdatatype.to_text(one.rdtype) for one in response.authority} == {"NS", "NSEC", "RRSIG"}


def test_below_a_name_that_does_not_exist_nothing_does():
    """RFC 8020 section 2: NXDOMAIN means that the name and all below it are not there; an empty non-terminal is."""
    zone = of("x.ent A 192.0.2.1\n")
    for qname in ("no.example.", "a.no.example.", "b.a.no.example.", "no.x.ent.example."):
        assert zone.show(qname) == f"NXDOMAIN AA\nAUTHORITY\n{NEGATIVE}"
    assert zone.show("ent.example.") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"


def test_names_outside_every_zone_are_refused():
    zone = of("")
    assert zone.show("www.test.") == "REFUSED"
    assert zone.show(".", "NS") == "REFUSED"
    octets = zone.responder.answer_from(zone.slots["example."], query("www.test.").to_wire(), "tcp")
    assert shown(dns.message.from_wire(octets)) == "REFUSED"


# ------------------------------------------------------------------ sizes


def test_glue_of_the_delegated_domain_that_does_not_fit_sets_tc():
    """RFC 9471 section 3.1."""
    glue = "".join(
        f"big NS ns{i:02}.big\nns{i:02}.big AAAA 2001:db8::{i}\nns{i:02}.big A 192.0.2.{i}\n" for i in range(13)
    )
    response = of(glue).ask("www.big.example.", transport="udp")
    assert shown(response).splitlines()[0] == "NOERROR TC"
    assert len(response.authority) == 13
    whole = of(glue).ask("www.big.example.", transport="udp", payload=1232)
    assert shown(whole).splitlines()[0] == "NOERROR"
    assert len(whole.additional) == 26


def test_sibling_glue_that_does_not_fit_is_left_out_in_silence():
    """RFC 9471 section 3.2."""
    glue = "".join(
        f"big NS ns{i:02}.sib\nns{i:02}.sib AAAA 2001:db8::{i}\nns{i:02}.sib A 192.0.2.{i}\n" for i in range(13)
    )
    response = of(glue + "sib NS ns00.sib\n").ask("www.big.example.", transport="udp")
    assert shown(response).splitlines()[0] == "NOERROR"
    assert len(response.authority) == 13
    assert response.additional


LARGE = "".join(f'large TXT "{i:03} {"x" * 96}"\n' for i in range(40))


@pytest.mark.parametrize(
    ("payload", "limit"), [(None, 512), (100, 512), (512, 512), (800, 800), (1232, 1232), (4096, 1232), (65535, 1232)]
)
def test_what_does_not_fit_into_a_datagram_is_truncated_at_whole_rrsets(payload, limit):
    zone = of(LARGE)
    octets = zone.octets(query("large.example.", "TXT", payload=payload).to_wire(), "udp")
    assert len(octets) <= limit
    response = dns.message.from_wire(octets)
    assert shown(response) == "NOERROR AA TC"
    assert response.edns == (-1 if payload is None else 0)
    assert len(of(LARGE).ask("large.example.", "TXT").answer) == 40


@pytest.mark.parametrize(("count", "is_whole"), [(4000, True), (8000, False)])
def test_rrsets_of_thousands_of_records_are_whole_by_tcp_as_long_as_a_message_holds_them(count, is_whole):
    """RFC 1035 section 4.2.2: 65,535 octets a message; a record takes 16 at least. RFC 2181 section 5: no part of an RRset."""
    zone = of("".join(f"huge A 10.{i >> 8}.{i & 255}.1\n" for i in range(count)) + "m MX 1 huge\nc CNAME huge\n")
    assert zone.show("huge.example.", transport="udp", payload=1232) == "NOERROR AA TC"
    assert zone.show("huge.example.", transport="udp") == "NOERROR AA TC"
    response = zone.ask("huge.example.", transport="tcp")
    assert (len(response.answer), shown(response).splitlines()[0]) == (
        (count, "NOERROR AA") if is_whole else (0, "NOERROR AA TC")
    )
    # An alias is there whole, and says where to go on.
    assert zone.show("c.example.", transport="udp") == "NOERROR AA TC\nANSWER\nc.example. 3600 CNAME huge.example."
    # What is a courtesy is left out in silence.
    assert zone.show("m.example.", "MX", transport="udp") == "NOERROR AA\nANSWER\nm.example. 3600 MX 1 huge.example."
    assert len(zone.ask("m.example.", "MX", transport="tcp").additional) == (count if is_whole else 0)


@pytest.mark.parametrize("limit", [512, 1232])
def test_an_answer_of_just_the_limit_is_whole_and_one_octet_more_is_not(limit):
    overhead = 12 + len("\x03one\x07example\x00") + 4 + 12 + 11
    strings, rest = divmod(limit - overhead, 256)
    for more, flags in ((0, "NOERROR AA"), (1, "NOERROR AA TC")):
        zone = of("one TXT " + " ".join(['"' + "x" * 255 + '"'] * strings) + ' "' + "y" * (rest - 1 + more) + '"\n')
        octets = zone.octets(query("one.example.", "TXT", payload=limit).to_wire(), "udp")
        assert shown(dns.message.from_wire(octets)).splitlines()[0] == flags
        if not more:
            assert len(octets) == limit


def test_additional_addresses_that_do_not_fit_are_left_out_without_tc():
    records = "".join(
        f"m MX {i} host{i}.mail\nhost{i}.mail A 192.0.2.{i}\nhost{i}.mail AAAA 2001:db8::{i}\n" for i in range(12)
    )
    response = of(records).ask("m.example.", "MX", transport="udp")
    assert shown(response).splitlines()[0] == "NOERROR AA"
    assert len(response.answer) == 12
    assert 0 < len(response.additional) < 24


def test_signatures_that_do_not_fit_set_tc():
    zone = serve_signed(HEAD + "".join(f'r TXT "{i} {"z" * 120}"\n' for i in range(3)))
    assert zone.show("r.example.", "TXT", transport="udp").splitlines()[0] == "NOERROR AA"
    assert zone.show("r.example.", "TXT", transport="udp", dnssec=True, payload=512).splitlines()[0] == "NOERROR AA TC"


# ------------------------------------------------------------------ names as octets


def test_case_is_kept_in_owner_names_and_rdata():
    zone = serve("@ 60 SOA Ns.X. a.x. 1 2 3 4 5\n@ 60 NS NS.Example.\nNs 60 A 192.0.2.1\nWWW 60 CNAME nS.eXample.\n")
    assert zone.show("www.EXAMPLE.") == text("""\
        NOERROR AA
        ANSWER
        www.EXAMPLE. 60 CNAME nS.eXample.
        nS.eXample. 60 A 192.0.2.1
    """)
    assert zone.show("eXaMpLe.", "NS") == text("""\
        NOERROR AA
        ANSWER
        eXaMpLe. 60 NS NS.Example.
        ADDITIONAL
        Ns.example. 60 A 192.0.2.1
    """)


def test_a_name_in_rdata_keeps_its_case_where_it_equals_the_question_but_for_case():
    zone = of("Loop MX 1 LOOP\nLoop A 192.0.2.1\n")
    assert lines(zone.ask("lOOp.example.", "MX").answer) == ["lOOp.example. 3600 MX 1 LOOP.example."]


def test_names_are_compressed_and_those_of_newer_types_are_not():
    """RFC 3597 section 4: only types of RFC 1035 are compressed."""
    zone = of("m MX 1 m\ns SRV 1 2 3 m\n")
    question = 12 + len("\x01m\x07example\x00") + 4
    assert len(zone.octets(query("m.example.", "MX").to_wire())) == question + 12 + 2 + 2
    assert len(zone.octets(query("s.example.", "SRV").to_wire())) == question + 12 + 6 + 11


def pointers(octets: bytes, at: int) -> int:
    """How many compression pointers the name at this place takes."""
    count = 0
    while octets[at]:
        if octets[at] >= 0xC0:
            at = int.from_bytes(octets[at : at + 2], "big") & 0x3FFF
            count += 1
        else:
            at += 1 + octets[at]
    return count


def test_chains_of_compression_pointers_stay_short():
    """Readers give up on long chains: dnspython after a few, BIND after 16."""
    zone = of("d DNAME x.d\n")
    octets = zone.octets(query("q.d.example.").to_wire())
    assert len(dns.message.from_wire(octets).answer) > 12
    assert max(pointers(octets, at) for at in range(len(octets) - 2) if octets[at] == 0xC0) <= 8


def test_names_of_255_octets_are_answered_and_denied():
    longest = ".".join(["l" * 63] * 3 + ["m" * 53]) + ".example."
    assert len(dns.name.from_text(longest).to_wire()) == 255
    zone = serve_signed(HEAD + f"{longest} A 192.0.2.1\n")
    assert lines(zone.ask(longest).answer) == [f"{longest} 3600 A 192.0.2.1"]
    assert zone.ask(longest.replace("m", "k", 1), dnssec=True).rcode() == dns.rcode.NXDOMAIN
    assert zone.ask(longest, "MX", dnssec=True).rcode() == dns.rcode.NOERROR


def test_odd_octets_in_names_are_labels_like_any():
    odd = {r"a\.b": "dot", r"\000\255": "ends", r"a\\b": "slash", r"\@": "at", r"sp\032ce": "space"}
    zone = of("".join(f"{owner} TXT {word}\n" for owner, word in odd.items()))
    for owner, word in odd.items():
        assert zone.ask(f"{owner}.example.", "TXT").answer[0][0].to_text() == f'"{word}"'
    assert zone.show("a.b.example.", "TXT").splitlines()[0] == "NXDOMAIN AA"


# ------------------------------------------------------------------ odd types


def test_any_gives_one_rrset_with_its_signatures():
    zone = serve_signed(HEAD + 'n TXT "t"\nn MX 1 ns\n')
    assert zone.show("n.example.", "ANY") == text("""\
        NOERROR AA
        ANSWER
        n.example. 3600 MX 1 ns.example.
    """)
    kinds = [dns.rdatatype.to_text(rrset.rdtype) for rrset in zone.ask("n.example.", "ANY", dnssec=True).answer]
    assert kinds == ["MX", "RRSIG"]
    assert zone.ask("no.example.", "ANY").rcode() == dns.rcode.NXDOMAIN


def test_rrsig_and_nsec_are_answered_when_asked_for():
    zone = serve_signed(HEAD + 'n TXT "t"\nc CNAME n\nx.ent TXT "t"\n')
    rrsigs = zone.ask("n.example.", "RRSIG").answer
    assert sorted(dns.rdatatype.to_text(rrset[0].type_covered) for rrset in rrsigs) == ["NSEC", "TXT"]
    assert zone.show("n.example.", "NSEC") == text("""\
        NOERROR AA
        ANSWER
        n.example. 600 NSEC ns.example. TXT RRSIG NSEC
    """)
    # RFC 4035 section 2.5: they stand beside a CNAME, which is not followed for them.
    assert zone.show("c.example.", "NSEC") == text("""\
        NOERROR AA
        ANSWER
        c.example. 600 NSEC x.ent.example. CNAME RRSIG NSEC
    """)
    assert [dns.rdatatype.to_text(rrset.rdtype) for rrset in zone.ask("n.example.", "NSEC", dnssec=True).answer] == [
        "NSEC",
        "RRSIG",
    ]
    assert zone.show("ent.example.", "NSEC") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"
    assert zone.show("ent.example.", "RRSIG") == f"NOERROR AA\nAUTHORITY\n{NEGATIVE}"


def test_types_without_a_name_are_answered_as_they_are():
    zone = of(r"u TYPE65400 \# 4 0a000001" "\n")
    assert lines(zone.ask("u.example.", "TYPE65400").answer) == [r"u.example. 3600 TYPE65400 \# 4 0a000001"]


def test_an_nsec_over_many_type_windows_is_whole():
    """RFC 4034 section 4.1.2: up to 34 octets a window beside a next name of up to 255."""
    longest = ".".join(["p" * 63] * 3 + ["q" * 53])
    types = [10 + 256 * window for window in range(1, 250, 7)]
    records = "".join(f"o TYPE{rtype} \\# 1 00\n" for rtype in types)
    zone = serve_signed(HEAD + records + f"{longest} A 192.0.2.1\n")
    nsec = zone.ask("o.example.", "NSEC").answer[0][0]
    assert nsec.next == dns.name.from_text(f"{longest}.example.")
    assert sum(octet.bit_count() for _, bitmap in nsec.windows for octet in bitmap) == len(types) + 2


@pytest.mark.parametrize(
    ("qtype", "transport", "expected"),
    [
        ("OPT", "tcp", "FORMERR"),
        ("TSIG", "tcp", "FORMERR"),
        ("TKEY", "tcp", "FORMERR"),
        ("TYPE0", "tcp", "FORMERR"),
        ("MAILA", "tcp", "NOTIMP"),
        ("MAILB", "tcp", "NOTIMP"),
        ("AXFR", "udp", "FORMERR"),
    ],
)
def test_meta_types_are_no_questions(qtype, transport, expected):
    assert of("").show("example.", qtype, transport=transport) == expected


def test_ixfr_by_udp_is_the_soa_that_sends_the_client_to_tcp():
    """RFC 1995 section 2; where no `transfer` is, and so no changes are handed out."""
    zone = of("")
    soa = "example. 3600 SOA ns.example. admin.example. 1 3600 300 3600000 600"
    request = query("example.", "IXFR")
    request.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", "a. b. 0 1 2 3 4"))
    declined = zone.responder.answer(DIRECT, request.to_wire(), ("192.0.2.99", 4242), "udp")
    assert isinstance(declined, Declined)
    assert shown(dns.message.from_wire(zone.chain.octets(declined))) == f"NOERROR AA\nANSWER\n{soa}"


@pytest.mark.parametrize("qclass", ["CH", "HS", "ANY", "CLASS100"])
def test_other_classes_are_refused(qclass):
    assert of("").show("example.", "SOA", qclass=qclass) == "REFUSED"


# ------------------------------------------------------------------ messages


def test_header_bits_are_answered_as_they_must_be():
    """RD copied (RFC 1035 section 4.1.1), CD too, as BIND, NSD and Knot DNS do; AD, RA, Z clear."""
    zone = of("")
    for transport in ("udp", "tcp"):
        response = zone.ask(
            "ns.example.", flags=0x0100 | 0x0010 | 0x0020 | 0x0040 | 0x0080 | 0x0200 | 0x0400, transport=transport
        )
        assert int(response.flags) == 0x8000 | 0x0400 | 0x0100 | 0x0010
    assert int(zone.ask("ns.example.").flags) == 0x8400


def test_the_question_comes_back_octet_for_octet():
    zone = of("")
    asked = query("nS.ExAmPlE.").to_wire()
    answer = zone.octets(asked)
    assert answer[:2] == asked[:2]
    assert answer[12 : len(asked)] == asked[12:]


@pytest.mark.parametrize("opcode", [1, 2, 3, 6, 15])
def test_other_opcodes_are_not_implemented(opcode):
    asked = query("example.", "SOA")
    asked.set_opcode(opcode)
    answer = of("").octets(asked.to_wire())
    assert answer[2] >> 3 == 0x10 | opcode
    assert answer[3] & 15 == dns.rcode.NOTIMP


def test_do_is_copied_and_without_edns_there_is_none():
    zone = of("")
    assert zone.ask("ns.example.").edns == -1
    plain = zone.ask("ns.example.", payload=4096)
    assert (plain.edns, plain.ednsflags, plain.payload) == (0, 0, 1232)
    assert zone.ask("ns.example.", dnssec=True).ednsflags == 0x8000
    assert zone.ask("no.example.", dnssec=True).ednsflags == 0x8000


def test_the_reserved_edns_bits_are_not_copied():
    asked = query("ns.example.", payload=1232)
    asked.use_edns(0, 0x7FFF, 1232)
    assert dns.message.from_wire(of("").octets(asked.to_wire())).ednsflags == 0


def test_a_later_edns_version_is_badvers_with_ours():
    """RFC 6891 section 6.1.3."""
    asked = query("ns.example.", payload=1232)
    asked.use_edns(1, 0, 1232)
    for transport in ("udp", "tcp"):
        response = dns.message.from_wire(of("").octets(asked.to_wire(), transport))
        assert response.rcode() == dns.rcode.BADVERS
        assert response.edns == 0
        assert not response.answer


def test_unknown_edns_options_are_ignored():
    asked = query("ns.example.", payload=1232)
    asked.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(65001, b"abc"), dns.edns.GenericOption(3, b"")])
    response = dns.message.from_wire(of("").octets(asked.to_wire()))
    assert lines(response.answer) == ["ns.example. 3600 A 192.0.2.53"]
    assert response.options == ()


OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"


def with_counts(octets: bytes, *counts: int) -> bytes:
    return octets[:4] + b"".join(count.to_bytes(2, "big") for count in counts) + octets[12:]


PLAIN = query("ns.example.").to_wire()


@pytest.mark.parametrize(
    "octets",
    [
        with_counts(PLAIN, 0, 0, 0, 0)[:12],
        with_counts(PLAIN, 0, 0, 0, 0),
        with_counts(PLAIN, 2, 0, 0, 0),
        with_counts(PLAIN + PLAIN[12:], 2, 0, 0, 0),
        with_counts(PLAIN + OPT + OPT, 1, 0, 0, 2),
        with_counts(PLAIN + b"\x01x" + OPT, 1, 0, 0, 1),
        with_counts(PLAIN + OPT[:-1] + b"\x01", 1, 0, 0, 1),
        with_counts(PLAIN + OPT[:-1] + b"\x03abc", 1, 0, 0, 1),
        with_counts(PLAIN, 1, 0, 0, 1),
        with_counts(PLAIN, 1, 1, 0, 0),
        PLAIN + b"\x00",
        PLAIN[:-1],
        PLAIN[:13],
        PLAIN[:12] + b"\xc0\x0c" + PLAIN[-4:],
        PLAIN[:12] + b"\x40" + PLAIN[13:],
        PLAIN[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\x00" + PLAIN[-4:],
    ],
    ids=[
        "a header alone",
        "no question",
        "one question of two",
        "two questions",
        "two OPTs",
        "OPT not at the root",
        "OPT cut short",
        "options that do not add up",
        "a record that is not there",
        "an answer that is not there",
        "an octet too many",
        "an octet too few",
        "a name cut short",
        "a name that points to itself",
        "a label type that is gone",
        "a name too long",
    ],
)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_malformed_queries_are_format_errors_with_the_id(octets, transport):
    answer = of("").octets(octets, transport)
    assert answer[:2] == octets[:2]
    assert answer[2] & 0x80
    assert answer[3] & 15 == dns.rcode.FORMERR
    assert dns.message.from_wire(answer).answer == []


def test_responses_and_scraps_are_said_nothing_to():
    zone = of("")
    assert zone.octets(PLAIN[:2] + b"\x80" + PLAIN[3:]) is None
    for length in range(12):
        assert zone.octets(PLAIN[:length]) is None


def test_an_unpublished_zone_is_not_ready():
    """RFC 8914 section 4.15."""
    zone = of("")
    zone.slots["example."].withdraw()
    response = zone.ask("ns.example.", payload=1232)
    assert response.rcode() == dns.rcode.SERVFAIL
    assert [option.code for option in response.options] == [14]


def test_additional_records_are_those_of_the_target_in_the_zone_and_once():
    zone = of(
        "m MX 1 h\nm MX 2 h2\nm MX 3 out.test.\nm MX 4 gone\nh A 192.0.2.1\nh AAAA 2001:db8::1\nh2 CNAME h\n_s SRV 1 2 3 h\nhttps HTTPS 1 h\n"
    )
    assert zone.show("m.example.", "MX") == text("""\
        NOERROR AA
        ANSWER
        m.example. 3600 MX 1 h.example.
        m.example. 3600 MX 2 h2.example.
        m.example. 3600 MX 3 out.test.
        m.example. 3600 MX 4 gone.example.
        ADDITIONAL
        h.example. 3600 A 192.0.2.1
        h.example. 3600 AAAA 2001:db8::1
    """)
    for qname, qtype in (("_s.example.", "SRV"), ("https.example.", "HTTPS")):
        assert len(zone.ask(qname, qtype).additional) == 2
