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

from keys.policy import Role


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
    FILE = "file"
    """It stays in the operator's files."""
    FOREIGN = "foreign"
    """Another provider signs with it (RFC 8901); only its public part is known."""
    OFFLINE = "offline"
    """Only its public part is here."""


class Standing(NamedTuple):
    """The state of one record and the Unix second it was entered.

    `served_at` is when every server of the zone could have what the state says of the zone, None until that is
    certain: what is not served yet, or not yet withdrawn everywhere, can't be waited for.
    """

    state: RecordState
    since: int
    served_at: int | None = None


class Sighting(NamedTuple):
    """What the parent was seen to have: the DS of a key or not, at every server, unbroken from `since` to `until`.

    `ttl` is the largest TTL of the DS RRset seen meanwhile, None if it was never seen. `is_word`: an operator says so,
    and nobody here has seen it.
    """

    is_present: bool
    since: int
    until: int
    ttl: int | None = None
    is_word: bool = False

    def followed(self, look: "Sighting", *, is_fresh: bool = False) -> "Sighting":
        """This and one more look together; a contrary one begins anew, and so does one that `is_fresh` says to.

        The TTL of what was there before still counts; what was seen once is no mere word any more.
        """
        ttl = max((ttl for ttl in (self.ttl, look.ttl) if ttl is not None), default=None)
        if is_fresh or self.is_present != look.is_present:
            return look._replace(ttl=ttl)
        is_word = self.is_word and look.is_word
        return Sighting(self.is_present, self.since, max(self.until, look.until), ttl, is_word)


class Sharing(NamedTuple):
    """By which policy zones have a key in common, and since when there is that key: its lifetime counts from there."""

    policy: str
    since: int


RSA: Final = frozenset({8, 10})
"""RSASHA256 and RSASHA512."""

ON_ITS_WAY: Final = frozenset({RecordState.RUMOURED, RecordState.UNRETENTIVE, RecordState.SQUASHED})
"""The states that end by themselves, when caches have caught up."""

IN_ZONE: Final = frozenset({RecordState.RUMOURED, RecordState.OMNIPRESENT})
"""The states in which a record is published (for a DS: asked of the parent)."""

CHAIN_KINDS: Final = (RecordKind.DNSKEY, RecordKind.KRRSIG, RecordKind.ZRRSIG)
"""What has to be omnipresent before a DS may point to the key."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of one zone in one view: its public part, its roles and its states. Identity is the whole public key.

    `active_at` is when it took up its work, from where its lifetime counts; `retire_at` is set where an operator
    decided when that work ends. `generation` counts the keys of its role before it. `is_request_open` tells that what
    was asked of the parent before the present request was never seen to be done, and may still be. `sharing` is there
    when other zones may have the same key pair, each with states of its own.
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
    retire_at: int | None = None
    generation: int = 0
    store: str = ""
    sighting: Sighting | None = None
    is_request_open: bool = False
    sharing: Sharing | None = None

    @property
    def role(self) -> Role:
        """What it signs."""
        return Role.CSK if self.is_ksk and self.is_zsk else Role.KSK if self.is_ksk else Role.ZSK

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
    def served_before(self) -> bool:
        """Whether a version with the key was ever sealed, or it had a life before it came here."""
        unseen = (RecordState.HIDDEN, RecordState.RUMOURED)
        return any(one.served_at is not None or one.state not in unseen for one in self.states.values())

    @property
    def has_chain(self) -> bool:
        """Whether a DS may point to this key: DNSKEY and all its signatures are omnipresent."""
        return self.is_ksk and all(self.is_omnipresent(kind) for kind in CHAIN_KINDS if kind in self.states)

    @property
    def wants_ds(self) -> bool:
        """Whether CDS and CDNSKEY are to be in the zone for this key."""
        anchors = (RecordKind.DNSKEY, RecordKind.KRRSIG)
        return self.is_published(RecordKind.DS) and all(self.is_omnipresent(kind) for kind in anchors)

    @property
    def bits(self) -> int | None:
        """The length of an RSA modulus (RFC 3110 section 2); None for algorithms whose keys have one size."""
        if self.algorithm not in RSA:
            return None
        public = self.dnskey[4:]
        exponent = 1 + public[0] if public[0] else 3 + int.from_bytes(public[1:3], "big")
        return 8 * (len(public) - exponent)

    @property
    def newest_event(self) -> int:
        """The latest point in time this key remembers."""
        entered = (max(standing.since, standing.served_at or 0) for standing in self.states.values())
        return max(self.created_at, self.active_at or 0, *entered)

    def moved(self, kind: RecordKind, state: RecordState, since: int) -> "Key":
        """The key with one record in another state."""
        states = MappingProxyType({**self.states, kind: Standing(state, since)})
        work = RecordKind.ZRRSIG if self.is_zsk else RecordKind.KRRSIG
        starts = kind is work and state is RecordState.RUMOURED and self.active_at is None
        key = replace(self, states=states, active_at=since if starts else self.active_at)
        if kind is not RecordKind.DS:
            return key
        is_settled = state in (RecordState.OMNIPRESENT, RecordState.HIDDEN)
        return replace(key, is_request_open=not is_settled and self._is_unanswered)

    @property
    def _is_unanswered(self) -> bool:
        """Whether something was asked of the parent that it was not seen to have done."""
        state = self.state(RecordKind.DS)
        if state in (RecordState.HIDDEN, RecordState.OMNIPRESENT):
            return False
        is_seen = self.sighting is not None and self.sighting.is_present == (state in IN_ZONE)
        return self.is_request_open or not is_seen

    def sighted(self, look: Sighting) -> "Key":
        """The key after one more look at the parent.

        A contrary sighting begins anew, and so does the first one since something was asked of the parent: what was
        seen before tells nothing of what it did since. The TTL of what was there before still counts.
        """
        before = self.sighting
        if before is None:
            return replace(self, sighting=look)
        is_fresh = before.since <= self.states[RecordKind.DS].since
        return replace(self, sighting=before.followed(look, is_fresh=is_fresh))

    def served(self, now: int) -> "Key":
        """The key with `now` noted for all that was not known to be served, or withdrawn, everywhere."""
        states = {
            kind: one if one.served_at is not None or one.state not in ON_ITS_WAY else one._replace(served_at=now)
            for kind, one in self.states.items()
        }
        return replace(self, states=MappingProxyType(states))


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
