"""The CSYNC record at the apex (RFC 7477): what the parent is to copy of a delegation, while somebody wants it to.

Flags and serial are decided when it is turned on: beside providers with other serials, none is a minimum.
"""

from typing import Final

from engine import Version
from keys.providerstore import Csync
from signer.wiring import is_below, servers

CSYNC: Final = 62
IMMEDIATE: Final = 1
SOAMINIMUM: Final = 2

_A: Final = 1
_NS: Final = 2
_AAAA: Final = 28

Edit = tuple[bytes, int, int, list[bytes]]


def asked(serial: int, *, is_alone: bool) -> Csync:
    """What is published for a zone from now on, its serial being the present one.

    RFC 7477 section 2.1.1.1: a parent acts on no older serial. That is of one primary; with other providers, whose
    serials are others, the flag is not set and the serial says nothing.
    """
    return Csync(serial, IMMEDIATE | SOAMINIMUM) if is_alone else Csync(0, IMMEDIATE)


def edits(version: Version, wanted: Csync | None, ttl: int) -> list[Edit]:
    """CSYNC as it is to be at the apex; none when nothing is to be changed about what the source says."""
    if wanted is None:
        return []
    origin = version.origin
    head = wanted.serial.to_bytes(4, "big") + wanted.flags.to_bytes(2, "big")
    if wanted.is_published:
        return [(origin, CSYNC, ttl, [head + _bitmap(_types(version))])]
    _, present = version.rrset(origin, CSYNC) or (0, [])
    # One that the source has is the source's; ours may still be there, where what serves stands for the source.
    return [(origin, CSYNC, ttl, [])] if any(rdata.startswith(head) for rdata in present) else []


def _types(version: Version) -> list[int]:
    """NS, and the types of addresses that name servers within the zone have (RFC 7477 section 2.1.2.2)."""
    own = [name for name in servers(version) if is_below(name, version.origin.lower())]
    return [_NS, *(rtype for rtype in (_A, _AAAA) if any(version.rrset(name, rtype) for name in own))]


def _bitmap(types: list[int]) -> bytes:
    """RFC 4034 section 4.1.2, of types below 256."""
    bits = bytearray(max(types) // 8 + 1)
    for rtype in types:
        bits[rtype // 8] |= 0x80 >> rtype % 8
    return bytes((0, len(bits))) + bytes(bits)
