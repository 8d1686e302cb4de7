"""Who got what: counts of the transfers that were given of a zone, and the last one of each of its secondaries.

Limits: `PEERS` secondaries of a zone, those that asked last.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["axfr", "ixfr", "soa"]
"""The whole zone; what changed; the SOA alone, which says "you have it" or, by UDP, "come by TCP"."""

PEERS: Final = 16


@dataclass(slots=True)
class Count:
    """Transfers of one kind; those that were not sent whole are `broken` and in none of the others."""

    whole: int = 0
    broken: int = 0
    octets: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Given:
    """The last transfer to a secondary: the serial that it has since then."""

    serial: int
    at: int
    kind: Kind


@dataclass(slots=True)
class Handed:
    """What was given of one zone."""

    counts: dict[Kind, Count] = field(default_factory=dict)
    peers: OrderedDict[str, Given] = field(default_factory=OrderedDict)
    """By address, the one that asked last at the end."""

    def note(self, peer: str, given: Given, octets: int, seconds: float) -> None:
        """One more."""
        count = self.counts.setdefault(given.kind, Count())
        count.whole, count.octets, count.seconds = count.whole + 1, count.octets + octets, count.seconds + seconds
        self.peers[peer] = given
        self.peers.move_to_end(peer)
        while len(self.peers) > PEERS:
            self.peers.popitem(last=False)
