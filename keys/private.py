"""Private keys: made, imported, exported, opened into signing handles; but for `vault` no other file touches them.

Words: a *private part* is PKCS#8 DER or, of a key in a token, the URI of where it is (`pkcs11`); *sealed* is what
`vault` makes of it for the store. A *fast* key signs in the engine; a *slow* one signs here or in its token, in bulk.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from engine import SignatureError, SigningKey, key_tag
from keys import bindfile, pkcs11, store
from keys.errors import KeyImportError, KeysError, PrivateKeyError, SlowKeyError, StoreError
from keys.policy import KeySpec
from keys.states import Key
from keys.vault import PlainVault, SealedVault, Vault, open_vault

__all__ = ["PlainVault", "SealedVault", "Vault", "open_vault"]

RSASHA256: Final = 8
RSASHA512: Final = 10
ECDSAP256SHA256: Final = 13
ECDSAP384SHA384: Final = 14
ED25519: Final = 15
ED448: Final = 16

FAST_ALGORITHMS: Final = frozenset({RSASHA256, RSASHA512, ECDSAP256SHA256, ECDSAP384SHA384, ED25519})
"""The algorithms the engine signs with itself."""

ALGORITHMS: Final = FAST_ALGORITHMS | {ED448}
"""The algorithms a key can have here (RFC 8624 section 3.1 has no others to sign with)."""

RSA_BITS: Final = 2048
"""Of a new key, unless its policy says otherwise."""

_RSA: Final = frozenset({RSASHA256, RSASHA512})
_RSA_BITS: Final = range(2048, 4097)
_RSA_EXPONENT: Final = 65537

CSK_FLAGS: Final = 257
ZSK_FLAGS: Final = 256
_REVOKE: Final = 0x0080
_PROTOCOL: Final = 3

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

OFFLINE: Final = b"offline:"
"""In the place of a private part that is out of reach on purpose: what the key signs comes in signed key responses."""


# ------------------------------------------------------------------ making


def generate(algorithm: int, flags: int = CSK_FLAGS, bits: int = RSA_BITS) -> tuple[bytes, bytes]:
    """A new key: (PKCS#8 DER, DNSKEY rdata); `bits` is for RSA. Raises KeysError for what no key here can be."""
    private = _new(algorithm, bits)
    return to_pkcs8(private), dnskey_rdata(private, algorithm, flags)


def make(vault: Vault, spec: KeySpec, flags: int) -> tuple[bytes, bytes]:
    """A new key in the store its policy names: (private part, DNSKEY rdata).

    Raises KeysError: StoreError when the token is away or not configured.
    """
    bits = spec.bits or RSA_BITS
    if not spec.store:
        return generate(spec.algorithm, flags, bits)
    token = vault.tokens.get(spec.store)
    if token is None:
        raise StoreError(spec.store, "it is not configured")
    uri, public = token.generate(spec.algorithm, _checked_bits(bits) if spec.algorithm in _RSA else 0)
    return uri, flags.to_bytes(2, "big") + bytes((_PROTOCOL, spec.algorithm)) + public


def tags_of(dnskey: bytes) -> frozenset[int]:
    """The key tag and the one it would have when revoked (RFC 5011 section 3); neither may be another key's."""
    flags = int.from_bytes(dnskey[:2], "big")
    revoked = (flags | _REVOKE).to_bytes(2, "big") + dnskey[2:]
    return frozenset({key_tag(dnskey), key_tag(revoked)})


def to_pkcs8(private: PrivateKey) -> bytes:
    """The private key as the engine takes it."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def dnskey_rdata(private: PrivateKey, algorithm: int, flags: int) -> bytes:
    """DNSKEY rdata of a private key (RFC 4034 section 2.1, RFC 3110, RFC 6605 section 4, RFC 8080 section 3)."""
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        octets = _rsa_octets(public.public_numbers())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        # The uncompressed point without its leading octet 4.
        octets = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    else:
        octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return flags.to_bytes(2, "big") + bytes((_PROTOCOL, algorithm)) + octets


def _rsa_octets(numbers: rsa.RSAPublicNumbers) -> bytes:
    """RFC 3110 section 2: the exponent's length in one octet, or 0 and two octets; no leading zeros."""
    exponent, modulus = _octets_of(numbers.e), _octets_of(numbers.n)
    size = len(exponent)
    length = bytes((size,)) if size < 256 else b"\0" + size.to_bytes(2, "big")
    return length + exponent + modulus


def _octets_of(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _new(algorithm: int, bits: int) -> PrivateKey:
    if algorithm in _RSA:
        return rsa.generate_private_key(_RSA_EXPONENT, _checked_bits(bits))
    if algorithm == ECDSAP256SHA256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == ECDSAP384SHA384:
        return ec.generate_private_key(ec.SECP384R1())
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == ED448:
        return ed448.Ed448PrivateKey.generate()
    raise KeysError(f"algorithm {algorithm} is not one of {sorted(ALGORITHMS)}")


def _checked_bits(bits: int) -> int:
    if bits not in _RSA_BITS:
        raise KeysError(f"an RSA key of {bits} bits; {_RSA_BITS.start} to {_RSA_BITS.stop - 1} sign")
    return bits


# ------------------------------------------------------------------ importing

_NAMES: Final = {
    1: "RSAMD5", 3: "DSA", 5: "RSASHA1", 6: "DSA-NSEC3-SHA1", 7: "RSASHA1-NSEC3-SHA1", 8: "RSASHA256", 10: "RSASHA512",
    12: "ECC-GOST", 13: "ECDSAP256SHA256", 14: "ECDSAP384SHA384", 15: "ED25519", 16: "ED448",
}  # fmt: skip
_SEP: Final = 0x0001
_ZONE: Final = 0x0100


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A key out of BIND's files, its halves proven to belong together; `timing` is what the files say of its life.

    `pkcs8` is its private part.
    """

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
    if algorithm not in ALGORITHMS:
        name = _NAMES.get(algorithm, "unknown")
        reason = f"algorithm {algorithm} ({name}) signs nothing here; those that do: {_names()}"
        raise KeyImportError(files.private_file, reason, stated.line)
    _check_flags(files)
    return algorithm


def _names() -> str:
    return ", ".join(f"{number} ({_NAMES[number]})" for number in sorted(ALGORITHMS))


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
    needed = _RSA_FIELDS if algorithm in _RSA else ("PrivateKey",)
    missing = [name for name in needed if name not in files.fields]
    if missing:
        elsewhere = "Engine" in files.fields or "Label" in files.fields
        reason = "the private part is in a hardware token (PKCS#11)" if elsewhere else f"no `{missing[0]}` line"
        raise KeyImportError(files.private_file, reason)
    line = files.fields[needed[0]].line
    try:
        secrets = [b64decode(files.fields[name].value, validate=True) for name in needed]
        return _from_secrets(algorithm, secrets)
    except (ValueError, KeysError):
        # What the library says of it, or the chain of causes, could show a part of the secret.
        raise KeyImportError(files.private_file, "the private key is malformed", line) from None


_RSA_FIELDS: Final = (
    "Modulus",
    "PublicExponent",
    "PrivateExponent",
    "Prime1",
    "Prime2",
    "Exponent1",
    "Exponent2",
    "Coefficient",
)


def _from_secrets(algorithm: int, secrets: Sequence[bytes]) -> PrivateKey:
    """The private key of its bare octets (RFC 6605 section 6, RFC 8080 section 6) or numbers (RFC 8017 section 3.2)."""
    if algorithm in _RSA:
        n, e, d, p, q, dmp1, dmq1, iqmp = (int.from_bytes(octets, "big") for octets in secrets)
        _checked_bits(n.bit_length())
        return rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, rsa.RSAPublicNumbers(e, n)).private_key()
    (octets,) = secrets
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(octets)
    if algorithm == ED448:
        return ed448.Ed448PrivateKey.from_private_bytes(octets)
    curve: ec.EllipticCurve = ec.SECP256R1() if algorithm == ECDSAP256SHA256 else ec.SECP384R1()
    if len(octets) > curve.key_size // 8:
        raise ValueError
    return ec.derive_private_key(int.from_bytes(octets, "big"), curve)


# ------------------------------------------------------------------ exporting


@dataclass(frozen=True, slots=True)
class ExportedKey:
    """The two files of a key as BIND has them: their common name and their texts."""

    stem: str
    public: str
    private: str = field(repr=False)


def export_bind(
    vault: Vault, key_id: str, origin: bytes, dnskey: bytes, sealed: bytes, timing: Mapping[str, int]
) -> ExportedKey:
    """The key's files; of a key in a token the private one says where it is. Raises PrivateKeyError."""
    private = vault.open(key_id, sealed)
    if private == OFFLINE:
        raise PrivateKeyError(key_id, "its private part is offline")
    if pkcs11.is_reference(private):
        fields = {"Label": private.decode("ascii")}
    else:
        secrets = _secrets_of(_opened(key_id, dnskey, private))
        fields = {name: b64encode(octets).decode() for name, octets in secrets.items()}
    name = f"{dnskey[3]} ({_NAMES[dnskey[3]]})"
    stem, public = bindfile.public_text(origin, dnskey, key_tag(dnskey))
    return ExportedKey(stem, public, bindfile.private_text({"Algorithm": name, **fields}, timing))


def _secrets_of(private: PrivateKey) -> dict[str, bytes]:
    if isinstance(private, rsa.RSAPrivateKey):
        own = private.private_numbers()
        public = own.public_numbers
        numbers = (public.n, public.e, own.d, own.p, own.q, own.dmp1, own.dmq1, own.iqmp)
        return dict(zip(_RSA_FIELDS, map(_octets_of, numbers), strict=True))
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return {"PrivateKey": private.private_numbers().private_value.to_bytes(private.curve.key_size // 8, "big")}
    return {"PrivateKey": private.private_bytes_raw()}


# ------------------------------------------------------------------ using


def signing_key(vault: Vault, key: Key, sealed: bytes) -> SigningKey:
    """The engine's handle of a key, of a slow one without its private part. Raises PrivateKeyError."""
    private = vault.open(key.id, sealed)
    try:
        if private == OFFLINE or pkcs11.is_reference(private):
            return SigningKey.slow(key.dnskey)
        if key.algorithm not in FAST_ALGORITHMS:
            _opened(key.id, key.dnskey, private)
            return SigningKey.slow(key.dnskey)
        return SigningKey(private, key.dnskey)
    except SignatureError as error:
        raise PrivateKeyError(key.id, str(error)) from error


def public_handle(key: Key) -> SigningKey:
    """A handle that can't sign: enough to read a version that was signed before."""
    return SigningKey.slow(key.dnskey)


def is_offline(vault: Vault, key_id: str, sealed: bytes) -> bool:
    """Whether the private part is out of reach on purpose. Raises PrivateKeyError."""
    return vault.open(key_id, sealed) == OFFLINE


def is_stored_here(vault: Vault, key_id: str, sealed: bytes) -> bool:
    """Whether the private part itself is what is sealed, not where it is. Raises PrivateKeyError."""
    part = vault.open(key_id, sealed)
    return part != OFFLINE and not pkcs11.is_reference(part)


def prove(key_id: str, dnskey: bytes, private: bytes) -> None:
    """See that a private part is the DNSKEY's, as far as that can be seen from here. Raises PrivateKeyError."""
    if private != OFFLINE and not pkcs11.is_reference(private):
        _opened(key_id, dnskey, private)


def _opened(key_id: str, dnskey: bytes, private: bytes) -> PrivateKey:
    """The private key of PKCS#8 DER, proven to be the DNSKEY's. Raises PrivateKeyError."""
    try:
        opened = load_der_private_key(private, None)
    except (ValueError, TypeError):
        raise PrivateKeyError(key_id, "not a private key in PKCS#8") from None
    flags = int.from_bytes(dnskey[:2], "big")
    if not isinstance(opened, PrivateKey) or dnskey_rdata(opened, dnskey[3], flags) != dnskey:
        raise PrivateKeyError(key_id, f"the private key is not the DNSKEY's (key tag {key_tag(dnskey)})")
    return opened


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


# ------------------------------------------------------------------ slow keys


class Signer(Protocol):
    """Signs in bulk with keys that the engine can't sign with."""

    def sign(self, key_id: str, octets: Sequence[bytes]) -> list[bytes]:
        """The signatures, in order, as RRSIGs hold them. Raises KeysError: StoreError when a token is away."""


class SlowSigner:
    """The slow keys of a zone, opened for one batch after another; let go of it when the zone is signed."""

    def __init__(self, tx: store.Transaction, vault: Vault, keys: Iterable[Key]) -> None:
        """Raises PrivateKeyError."""
        self._tokens = {token.label: token for token in vault.tokens.values()}
        self._keys = {key.id: (key, vault.open(key.id, _stored(tx, key))) for key in keys}

    def sign(self, key_id: str, octets: Sequence[bytes]) -> list[bytes]:
        """The signatures, in order. Raises StoreError, SlowKeyError."""
        key, private = self._keys[key_id]
        if private == OFFLINE:
            raise SlowKeyError(
                key_id, f"the private part of key {key.tag} is offline, and no response has its signature"
            )
        if pkcs11.is_reference(private):
            signatures = self._token(key, private).sign(private, key.algorithm, octets)
        else:
            opened = _opened(key.id, key.dnskey, private)
            if not isinstance(opened, ed448.Ed448PrivateKey):
                raise SlowKeyError(key_id, f"algorithm {key.algorithm} signs in the engine")
            signatures = [opened.sign(one) for one in octets]
        if len(signatures) != len(octets):
            raise SlowKeyError(key_id, f"{len(signatures)} signatures where {len(octets)} were asked for")
        return signatures

    def _token(self, key: Key, uri: bytes) -> pkcs11.Token:
        try:
            label, _ = pkcs11.parts(uri)
        except ValueError as error:
            raise PrivateKeyError(key.id, f"its place in a token is malformed: {error}") from error
        token = self._tokens.get(label)
        if token is None:
            raise StoreError(label, f"no store of that token is configured, where key {key.tag} is")
        return token


def verify(dnskey: bytes, octets: bytes, signature: bytes) -> bool:
    """Whether this is the signature of a DNSKEY that the engine can't verify, of Ed448. Raises KeysError for others."""
    if dnskey[3] != ED448:
        raise KeysError(f"algorithm {dnskey[3]} is verified in the engine")
    try:
        ed448.Ed448PublicKey.from_public_bytes(dnskey[4:]).verify(signature, octets)
    except (InvalidSignature, ValueError):
        return False
    return True


def destroy(vault: Vault, key_id: str, sealed: bytes) -> None:
    """Wipe what a token has of a key, by its sealed private part. Raises StoreError, PrivateKeyError."""
    _destroy(vault, vault.open(key_id, sealed), key_id)


def discard(vault: Vault, private: bytes) -> None:
    """Wipe a key that was made and is not used after all. Raises StoreError."""
    _destroy(vault, private, "just made")


def _destroy(vault: Vault, private: bytes, named: str) -> None:
    if not pkcs11.is_reference(private):
        return
    label, _ = pkcs11.parts(private)
    token = next((token for token in vault.tokens.values() if token.label == label), None)
    if token is None:
        raise StoreError(label, f"no store of that token is configured, where key {named} is to be wiped")
    token.destroy(private)
