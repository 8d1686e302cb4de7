"""Signed zones as records that a test may spoil: each RRset and each signature by itself, signed again where asked.

The zones come from tools/odd_zone.py, signed by the engine; what is spoilt is signed by this file's own code, so that a
fault can carry a signature that is right of something wrong.
"""

import base64
import calendar
import hashlib
import random
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from engine import Denial, SignedVersion, SigningKey, SigningPlan, Version, key_tag, name_from_text, read_zone
from keys import private
from tools import odd_zone

NOW = 1_700_000_000
INCEPTION, EXPIRATION, JITTER, HORIZON = NOW - 3600, NOW + 14 * 86400, 43200, 5 * 86400
DNSKEY, NSEC3PARAM, CDS, CDNSKEY = 48, 51, 59, 60
DENIALS = {
    "nsec": Denial(),
    "compact": Denial("compact"),
    "nsec3": Denial("nsec3"),
    "salted": Denial("nsec3", iterations=3, salt=b"\xaa\xbb"),
    "opt-out": Denial("nsec3", opt_out=True),
}
PARAMS = {"nsec3": "0100000000", "opt-out": "0100000000", "salted": "0100000302aabb"}


@dataclass(frozen=True, slots=True)
class TestKey:
    """A key that signs what it is told to."""

    __test__ = False

    pkcs8: bytes
    dnskey: bytes
    is_ksk: bool = True
    is_zsk: bool = True

    @property
    def tag(self) -> int:
        return key_tag(self.dnskey)

    @property
    def algorithm(self) -> int:
        return self.dnskey[3]

    @property
    def text(self) -> str:
        """DNSKEY rdata as a master file has it."""
        flags = int.from_bytes(self.dnskey[:2], "big")
        return f"{flags} {self.dnskey[2]} {self.algorithm} {base64.b64encode(self.dnskey[4:]).decode()}"

    @property
    def ds(self) -> bytes:
        """DS rdata of the key (RFC 4034 section 5.1.4)."""
        digest = hashlib.sha256(name_from_text(odd_zone.ORIGIN) + self.dnskey).digest()
        return self.tag.to_bytes(2, "big") + bytes([self.algorithm, 2]) + digest

    @property
    def ds_text(self) -> str:
        """The same as a master file has it."""
        return f"{self.tag} {self.algorithm} 2 {self.ds[4:].hex()}"

    @property
    def handle(self) -> SigningKey:
        return SigningKey(self.pkcs8, self.dnskey)

    def sign(self, data: bytes) -> bytes:
        key = serialization.load_der_private_key(self.pkcs8, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data)  # type: ignore[call-arg,union-attr,return-value]
        size = key.key_size // 8
        digest = hashes.SHA256() if size == 32 else hashes.SHA384()
        return b"".join(one.to_bytes(size, "big") for one in decode_dss_signature(key.sign(data, ec.ECDSA(digest))))

    def flagged(self, flags: int) -> "TestKey":
        """The same key with other flags."""
        return replace(self, dnskey=flags.to_bytes(2, "big") + self.dnskey[2:])


@cache
def key(number: int, algorithm: int = 13, flags: int = 257, *, is_ksk: bool = True, is_zsk: bool = True) -> TestKey:
    """A key, the same for the same arguments in one run."""
    del number
    return TestKey(*private.generate(algorithm, flags), is_ksk, is_zsk)


@cache
def twins() -> tuple[TestKey, TestKey]:
    """Two keys of one key tag."""
    seen: dict[int, TestKey] = {}
    for _ in count():
        one = TestKey(*private.generate(13, 257))
        if (other := seen.setdefault(one.tag, one)) is not one:
            return other, one
    raise AssertionError


def key_sets() -> list[list[TestKey]]:
    """The key sets that zones are signed by."""
    ksk, zsk = key(1, is_zsk=False), key(2, flags=256, is_ksk=False)
    return [[key(0)], [ksk, zsk], [key(3, 15)], [*twins()], [key(4, 14)]]


def build(text: str) -> Version:
    """A version of a master file; errors fail the test."""
    records = read_zone(name_from_text(odd_zone.ORIGIN), [("zone", text.encode())])
    version, findings = Version.build(records)
    assert version is not None, [*records.diagnostics, *findings]
    return version


