"""The next step in the life of a zone's keys, and what it waits for: pure, a function of keys, policy, TTLs and `now`.

A *move* takes one record of one key from one state to the next. Moves to OMNIPRESENT and to HIDDEN are facts about
caches, dated when they became true, and are taken whatever the goal; all others are decisions, dated `now`, and are
taken only where the rules of `rules` hold before and after. Other steps make keys, change a key's goal, or remove it.
Whoever carries a step out saves it and asks again, until there is only a Wait.

Nothing here follows a script for a kind of roll: a roll of a ZSK, KSK or CSK, of the algorithm or the scheme, turning
DNSSEC on and off, and any of them in the midst of another, all are what the goals, the rules and the times leave.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keys import rules
from keys.policy import KeySpec, Policy
from keys.providers import Provider
from keys.rules import is_hidden
from keys.states import IN_ZONE, ON_ITS_WAY, Goal, Key, RecordKind, RecordState
from keys.timing import Due, ServedTTLs, settled_at, successor_at

__all__ = [
    "Blocked",
    "Change",
    "Creation",
    "Move",
    "NewGoal",
    "Removal",
    "ServedTTLs",
    "Step",
    "Wait",
    "abort",
    "fits",
    "next_step",
    "not_before",
    "settle",
]

# ------------------------------------------------------------------ steps


@dataclass(frozen=True, slots=True)
class Move:
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


@dataclass(frozen=True, slots=True)
class Creation:
    """A new key is to be made by `spec`; it takes over from `predecessor`, which is then to go."""

    spec: KeySpec
    predecessor: Key | None
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class NewGoal:
    """A key is to stay, or to go."""

    key: Key
    goal: Goal
    reason: str


@dataclass(frozen=True, slots=True)
class Removal:
    """A key that no cache knows any more may be deleted."""

    key: Key
    reason: str


Change = Move | NewGoal | Removal
"""A step about a key that is there."""
Step = Change | Creation


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a record of a key stays as it is: what it is to become, what that waits for, and until when if that is known.

    `rules` are the safety rules it would break now.
    """

    key: Key
    kind: RecordKind | None
    to: RecordState | None
    reason: str
    until: int | None = None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done before `until`; None when only an event (a sealed version, a sighting) can change that."""

    until: int | None = None
    blocked: tuple[Blocked, ...] = ()


# ------------------------------------------------------------------ what is next


def next_step(
    keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int, providers: Sequence[Provider] = ()
) -> Step | Wait:
    """The one step to take now, or how long to wait. The same input gives the same answer.

    `providers` are others that sign the zone; what they are seen to publish is waited for.
    """
    newest = max((key.newest_event for key in keys), default=now)
    if now < newest:
        # The clock went back: every waiting time would be measured wrongly, so nothing moves until it is right again.
        return Wait(newest)
    ordered = sorted(keys, key=_age)
    # Keys that are gone wait to be removed, and have no part in anything else but the count of generations.
    alive = [key for key in ordered if key.goal is Goal.PRESENT or not is_hidden(key)]
    waits: list[Blocked] = []
    for look, seen in ((_next_fact, alive), (_next_goal, ordered), (_next_decision, alive), (_next_removal, ordered)):
        found = look(seen, policy, ttls, now, providers)
        if not isinstance(found, list):
            return found
        waits += found
    return Wait(min((wait.until for wait in waits if wait.until is not None), default=None), tuple(waits))


def settle(
    keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int, providers: Sequence[Provider] = ()
) -> tuple[list[Key], list[Change], Creation | Wait]:
    """All steps that are due now, one after another, up to the next key that has to be made; the keys after them."""
    current = {key.id: key for key in keys}
    steps: list[Change] = []
    while not isinstance(step := next_step(list(current.values()), policy, ttls, now, providers), Creation | Wait):
        steps.append(step)
        match step:
            case Move():
                current[step.key.id] = step.moved
            case NewGoal():
                current[step.key.id] = replace(step.key, goal=step.goal)
            case Removal():
                del current[step.key.id]
    return list(current.values()), steps, step


def abort(keys: Sequence[Key], key: Key, now: int, lifetime: int | None) -> list[Key]:
    """The keys after `key`, a successor on its way in, gives way again to the one it was to replace.

    The one that stays has another whole lifetime, or it would be replaced again at once. Raises ValueError where there
    is nothing to give way to.
    """
    old = next((one for one in keys if one.id == key.predecessor and one.successor == key.id), None)
    if old is None or key.goal is Goal.ABSENT:
        raise ValueError(f"the key {key.tag} is not on its way in as the successor of another key")
    if is_hidden(old) or old.state(RecordKind.DNSKEY) is RecordState.HIDDEN:
        raise ValueError(f"the key {key.tag} has replaced the key {old.tag} already; roll to a new key instead")
    retire_at = None if lifetime is None else now + lifetime
    stays = replace(old, goal=Goal.PRESENT, predecessor=key.id, successor=None, retire_at=retire_at)
    goes = replace(key, goal=Goal.ABSENT, predecessor=None, successor=old.id)
    return [{old.id: stays, key.id: goes}.get(one.id, one) for one in keys]


def not_before(keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, providers: Sequence[Provider] = ()) -> int | None:
    """When a DS of the zone may first be at the parent, also if that is past; None when that can't be known yet."""
    present = [key for key in keys if key.goal is Goal.PRESENT]
    moments = [_chain_at(key, present, policy, ttls, providers) for key in present if key.is_ksk]
    return min((moment for moment in moments if moment is not None), default=None)


