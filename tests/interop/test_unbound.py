"""Whether a validating unbound, given our trust anchor alone, finds every answer secure."""

import os

import dns.flags
import dns.rcode
import pytest

from tests.interop.conftest import SIGNED, corefile, ds_of, zone_file
from tests.interop.questions import is_for_the_parent, questions, stays_inside
from tools import make_zone
from tools.servers import Unbound, Zonewright

ORIGIN = "example.test."
COUNT = 500 if "SOAK" not in os.environ else 100 * int(os.environ["SOAK"])


@pytest.mark.peer("unbound")
@pytest.mark.parametrize("denial", ["nsec", "nsec3", "nsec3 opt-out", "compact"])
def test_unbound_finds_no_bogus_answer_in_random_queries(run, tmp_path, denial):
    file = zone_file(tmp_path, ORIGIN, 3000)
    template = SIGNED.replace("    dnssec\n", f"    dnssec {{{{\n        denial {denial}\n    }}}}\n")
    server = run(Zonewright, corefile=corefile(template, ORIGIN, file))
    server.wait_served(ORIGIN)
    anchors = "".join(f"{ORIGIN} 3600 IN DS {rdata}\n" for rdata in ds_of(server, ORIGIN))
    unbound = run(Unbound, stubs={ORIGIN: server.port}, anchors=anchors)
    inside = stays_inside(list(make_zone.records(ORIGIN, 3000)), ORIGIN)
    wrong = []
    for qname, qtype in questions(inside, COUNT, seed=11):
        # Asked for DNAME, unbound takes the CNAME made from one for a record of its own and wants a signature on it; NSD,
        # Knot DNS and BIND give it the same answer (RFC 6672 section 3.1).
        if is_for_the_parent((qname, qtype), ORIGIN) or qtype == "DNAME":
            continue
        response = unbound.resolve(qname, qtype)
        is_secure = bool(response.flags & dns.flags.AD)
        # What opt-out leaves open is insecure (RFC 5155 section 9.2), but never bogus.
        if response.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN} or not (is_secure or "opt-out" in denial):
            wrong.append(f"{qname} {qtype}: {dns.rcode.to_text(response.rcode())}, AD {is_secure}")
    assert wrong == [], "\n".join(wrong) + unbound.log[-3000:]


@pytest.mark.peer("unbound")
def test_unbound_calls_a_wrong_trust_anchor_bogus(serve, run):
    """The harness itself is checked: with a foreign anchor nothing is secure."""
    server = serve(ORIGIN, 20)
    unbound = run(Unbound, stubs={ORIGIN: server.port}, anchors=f"{ORIGIN} 3600 IN DS 1 13 2 {'ab' * 32}\n")
    assert unbound.resolve(f"mail.{ORIGIN}", "A").rcode() == dns.rcode.SERVFAIL
