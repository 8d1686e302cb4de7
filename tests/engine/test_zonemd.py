"""The digest of a zone (RFC 8976): by the examples of its appendix A, and as dnspython computes it."""

import dns.name
import dns.rdatatype
import dns.zone
import dns.zonetypes
import pytest

from engine import Denial, SignedVersion, SigningKey, SigningPlan, Version, name_from_text, read_zone
from keys import private

NOW = 1_700_000_000
DNSKEY, NSEC3PARAM, RRSIG, ZONEMD = 48, 51, 46, 63
SIMPLE = """
example. 86400 IN SOA ns1.example. admin.example. 2018031900 1800 900 604800 86400
example. 86400 IN NS ns1.example.
example. 86400 IN NS ns2.example.
example. 86400 IN ZONEMD 2018031900 1 1 {}
ns1.example. 3600 IN A 203.0.113.63
ns2.example. 3600 IN AAAA 2001:db8::63
"""
SIMPLE_DIGEST = "c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044c"
ODD = """
$TTL 3600
@ SOA Ns.Example. admin 7 3600 600 604800 300
@ NS NS
@ MX 10 Mail
@ ZONEMD 7 1 1 {}
NS A 192.0.2.1
Mail A 192.0.2.2
Mail AAAA 2001:db8::2
Mail TYPE65400 \\# 3 010203
b.ent TXT "an empty non-terminal above"
*.wild TXT "B" "a"
*.wild TXT "a"
cut NS ns.cut
cut DS 7 13 2 {}
ns.cut A 192.0.2.3
alias DNAME Other.Example.
below.alias A 192.0.2.4
\\000\\255 TXT odd
"""


def version(text, origin="example."):
    made, findings = Version.build(read_zone(name_from_text(origin), [("zone", text.encode())]))
    assert made is not None, findings
    return made


def signed(text, denial):
    pkcs8, dnskey = private.generate(13)
    base = version(text)
    params = [bytes.fromhex("0100000000")] if denial == "nsec3" else []
    apex = [(base.origin, DNSKEY, 3600, [dnskey]), (base.origin, NSEC3PARAM, 0, params)]
    plan = SigningPlan(
        [(SigningKey(pkcs8, dnskey), True, True)],
        inception=NOW - 3600,
        expiration=NOW + 86400,
        carry_until=NOW,
        denial=Denial(denial),
    )
    return SignedVersion(base.edited(apex), plan)


def judged(signed):
    """The digest of the zone's text by dnspython."""
    text = signed.to_text().decode()
    zone = dns.zone.from_text(text, origin="example.", relativize=False)
    return zone.compute_digest(dns.zonetypes.DigestHashAlgorithm.SHA384).digest


def test_the_simple_example_of_rfc_8976_appendix_a():
    assert SignedVersion(version(SIMPLE.format("00" * 48))).zone_digest.hex() == SIMPLE_DIGEST
    assert SignedVersion(version(SIMPLE.format("ab" * 48))).zone_digest.hex() == SIMPLE_DIGEST


def test_a_placeholder_is_replaced_once_and_what_is_no_placeholder_stays():
    open_one = SignedVersion(version(SIMPLE.format("00" * 48)))
    done = open_one.with_zone_digest()
    assert done is not None
    head = (2018031900).to_bytes(4, "big") + b"\1\1"
    assert done.rrset(name_from_text("example."), ZONEMD) == (86400, [head + bytes.fromhex(SIMPLE_DIGEST)])
    assert done.with_zone_digest() is None
    assert SignedVersion(version("@ 60 SOA ns a 1 1 1 1 1\n@ 60 NS ns\nns 60 A 192.0.2.1\n")).with_zone_digest() is None


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_a_signed_zone_has_the_digest_that_dnspython_computes(denial):
    text = ODD.format("00" * 48, "ab" * 32)
    open_one = signed(text, denial)
    done = open_one.with_zone_digest()
    assert done.slots_made == done.slots - 1, "the signature over ZONEMD is missing, and no other"
    while not (done.make(10**6) and done.verify(10**6, NOW)):
        pass
    done.seal()
    rdata = done.rrset(done.version.origin, ZONEMD)[1][0]
    assert rdata[6:] == done.zone_digest, "the digest does not depend on itself"
    assert rdata[6:] == judged(done)
    assert done.check(NOW) == []


@pytest.mark.parametrize("line", ["NS A 192.0.2.9", "cut DS 8 13 2 " + "cd" * 32, "ns.cut A 192.0.2.9", "new TXT x"])
def test_every_record_counts(line):
    text = ODD.format("00" * 48, "ab" * 32)
    assert SignedVersion(version(text)).zone_digest != SignedVersion(version(text + line + "\n")).zone_digest
