import sqlite3
from collections.abc import Callable

import dns.dnssec
import dns.rdata
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from engine import key_tag
from keys import private, store
from keys.errors import KeysError, PassphraseError, PrivateKeyError
from keys.states import Key


@pytest.mark.parametrize("algorithm", sorted(private.FAST_ALGORITHMS))
def test_a_new_key_has_the_dnskey_that_dnspython_makes_of_it(algorithm: int) -> None:
    pkcs8, dnskey = private.generate(algorithm)
    expected = dns.dnssec.make_dnskey(load_der_private_key(pkcs8, None).public_key(), algorithm, flags=257)
    assert dnskey == expected.to_wire()
    assert key_tag(dnskey) == dns.dnssec.key_id(expected)


def test_every_new_key_is_another_one() -> None:
    assert len({private.generate(13)[1] for _ in range(20)}) == 20


def test_a_slow_algorithm_is_not_made() -> None:
    with pytest.raises(KeysError, match="algorithm 8 is not one of"):
        private.generate(8)


def test_the_tags_of_a_key_are_its_own_and_its_revoked_one() -> None:
    _, dnskey = private.generate(13)
    revoked = dns.rdata.from_wire("IN", "DNSKEY", (385).to_bytes(2, "big") + dnskey[2:], 0, len(dnskey))
    assert private.tags_of(dnskey) == {key_tag(dnskey), dns.dnssec.key_id(revoked)}


def test_without_a_passphrase_private_parts_are_stored_as_they_are(tx: sqlite3.Connection) -> None:
    vault = private.open_vault(tx, None)
    assert vault.open("k", vault.seal("k", b"der")) == b"der"
    assert store.wrapping(tx) is None


def test_with_a_passphrase_they_are_not_in_the_store(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    vault = private.open_vault(tx, b"correct horse")
    key = make_key(1)
    store.insert(tx, key, vault.seal(key.id, b"a private part"))
    assert b"a private part" not in tx.serialize()
    again = private.open_vault(tx, b"correct horse")
    assert again.open(key.id, store.pkcs8(tx, key.id)) == b"a private part"


def test_the_first_passphrase_encrypts_what_was_stored_before(
    tx: sqlite3.Connection, make_key: Callable[..., Key]
) -> None:
    key = make_key(1)
    store.insert(tx, key, private.open_vault(tx, None).seal(key.id, b"a private part"))
    vault = private.open_vault(tx, b"battery staple")
    assert store.pkcs8(tx, key.id) != b"a private part"
    assert vault.open(key.id, store.pkcs8(tx, key.id)) == b"a private part"


@pytest.mark.parametrize("passphrase", [None, b"", b"wrong"])
def test_another_passphrase_or_none_is_refused(tx: sqlite3.Connection, passphrase: bytes | None) -> None:
    private.open_vault(tx, b"right")
    with pytest.raises(PassphraseError):
        private.open_vault(tx, passphrase)


def test_a_sealed_part_opens_for_its_own_key_only(tx: sqlite3.Connection) -> None:
    vault = private.open_vault(tx, b"right")
    sealed = vault.seal("one", b"der")
    for key_id, octets in [("two", sealed), ("one", sealed[:-1] + bytes((sealed[-1] ^ 1,))), ("one", b"")]:
        with pytest.raises(PrivateKeyError) as caught:
            vault.open(key_id, octets)
        assert caught.value.key_id == key_id


def test_a_handle_is_made_of_what_the_store_has(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    vault = private.open_vault(tx, b"right")
    pkcs8, dnskey = private.generate(13)
    key = make_key(1, dnskey=dnskey, tag=key_tag(dnskey))
    store.insert(tx, key, vault.seal(key.id, pkcs8))
    handle = private.signing_keys(tx, vault, [key])[key.id]
    assert (handle.dnskey, handle.key_tag, handle.algorithm) == (dnskey, key.tag, 13)


def test_a_private_part_of_another_key_gives_no_handle(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    vault = private.open_vault(tx, None)
    key = make_key(1, dnskey=private.generate(13)[1])
    store.insert(tx, key, private.generate(13)[0])
    with pytest.raises(PrivateKeyError):
        private.signing_keys(tx, vault, [key])


def test_one_damaged_key_does_not_keep_the_others(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    vault = private.PlainVault()
    pkcs8, dnskey = private.generate(13)
    good, bad = make_key(1, dnskey=dnskey, tag=1), make_key(2)
    store.insert(tx, good, pkcs8)
    store.insert(tx, bad, b"garbage")
    assert set(private.usable_signing_keys(tx, vault, [bad, good, make_key(3)])) == {good.id}


def test_a_missing_private_part_and_a_slow_algorithm_are_named(
    tx: sqlite3.Connection, make_key: Callable[..., Key]
) -> None:
    with pytest.raises(PrivateKeyError, match="no private part"):
        private.signing_keys(tx, private.PlainVault(), [make_key(1)])
    with pytest.raises(PrivateKeyError, match="algorithm 8 is not a fast one"):
        private.signing_key(private.PlainVault(), make_key(1, algorithm=8), b"")
