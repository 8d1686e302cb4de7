"""PKCS#11 tokens: keys that are made in a hardware security module, never leave it, and sign there.

A key is found by its RFC 7512 URI, `pkcs11:token=LABEL;id=%00%01…`, which is all the state has of it. The library is
python-pkcs11 (`pip install zonewright[pkcs11]`), asked for by name when it is missing.

Limits: one session a token, one operation at a time, in which it waits as long as the token does; nothing is tried
longer than twice, so that whoever called can say that the token is away.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from hashlib import sha256, sha384
from os import urandom
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, unquote_to_bytes

from keys.errors import StoreError
from keys.policy import TokenStore

if TYPE_CHECKING:
    from pkcs11 import Session

SCHEME: Final = b"pkcs11:"
"""What a reference to a key in a token begins with; PKCS#8 never does."""

_ID_OCTETS: Final = 16
_OBJECT: Final = "zonewright"
_CURVES: Final = {13: "secp256r1", 14: "secp384r1"}
_EDWARDS: Final = {15: bytes.fromhex("06032b6570"), 16: bytes.fromhex("06032b6571")}
"""Object identifiers of Ed25519 and Ed448 (RFC 8410 section 3), as DER."""
_POINT_OCTETS: Final = {13: 65, 14: 97, 15: 32, 16: 57}
_RSA: Final = frozenset({8, 10})

T = TypeVar("T")


def is_reference(private: bytes) -> bool:
    """Whether the private part is in a token and this is where."""
    return private.startswith(SCHEME)


def reference(label: str, identity: bytes) -> bytes:
    """The URI of a key by its token's label and its CKA_ID (RFC 7512 section 2.3)."""
    escaped = "".join(f"%{octet:02x}" for octet in identity)
    return SCHEME + f"token={quote(label, safe='')};id={escaped};type=private".encode()


def parts(uri: bytes) -> tuple[str, bytes]:
    """Token label and CKA_ID of a URI. Raises ValueError."""
    fields = dict(part.partition("=")[::2] for part in uri.removeprefix(SCHEME).decode("ascii").split(";"))
    label, identity = fields.get("token"), fields.get("id")
    if not is_reference(uri) or not label or not identity:
        raise ValueError("no token or no id")
    return unquote_to_bytes(label).decode(), unquote_to_bytes(identity)


class Token:
    """One token of one module. `lock`, one for all tokens, is held while it works: modules share what they open."""

    def __init__(self, store: TokenStore, lock: AbstractContextManager[Any]) -> None:
        self.store: Final = store
        self.name: Final = store.name
        self.label: Final = store.token
        self._lock = lock
        self._session: Session | None = None

    def generate(self, algorithm: int, bits: int) -> tuple[bytes, bytes]:
        """A new key in the token: (its URI, its public part as a DNSKEY holds it). Raises StoreError."""
        identity = urandom(_ID_OCTETS)
        return reference(self.label, identity), self._do(lambda session: _generate(session, algorithm, bits, identity))

    def sign(self, uri: bytes, algorithm: int, octets: Sequence[bytes]) -> list[bytes]:
        """The signatures, as RRSIGs hold them. Raises StoreError."""
        return self._do(lambda session: _sign(_object(session, uri), algorithm, octets))

    def destroy(self, uri: bytes) -> None:
        """Wipe a key from the token; one that is gone already is no error. Raises StoreError."""
        self._do(lambda session: _destroy(session, uri))

    def close(self) -> None:
        """End the session; the next use begins another one."""
        with self._lock:
            self._forget()

    def _do(self, work: Callable[["Session"], T]) -> T:
        errors = self._library().exceptions
        with self._lock:
            try:
                # A session may have ended with the token it was of: then once more with a new one.
                with suppress(errors.PKCS11Error):
                    return work(self._opened())
                self._forget()
                return work(self._opened())
            except (errors.PKCS11Error, OSError, ValueError) as error:
                self._forget()
                raise StoreError(self.name, f"token {self.label} by {self.store.module}: {_said(error)}") from error

    def _opened(self) -> "Session":
        if self._session is None:
            library = self._library()
            loaded = library.lib(str(self.store.module))
            # A token that was plugged in after the module was loaded is seen only then.
            loaded.reinitialize()
            pin = self.store.pin_file.read_text().strip() if self.store.pin_file is not None else None
            self._session = loaded.get_token(token_label=self.label).open(rw=True, user_pin=pin)
        return self._session

    def _forget(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):
                session.close()

    def _library(self) -> Any:
        try:
            import pkcs11
        except ImportError as error:
            reason = "needs python-pkcs11, which `pip install zonewright[pkcs11]` brings"
            raise StoreError(self.name, reason) from error
        return pkcs11


