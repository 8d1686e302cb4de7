"""The next step in the life of a zone's keys, and what it waits for: pure, a function of keys, policy, TTLs and `now`.

A step moves one record of one key from one state to the next. Moves to OMNIPRESENT and to HIDDEN are facts about
caches, dated when they became true; all others are decisions, dated `now`. Whoever carries a step out saves it and
asks again, until there is only a Wait.

Limits: keys are introduced; a key whose goal is ABSENT stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keys.policy import Policy
from keys.states import CHAIN_KINDS, Goal, Key, RecordKind, RecordState


@dataclass(frozen=True, slots=True)
class ServedTTLs:
    """The largest TTLs ever served that some cache may still count down: of DNSKEY, of any RRset, of denial."""

    dnskey: int = 0
    zone_max: int = 0
    negative: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One record of one key changes its state; `since` is when."""

    key: Key
    kind: RecordKind
    state: RecordState
    since: int
    reason: str

    @property
    def moved(self) -> Key:
        """The key after the step."""
        return self.key.moved(self.kind, self.state, self.since)

    @property
    def changes_zone(self) -> bool:
        """Whether the zone's records or signatures are others after it, so that a new version is due."""
        return self.state is not RecordState.OMNIPRESENT and self.state is not RecordState.HIDDEN


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done before `until`; None when only an event (a first answer, a DS) can change that."""

    until: int | None = None


def next_step(keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int) -> Step | Wait:
    """The one step to take now, or how long to wait. The same input gives the same answer."""
    newest = max((key.newest_event for key in keys), default=now)
    if now < newest:
        # The clock went back: every waiting time would be measured wrongly, so nothing moves until it is right again.
        return Wait(newest)
    waits: list[int] = []
    for key in sorted(keys, key=lambda key: (key.created_at, key.id)):
        for kind in key.states:
            move = _move(key, kind, keys, policy, ttls, now)
            if isinstance(move, Step):
                return move
            if move.until is not None:
                waits.append(move.until)
    return Wait(min(waits, default=None))


def settle(keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int) -> tuple[list[Key], list[Step], Wait]:
    """All steps that are due now, one after another; the keys after them; what to wait for then."""
    current = {key.id: key for key in keys}
    steps: list[Step] = []
    while isinstance(step := next_step(list(current.values()), policy, ttls, now), Step):
        current[step.key.id] = step.moved
        steps.append(step)
    return list(current.values()), steps, step


def omnipresent_at(key: Key, kind: RecordKind, policy: Policy, ttls: ServedTTLs) -> int | None:
    """When a published record is, or was, certain to be in every cache; None while it can't be known.

    The waiting time starts when the record was first served, not when it was decided to serve it.
    """
    standing = key.states.get(kind)
    if standing is None or standing.state not in (RecordState.RUMOURED, RecordState.OMNIPRESENT):
        return None
    if standing.state is RecordState.OMNIPRESENT:
        return standing.since
    if kind is RecordKind.DS or key.active_at is None:
        return None
    return max(standing.since, key.active_at) + _spread(key, kind, policy, ttls)


def _spread(key: Key, kind: RecordKind, policy: Policy, ttls: ServedTTLs) -> int:
    """How long after its publication caches may still hold an RRset without the record (RFC 7583 section 3.2)."""
    # The first DNSKEY of a zone also has to outlive "there is no DNSKEY" (RFC 2308 section 5).
    denied = ttls.negative if key.predecessor is None else 0
    if kind is RecordKind.ZRRSIG:
        replaces_lazily = key.predecessor is not None or key.successor is not None
        signing_delay = policy.validity - policy.refresh + policy.retire_safety if replaces_lazily else 0
        return max(ttls.zone_max, ttls.negative) + policy.propagation_delay + signing_delay
    return max(policy.dnskey_ttl, ttls.dnskey, denied) + policy.propagation_delay + policy.publish_safety


def chain_of(key: Key, keys: Sequence[Key]) -> list[tuple[Key, RecordKind]]:
    """All that has to be omnipresent before a DS may point to `key`: its own records, and who signs the zone for it."""
    own = [(key, kind) for kind in CHAIN_KINDS if kind in key.states]
    if key.is_zsk:
        return own
    signers = [one for one in keys if one.is_zsk and one.goal is Goal.PRESENT and one.algorithm == key.algorithm]
    # With nobody to sign the zone, the key itself would have to, which it doesn't: never complete.
    return own + [(one, kind) for one in signers or [key] for kind in (RecordKind.DNSKEY, RecordKind.ZRRSIG)]


def _move(key: Key, kind: RecordKind, keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int) -> Step | Wait:
    state = key.state(kind)
    if state is RecordState.RUMOURED:
        return _arrival(key, kind, policy, ttls, now)
    if key.goal is Goal.PRESENT and state is RecordState.HIDDEN and _may_publish(key, kind, keys):
        return Step(key, kind, RecordState.RUMOURED, now, f"{kind} is published")
    return Wait()


def _arrival(key: Key, kind: RecordKind, policy: Policy, ttls: ServedTTLs, now: int) -> Step | Wait:
    """The fact that a published record is by now in every cache; it fires on time whatever the goal."""
    due = omnipresent_at(key, kind, policy, ttls)
    if due is None or due > now:
        return Wait(due)
    return Step(key, kind, RecordState.OMNIPRESENT, due, f"{kind} was published long enough")


def _may_publish(key: Key, kind: RecordKind, keys: Sequence[Key]) -> bool:
    """The order in which a first key's records appear; the zone has no other key that it could be in the way of."""
    if kind is RecordKind.DS:
        # Never earlier: a resolver that sees the DS and has an unsigned RRset cached would call it bogus.
        return all(one.is_omnipresent(needed) for one, needed in chain_of(key, keys))
    return kind is RecordKind.DNSKEY or key.is_published(RecordKind.DNSKEY)
