"""Sealing: how private parts are kept from whoever can read the store, and how a file is kept from whoever finds it.

Sealed is: what was given, and with a passphrase encrypted by AES-256-GCM under one key that scrypt makes of it, bound
to the key's id (docs/adr/private-keys-under-one-derivation.md). A passphrase is any octets; a key file's are as good.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keys import store
from keys.errors import PassphraseError, PrivateKeyError
from keys.pkcs11 import Token

_NONCE_OCTETS: Final = 12
_PROOF: Final = b"zonewright keys"
_MOST_MEMORY: Final = 2**17
"""What a derivation that comes from outside may ask for: n times r, of which scrypt takes 128 octets each."""


class Vault(Protocol):
    """Seals private parts for the store and opens them again; knows the tokens that keep their own."""

    tokens: Mapping[str, Token]
    """PKCS#11 tokens by the name of the store in the policies; put in force with the configuration."""

    def seal(self, key_id: str, private: bytes) -> bytes:
        """What may be stored."""

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """What was sealed. Raises PrivateKeyError."""


class PlainVault:
    """No passphrase is configured: file permissions alone guard the keys."""

    def __init__(self) -> None:
        self.tokens: Mapping[str, Token] = {}

    def seal(self, key_id: str, private: bytes) -> bytes:
        """The octets as they are."""
        del key_id
        return private

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """The octets as they are."""
        del key_id
        return sealed


@dataclass(frozen=True, slots=True)
class _Derivation:
    """How a key is made of the passphrase (RFC 7914), and a sealed known text that tells a wrong one."""

    salt: bytes
    n: int
    r: int
    p: int
    proof: bytes = b""

    @classmethod
    def fresh(cls) -> Self:
        return cls(salt=os.urandom(16), n=2**15, r=8, p=1)

    def to_text(self) -> str:
        facts = {"salt": self.salt.hex(), "n": self.n, "r": self.r, "p": self.p, "proof": self.proof.hex()}
        return json.dumps(facts, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Self:
        facts = json.loads(text)
        return cls(bytes.fromhex(facts["salt"]), facts["n"], facts["r"], facts["p"], bytes.fromhex(facts["proof"]))

    def cipher(self, passphrase: bytes) -> AESGCM:
        return AESGCM(Scrypt(salt=self.salt, length=32, n=self.n, r=self.r, p=self.p).derive(passphrase))


class SealedVault:
    """The keys are encrypted under a passphrase."""

    def __init__(self, cipher: AESGCM) -> None:
        self.tokens: Mapping[str, Token] = {}
        self._cipher = cipher

    def seal(self, key_id: str, private: bytes) -> bytes:
        """A random nonce, then the ciphertext with its tag; the id is authenticated with it."""
        return _encrypt(self._cipher, private, key_id.encode())

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """What was sealed; an altered or exchanged one is a PrivateKeyError."""
        try:
            return _decrypt(self._cipher, sealed, key_id.encode())
        except (InvalidTag, ValueError) as error:
            raise PrivateKeyError(key_id, "the stored private part does not open: altered or of another key") from error


def _encrypt(cipher: AESGCM, octets: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(_NONCE_OCTETS)
    return nonce + cipher.encrypt(nonce, octets, bound_to)


def _decrypt(cipher: AESGCM, octets: bytes, bound_to: bytes) -> bytes:
    return cipher.decrypt(octets[:_NONCE_OCTETS], octets[_NONCE_OCTETS:], bound_to)


def open_vault(tx: store.Transaction, passphrase: bytes | None) -> Vault:
    """The vault of a store. The first passphrase a store is opened with encrypts the keys it already has.

    Raises PassphraseError when it is missing or wrong.
    """
    if passphrase == b"":
        raise PassphraseError("the passphrase is empty")
    parameters = store.wrapping(tx)
    if parameters is not None:
        return _known_vault(_Derivation.from_text(parameters), passphrase)
    if passphrase is None:
        return PlainVault()
    return _seal_anew(tx, PlainVault(), passphrase)


def change_passphrase(tx: store.Transaction, vault: Vault, passphrase: bytes) -> Vault:
    """The vault under another passphrase, all that is stored being sealed anew.

    Raises PassphraseError, PrivateKeyError.
    """
    if not passphrase:
        raise PassphraseError("the passphrase is empty")
    return _seal_anew(tx, vault, passphrase)


def _seal_anew(tx: store.Transaction, old: Vault, passphrase: bytes) -> Vault:
    derivation = _Derivation.fresh()
    vault = SealedVault(derivation.cipher(passphrase))
    vault.tokens = old.tokens
    proof = vault.seal("", _PROOF)
    store.replace_pkcs8(
        tx, [(key_id, vault.seal(key_id, old.open(key_id, octets))) for key_id, octets in store.all_pkcs8(tx)]
    )
    store.set_wrapping(tx, _Derivation(derivation.salt, derivation.n, derivation.r, derivation.p, proof).to_text())
    return vault


def _known_vault(derivation: _Derivation, passphrase: bytes | None) -> Vault:
    if passphrase is None:
        raise PassphraseError("the private keys are encrypted and no passphrase is configured")
    vault = SealedVault(derivation.cipher(passphrase))
    try:
        vault.open("", derivation.proof)
    except PrivateKeyError as error:
        raise PassphraseError("the passphrase does not open the private keys") from error
    return vault


# ------------------------------------------------------------------ a file of its own


def lock_file(magic: bytes, octets: bytes, passphrase: bytes) -> bytes:
    """Octets encrypted under a passphrase of their own: magic, one line of parameters, nonce and ciphertext."""
    if not passphrase:
        raise PassphraseError("the passphrase is empty")
    derivation = _Derivation.fresh()
    head = magic + derivation.to_text().encode() + b"\n"
    return head + _encrypt(derivation.cipher(passphrase), octets, head)


def unlock_file(magic: bytes, octets: bytes, passphrase: bytes) -> bytes:
    """What `lock_file` encrypted. Raises PassphraseError, ValueError for what is no such file."""
    line, newline, rest = octets[len(magic) :].partition(b"\n")
    if not octets.startswith(magic) or not newline:
        raise ValueError("not a file of this kind")
    try:
        derivation = _Derivation.from_text(line.decode())
    except (KeyError, TypeError, ValueError):
        raise ValueError("its first line is damaged") from None
    if not 0 < derivation.n * derivation.r <= _MOST_MEMORY * 8 or not 0 < derivation.p <= 16:
        raise ValueError("its first line asks for more work than any of ours")
    try:
        return _decrypt(derivation.cipher(passphrase), rest, magic + line + b"\n")
    except InvalidTag as error:
        raise PassphraseError("the passphrase does not open it, or it is damaged") from error
