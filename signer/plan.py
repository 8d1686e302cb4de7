"""What is signed, by which keys, for how long: the apex records a version gets, and its signing plan.

The plan is decided here and repeated by the engine, which makes the denial chain and the signatures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine import SigningKey, SigningPlan, Version, name_to_text
from keys.ds import announced, cdnskey_rdatas, cds_rdatas, leaves
from keys.errors import KeySetError, PrivateKeyError
from keys.ksr import Section
from keys.policy import Policy
from keys.providerstore import Csync
from keys.states import Key, RecordKind
from signer import ahead, csync
from signer.denial import NSEC3PARAM, NSEC3PARAM_TTL, nsec3param_rdatas, to_engine
from signer.sources import unsigned
from zones import check
from zones.check import Finding

SOA: Final = 6
DNSKEY: Final = 48
CDS: Final = 59
CDNSKEY: Final = 60
ZONEMD: Final = 63

_SIMPLE_SHA384: Final = b"\1\1"
"""Scheme and hash algorithm (RFC 8976 sections 5.2 and 5.3)."""
_SOA_SERIAL: Final = slice(-20, -16)
"""The serial is the first of the five 32-bit numbers that end SOA rdata (RFC 1035 section 3.3.13)."""

Edit = tuple[bytes, int, int, Sequence[bytes]]
"""(owner, rtype, TTL, rdatas) as `Version.edited` takes it; no rdatas removes the RRset."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What an apex has for others: the keys of other providers (RFC 8901), and what is asked for CSYNC."""

    foreign: Sequence[Key] = ()
    csync: Csync | None = None


ALONE: Final = Shared()


@dataclass(frozen=True, slots=True)
class PreparedZone:
    """A version with its apex records in place, the plan to sign it by (None: served as it is), what was found."""

    version: Version
    plan: SigningPlan | None
    findings: tuple[Finding, ...] = ()

    @property
    def is_held(self) -> bool:
        """Whether a finding forbids to publish it."""
        return check.held(self.findings)


def prepare(
    version: Version,
    keys: Sequence[Key],
    handles: Mapping[str, SigningKey],
    policy: Policy,
    serial: int,
    now: int,
    shared: Shared = ALONE,
    section: Section | None = None,
) -> PreparedZone:
    """The zone as it is to be signed: foreign DNSSEC records dropped, the apex edited, the plan made.

    `section` is what an offline KSK signed ahead: its RRsets are what stands at the apex.
    """
    bare, findings = unsigned(version, [*keys, *shared.foreign], policy)
    edits = apex_edits(bare, keys, policy, serial, now, shared)
    if policy.zonemd and not any(handles[key.id].is_slow for key in keys if signs_zone(key) and key.id in handles):
        edits.append(zonemd_edit(bare, serial))
    edited = bare.edited(edits)
    if section is not None:
        edited = edited.edited(ahead.edits(section, keys, policy))
    return PreparedZone(edited, signing_plan(keys, handles, policy, now), findings)


def prepare_unsigned(version: Version, serial: int) -> PreparedZone:
    """The zone as it is served without `dnssec`: as its source has it, with the published serial."""
    if version.serial == serial:
        return PreparedZone(version, None)
    return PreparedZone(version.edited([soa_edit(version, serial)]), None)


def apex_edits(
    version: Version, keys: Sequence[Key], policy: Policy, serial: int, now: int, shared: Shared = ALONE
) -> list[Edit]:
    """SOA with the published serial, the DNSKEY RRset in force, CDS and CDNSKEY if they are due, NSEC3PARAM if due."""
    del now  # What is due by now is already in the keys' states.
    return [
        soa_edit(version, serial),
        *_key_edits(version, keys, policy, shared),
        (version.origin, NSEC3PARAM, NSEC3PARAM_TTL, nsec3param_rdatas(policy.denial)),
    ]


def shows_all(version: Version, keys: Sequence[Key], policy: Policy, shared: Shared) -> bool:
    """Whether a version says what keys, ours and others', want at the apex."""
    wanted = _key_edits(version, keys, policy, shared)
    return all(set((version.rrset(owner, rtype) or (0, []))[1]) == set(rdatas) for owner, rtype, _, rdatas in wanted)


