"""Messages signed and verified by TSIG (RFC 8945): what asks, what answers, and streams of answers, by shared keys.

Records are not parsed here: the engine finds the TSIG record at the end of a message, dnspython reads it and makes the
MACs. What comes out is the message as it was before it was signed. No socket is here and no clock: `now` is handed in.

Words: a *keyring* holds keys by name; a name may have several secrets while one follows the other, of which the first
signs and all verify. A *stream* is the messages that answer one query; their MACs are chained.

HMAC-MD5 is not accepted. A key of a truncated algorithm such as `hmac-sha256-128` is known by two names on the wire:
BIND says `hmac-sha256` and cuts the MAC short, RFC 4868 has the whole name; we begin with BIND's, and answer in kind.

**Limits:** 99 messages of a stream in a row may come unsigned (section 5.3.1).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, cast

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig
from dns.rdtypes.ANY.TSIG import TSIG

from engine import MessageError, find_tsig, name_from_text
from zones.errors import TSIGError

FUDGE_S: Final = 300
"""How far clocks may be apart (RFC 8945 section 10)."""
UNSIGNED_IN_A_ROW: Final = 99
LEAST_MAC_OCTETS: Final = 10

NOERROR: Final = 0
FORMERR: Final = 1
NOTAUTH: Final = 9
BADSIG: Final = 16
BADKEY: Final = 17
BADTIME: Final = 18
BADTRUNC: Final = 22

Context: TypeAlias = dns.tsig.HMACTSig | dns.tsig.GSSTSig
"""A MAC that is being made."""

_FIXED_OCTETS: Final = 26
"""Of a TSIG record beside names, MAC and other data: type, class, TTL, length, and 16 octets of rdata."""
_OTHER_OCTETS: Final = 6


class SharedKey(Protocol):
    """A secret that two parties share: its name in presentation form, absolute; its algorithm, one of `ALGORITHMS`."""

    @property
    def name(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def secret(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A MAC and how many of its octets are sent; `wire` is the name of the whole MAC, of so many octets in `whole`."""

    wire: dns.name.Name
    octets: int

    @property
    def whole(self) -> int:
        """Octets of the MAC before it is cut."""
        return dns.tsig.mac_sizes[self.wire]


ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        "hmac-sha1": Algorithm(dns.tsig.HMAC_SHA1, 20),
        "hmac-sha224": Algorithm(dns.tsig.HMAC_SHA224, 28),
        "hmac-sha256": Algorithm(dns.tsig.HMAC_SHA256, 32),
        "hmac-sha256-128": Algorithm(dns.tsig.HMAC_SHA256, 16),
        "hmac-sha384": Algorithm(dns.tsig.HMAC_SHA384, 48),
        "hmac-sha384-192": Algorithm(dns.tsig.HMAC_SHA384, 24),
        "hmac-sha512": Algorithm(dns.tsig.HMAC_SHA512, 64),
        "hmac-sha512-256": Algorithm(dns.tsig.HMAC_SHA512, 32),
    }
)


class Keyring:
    """Keys by name; the first one of a name signs."""

    def __init__(self, keys: Iterable[SharedKey] = ()) -> None:
        self._keys: dict[bytes, tuple[SharedKey, ...]] = {}
        for key in keys:
            name = name_of(key)
            self._keys[name] = (*self._keys.get(name, ()), key)

    @property
    def names(self) -> list[bytes]:
        """Wire names in lower case, in the order they came."""
        return list(self._keys)

    def named(self, name: bytes) -> tuple[SharedKey, ...]:
        """The keys of a wire name in lower case."""
        return self._keys.get(name, ())

    def signing(self, name: bytes) -> SharedKey | None:
        """The key that signs for a wire name in lower case."""
        return next(iter(self.named(name)), None)


def name_of(key: SharedKey) -> bytes:
    """The wire name of a key, in lower case."""
    return name_from_text(key.name).lower()


# -------------------------------------------------------------------- who asks, and who answers one query


