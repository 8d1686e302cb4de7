"""What the parent is told of keys: DS, CDS and CDNSKEY rdata; presentation is the caller's."""

from collections.abc import Iterable
from hashlib import sha256, sha384
from typing import Final

from keys.states import Key

SHA256: Final = 2
SHA384: Final = 4

DELETE_CDS: Final = bytes(5)
"""CDS 0 0 0 00 (RFC 8078 section 4)."""
DELETE_CDNSKEY: Final = bytes((0, 0, 3, 0, 0))
"""CDNSKEY 0 3 0 AA== (RFC 8078 section 4)."""

_DIGESTS: Final = {SHA256: sha256, SHA384: sha384}
DIGESTS: Final = tuple(_DIGESTS)
"""The digest types that are made; SHA-1 is to be used no more (RFC 8624 section 3.3)."""


def ds_rdata(key: Key, digest_type: int = SHA256) -> bytes:
    """DS rdata of the key (RFC 4034 section 5.1.4): the digest is over the canonical owner and the DNSKEY rdata."""
    digest = _DIGESTS[digest_type](key.origin.lower() + key.dnskey).digest()
    return key.tag.to_bytes(2, "big") + bytes((key.algorithm, digest_type)) + digest


def ds_rdatas(keys: Iterable[Key], digests: Iterable[int]) -> list[bytes]:
    """DS rdatas of these keys, one for each digest type."""
    digests = tuple(digests)
    return [ds_rdata(key, digest) for key in keys for digest in digests]


def cds_rdatas(keys: Iterable[Key]) -> list[bytes]:
    """The CDS RRset: one SHA-256 digest for each key whose DS is due (RFC 7344 section 3.1); empty before that."""
    return [ds_rdata(key) for key in keys if key.wants_ds]


def cdnskey_rdatas(keys: Iterable[Key]) -> list[bytes]:
    """The CDNSKEY RRset, of the same keys as the CDS RRset (RFC 7344 section 4)."""
    return [key.dnskey for key in keys if key.wants_ds]
