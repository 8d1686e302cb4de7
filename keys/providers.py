"""Other providers that sign a zone with keys of their own (RFC 8901 section 2.1.2): what is known of them here.

Words: a *provider* is somebody else whose servers answer for the zone, by a name that an operator gave; a *foreign*
key is one of its DNSKEYs, which is published here and never signs here; it is an *anchor* when it is to have a DS. A
foreign key is a `Key` with a DNSKEY and, as an anchor, a DS; it is held apart from ours: the rules of rollover know it
not.

Limits: `MOST_PROVIDERS` of a zone, `MOST_KEYS` of a provider, `MOST_SERVERS` of its servers.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zonefile

from engine import key_tag, name_from_text
from keys.errors import ProviderError
from keys.policy import ALGORITHMS, RSA
from keys.states import Goal, Key, Provenance, RecordKind, RecordState, Sighting, Standing, key_id

MOST_PROVIDERS: Final = 8
MOST_KEYS: Final = 8
MOST_SERVERS: Final = 16
LARGEST_TEXT: Final = 1 << 16

_EXPECTED: Final = "DNSKEY records, as `dig +noall +answer ZONE DNSKEY` prints them"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ZONE_KEY: Final = 0x0100
_SEP: Final = 0x0001
_REVOKE: Final = 0x0080
_PROTOCOL: Final = 3
_SIZES: Final = {13: 64, 14: 96, 15: 32, 16: 57}
"""Octets of public keys that have one size (RFC 6605 section 4, RFC 8080 section 3)."""
_RSA_BITS: Final = range(1024, 4097)

Server = tuple[str, int]
"""Address and port."""
Told = tuple[Sequence[bytes], int]
"""What one server has: DNSKEY rdatas, and their TTL."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Another provider of one zone.

    `dnskey_ttl` is the largest TTL its DNSKEY RRset was seen with. `leaves_at` is set when it is on its way out: nobody
    is sent to its servers from then on. `seen` tells of our own DNSKEYs, by their rdata, that its servers publish them.
    """

    name: str
    servers: tuple[Server, ...] = ()
    dnskey_ttl: int = 0
    leaves_at: int | None = None
    keys: tuple[Key, ...] = ()
    seen: Mapping[bytes, Sighting] = field(default_factory=dict, hash=False)

    @property
    def algorithms(self) -> frozenset[int]:
        """What it signs with, or signed with as far as caches may know."""
        return frozenset(key.algorithm for key in self.keys)


def foreign_keys(providers: Iterable[Provider]) -> list[Key]:
    """The keys of all of them."""
    return [key for provider in providers for key in provider.keys]


def named(name: str) -> str:
    """The name, if a provider may have it. Raises ProviderError."""
    if not _NAME.fullmatch(name):
        reason = (
            "a provider's name has up to 63 letters, digits, dots, hyphens and underscores, a letter or digit first"
        )
        raise ProviderError(f"{name!r}: {reason}")
    return name


# ------------------------------------------------------------------ what comes as text


def dnskeys_of(text: str, origin: bytes, source: str) -> tuple[list[bytes], int]:
    """The DNSKEY rdatas of a zone in a text such as `dig` prints, BIND's `K*.key` or a master file; their largest TTL.

    Records of other types are passed over. Raises ProviderError.
    """
    if len(text) > LARGEST_TEXT:
        raise ProviderError(f"{source}: more than {LARGEST_TEXT} characters")
    try:
        rrsets = dns.zonefile.read_rrsets(text, rdclass=None, default_ttl=0, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        where = re.sub(r"^<\w+>:", f"{source}:", str(error))
        where = where if where.startswith(source) else f"{source}: {where}"
        raise ProviderError(f"{where}; expected are {_EXPECTED}") from error
    found: dict[bytes, int] = {}
    for rrset in rrsets:
        if rrset.rdtype != dns.rdatatype.DNSKEY:
            continue
        owner = rrset.name.to_text()
        if name_from_text(owner).lower() != origin.lower():
            raise ProviderError(f"{source}: a DNSKEY of {owner}, which is another zone")
        for rdata in rrset:
            octets = rdata.to_wire()
            if reason := unfit(octets):
                raise ProviderError(f"{source}: the DNSKEY of tag {key_tag(octets)}: {reason}")
            found[octets] = int(rrset.ttl)
    if not found:
        raise ProviderError(f"{source}: no DNSKEY record in it; expected are {_EXPECTED}")
    return list(found), max(found.values())


def unfit(dnskey: bytes) -> str:
    """Why DNSKEY rdata (RFC 4034 section 2.1) can't be a zone key of another provider; empty when it can."""
    if len(dnskey) < 5:
        return "it has no public key"
    flags, protocol, algorithm, public = int.from_bytes(dnskey[:2], "big"), dnskey[2], dnskey[3], dnskey[4:]
    if not flags & _ZONE_KEY:
        return f"flags {flags}: it is no zone key"
    if flags & _REVOKE:
        return f"flags {flags}: it is revoked (RFC 5011 section 2.1)"
    if flags & ~(_ZONE_KEY | _SEP):
        return f"flags {flags}: accepted are 256 and 257"
    if protocol != _PROTOCOL:
        return f"protocol {protocol} is not 3"
    if algorithm not in ALGORITHMS:
        return f"algorithm {algorithm} is none of {', '.join(map(str, ALGORITHMS))}"
    if algorithm in RSA:
        return "" if _rsa_bits(public) in _RSA_BITS else "an RSA key has 1024 to 4096 bits"
    wanted = _SIZES[algorithm]
    return "" if len(public) == wanted else f"its public key has {len(public)} octets, not {wanted}"