def sign_request(message: bytes, key: SharedKey, now: int) -> tuple[bytes, bytes]:
    """A message that asks, signed, and its MAC, by which the answer is verified."""
    return _signed_by(message, key, _tsig(ALGORITHMS[key.algorithm].wire, now, message))


@dataclass(frozen=True, slots=True)
class Signed:
    """A message that asks and whose TSIG is right: without it, and with what its answer is signed by."""

    message: bytes
    key: SharedKey = field(repr=False)
    mac: bytes = field(repr=False)
    algorithm: dns.name.Name

    @property
    def key_name(self) -> bytes:
        """The wire name of the key, in lower case."""
        return name_of(self.key)

    def answers(self) -> StreamSigner:
        """What signs the answer, of one message or more."""
        return StreamSigner(self.key, self.mac, self.algorithm)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that asks and whose TSIG is not right: without it, and what is to be answered.

    `rcode` is FORMERR or NOTAUTH; `error` the TSIG error of the latter (RFC 8945 section 5.2).
    """

    message: bytes
    rcode: int
    error: int = NOERROR
    key: SharedKey | None = field(default=None, repr=False)
    """What signs the answer: the MAC was right, and the time or its length was not."""
    owner: bytes = b""
    _tsig: TSIG | None = field(default=None, repr=False)

    @property
    def room(self) -> int:
        """The most octets that `sign` adds."""
        return _FIXED_OCTETS + len(self.owner) + 255 + 64 + _OTHER_OCTETS

    def sign(self, response: bytes, now: int) -> bytes:
        """The answer as RFC 8945 section 5.3.2 wants it: unsigned where the key or the MAC is wrong."""
        tsig = self._tsig
        if self.error == NOERROR or tsig is None:
            return response
        if self.key is None:
            return _appended(response, self.owner, _tsig(tsig.algorithm, now, response, error=self.error))
        # Section 5.2.3: the time of the query, for the client to verify by, and ours.
        is_time = self.error == BADTIME
        rdata = _tsig(
            tsig.algorithm,
            tsig.time_signed if is_time else now,
            response,
            fudge=tsig.fudge if is_time else FUDGE_S,
            error=self.error,
            other=now.to_bytes(_OTHER_OCTETS, "big") if is_time else b"",
        )
        return _signed_by(response, self.key, rdata, tsig.mac)[0]


def check_request(message: bytes, keys: Keyring, now: int) -> Signed | Rejected | None:
    """What the TSIG of a message that asks is worth; None if it has none. Never raises for what is in the message."""
    try:
        taken = _taken_off(message)
    except TSIGError:
        return Rejected(message, FORMERR)
    if taken is None:
        return None
    rejected = Rejected(taken.message, NOTAUTH, BADKEY, owner=taken.owner, _tsig=taken.tsig)
    for key in keys.named(taken.owner):
        if not _is_of(taken.tsig.algorithm, key):
            continue  # section 5.2.1: a key is known with its algorithm
        try:
            error = _judged(taken, key, now)
        except TSIGError:
            return Rejected(taken.message, FORMERR)
        if error == NOERROR:
            return Signed(taken.message, key, taken.tsig.mac, taken.tsig.algorithm)
        if rejected.key is None:
            known = key if error in {BADTIME, BADTRUNC} else None
            rejected = Rejected(taken.message, NOTAUTH, error, known, taken.owner, taken.tsig)
    return rejected


# -------------------------------------------------------------------- streams


class StreamSigner:
    """Signs what answers one query, message by message: each of them is signed, the first as an answer of its own."""

    def __init__(self, key: SharedKey, request_mac: bytes, algorithm: dns.name.Name | None = None) -> None:
        """`request_mac` is that of the query; `algorithm` is what the query called the key's."""
        self._key = key
        self._algorithm = algorithm or ALGORITHMS[key.algorithm].wire
        self._request_mac = request_mac
        self._context: Context | None = None

    @property
    def room(self) -> int:
        """The octets that `sign` adds."""
        names = len(name_of(self._key)) + len(self._algorithm.to_wire() or b"")
        return _FIXED_OCTETS + names + ALGORITHMS[self._key.algorithm].octets

    def sign(self, message: bytes, now: int) -> bytes:
        """The next message, signed (section 5.3.1)."""
        rdata = _tsig(self._algorithm, now, message)
        octets, mac = _signed_by(message, self._key, rdata, self._request_mac, self._context)
        self._context = _chained(self._key, self._algorithm, mac)
        return octets


