"""Private keys: made, sealed for the store, opened into signing handles. No other file touches a private part.

Sealed is: PKCS#8 DER, and with a passphrase encrypted by AES-256-GCM under one key that scrypt makes of it, bound to
the key's id (docs/adr/private-keys-under-one-derivation.md).
"""

import json
import os
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from engine import SignatureError, SigningKey, key_tag
from keys import bindfile, store
from keys.errors import KeyImportError, KeysError, PassphraseError, PrivateKeyError
from keys.states import Key

ECDSAP256SHA256: Final = 13
ECDSAP384SHA384: Final = 14
ED25519: Final = 15

FAST_ALGORITHMS: Final = frozenset({ECDSAP256SHA256, ECDSAP384SHA384, ED25519})
"""The algorithms the engine signs with itself."""

CSK_FLAGS: Final = 257
ZSK_FLAGS: Final = 256
_REVOKE: Final = 0x0080
_PROTOCOL: Final = 3

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# ------------------------------------------------------------------ making


def generate(algorithm: int, flags: int = CSK_FLAGS) -> tuple[bytes, bytes]:
    """A new key: (PKCS#8 DER, DNSKEY rdata). Raises KeysError for an algorithm the engine can't sign with."""
    private = _new(algorithm)
    return to_pkcs8(private), dnskey_rdata(private, algorithm, flags)


def tags_of(dnskey: bytes) -> frozenset[int]:
    """The key tag and the one it would have when revoked (RFC 5011 section 3); neither may be another key's."""
    flags = int.from_bytes(dnskey[:2], "big")
    revoked = (flags | _REVOKE).to_bytes(2, "big") + dnskey[2:]
    return frozenset({key_tag(dnskey), key_tag(revoked)})


def to_pkcs8(private: PrivateKey) -> bytes:
    """The private key as the engine takes it."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def dnskey_rdata(private: PrivateKey, algorithm: int, flags: int) -> bytes:
    """DNSKEY rdata of a private key (RFC 4034 section 2.1, RFC 6605 section 4, RFC 8080 section 3)."""
    public = private.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        # The uncompressed point without its leading octet 4.
        octets = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    else:
        octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return flags.to_bytes(2, "big") + bytes((_PROTOCOL, algorithm)) + octets


def _new(algorithm: int) -> PrivateKey:
    if algorithm == ECDSAP256SHA256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == ECDSAP384SHA384:
        return ec.generate_private_key(ec.SECP384R1())
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    raise KeysError(f"algorithm {algorithm} is not one of {sorted(FAST_ALGORITHMS)}")


# ------------------------------------------------------------------ sealing


class Vault(Protocol):
    """Seals private parts for the store and opens them again."""

    def seal(self, key_id: str, pkcs8: bytes) -> bytes:
        """What may be stored."""

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """The PKCS#8 DER. Raises PrivateKeyError."""


class PlainVault:
    """No passphrase is configured: file permissions alone guard the keys."""

    def seal(self, key_id: str, pkcs8: bytes) -> bytes:
        """PKCS#8 DER as it is."""
        del key_id
        return pkcs8

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """PKCS#8 DER as it is."""
        del key_id
        return sealed


_NONCE_OCTETS: Final = 12
_PROOF: Final = b"zonewright keys"


@dataclass(frozen=True, slots=True)
class _Derivation:
    """How the store's key is made of the passphrase (RFC 7914), and a sealed known text that tells a wrong one."""

    salt: bytes
    n: int
    r: int
    p: int
    proof: bytes = b""

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
        self._cipher = cipher

    def seal(self, key_id: str, pkcs8: bytes) -> bytes:
        """A random nonce, then the ciphertext with its tag; the id is authenticated with it."""
        nonce = os.urandom(_NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, pkcs8, key_id.encode())

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """The PKCS#8 DER; an altered or exchanged one is a PrivateKeyError."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], key_id.encode())
        except (InvalidTag, ValueError) as error:
            raise PrivateKeyError(key_id, "the stored private part does not open: altered or of another key") from error


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
    derivation = _Derivation(salt=os.urandom(16), n=2**15, r=8, p=1)
    vault = SealedVault(derivation.cipher(passphrase))
    proof = vault.seal("", _PROOF)
    store.set_wrapping(tx, _Derivation(derivation.salt, derivation.n, derivation.r, derivation.p, proof).to_text())
    store.replace_pkcs8(tx, [(key_id, vault.seal(key_id, octets)) for key_id, octets in store.all_pkcs8(tx)])
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


# ------------------------------------------------------------------ importing

_NAMES: Final = {
    1: "RSAMD5", 3: "DSA", 5: "RSASHA1", 6: "DSA-NSEC3-SHA1", 7: "RSASHA1-NSEC3-SHA1", 8: "RSASHA256", 10: "RSASHA512",
    12: "ECC-GOST", 13: "ECDSAP256SHA256", 14: "ECDSAP384SHA384", 15: "ED25519", 16: "ED448",
}  # fmt: skip
_SEP: Final = 0x0001
_ZONE: Final = 0x0100


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A key out of BIND's files, its halves proven to belong together; `timing` is what the files say of its life."""

    owner: bytes
    dnskey: bytes
    tag: int
    pkcs8: bytes = field(repr=False)
    timing: Mapping[str, int]
    warnings: tuple[str, ...]
    file: str

    @property
    def algorithm(self) -> int:
        """Its number (RFC 8624)."""
        return self.dnskey[3]

    @property
    def is_sep(self) -> bool:
        """Whether it is marked as a secure entry point (RFC 4034 section 2.1.1)."""
        return bool(self.dnskey[1] & _SEP)


