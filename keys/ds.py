"""What the parent is told of a key: DS, CDS and CDNSKEY rdata, and from when; presentation is the caller's."""

from collections.abc import Iterable, Sequence
from hashlib import sha256, sha384
from typing import Final

from keys.policy import Policy
from keys.rollover import ServedTTLs, chain_of, omnipresent_at
from keys.states import Goal, Key

SHA256: Final = 2
SHA384: Final = 4

_DIGESTS: Final = {SHA256: sha256, SHA384: sha384}


def ds_rdata(key: Key, digest_type: int = SHA256) -> bytes:
    """DS rdata of the key (RFC 4034 section 5.1.4): the digest is over the canonical owner and the DNSKEY rdata."""
    digest = _DIGESTS[digest_type](key.origin.lower() + key.dnskey).digest()
    return key.tag.to_bytes(2, "big") + bytes((key.algorithm, digest_type)) + digest


def cds_rdatas(keys: Iterable[Key]) -> list[bytes]:
    """The CDS RRset: one SHA-256 digest for each key whose DS is due (RFC 7344 section 3.1); empty before that."""
    return [ds_rdata(key) for key in keys if key.wants_ds]


def cdnskey_rdatas(keys: Iterable[Key]) -> list[bytes]:
    """The CDNSKEY RRset, of the same keys as the CDS RRset (RFC 7344 section 4)."""
    return [key.dnskey for key in keys if key.wants_ds]


def not_before(keys: Sequence[Key], policy: Policy, ttls: ServedTTLs) -> int | None:
    """When a DS of the zone may first be at the parent, also if that is past.

    None when that can't be known yet: no key, or none that has been served.
    """
    anchors = [key for key in keys if key.is_ksk and key.goal is Goal.PRESENT]
    moments = [moment for key in anchors if (moment := _chain_at(key, keys, policy, ttls)) is not None]
    if not moments:
        return None
    return min(moments)


def _chain_at(key: Key, keys: Sequence[Key], policy: Policy, ttls: ServedTTLs) -> int | None:
    moments = [omnipresent_at(one, kind, policy, ttls) for one, kind in chain_of(key, keys)]
    return None if None in moments else max(moment for moment in moments if moment is not None)
