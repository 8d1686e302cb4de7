"""What becomes of DNSSEC records that a zone's source brings along, when the zone is to be signed by us.

Without `dnssec` a zone that arrives signed is served as it is, and nothing here is asked.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import dns.rdatatype

from engine import Version, name_to_text
from keys.policy import Policy
from keys.states import Key
from zones import check
from zones.check import Finding

TTL_CAPPED: Final = "ttl-capped"
_DNSKEY: Final = 48
_DROPPED: Final = {46: "RRSIG", 47: "NSEC", 50: "NSEC3", 51: "NSEC3PARAM"}
_ZONEMD: Final = 63
_NSEC3PARAM: Final = 51
_MANAGED: Final = {59: "CDS", 60: "CDNSKEY"}


def unsigned(version: Version, keys: Sequence[Key], policy: Policy) -> tuple[Version, tuple[Finding, ...]]:
    """The version as we can sign it, without what we make ourselves and with TTLs within the policy; what was found.

    An error among it holds the version.
    """
    findings = [*_foreign_dnskeys(version, keys), *_managed(version)]
    bare = version.without([*_DROPPED, _ZONEMD])
    dropped = version.rrset_count - bare.rrset_count
    if dropped:
        findings.append(
            _warning(version, "dnssec-records-dropped", f"{dropped} RRsets that signing makes anew are left out")
        )
    capped, found = _capped(bare, policy)
    return capped, (*findings, *found)


def has_ours(version: Version, keys: Iterable[Key]) -> bool:
    """Whether a DNSKEY of these keys is in the version, so that it is one that we signed."""
    dnskeys = (version.rrset(version.origin, _DNSKEY) or (0, []))[1]
    return any(key.dnskey in dnskeys for key in keys)


def without_ours(version: Version, keys: Iterable[Key]) -> Version:
    """The version without what we added to sign it, where we did."""
    return version.without([_DNSKEY, *_MANAGED, _NSEC3PARAM]) if has_ours(version, keys) else version


def with_capped(findings: tuple[Finding, ...], new: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings with what is said of shortened TTLs by the policy that signs anew."""
    kept = (one for one in findings if one.rule != TTL_CAPPED)
    return (*kept, *(one for one in new if one.rule == TTL_CAPPED))


def identity_of(identity: str, findings: Iterable[Finding]) -> str:
    """What the image of a version stands for: nothing when TTLs were shortened, so that a start reads the source."""
    return "" if any(one.rule == TTL_CAPPED for one in findings) else identity


def _foreign_dnskeys(version: Version, keys: Sequence[Key]) -> list[Finding]:
    """DNSKEYs that are not ours: whoever resolves the zone may rely on them, so taking them away could break it."""
    _, rdatas = version.rrset(version.origin, _DNSKEY) or (0, [])
    foreign = len(set(rdatas) - {key.dnskey for key in keys})
    if not foreign:
        return []
    message = (
        f"{foreign} of {len(rdatas)} DNSKEY records are of keys that are not here; import them or remove the records"
    )
    return [check.finding(_zone(version), "foreign-dnskey", message)]


def _managed(version: Version) -> list[Finding]:
    return [
        _warning(version, "managed-record", f"{name} of the source is replaced by our own")
        for rtype, name in _MANAGED.items()
        if version.rrset(version.origin, rtype)
    ]


def _capped(version: Version, policy: Policy) -> tuple[Version, list[Finding]]:
    """A signature has at least `refresh` left when it is served; a cache may not keep the RRset longer than that."""
    capped = version.capped(policy.max_zone_ttl)
    if capped is None:
        return version, []
    shortened, rrsets, owner, rtype, ttl = capped
    message = (
        f"TTLs of {rrsets} RRsets are shortened to the policy's {policy.term('max_zone_ttl')}; "
        f"the longest is {ttl} of {name_to_text(owner)} {dns.rdatatype.to_text(dns.rdatatype.RdataType(rtype))}"
    )
    return shortened, [_warning(version, TTL_CAPPED, message)]


def _warning(version: Version, rule: str, message: str) -> Finding:
    return Finding(_zone(version), 0, 0, rule, "warning", message)


def _zone(version: Version) -> str:
    return name_to_text(version.origin)