def _chain_at(
    key: Key, keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, providers: Sequence[Provider]
) -> int | None:
    """When the key's own records, and the signatures over the zone, are certain to be in every cache."""
    own = [(key, kind) for kind in (RecordKind.DNSKEY, RecordKind.KRRSIG)]
    signers = [one for one in keys if one.is_zsk and one.algorithm == key.algorithm]
    chain = own + [(one, kind) for one in signers for kind in (RecordKind.DNSKEY, RecordKind.ZRRSIG)]
    moments = [_in_caches_at(one, kind, keys, policy, ttls, providers) for one, kind in chain]
    if not signers or None in moments:
        return None
    return max(moment for moment in moments if moment is not None)


def _in_caches_at(
    key: Key, kind: RecordKind, keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, providers: Sequence[Provider]
) -> int | None:
    standing = key.states[kind]
    if standing.state is RecordState.OMNIPRESENT:
        return standing.since
    return settled_at(key, kind, keys, policy, ttls, providers).at if standing.state is RecordState.RUMOURED else None


# ------------------------------------------------------------------ facts


_BECOMES: Final = {
    RecordState.RUMOURED: RecordState.OMNIPRESENT,
    RecordState.UNRETENTIVE: RecordState.HIDDEN,
    RecordState.SQUASHED: RecordState.HIDDEN,
}


def _next_fact(
    keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int, providers: Sequence[Provider]
) -> Move | list[Blocked]:
    """What caches have caught up with by now, the earliest first, so that it does not matter how often one looks.

    It counts whatever the goals are, or two keys on their way out could block each other.
    """
    due_now: list[Move] = []
    waits = []
    for key in keys:
        for kind, standing in key.states.items():
            becomes = _BECOMES.get(standing.state)
            on_its_way_in = standing.state is RecordState.RUMOURED
            if becomes is None or (on_its_way_in and _may_squash(key, kind, keys, policy, now)):
                continue
            due = settled_at(key, kind, keys, policy, ttls, providers)
            if due.at is not None and due.at <= now:
                due_now.append(Move(key, kind, becomes, due.at, f"waited {due.reason}"))
            else:
                waits.append(Blocked(key, kind, becomes, due.reason, due.at or _later(due, now)))
    return min(due_now, key=lambda move: move.since) if due_now else waits


def _later(due: Due, now: int) -> int | None:
    """When it may be seen to be over; no time that is past, at which only an event can tell."""
    return due.look_at if due.look_at is not None and due.look_at > now else None


