import sqlite3
from collections.abc import Callable
from pathlib import Path

import dns.dnssec
import dns.rdata
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from engine import SigningKey, key_tag
from keys import private, store
from keys.errors import KeysError, PassphraseError, PrivateKeyError
from keys.states import Key
from keys.vault import change_passphrase


@pytest.mark.parametrize("algorithm", sorted(private.ALGORITHMS))
def test_a_new_key_has_the_dnskey_that_dnspython_makes_of_it(algorithm: int) -> None:
    pkcs8, dnskey = private.generate(algorithm)
    expected = dns.dnssec.make_dnskey(load_der_private_key(pkcs8, None).public_key(), algorithm, flags=257)
    assert dnskey == expected.to_wire()
    assert key_tag(dnskey) == dns.dnssec.key_id(expected)


def test_every_new_key_is_another_one() -> None:
    assert len({private.generate(13)[1] for _ in range(20)}) == 20


def test_an_algorithm_that_signs_nothing_and_an_odd_size_are_not_made() -> None:
    with pytest.raises(KeysError, match="algorithm 5 is not one of"):
        private.generate(5)
    for bits in (1024, 8192):
        with pytest.raises(KeysError, match=f"an RSA key of {bits} bits; 2048 to 4096 sign"):
            private.generate(8, bits=bits)


@pytest.mark.parametrize(("algorithm", "bits"), [(8, 2048), (10, 2304), (8, 4096)])
def test_an_rsa_key_signs_in_the_engine(algorithm: int, bits: int) -> None:
    pkcs8, dnskey = private.generate(algorithm, bits=bits)
    assert not SigningKey(pkcs8, dnskey).is_slow
    assert load_der_private_key(pkcs8, None).key_size == bits


@pytest.fixture
def kept(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> Callable[..., Key]:
    """A new key of an algorithm in the store."""

    def keep(algorithm: int) -> Key:
        pkcs8, dnskey = private.generate(algorithm)
        key = make_key(1, algorithm=algorithm, dnskey=dnskey, tag=key_tag(dnskey))
        store.insert(tx, key, pkcs8)
        return key

    return keep


def test_a_slow_key_has_a_handle_and_signs_in_bulk(tx: sqlite3.Connection, kept: Callable[..., Key]) -> None:
    key = kept(16)
    vault = private.open_vault(tx, b"right")
    assert private.signing_keys(tx, vault, [key])[key.id].is_slow
    first, second = private.SlowSigner(tx, vault, [key]).sign(key.id, [b"one", b"two"])
    assert private.verify(key.dnskey, b"one", first)
    assert private.verify(key.dnskey, b"two", second)
    assert not private.verify(key.dnskey, b"two", first)
    assert not private.verify(key.dnskey, b"one", first[:-1])
    with pytest.raises(KeysError, match="verified in the engine"):
        private.verify(private.generate(13)[1], b"one", first)


@pytest.mark.parametrize("algorithm", sorted(private.ALGORITHMS))
def test_what_is_exported_is_imported_again(
    algorithm: int, tx: sqlite3.Connection, kept: Callable[..., Key], tmp_path: Path
) -> None:
    key = kept(algorithm)
    vault = private.open_vault(tx, b"right")
    files = private.export_bind(
        vault, key.id, key.origin, key.dnskey, store.pkcs8(tx, key.id), {"Created": 1_700_000_000}
    )
    for suffix, text in (("key", files.public), ("private", files.private)):
        path = tmp_path / f"{files.stem}.{suffix}"
        path.write_text(text)
        path.chmod(0o600)
    again = private.import_bind(tmp_path / files.stem)
    assert (again.owner, again.dnskey, again.timing) == (key.origin, key.dnskey, {"Created": 1_700_000_000})
    assert again.warnings == ()
    sealed = vault.open(key.id, store.pkcs8(tx, key.id))
    assert (
        load_der_private_key(again.pkcs8, None).private_numbers()
        == load_der_private_key(sealed, None).private_numbers()
        if algorithm < 15
        else again.pkcs8 == sealed
    )
    assert files.private not in repr(files)


def test_another_passphrase_seals_everything_anew(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    vault = private.open_vault(tx, b"old")
    for number in (1, 2):
        store.insert(tx, make_key(number), vault.seal(make_key(number).id, b"a private part"))
    store.delete(tx, make_key(2), "a test", 5)
    before = dict(store.all_pkcs8(tx))
    vault = change_passphrase(tx, vault, b"new")
    assert all(before[key_id] != octets for key_id, octets in store.all_pkcs8(tx))
    again = private.open_vault(tx, b"new")
    assert [again.open(*one) for one in store.all_pkcs8(tx)] == [b"a private part"] * 2
    with pytest.raises(PassphraseError):
        private.open_vault(tx, b"old")
    with pytest.raises(PassphraseError, match="empty"):
        change_passphrase(tx, vault, b"")


def test_a_deleted_key_is_in_the_trash_until_it_is_wiped(tx: sqlite3.Connection, make_key: Callable[..., Key]) -> None:
    key = make_key(1)
    store.insert(tx, key, b"a private part")
    store.delete(tx, key, "a test", 100)
    assert store.load_key(tx, key.id) is None
    (thrown,) = store.trash(tx, key.origin)
    assert (thrown.key_id, thrown.octets, thrown.reason) == (key.id, b"a private part", "a test")
    assert "a private part" not in repr(thrown)
    assert store.trash(tx, before=99) == []
    assert store.trash(tx, b"\x03net\x00") == []
    store.wipe(tx, thrown, 200)
    assert store.trash(tx) == []
    assert store.history(tx, key.id)[-1] == (200, "key", "wiped", "deleted at 100: a test")


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


def test_a_missing_private_part_and_a_slow_key_s_wrong_one_are_named(
    tx: sqlite3.Connection, make_key: Callable[..., Key]
) -> None:
    with pytest.raises(PrivateKeyError, match="no private part"):
        private.signing_keys(tx, private.PlainVault(), [make_key(1)])
    with pytest.raises(PrivateKeyError, match="not a private key in PKCS#8"):
        private.signing_key(private.PlainVault(), make_key(1, algorithm=16), b"")
    with pytest.raises(PrivateKeyError, match="is not the DNSKEY's"):
        private.signing_key(private.PlainVault(), make_key(1, algorithm=16), private.generate(16)[0])
