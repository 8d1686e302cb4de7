import base64
from collections.abc import Callable
from typing import Any

from engine import Version
from keys.policy import DEFAULT
from signer.sources import unsigned

ORIGIN = b"\x07example\x04test\x00"
RRSIG, NSEC, DNSKEY, ZONEMD = 46, 47, 48, 63
SIGNED = """\
@ 3600 IN RRSIG SOA 13 2 7200 20300101000000 20200101000000 1 example.test. AAAA
@ 3600 IN NSEC ns.example.test. NS SOA RRSIG NSEC
@ 3600 IN NSEC3PARAM 1 0 0 -
"""


def rules(found: Any) -> list[tuple[str, str]]:
    return [(one.rule, one.severity) for one in found]


def test_a_plain_zone_stays_as_it_is(version: Callable[..., Version]) -> None:
    before = version()
    bare, found = unsigned(before, [], DEFAULT)
    assert found == ()
    assert bare.rrset_count == before.rrset_count


def test_what_signing_makes_anew_is_dropped_with_a_warning(version: Callable[..., Version]) -> None:
    bare, found = unsigned(version(SIGNED), [], DEFAULT)
    assert rules(found) == [("dnssec-records-dropped", "warning")]
    assert bare.rrset(ORIGIN, RRSIG) is None
    assert bare.rrset(ORIGIN, NSEC) is None
    assert bare.rrset_count == version().rrset_count


def test_a_digest_of_the_zone_is_dropped_as_it_no_longer_holds(version: Callable[..., Version]) -> None:
    bare, found = unsigned(version("@ 3600 IN ZONEMD 7 1 1 " + "00" * 48 + "\n"), [], DEFAULT)
    assert rules(found) == [("dnssec-records-dropped", "warning")]
    assert bare.rrset(ORIGIN, ZONEMD) is None


def test_dnskeys_whose_keys_are_here_hold_nothing(version: Callable[..., Version], make_signer: Any) -> None:
    key = make_signer().key
    record = f"@ 3600 IN DNSKEY 257 3 13 {base64.b64encode(key.dnskey[4:]).decode()}\n"
    assert unsigned(version(record), [key], DEFAULT)[1] == ()
    assert rules(unsigned(version(record), [make_signer().key], DEFAULT)[1]) == [("foreign-dnskey", "error")]


def test_ttls_above_the_policys_are_shortened_with_a_warning(version: Callable[..., Version]) -> None:
    """RFC 6781 section 4.4.2."""
    most = DEFAULT.max_zone_ttl
    before = version(f"at {most} IN A 192.0.2.9\n")
    assert unsigned(before, [], DEFAULT)[1] == ()
    records = f"long 1073741724 IN A 192.0.2.9\nlong {most + 1} IN TXT x\na.b.long 1073741724 IN AAAA ::1\n"
    after, (found,) = unsigned(version(records), [], DEFAULT)
    assert (found.rule, found.severity) == ("ttl-capped", "warning")
    assert found.message == (
        "TTLs of 3 RRsets are shortened to the policy's max-zone-ttl 4d; the longest is 1073741724 of long.example.test. A"
    )
    assert after.max_ttl == most
    assert (
        after.to_text() == version(records.replace("1073741724", str(most)).replace(str(most + 1), str(most))).to_text()
    )


def test_the_content_of_a_zone_is_that_with_shortened_ttls(version: Callable[..., Version]) -> None:
    def after(ttl: int) -> Version:
        return unsigned(version(f"long {ttl} IN A 192.0.2.9\n"), [], DEFAULT)[0]

    most = DEFAULT.max_zone_ttl
    assert after(most + 1).content_digest == after(2**31 - 1).content_digest == after(most).content_digest
    assert after(most).content_digest != after(most - 1).content_digest
    assert after(most + 1).rrset(b"\x04long" + ORIGIN, 1) == (most, [b"\xc0\x00\x02\x09"])