class StreamVerifier:
    """Verifies what answers one query, message by message.

    What an unsigned message says is not to be believed before the next signed one has come, nor any of them before
    `finish`.
    """

    def __init__(self, key: SharedKey, request_mac: bytes) -> None:
        """`request_mac` is what `sign_request` gave."""
        self._key = key
        self._name = name_of(key)
        self._request_mac = request_mac
        self._context: Context | None = None
        self._unsigned = 0

    def check(self, message: bytes, now: int) -> bytes:
        """The message without its TSIG. Raises TSIGError."""
        taken = _taken_off(message)
        if taken is None:
            return self._take_unsigned(message)
        if taken.tsig.error != NOERROR:
            raise TSIGError(taken.tsig.error, f"the other side says {_told(taken.tsig)}")
        if taken.owner != self._name or not _is_of(taken.tsig.algorithm, self._key):
            raise TSIGError(BADKEY, "signed by another key or algorithm")
        error = _judged(taken, self._key, now, self._request_mac, self._context)
        if error != NOERROR:
            raise TSIGError(error, _REASONS[error])
        self._context = _chained(self._key, taken.tsig.algorithm, taken.tsig.mac)
        self._unsigned = 0
        return taken.message

    def finish(self) -> None:
        """All has come. Raises TSIGError unless the last message was signed (section 5.3.1)."""
        if self._context is None:
            raise TSIGError(BADSIG, "nothing came")
        if self._unsigned:
            raise TSIGError(BADSIG, "the last message is not signed")

    def _take_unsigned(self, message: bytes) -> bytes:
        if self._context is None:
            rcode = dns.rcode.to_text(dns.rcode.Rcode(message[3] & 0xF))
            raise TSIGError(BADSIG, f"not signed, and it says {rcode}")
        self._unsigned += 1
        if self._unsigned > UNSIGNED_IN_A_ROW:
            raise TSIGError(BADSIG, f"more than {UNSIGNED_IN_A_ROW} messages in a row are not signed")
        self._context.update(message)  # type: ignore[no-untyped-call]
        return message


_REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        BADSIG: "the signature is wrong",
        BADTIME: "signed at another time; one of the two clocks is wrong",
        BADTRUNC: "the signature is cut too short",
    }
)


# -------------------------------------------------------------------- records


@dataclass(frozen=True, slots=True)
class _Taken:
    """A message without its TSIG, and that: the name of the key as a wire name in lower case, and its rdata."""

    message: bytes
    owner: bytes
    tsig: TSIG


def _taken_off(message: bytes) -> _Taken | None:
    """None where there is no TSIG. Raises TSIGError for what is malformed."""
    try:
        found = find_tsig(message)
        if found is None:
            return None
        start, owner, rdata = found
        tsig = dns.rdata.from_wire(dns.rdataclass.ANY, dns.rdatatype.TSIG, rdata, 0, len(rdata))
    except (MessageError, dns.exception.DNSException) as error:
        raise TSIGError(FORMERR, f"malformed: {error}") from None
    count = int.from_bytes(message[10:12], "big") - 1
    return _Taken(message[:10] + count.to_bytes(2, "big") + message[12:start], owner, cast("TSIG", tsig))


def _appended(message: bytes, owner: bytes, tsig: TSIG) -> bytes:
    # Section 4.2: class ANY, TTL 0, no compression.
    rdata = tsig.to_wire() or b""
    count = int.from_bytes(message[10:12], "big") + 1
    record = owner + b"\0\xfa\0\xff\0\0\0\0" + len(rdata).to_bytes(2, "big") + rdata
    return message[:10] + count.to_bytes(2, "big") + message[12:] + record