def _may_squash(key: Key, kind: RecordKind, keys: Sequence[Key], policy: Policy, now: int) -> bool:
    """Whether a record on its way in can be withdrawn at once, before it counts as being in every cache."""
    if _is_dictated(kind, policy):
        return False
    return key.goal is Goal.ABSENT and not _forbidden(key, kind, RecordState.SQUASHED, keys, policy, now)


# ------------------------------------------------------------------ goals


def _next_goal(
    keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int, providers: Sequence[Provider]
) -> Step | list[Blocked]:
    """What keys the policy wants: one for each of its roles and algorithms, replaced in time, and no other."""
    if held := _held_by_providers(keys, policy, providers):
        return held
    if policy.is_dictated:
        return []
    wanted: set[str] = set()
    waits = []
    for spec in policy.keys:
        lines = [key for key in keys if key.goal is Goal.PRESENT and fits(key, spec)]
        if not lines:
            left = [key for key in keys if fits(key, spec) and key.successor is None and not is_hidden(key)]
            if left:
                return NewGoal(left[-1], Goal.PRESENT, "the policy wants it again")
            return _creation(keys, spec, _replaced(keys, spec), "the policy wants one")
        head = lines[-1]
        wanted.add(head.id)
        due = successor_at(head, spec, policy, ttls)
        if due is None:
            continue
        if head.retire_at is None and not _has_arrived(head):
            # A roll that the parent holds up is not followed by more of them; an operator may want one all the same.
            waits.append(Blocked(head, None, None, "until it has wholly arrived, which is before it can be replaced"))
        elif due <= now:
            return _creation(keys, spec, head, "the work of the one before ends")
        else:
            waits.append(Blocked(head, None, None, "until its successor is due", due))
    for key in keys:
        if key.goal is Goal.PRESENT and key.id not in wanted:
            reason = (
                "DNSSEC is turned off" if policy.is_insecure else "the policy wants no such key, or has a newer one"
            )
            return NewGoal(key, Goal.ABSENT, reason)
    return waits


def _held_by_providers(keys: Sequence[Key], policy: Policy, providers: Sequence[Provider]) -> list[Blocked]:
    """The keys as they are, while the policy wants other algorithms than another provider signs with.

    All of them have to sign with all algorithms (RFC 8901 section 4), and no other provider can be told when to.
    """
    wanted = {spec.algorithm for spec in policy.keys}
    others = [one for one in providers if wanted and one.algorithms and one.algorithms != wanted]
    if not others:
        return []
    names = " and ".join(one.name for one in others)
    reason = f"until {names} signs with the algorithms that the policy {policy.name} wants, or no longer signs the zone"
    return [Blocked(key, None, None, reason) for key in keys if key.goal is Goal.PRESENT]


def _has_arrived(key: Key) -> bool:
    return all(standing.state is RecordState.OMNIPRESENT for standing in key.states.values())


def _creation(keys: Sequence[Key], spec: KeySpec, predecessor: Key | None, reason: str) -> Creation:
    same = [key.generation for key in keys if _has_role(key, spec)]
    return Creation(spec, predecessor, max(same, default=-1) + 1, f"a {spec.role} is made: {reason}")


def _replaced(keys: Sequence[Key], spec: KeySpec) -> Key | None:
    """The key whose work a new one takes over: of the same role and algorithm, with no successor yet."""
    free = [key for key in keys if _has_role(key, spec) and key.successor is None and not is_hidden(key)]
    return free[-1] if free else None


def _has_role(key: Key, spec: KeySpec) -> bool:
    roles = (key.is_ksk, key.is_zsk) == (spec.role.is_ksk, spec.role.is_zsk)
    return roles and key.algorithm == spec.algorithm


def fits(key: Key, spec: KeySpec) -> bool:
    """Whether the key is one that `spec` wants."""
    is_long_enough = spec.bits is None or key.bits == spec.bits
    return _has_role(key, spec) and key.store == spec.store and is_long_enough


# ------------------------------------------------------------------ decisions


