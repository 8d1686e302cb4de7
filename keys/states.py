"""What a key is and where it stands: one state per kind of record, a goal, and since when; not when it moves.

The model is rollover.md's and BIND's KASP: for each kind of record that a key causes (its DNSKEY, the signatures it
makes, its DS) the state says what a validating resolver anywhere may still have in its cache.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple


class RecordState(StrEnum):
    """What caches may hold of a record."""

    HIDDEN = "hidden"
    """In no cache."""
    RUMOURED = "rumoured"
    """Published; some caches still hold what was there before."""
    OMNIPRESENT = "omnipresent"
    """Every cache that holds the RRset holds it with this record."""
    UNRETENTIVE = "unretentive"
    """Withdrawn after it was omnipresent; some caches still hold it."""
    SQUASHED = "squashed"
    """Withdrawn before it was omnipresent; it never counts as anybody's predecessor."""


class RecordKind(StrEnum):
    """The records a key causes."""

    DNSKEY = "dnskey"
    ZRRSIG = "zrrsig"
    """Its signatures over everything but the apex key sets."""
    KRRSIG = "krrsig"
    """Its signatures over DNSKEY, CDS and CDNSKEY."""
    DS = "ds"
    """Its DS at the parent; rumoured is: asked for by CDS and CDNSKEY."""


class Goal(StrEnum):
    """Where a key is to end."""

    PRESENT = "present"
    ABSENT = "absent"


class Provenance(StrEnum):
    """How a key came to us."""

    GENERATED = "generated"
    IMPORTED = "imported"


class Standing(NamedTuple):
    """The state of one record and the Unix second it was entered."""

    state: RecordState
    since: int


IN_ZONE: Final = frozenset({RecordState.RUMOURED, RecordState.OMNIPRESENT})
"""The states in which a record is published (for a DS: asked of the parent)."""

CHAIN_KINDS: Final = (RecordKind.DNSKEY, RecordKind.KRRSIG, RecordKind.ZRRSIG)
"""What has to be omnipresent before a DS may point to the key."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of one zone in one view: its public part, its roles and its states. Identity is the whole public key.

    `active_at` is when its records were first served, None until that is certain: waiting times count from there.
    """

    id: str
    origin: bytes
    view: str
    algorithm: int
    is_ksk: bool
    is_zsk: bool
    dnskey: bytes
    tag: int
    goal: Goal
    states: Mapping[RecordKind, Standing] = field(hash=False)
    created_at: int
    active_at: int | None = None
    predecessor: str | None = None
    successor: str | None = None
    provenance: Provenance = Provenance.GENERATED

    def state(self, kind: RecordKind) -> RecordState:
        """The state of a record; HIDDEN for one that this key does not have."""
        standing = self.states.get(kind)
        return standing.state if standing else RecordState.HIDDEN

    def is_published(self, kind: RecordKind) -> bool:
        """Whether the record is in the zone (a DS: asked of the parent)."""
        return self.state(kind) in IN_ZONE

    def is_omnipresent(self, kind: RecordKind) -> bool:
        """Whether no cache can hold the RRset without this record."""
        return self.state(kind) is RecordState.OMNIPRESENT

    @property
    def has_chain(self) -> bool:
        """Whether a DS may point to this key: DNSKEY and all its signatures are omnipresent."""
        return self.is_ksk and all(self.is_omnipresent(kind) for kind in CHAIN_KINDS if kind in self.states)

    @property
    def wants_ds(self) -> bool:
        """Whether CDS and CDNSKEY are to be in the zone for this key."""
        return self.goal is Goal.PRESENT and self.is_published(RecordKind.DS) and self.has_chain

    @property
    def newest_event(self) -> int:
        """The latest point in time this key remembers."""
        return max(self.created_at, self.active_at or 0, *(standing.since for standing in self.states.values()))

    def moved(self, kind: RecordKind, state: RecordState, since: int) -> "Key":
        """The key with one record in another state."""
        states = MappingProxyType({**self.states, kind: Standing(state, since)})
        return replace(self, states=states)


def key_id(origin: bytes, view: str, dnskey: bytes) -> str:
    """The name of a key in the store, made of its whole identity, so that the same key is never two."""
    identity = b"\0".join((origin.lower(), view.encode(), dnskey))
    return sha256(identity).hexdigest()[:32]


def kinds_of(*, is_ksk: bool, is_zsk: bool) -> tuple[RecordKind, ...]:
    """The records a key with these roles causes."""
    signing = (RecordKind.ZRRSIG,) if is_zsk else ()
    anchoring = (RecordKind.KRRSIG, RecordKind.DS) if is_ksk else ()
    return (RecordKind.DNSKEY, *signing, *anchoring)


def hidden_states(*, is_ksk: bool, is_zsk: bool, since: int) -> Mapping[RecordKind, Standing]:
    """The states of a key nobody has seen yet."""
    kinds = kinds_of(is_ksk=is_ksk, is_zsk=is_zsk)
    return MappingProxyType({kind: Standing(RecordState.HIDDEN, since) for kind in kinds})