def _tsig(
    algorithm: dns.name.Name,
    signed_at: int,
    message: bytes,
    *,
    fudge: int = FUDGE_S,
    error: int = 0,
    other: bytes = b"",
) -> TSIG:
    """Of a message, still without a MAC."""
    number = int.from_bytes(message[:2], "big")
    return TSIG(dns.rdataclass.ANY, dns.rdatatype.TSIG, algorithm, signed_at, fudge, b"", number, error, other)  # type: ignore[no-untyped-call]


# -------------------------------------------------------------------- MACs


def _is_of(algorithm: dns.name.Name, key: SharedKey) -> bool:
    """Whether the wire's algorithm is what a key is for, by either of its names."""
    return algorithm in {ALGORITHMS[key.algorithm].wire, dns.name.from_text(key.algorithm)}


def _key(key: SharedKey, algorithm: dns.name.Name) -> dns.tsig.Key:
    return dns.tsig.Key(dns.name.from_wire(name_of(key), 0)[0], key.secret, algorithm)


def _mac(message: bytes, key: SharedKey, rdata: TSIG, request_mac: bytes, context: Context | None) -> bytes:
    """The whole MAC of a message by the times, error and other data in `rdata`."""
    made, _ = dns.tsig.sign(  # type: ignore[no-untyped-call]
        message, _key(key, rdata.algorithm), rdata, rdata.time_signed, request_mac, context, multi=context is not None
    )
    return cast("bytes", made.mac)


def _chained(key: SharedKey, algorithm: dns.name.Name, mac: bytes) -> Context:
    """What the next MAC of a stream begins with: the one before (section 5.3.1)."""
    context: Context = dns.tsig.get_context(_key(key, algorithm))  # type: ignore[no-untyped-call]
    context.update(len(mac).to_bytes(2, "big") + mac)  # type: ignore[no-untyped-call]
    return context


def _signed_by(
    message: bytes, key: SharedKey, rdata: TSIG, request_mac: bytes = b"", context: Context | None = None
) -> tuple[bytes, bytes]:
    """A message with its TSIG, and the MAC in it."""
    mac = _mac(message, key, rdata, request_mac, context)[: ALGORITHMS[key.algorithm].octets]
    return _appended(message, name_of(key), cast("TSIG", rdata.replace(mac=mac))), mac


def _judged(taken: _Taken, key: SharedKey, now: int, request_mac: bytes = b"", context: Context | None = None) -> int:
    """The TSIG error of a message by a key of the right name and algorithm (section 5.2). Raises TSIGError: FORMERR."""
    tsig, algorithm = taken.tsig, ALGORITHMS[key.algorithm]
    mac = _mac(taken.message, key, tsig, request_mac, context)
    # Section 5.2.2.1: half of the MAC at least, and no less than ten octets.
    if not max(LEAST_MAC_OCTETS, algorithm.whole // 2) <= len(tsig.mac) <= len(mac):
        raise TSIGError(FORMERR, f"a MAC of {len(tsig.mac)} octets")
    if not hmac.compare_digest(mac[: len(tsig.mac)], tsig.mac):
        return BADSIG
    if abs(now - tsig.time_signed) > tsig.fudge:
        return BADTIME  # section 5.2.3
    return BADTRUNC if len(tsig.mac) < algorithm.octets else NOERROR  # section 5.2.4


def _told(tsig: TSIG) -> str:
    """What a TSIG error says, with the time it was made at where that is known."""
    name = dns.rcode.to_text(dns.rcode.Rcode(tsig.error), tsig=True)
    if tsig.error == BADTIME and len(tsig.other) == _OTHER_OCTETS:
        return f"{name}, its clock is at {int.from_bytes(tsig.other, 'big')}"
    return name
