"""Which TTLs a version is served with, and which of those ever served the timing of keys has to reckon with."""

from collections.abc import Sequence
from typing import Final

from engine import Version
from keys.rollover import ServedTTLs
from keys.states import Key, RecordState
from zones import history

_SOA: Final = 6
_DNSKEY: Final = 48
_MINIMUM: Final = slice(-4, None)
"""The last number of SOA rdata bounds how long a denial may be cached (RFC 2308 section 5)."""

_ZONE_MAX: Final = "zone_max"
_NEGATIVE: Final = "negative"
_DNSKEY_KIND: Final = "dnskey"

_MOVING: Final = frozenset({RecordState.RUMOURED, RecordState.UNRETENTIVE, RecordState.SQUASHED})


def ttls_of(version: Version) -> dict[str, int]:
    """The TTLs of a version as it is published, by kind, for `zones.history.record_ttls`."""
    soa = version.rrset(version.origin, _SOA)
    dnskey = version.rrset(version.origin, _DNSKEY)
    negative = min(soa[0], int.from_bytes(soa[1][0][_MINIMUM], "big")) if soa else 0
    kinds = {_ZONE_MAX: version.max_ttl, _NEGATIVE: negative}
    return {**kinds, _DNSKEY_KIND: dnskey[0]} if dnskey else kinds


def served_ttls(tx: history.Transaction, origin: bytes, view: str, keys: Sequence[Key], now: int) -> ServedTTLs:
    """The largest TTLs with which something older than the keys' present states can still be cached.

    A TTL is remembered as of the oldest state that is on its way, not as of now: a copy fetched with it just before
    counts until that state's waiting time is over, safety and propagation delays included.
    """
    moving = [standing.since for key in keys for standing in key.states.values() if standing.state in _MOVING]
    largest = history.largest_ttls(tx, origin.lower(), view, min(moving, default=now))
    return ServedTTLs(
        dnskey=largest.get(_DNSKEY_KIND, 0),
        zone_max=largest.get(_ZONE_MAX, 0),
        negative=largest.get(_NEGATIVE, 0),
    )
