"""What the parent is told of keys: DS, CDS and CDNSKEY rdata; presentation is the caller's."""

from collections.abc import Iterable, Sequence
from hashlib import sha256, sha384
from typing import Final

from keys.policy import Policy
from keys.states import Key, RecordKind, RecordState

SHA256: Final = 2
SHA384: Final = 4

DELETE_CDS: Final = bytes(5)
"""CDS 0 0 0 00 (RFC 8078 section 4)."""
DELETE_CDNSKEY: Final = bytes((0, 0, 3, 0, 0))
"""CDNSKEY 0 3 0 AA== (RFC 8078 section 4)."""

_DIGESTS: Final = {SHA256: sha256, SHA384: sha384}
DIGESTS: Final = tuple(_DIGESTS)
"""The digest types that are made; SHA-1 is to be used no more (RFC 8624 section 3.3)."""
_SETTLED: Final = frozenset({RecordState.HIDDEN, RecordState.OMNIPRESENT})


def ds_rdata(key: Key, digest_type: int = SHA256) -> bytes:
    """DS rdata of the key (RFC 4034 section 5.1.4): the digest is over the canonical owner and the DNSKEY rdata."""
    digest = _DIGESTS[digest_type](key.origin.lower() + key.dnskey).digest()
    return key.tag.to_bytes(2, "big") + bytes((key.algorithm, digest_type)) + digest


def ds_rdatas(keys: Iterable[Key], digests: Iterable[int]) -> list[bytes]:
    """DS rdatas of these keys, one for each digest type."""
    digests = tuple(digests)
    return [ds_rdata(key, digest) for key in keys for digest in digests]


def cds_rdatas(keys: Sequence[Key], policy: Policy, foreign: Sequence[Key] = ()) -> list[bytes]:
    """The CDS RRset: the digests of each key whose DS is due (RFC 7344 section 3.1); empty before that.

    Those of other providers' keys stand in it with ours (RFC 8901 section 8).
    """
    if _asks_for_none(keys, policy):
        return [DELETE_CDS]
    return ds_rdatas(announced(keys, policy, foreign), policy.digests)


def cdnskey_rdatas(keys: Sequence[Key], policy: Policy, foreign: Sequence[Key] = ()) -> list[bytes]:
    """The CDNSKEY RRset, of the same keys as the CDS RRset (RFC 7344 section 4)."""
    if not policy.cdnskey:
        return []
    if _asks_for_none(keys, policy):
        return [DELETE_CDNSKEY]
    return [key.dnskey for key in announced(keys, policy, foreign)]


def _asks_for_none(keys: Sequence[Key], policy: Policy) -> bool:
    """Whether the parent is asked to remove every DS, until no cache has one (RFC 8078 section 4)."""
    return policy.is_insecure and policy.cds != "none" and any(map(leaves, keys))


def leaves(key: Key) -> bool:
    """Whether the parent is to remove its DS, and caches may still have it."""
    return key.state(RecordKind.DS) in (RecordState.UNRETENTIVE, RecordState.SQUASHED)


def announced(keys: Sequence[Key], policy: Policy, foreign: Sequence[Key] = ()) -> list[Key]:
    """The keys that the parent is told of: all whose DS is due, as the RRset says what the whole DS RRset is to be.

    By `rollover` only while that is not what the parent has, for all that is confirmed: a DS is to come or to go.
    """
    is_settled = all(key.state(RecordKind.DS) in _SETTLED for key in (*keys, *foreign))
    if policy.cds == "none" or (policy.cds == "rollover" and is_settled):
        return []
    return with_ds(keys, foreign)


def with_ds(keys: Iterable[Key], foreign: Iterable[Key] = ()) -> list[Key]:
    """The keys that the whole DS RRset is to be of.

    Other providers' stand in it only beside ours, or our answers would be bogus.
    """
    own = [key for key in keys if key.wants_ds]
    return [*own, *(key for key in foreign if key.is_published(RecordKind.DS))] if own else []