def signed_version(
    text: str, keys: Sequence[TestKey], denial: str = "nsec", *, unpublished: Sequence[TestKey] = ()
) -> SignedVersion:
    """The zone signed by the engine, with CDS and CDNSKEY of its KSKs; `unpublished` sign as well."""
    version = build(text)
    origin = version.origin
    ksks = [one for one in keys if one.is_ksk]
    params = [bytes.fromhex(PARAMS[denial])] if denial in PARAMS else []
    edited = version.edited(
        [
            (origin, DNSKEY, 3600, [one.dnskey for one in keys]),
            (origin, CDS, 3600, [one.ds for one in ksks]),
            (origin, CDNSKEY, 3600, [one.dnskey for one in ksks]),
            (origin, NSEC3PARAM, 0, params),
        ]
    )
    plan = SigningPlan(
        [(one.handle, one.is_ksk, one.is_zsk) for one in [*keys, *unpublished]],
        inception=INCEPTION,
        expiration=EXPIRATION,
        jitter=JITTER,
        carry_until=NOW,
        denial=DENIALS[denial],
    )
    return SignedVersion(edited, plan)


Place = tuple[str, str]
"""Owner and type of an RRset."""


@dataclass(slots=True)
class Signature:
    """The fields of an RRSIG, each of which may lie."""

    covered: str
    algorithm: int
    labels: int
    original_ttl: int
    expiration: int
    inception: int
    tag: int
    signer: str
    octets: bytes

    def to_text(self) -> str:
        numbers = f"{self.algorithm} {self.labels} {self.original_ttl} {self.expiration} {self.inception} {self.tag}"
        return f"{self.covered} {numbers} {self.signer} {base64.b64encode(self.octets).decode()}"

    @property
    def head(self) -> bytes:
        """What stands before the signature's octets (RFC 4034 section 3.1)."""
        rdtype = int(dns.rdatatype.from_text(self.covered))
        fixed = rdtype.to_bytes(2, "big") + bytes([self.algorithm, self.labels])
        for number in (self.original_ttl, self.expiration, self.inception):
            fixed += number.to_bytes(4, "big")
        return fixed + self.tag.to_bytes(2, "big") + dns.name.from_text(self.signer).canonicalize().to_wire()


@dataclass(slots=True)
class Records:
    """A signed zone as its records; `keys` sign again what is spoilt."""

    keys: list[TestKey]
    rrsets: dict[Place, tuple[int, list[str]]] = field(default_factory=dict)
    signatures: dict[Place, list[Signature]] = field(default_factory=dict)
    parent_ds: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, signed: SignedVersion, keys: Sequence[TestKey]) -> "Records":
        """What the version would transfer."""
        records = cls(list(keys))
        records.parent_ds = tuple(one.ds for one in keys if one.is_ksk)
        for line in signed.to_text().decode().splitlines():
            owner, ttl, _, rtype, rdata = line.split("\t", 4)
            if rtype == "RRSIG":
                covered, algorithm, labels, original, expiration, inception, tag, signer, octets = rdata.split(None, 8)
                numbers = (int(algorithm), int(labels), int(original), _time(expiration), _time(inception), int(tag))
                one = Signature(covered, *numbers, signer, base64.b64decode(octets))
                records.signatures.setdefault((owner, covered), []).append(one)
            else:
                records.rrsets.setdefault((owner, rtype), (int(ttl), []))[1].append(rdata)
        return records

    def to_version(self) -> SignedVersion:
        """Served as it is: signatures and proofs are those of the records."""
        lines = [
            f"{owner} {ttl} {rtype} {rdata}\n"
            for (owner, rtype), (ttl, rdatas) in self.rrsets.items()
            for rdata in rdatas
        ]
        lines += [
            f"{owner} {self.ttl_of((owner, rtype))} RRSIG {one.to_text()}\n"
            for (owner, rtype), signatures in self.signatures.items()
            for one in signatures
        ]
        return SignedVersion(build("".join(lines)))

    def ttl_of(self, place: Place) -> int:
        return self.rrsets.get(place, (3600, []))[0]

    def signers(self, place: Place) -> list[TestKey]:
        """The keys that have to sign an RRset."""
        is_of_keys = place[0] == odd_zone.ORIGIN and place[1] in {"DNSKEY", "CDS", "CDNSKEY"}
        return [one for one in self.keys if (one.is_ksk if is_of_keys else one.is_zsk)]

    def put(self, place: Place, rdatas: list[str], ttl: int | None = None, keys: list[TestKey] | None = None) -> None:
        """Replace an RRset, and sign it; without rdatas take it away with its signatures."""
        if not rdatas:
            self.rrsets.pop(place, None)
            self.signatures.pop(place, None)
            return
        self.rrsets[place] = (self.ttl_of(place) if ttl is None else ttl, rdatas)
        self.signatures[place] = [self.signature(place, one) for one in keys or self.signers(place)]

    def signature(self, place: Place, by: TestKey, owner: str | None = None, **lies: int | str) -> Signature:
        """A signature over the RRset, right but for the fields that lie; as if it stood at `owner`."""
        shown, rtype = place
        name = dns.name.from_text(shown)
        labels = len(name) - 1 - int(name.is_wild())
        ttl = self.ttl_of(place)
        one = Signature(rtype, by.algorithm, labels, ttl, EXPIRATION, INCEPTION, by.tag, odd_zone.ORIGIN, b"")
        for fact, lie in lies.items():
            setattr(one, fact, lie)
        one.octets = by.sign(one.head + self.covered(place, one, owner))
        return one

    def covered(self, place: Place, one: Signature, owner: str | None = None) -> bytes:
        """The records that such a signature is made over, in canonical form (RFC 4034 section 6)."""
        name = dns.name.from_text(owner or place[0]).canonicalize()
        if len(name) - 1 - int(name.is_wild()) > one.labels:
            name = dns.name.Name((b"*", *name.labels[-one.labels - 1 :]))
        rdtype = dns.rdatatype.from_text(place[1])
        shown = [dns.rdata.from_text("IN", rdtype, text) for text in self.rrsets[place][1]]
        wires = sorted({rdata.to_digestable() for rdata in shown})
        head = name.to_wire() + int(rdtype).to_bytes(2, "big") + b"\0\1" + one.original_ttl.to_bytes(4, "big")
        return b"".join(head + len(wire).to_bytes(2, "big") + wire for wire in wires)