def _rsa_bits(public: bytes) -> int:
    """RFC 3110 section 2: the exponent's length in one octet, or 0 and two octets."""
    exponent = 1 + public[0] if public[0] else 3 + int.from_bytes(public[1:3], "big")
    return 8 * (len(public) - exponent)


# ------------------------------------------------------------------ keys


def is_sep(dnskey: bytes) -> bool:
    """Whether it says of itself that a DS may point to it."""
    return bool(dnskey[1] & _SEP)


def foreign_key(zone: tuple[bytes, str], dnskey: bytes, now: int, *, is_anchor: bool) -> Key:
    """A foreign key that is to be published, and to have its DS as an anchor, from now on.

    An anchor's DS is asked for at once: CDS that name our keys alone would have the parent take away a DS that the
    other provider's answers rest on.
    """
    kinds = (RecordKind.DNSKEY, RecordKind.DS) if is_anchor else (RecordKind.DNSKEY,)
    return Key(
        id=key_id(*zone, dnskey),
        origin=zone[0],
        view=zone[1],
        algorithm=dnskey[3],
        is_ksk=is_anchor,
        is_zsk=not is_anchor,
        dnskey=dnskey,
        tag=key_tag(dnskey),
        goal=Goal.PRESENT,
        states=MappingProxyType(dict.fromkeys(kinds, Standing(RecordState.RUMOURED, now))),
        created_at=now,
        provenance=Provenance.FOREIGN,
    )


def check_algorithms(name: str, theirs: Iterable[int], ours: Iterable[int]) -> None:
    """See that all providers sign with the same algorithms (RFC 8901 section 4). Raises ProviderError.

    Otherwise answers of one would lack what the DNSKEY RRset of another demands.
    """
    own, foreign = frozenset(ours), frozenset(theirs)
    if extra := foreign - own:
        raise ProviderError(
            f"{name} has a key of algorithm {_list(extra)}, and our keys are of algorithm {_list(own)} alone: every "
            "provider has to sign with the same algorithms (RFC 8901 section 4)"
        )
    if missing := own - foreign:
        raise ProviderError(
            f"our keys are of algorithm {_list(own)}, and {name} has no key of algorithm {_list(missing)}: "
            "every provider has to sign with the same algorithms (RFC 8901 section 4); let an algorithm roll end first"
        )


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


# ------------------------------------------------------------------ what its servers say


def published_by(response: dns.message.Message, provider: Provider, origin: bytes, now: int) -> tuple[list[bytes], int]:
    """The DNSKEY rdatas and TTL in the answer of one of a provider's servers, signed by a key of it that is known here.

    Raises ProviderError for what can't be believed.
    """
    name = dns.name.from_wire(origin, 0)[0]
    dnskeys = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.DNSKEY)
    signatures = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.RRSIG, dns.rdatatype.DNSKEY)
    if dnskeys is None or signatures is None:
        raise ProviderError("no signed DNSKEY RRset in its answer")
    known = {key.dnskey for key in provider.keys}
    trusted = [rdata for rdata in dnskeys if rdata.to_wire() in known]
    if not trusted:
        raise ProviderError(f"none of its DNSKEYs is one that is known of {provider.name}")
    try:
        dns.dnssec.validate(dnskeys, signatures, {name: dns.rrset.from_rdata_list(name, 0, trusted)}, now=now)
    except dns.exception.DNSException as error:
        raise ProviderError(
            f"its DNSKEY RRset does not validate by the keys known of {provider.name}: {error}"
        ) from error
    return sorted(rdata.to_wire() for rdata in dnskeys), int(dnskeys.ttl)


def seen_after(provider: Provider, ours: Sequence[Key], answers: Sequence[Told], now: int) -> dict[bytes, Sighting]:
    """What is seen of our DNSKEYs when all of a provider's servers have answered: there only if each of them has it."""
    ttl = max((ttl for _, ttl in answers), default=None)
    found: dict[bytes, Sighting] = {}
    for key in ours:
        is_present = bool(answers) and all(key.dnskey in dnskeys for dnskeys, _ in answers)
        look = Sighting(is_present, now, now, ttl)
        before = provider.seen.get(key.dnskey)
        found[key.dnskey] = before.followed(look) if before is not None else look
    return found