def _key_edits(version: Version, keys: Sequence[Key], policy: Policy, shared: Shared) -> list[Edit]:
    """The DNSKEY RRset of all providers (RFC 8901 section 2.1.2), what tells the parent of it, CSYNC when asked for."""
    origin, ttl, foreign = version.origin, policy.dnskey_ttl, shared.foreign
    return [
        (origin, DNSKEY, ttl, sorted({key.dnskey for key in (*keys, *foreign) if key.is_published(RecordKind.DNSKEY)})),
        (origin, CDS, ttl, cds_rdatas(keys, policy, foreign)),
        (origin, CDNSKEY, ttl, cdnskey_rdatas(keys, policy, foreign)),
        *csync.edits(version, shared.csync, ttl),
    ]


def soa_edit(version: Version, serial: int) -> Edit:
    """The zone's SOA with another serial."""
    rrset = version.rrset(version.origin, SOA)
    if rrset is None:
        raise ValueError("a version without a SOA is never built")
    ttl, (rdata, *_) = rrset
    return (
        version.origin,
        SOA,
        ttl,
        [rdata[: _SOA_SERIAL.start] + serial.to_bytes(4, "big") + rdata[_SOA_SERIAL.stop :]],
    )


def zonemd_edit(version: Version, serial: int) -> Edit:
    """A placeholder for the digest of the zone (RFC 8976 section 3.1), which is made when all else is signed."""
    ttl, _ = version.rrset(version.origin, SOA) or (0, [])
    return version.origin, ZONEMD, ttl, [serial.to_bytes(4, "big") + _SIMPLE_SHA384 + bytes(48)]


def signing_plan(keys: Sequence[Key], handles: Mapping[str, SigningKey], policy: Policy, now: int) -> SigningPlan:
    """Who signs what, from when to when (RFC 6781 section 4.4.2): inception lies back for clocks that are behind.

    Raises PrivateKeyError when a key that is to sign has no handle, KeySetError when nobody signs.
    """
    own = signers(keys)
    if not any(map(signs_keys, own)) or not any(map(signs_zone, own)):
        zone = name_to_text(keys[0].origin) if keys else "the zone"
        raise KeySetError(zone, "no key signs the zone, or none signs the keys")
    return SigningPlan(
        [(_handle(handles, key), signs_keys(key), signs_zone(key)) for key in own],
        inception=now - policy.inception_offset,
        expiration=now + policy.validity,
        jitter=policy.jitter,
        carry_until=now + policy.refresh,
        denial=to_engine(policy.denial),
    )


def signers(keys: Sequence[Key]) -> list[Key]:
    """The keys that sign anything, in the order in which the plan numbers them."""
    return [key for key in keys if signs(key)]


def _handle(handles: Mapping[str, SigningKey], key: Key) -> SigningKey:
    try:
        return handles[key.id]
    except KeyError:
        raise PrivateKeyError(key.id, f"tag {key.tag} has no signing handle: its private part did not open") from None


def effect_of(keys: Sequence[Key], policy: Policy) -> frozenset[tuple[object, ...]]:
    """What keys do to a zone; keys in other states with the same effect need no new version."""
    told = announced(keys, policy)
    return frozenset(
        (key.id, key.is_published(RecordKind.DNSKEY), signs_keys(key), signs_zone(key), key in told, leaves(key))
        for key in keys
        if signs(key) or key.is_published(RecordKind.DNSKEY)
    )


def signs(key: Key) -> bool:
    """Whether the key signs anything."""
    return signs_keys(key) or signs_zone(key)


def signs_keys(key: Key) -> bool:
    """Whether the key signs the apex DNSKEY, CDS and CDNSKEY RRsets."""
    return key.is_published(RecordKind.KRRSIG)


def signs_zone(key: Key) -> bool:
    """Whether the key signs everything else; its DNSKEY may be yet to come, or gone (RFC 6781 section 4.1.4)."""
    return key.is_published(RecordKind.ZRRSIG)