def import_bind(path: Path | str) -> ImportedKey:
    """The key in `K<zone>.+<algorithm>+<tag>.key` and `.private`. Raises KeyImportError, naming file and line."""
    files = bindfile.read(path)
    algorithm = _importable_algorithm(files)
    private = _private_of(files, algorithm)
    flags = int.from_bytes(files.dnskey[:2], "big")
    if dnskey_rdata(private, algorithm, flags) != files.dnskey:
        raise KeyImportError(files.private_file, "the private key is not the one of the public file")
    tag = key_tag(files.dnskey)
    return ImportedKey(
        owner=files.owner.lower(),
        dnskey=files.dnskey,
        tag=tag,
        pkcs8=to_pkcs8(private),
        timing=files.timing,
        warnings=(*files.warnings, *bindfile.name_warnings(files, algorithm, tag)),
        file=files.private_file,
    )


def _importable_algorithm(files: bindfile.KeyFiles) -> int:
    """The algorithm both files agree on, one that can sign; flags and protocol are looked at too."""
    stated = files.fields.get("Algorithm")
    word = stated.value.split()[0] if stated and stated.value else ""
    if stated is None or not word.isdecimal():
        raise KeyImportError(files.private_file, "no `Algorithm: number`", stated.line if stated else 0)
    algorithm = int(word)
    if algorithm != files.dnskey[3]:
        reason = f"algorithm {algorithm} here, {files.dnskey[3]} in the public file"
        raise KeyImportError(files.private_file, reason, stated.line)
    if algorithm not in FAST_ALGORITHMS:
        name = _NAMES.get(algorithm, "unknown")
        reason = f"algorithm {algorithm} ({name}) can't sign on the fly yet; those that can: {_fast_names()}"
        raise KeyImportError(files.private_file, reason, stated.line)
    _check_flags(files)
    return algorithm


def _fast_names() -> str:
    return ", ".join(f"{number} ({_NAMES[number]})" for number in sorted(FAST_ALGORITHMS))


def _check_flags(files: bindfile.KeyFiles) -> None:
    flags, protocol = int.from_bytes(files.dnskey[:2], "big"), files.dnskey[2]
    public = f"{files.stem}.key"
    if flags & _REVOKE:
        raise KeyImportError(public, "the key is revoked (RFC 5011 section 2.1)")
    if flags not in {_ZONE, _ZONE | _SEP}:
        raise KeyImportError(public, f"flags {flags} are not 256 or 257")
    if protocol != _PROTOCOL:
        raise KeyImportError(public, f"protocol {protocol} is not {_PROTOCOL} (RFC 4034 section 2.1.2)")


def _private_of(files: bindfile.KeyFiles, algorithm: int) -> PrivateKey:
    secret = files.fields.get("PrivateKey")
    if secret is None:
        elsewhere = "Engine" in files.fields or "Label" in files.fields
        reason = "the private part is in a hardware token (PKCS#11)" if elsewhere else "no `PrivateKey` line"
        raise KeyImportError(files.private_file, reason)
    try:
        return _from_secret(algorithm, b64decode(secret.value, validate=True))
    except ValueError:
        # What the library says of it, or the chain of causes, could show a part of the secret.
        raise KeyImportError(files.private_file, "the private key is malformed", secret.line) from None


def _from_secret(algorithm: int, octets: bytes) -> PrivateKey:
    """The private key of its bare octets (RFC 6605 section 6, RFC 8080 section 6)."""
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(octets)
    curve: ec.EllipticCurve = ec.SECP256R1() if algorithm == ECDSAP256SHA256 else ec.SECP384R1()
    if len(octets) > curve.key_size // 8:
        raise ValueError
    return ec.derive_private_key(int.from_bytes(octets, "big"), curve)


# ------------------------------------------------------------------ using


def signing_key(vault: Vault, key: Key, sealed: bytes) -> SigningKey:
    """The engine's handle of a fast key. Raises PrivateKeyError."""
    if key.algorithm not in FAST_ALGORITHMS:
        raise PrivateKeyError(key.id, f"algorithm {key.algorithm} is not a fast one")
    try:
        return SigningKey(vault.open(key.id, sealed), key.dnskey)
    except SignatureError as error:
        raise PrivateKeyError(key.id, str(error)) from error


def signing_keys(tx: store.Transaction, vault: Vault, keys: Iterable[Key]) -> dict[str, SigningKey]:
    """The handles of these keys by key id, out of the store. Raises PrivateKeyError."""
    return {key.id: signing_key(vault, key, _stored(tx, key)) for key in keys}


def usable_signing_keys(tx: store.Transaction, vault: Vault, keys: Iterable[Key]) -> dict[str, SigningKey]:
    """As `signing_keys`, without those that don't open: at a start, one zone's damaged key must not keep the others."""
    return {key.id: handle for key in keys if (handle := _handle_or_none(tx, vault, key)) is not None}


def _handle_or_none(tx: store.Transaction, vault: Vault, key: Key) -> SigningKey | None:
    try:
        return signing_key(vault, key, _stored(tx, key))
    except PrivateKeyError:
        return None


def _stored(tx: store.Transaction, key: Key) -> bytes:
    try:
        return store.pkcs8(tx, key.id)
    except KeyError:
        raise PrivateKeyError(key.id, "the store has no private part of it") from None