def tokens(
    stores: Iterable[TokenStore], before: Mapping[str, Token], lock: AbstractContextManager[Any]
) -> dict[str, Token]:
    """The tokens of these stores by their names; those that were there before and are the same go on."""
    return {
        store.name: before[store.name]
        if store.name in before and before[store.name].store == store
        else Token(store, lock)
        for store in stores
    }


def _said(error: Exception) -> str:
    """The library's exceptions mostly say what they are by their names."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


# ------------------------------------------------------------------ within a session


def _generate(session: "Session", algorithm: int, bits: int, identity: bytes) -> bytes:
    from pkcs11 import Attribute, KeyType, Mechanism
    from pkcs11.util.ec import encode_named_curve_parameters

    facts: dict[str, Any] = {
        "store": True,
        "id": identity,
        "label": _OBJECT,
        "private_template": {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    }
    if algorithm in _RSA:
        public, _ = session.generate_keypair(KeyType.RSA, bits, **facts)
        return _rsa_octets(public[Attribute.PUBLIC_EXPONENT], public[Attribute.MODULUS])
    if algorithm in _CURVES:
        parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[algorithm])}
        curve: Any = session.create_domain_parameters(KeyType.EC, parameters, local=True)
        public, _ = curve.generate_keypair(mechanism=Mechanism.EC_KEY_PAIR_GEN, **facts)
        # RFC 6605 section 4 leaves out the octet 4 that marks an uncompressed point.
        return _point(public[Attribute.EC_POINT], algorithm)[1:]
    if algorithm in _EDWARDS:
        parameters = {Attribute.EC_PARAMS: _EDWARDS[algorithm]}
        curve = session.create_domain_parameters(KeyType.EC_EDWARDS, parameters, local=True)
        public, _ = curve.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, **facts)
        return _point(public[Attribute.EC_POINT], algorithm)
    raise ValueError(f"algorithm {algorithm} is none that a token makes keys of")


def _rsa_octets(exponent: bytes, modulus: bytes) -> bytes:
    """RFC 3110 section 2; an exponent of more than 255 octets is none that a token makes."""
    exponent, modulus = exponent.lstrip(b"\0"), modulus.lstrip(b"\0")
    return bytes((len(exponent),)) + exponent + modulus


def _point(octets: bytes, algorithm: int) -> bytes:
    """CKA_EC_POINT is a DER OCTET STRING (PKCS #11 3.0 section 2.3.3), of less than 128 octets here, or bare."""
    return octets[2:] if len(octets) == _POINT_OCTETS[algorithm] + 2 else octets


def _object(session: "Session", uri: bytes) -> Any:
    from pkcs11 import ObjectClass

    _, identity = parts(uri)
    return session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=identity)


def _sign(private: Any, algorithm: int, octets: Sequence[bytes]) -> list[bytes]:
    from pkcs11 import Mechanism

    match algorithm:
        case 8:
            return [bytes(private.sign(one, mechanism=Mechanism.SHA256_RSA_PKCS)) for one in octets]
        case 10:
            return [bytes(private.sign(one, mechanism=Mechanism.SHA512_RSA_PKCS)) for one in octets]
        case 13:
            return [bytes(private.sign(sha256(one).digest(), mechanism=Mechanism.ECDSA)) for one in octets]
        case 14:
            return [bytes(private.sign(sha384(one).digest(), mechanism=Mechanism.ECDSA)) for one in octets]
        case 15 | 16:
            return [bytes(private.sign(one, mechanism=Mechanism.EDDSA)) for one in octets]
    raise ValueError(f"algorithm {algorithm} is none that a token signs with")


def _destroy(session: "Session", uri: bytes) -> None:
    from pkcs11 import Attribute

    _, identity = parts(uri)
    for found in list(session.get_objects({Attribute.ID: identity})):
        found.destroy()
