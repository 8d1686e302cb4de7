"""What is believed of other providers' servers, and what their keys may be."""

from base64 import b64encode

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keys.errors import ProviderError
from keys.private import dnskey_rdata
from keys.providers import Provider, dnskeys_of, foreign_key, published_by, seen_after, unfit
from keys.states import Key, Sighting

NAME = "example.test."
ORIGIN = b"\x07example\x04test\x00"
NOW = 1_800_000_000


class Signer:
    """A provider's KSK, and the DNSKEY RRset that it signs."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.dnskey = dnskey_rdata(self.private, 13, 257)

    def answer(self, *others: bytes, ttl: int = 7200, inception: int = NOW - 60) -> dns.message.Message:
        name = dns.name.from_text(NAME)
        texts = [text_of(dnskey) for dnskey in (self.dnskey, *others)]
        rrset = dns.rrset.from_text(name, ttl, "IN", "DNSKEY", *texts)
        key = dns.rrset.from_text(name, ttl, "IN", "DNSKEY", texts[0])[0]
        signature = dns.dnssec.sign(rrset, self.private, name, key, inception=inception, lifetime=3600)
        response = dns.message.make_response(dns.message.make_query(name, "DNSKEY", want_dnssec=True))
        response.answer = [rrset, dns.rrset.from_rdata(name, ttl, signature)]
        return dns.message.from_wire(response.to_wire())

    @property
    def provider(self) -> Provider:
        return Provider("other", keys=(foreign_key((ORIGIN, ""), self.dnskey, NOW, is_anchor=True),))


def text_of(dnskey: bytes) -> str:
    return f"{int.from_bytes(dnskey[:2], 'big')} {dnskey[2]} {dnskey[3]} {b64encode(dnskey[4:]).decode()}"


@pytest.fixture
def ours(make_key) -> Key:
    point = ec.generate_private_key(ec.SECP256R1())
    return make_key(dnskey=dnskey_rdata(point, 13, 256))


def test_what_a_known_key_of_a_provider_signed_is_believed(ours):
    signer = Signer()
    found = published_by(signer.answer(ours.dnskey), signer.provider, ORIGIN, NOW)
    assert found == (sorted([signer.dnskey, ours.dnskey]), 7200)
    assert seen_after(signer.provider, [ours], [found], NOW) == {ours.dnskey: Sighting(True, NOW, NOW, 7200)}


def test_what_a_strange_key_signed_or_ran_out_is_not(ours):
    signer, stranger = Signer(), Signer()
    with pytest.raises(ProviderError, match="none of its DNSKEYs is one that is known of other"):
        published_by(stranger.answer(ours.dnskey), signer.provider, ORIGIN, NOW)
    with pytest.raises(ProviderError, match="does not validate by the keys known of other"):
        published_by(stranger.answer(ours.dnskey, signer.dnskey), signer.provider, ORIGIN, NOW)
    with pytest.raises(ProviderError, match="does not validate by the keys known of other"):
        published_by(signer.answer(ours.dnskey, inception=NOW - 7200), signer.provider, ORIGIN, NOW)
    unsigned = signer.answer(ours.dnskey)
    del unsigned.answer[1]
    with pytest.raises(ProviderError, match="no signed DNSKEY RRset"):
        published_by(dns.message.from_wire(unsigned.to_wire()), signer.provider, ORIGIN, NOW)


def test_a_key_is_there_only_if_all_servers_have_it_and_unbroken(ours):
    has, lacks = ([ours.dnskey], 300), ([], 60)
    provider = Provider("other", seen={ours.dnskey: Sighting(True, NOW - 100, NOW - 50, 3600)})
    assert seen_after(provider, [ours], [has, has], NOW)[ours.dnskey] == Sighting(True, NOW - 100, NOW, 3600)
    assert seen_after(provider, [ours], [has, lacks], NOW)[ours.dnskey] == Sighting(False, NOW, NOW, 3600)
    word = Provider("other", seen={ours.dnskey: Sighting(True, NOW - 100, 2**40, None, True)})
    assert seen_after(word, [ours], [lacks], NOW)[ours.dnskey] == Sighting(False, NOW, NOW, 60), "seen beats said"


@pytest.mark.parametrize("bits", [1024, 2048])
def test_rsa_keys_of_usual_sizes_are_fit(bits):
    assert unfit(dnskey_rdata(rsa.generate_private_key(65537, bits), 8, 256)) == ""


def test_octets_that_are_no_key_are_not():
    assert unfit(b"\x01\x00\x03") == "it has no public key"
    assert "1024 to 4096" in unfit(b"\x01\x00\x03\x08" + b"\x00")
    assert "1024 to 4096" in unfit(b"\x01\x00\x03\x08" + b"\xff" * 30)


def test_records_are_read_out_of_what_dig_prints_and_out_of_key_files():
    signer = Signer()
    text = f"""
; <<>> DiG 9.18 <<>> +dnssec example.test DNSKEY
;; ANSWER SECTION:
EXAMPLE.test.\t\t3600\tIN\tDNSKEY\t{text_of(signer.dnskey)}
example.test. 3600 IN A 192.0.2.1
"""
    assert dnskeys_of(text, ORIGIN, "-") == ([signer.dnskey], 3600)
    assert dnskeys_of(f"; K*.key\nexample.test. IN DNSKEY {text_of(signer.dnskey)}\n", ORIGIN, "K") == (
        [signer.dnskey],
        0,
    )
    with pytest.raises(ProviderError, match="more than 65536 characters"):
        dnskeys_of(text + " " * 65536, ORIGIN, "-")
    with pytest.raises(ProviderError, match=r"^hello.txt:[23]: .*; expected are DNSKEY records, as `dig"):
        dnskeys_of("; a comment\nhello world\n", ORIGIN, "hello.txt")
