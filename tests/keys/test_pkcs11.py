"""Keys in a token, each algorithm, with SoftHSM 2."""

from pathlib import Path
from threading import Lock

import pytest

from engine import SigningKey, verify_signature
from keys import pkcs11, private
from keys.errors import StoreError
from keys.policy import KeySpec, TokenStore
from keys.states import Key
from tests.softhsm import MODULE, SoftHSM

OWNER = b"\x01a\x00"


@pytest.fixture
def vault(softhsm: SoftHSM) -> private.PlainVault:
    vault = private.PlainVault()
    vault.tokens = {"hsm": softhsm.token()}
    return vault


def rrsig_head(dnskey: bytes) -> bytes:
    """RRSIG rdata of an A RRset up to the signature; the signer is the owner."""
    return bytes((0, 1, dnskey[3], 1)) + bytes(14) + OWNER


@pytest.mark.parametrize("algorithm", sorted(private.ALGORITHMS))
def test_a_key_is_made_in_the_token_and_signs_there(algorithm: int, vault: private.PlainVault) -> None:
    reference, dnskey = private.make(vault, KeySpec(algorithm=algorithm, store="hsm"), 257)
    assert pkcs11.parts(reference)[0] == "zone keys"
    token = vault.tokens["hsm"]
    if algorithm == private.ED448:
        (signature,) = token.sign(reference, algorithm, [b"octets"])
        assert private.verify(dnskey, b"octets", signature)
    else:
        record = OWNER + bytes((0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1))
        (signature,) = token.sign(reference, algorithm, [rrsig_head(dnskey) + record])
        rrsig = rrsig_head(dnskey) + signature
        assert verify_signature(dnskey, OWNER, 1, 0, [bytes((192, 0, 2, 1))], rrsig)
    assert SigningKey.slow(dnskey).is_slow
    private.discard(vault, reference)
    with pytest.raises(StoreError, match="NoSuchKey"):
        token.sign(reference, algorithm, [b"octets"])
    private.discard(vault, reference)


def test_a_length_of_rsa_that_does_not_sign_is_not_made(vault: private.PlainVault) -> None:
    with pytest.raises(private.KeysError, match="1024 bits"):
        private.make(vault, KeySpec(algorithm=8, bits=1024, store="hsm"), 257)


def test_a_token_that_is_away_is_said_and_found_again(softhsm: SoftHSM, vault: private.PlainVault) -> None:
    token = vault.tokens["hsm"]
    reference, _ = token.generate(13, 0)
    softhsm.unplug()
    token.close()
    with pytest.raises(StoreError, match=r"store hsm: token zone keys by .*: NoSuchToken"):
        token.sign(reference, 13, [b"octets"])
    softhsm.plug_in()
    assert len(token.sign(reference, 13, [b"octets"])[0]) == 64


def test_what_is_configured_wrongly_is_said(softhsm: SoftHSM, tmp_path: Path) -> None:
    pin = tmp_path / "wrong"
    pin.write_text("0815\n")
    for token, message in [
        (pkcs11.Token(TokenStore("hsm", tmp_path / "no.so", "zone keys", softhsm.pin_file), Lock()), "no.so"),
        (pkcs11.Token(TokenStore("hsm", MODULE, "other", softhsm.pin_file), Lock()), "NoSuchToken"),
        (pkcs11.Token(TokenStore("hsm", MODULE, "zone keys", tmp_path / "none"), Lock()), "No such file"),
        (pkcs11.Token(TokenStore("hsm", MODULE, "zone keys", pin), Lock()), "PinIncorrect"),
    ]:
        with pytest.raises(StoreError, match=message):
            token.generate(13, 0)
    with pytest.raises(StoreError, match="store hsm: it is not configured"):
        private.make(private.PlainVault(), KeySpec(store="hsm"), 257)


@pytest.mark.parametrize("uri", [b"pkcs11:", b"pkcs11:token=a", b"pkcs11:id=%00", b"0\x82"])
def test_a_malformed_reference_is_refused(uri: bytes) -> None:
    with pytest.raises(ValueError):
        pkcs11.parts(uri)


def test_a_reference_holds_any_label() -> None:
    assert pkcs11.parts(pkcs11.reference("Zürich; 1=%", b"\x00\xff")) == ("Zürich; 1=%", b"\x00\xff")


def test_a_key_whose_token_is_not_configured_is_named(vault: private.PlainVault, tx, make_key) -> None:  # type: ignore[no-untyped-def]
    from keys import store

    reference, dnskey = private.make(vault, KeySpec(store="hsm"), 257)
    key: Key = make_key(1, dnskey=dnskey)
    store.insert(tx, key, reference)
    signer = private.SlowSigner(tx, private.PlainVault(), [key])
    with pytest.raises(StoreError, match="no store of that token is configured"):
        signer.sign(key.id, [b"octets"])
    assert len(private.SlowSigner(tx, vault, [key]).sign(key.id, [b"octets"])[0]) == 64