def _time(text: str) -> int:
    return int(text) if len(text) < 14 else calendar.timegm(time.strptime(text, "%Y%m%d%H%M%S"))


def _is_read(rtype: str, text: str) -> bool:
    try:
        dns.rdata.from_text("IN", rtype, text)
    except (dns.exception.DNSException, ValueError):
        return False
    return True


def zone_text(seed: int, size: int) -> str:
    """A zone of a seed with something of each kind in it, so that each fault finds a place."""
    origin = odd_zone.ORIGIN
    rest = random.Random(seed)
    more = (
        f"safe.{origin} 600 NS ns.safe.{origin}\nns.safe.{origin} 3600 A 192.0.2.9\n"
        f"safe.{origin} 600 DS 1 13 2 {'cd' * 32}\n"
        f"plain.{origin} 600 NS ns.plain.{origin}\nns.plain.{origin} 3600 A 192.0.2.10\n"
        f"below.empty.{origin} 300 TXT text\n"
        f"two.{origin} 300 A 192.0.2.1\ntwo.{origin} 300 A 192.0.2.2\n"
        f"*.wild.{origin} 300 MX 10 Mail.{origin}\n"
        f"x{rest.randrange(1000)}.{origin} 60 SRV 1 2 443 Target.{origin}\n"
    )
    # An apex DNAME would occlude all of it; and what dnspython reads in no text can't be signed here.
    records = [
        one
        for one in odd_zone.records(seed, size=size)
        if (one[0] != origin or one[2] != "DNAME") and _is_read(one[2], one[3])
    ]
    return odd_zone.text(records) + more


Slot = tuple[int, int, int, int, bytes]
"""Key number, unit number, inception, expiration, octets."""
_HEAD, _CHECKSUM = 40, 32


def slots_of(signed: SignedVersion) -> list[Slot]:
    """The signatures made so far, as the state keeps them (engine/src/image.rs)."""
    image = signed.signatures()
    found, at = [], _HEAD
    while image[at] == 1:
        key_number, unit, inception, expiration, size = struct.unpack_from(">IIIIH", image, at + 1)
        at += 19 + size
        found.append((key_number, unit, inception, expiration, image[at - size : at]))
    return found


def signatures_of(signed: SignedVersion, slots: Sequence[Slot]) -> bytes:
    """The same form of other signatures; its checksum is right."""
    octets = signed.signatures()[:_HEAD]
    for *numbers, signature in slots:
        octets += b"\x01" + struct.pack(">IIIIH", *numbers, len(signature)) + signature
    octets += b"\0"
    return octets + hashlib.sha256(octets).digest()