def _next_decision(
    keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int, providers: Sequence[Provider]
) -> Move | list[Blocked]:
    del ttls, providers
    waits = []
    for key in keys:
        for kind, standing in key.states.items():
            if _is_dictated(kind, policy):
                continue
            wanted = _wanted(key, kind, standing.state, keys)
            if isinstance(wanted, Due):
                waits.append(Blocked(key, kind, RecordState.RUMOURED, wanted.reason))
            elif wanted is not None:
                forbidden = _forbidden(key, kind, wanted, keys, policy, now)
                if not forbidden:
                    verb = "published" if wanted in IN_ZONE else "withdrawn"
                    return Move(key, kind, wanted, now, f"{kind} is {verb}, its key is to be {key.goal}")
                waits.append(Blocked(key, kind, wanted, "it would break a chain", rules=tuple(sorted(forbidden))))
    return waits


def _is_dictated(kind: RecordKind, policy: Policy) -> bool:
    """Whether a record comes and goes by signed key responses; what caches have of it is a fact all the same."""
    return policy.is_dictated and kind in (RecordKind.DNSKEY, RecordKind.KRRSIG)


def _wanted(key: Key, kind: RecordKind, state: RecordState, keys: Sequence[Key]) -> RecordState | Due | None:
    """The state that the goal wants next by a decision; a Due where the method has another record come first."""
    if key.goal is Goal.ABSENT:
        return {RecordState.OMNIPRESENT: RecordState.UNRETENTIVE, RecordState.RUMOURED: RecordState.SQUASHED}.get(state)
    if state in IN_ZONE:
        return None
    if state is RecordState.HIDDEN and (first := _comes_first(key, kind, keys)):
        return Due(None, first)
    return RecordState.RUMOURED


def _comes_first(key: Key, kind: RecordKind, keys: Sequence[Key]) -> str | None:
    """What has to come before a record is published; this shapes a roll, and its safety does not hang on it."""
    dnskey = key.state(RecordKind.DNSKEY)
    match kind:
        case RecordKind.KRRSIG if dnskey is RecordState.HIDDEN:
            return "until its DNSKEY is published"
        case RecordKind.DS if dnskey is not RecordState.OMNIPRESENT:
            return "until its DNSKEY is in every cache"
        case RecordKind.ZRRSIG if dnskey is not RecordState.OMNIPRESENT and rules.has_signer(keys, key.algorithm):
            return "until its DNSKEY is in every cache, as others sign the zone"
    return None


def _forbidden(
    key: Key, kind: RecordKind, state: RecordState, keys: Sequence[Key], policy: Policy, now: int
) -> frozenset[str]:
    after = [key.moved(kind, state, now) if one.id == key.id else one for one in keys]
    is_strict = policy.algorithm_roll == "strict"
    return rules.forbids(keys, after, is_strict=is_strict, may_lose_ds=policy.is_insecure)


# ------------------------------------------------------------------ removals


def _next_removal(
    keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int, providers: Sequence[Provider]
) -> Removal | list[Blocked]:
    del ttls, providers
    waits = []
    for key in keys:
        if key.goal is Goal.ABSENT and is_hidden(key):
            due = max(standing.since for standing in key.states.values()) + policy.purge_after
            if due <= now:
                return Removal(key, "no cache has had anything of it for as long as the policy keeps keys")
            waits.append(Blocked(key, None, None, "until it may be deleted", due))
    return waits


def _age(key: Key) -> tuple[int, int, bool, str]:
    return (key.created_at, key.generation, not key.is_ksk, key.id)


def is_signed(keys: Iterable[Key]) -> bool:
    """Whether the zone is to be served with signatures: some key has a record in it."""
    return any(key.is_published(kind) for key in keys for kind in key.states if kind is not RecordKind.DS)


def is_asking(keys: Iterable[Key]) -> bool:
    """Whether something is asked of the parent that is not in every cache yet."""
    return any(key.state(RecordKind.DS) in ON_ITS_WAY for key in keys)
