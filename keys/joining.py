"""How the keys of another provider come into the zone and leave it again (RFC 8901 section 6.2): pure, moves by time.

A foreign key is published from when it is added. It is taken out when its provider no longer signs with it, in an
operator's word, and no cache can have what it signed; an anchor's DS goes first, and its DNSKEY when no cache has that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from keys.policy import Policy
from keys.providers import Provider
from keys.rollover import Blocked, Move, Removal, ServedTTLs
from keys.states import IN_ZONE, ON_ITS_WAY, Goal, Key, RecordKind, RecordState
from keys.timing import forgotten_after, settled_at

_BECOMES: Final = {RecordState.RUMOURED: RecordState.OMNIPRESENT}
_LEAVES: Final = {
    RecordState.OMNIPRESENT: RecordState.UNRETENTIVE,
    RecordState.RUMOURED: RecordState.SQUASHED,
}


@dataclass(frozen=True, slots=True)
class Joined:
    """A provider after all steps that were due, the steps, what its keys wait for, and when to look again."""

    provider: Provider
    steps: tuple[Move | Removal, ...]
    waits: tuple[Blocked, ...]
    until: int | None


def settle(provider: Provider, ours: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int) -> Joined:
    """All steps of a provider's keys that are due; the same input gives the same answer."""
    newest = max((key.newest_event for key in provider.keys), default=now)
    if now < newest:
        # The clock went back: nothing moves until it is right again.
        return Joined(provider, (), (), newest)
    steps: list[Move | Removal] = []
    waits: list[Blocked] = []
    keys = []
    for key in provider.keys:
        current: Key | None = key
        while current is not None:
            found = _next(current, provider, ours, policy, ttls, now)
            if isinstance(found, list):
                waits += found
                keys.append(current)
                break
            steps.append(found)
            current = found.moved if isinstance(found, Move) else None
    until = min((one.until for one in waits if one.until is not None), default=None)
    return Joined(replace(provider, keys=tuple(keys)), tuple(steps), tuple(waits), until)


def released_at(key: Key, provider: Provider, policy: Policy, ttls: ServedTTLs) -> int | None:
    """When no cache can have what a key on its way out signed; None for one that stays."""
    if key.goal is Goal.PRESENT or key.retire_at is None:
        return None
    return key.retire_at + forgotten_after(provider, policy, ttls)


def _next(
    key: Key, provider: Provider, ours: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int
) -> Move | Removal | list[Blocked]:
    if key.goal is Goal.ABSENT and key.state(RecordKind.DNSKEY) is RecordState.HIDDEN:
        return Removal(key, "no cache has anything of it")
    waits = []
    released = released_at(key, provider, policy, ttls)
    for kind, standing in key.states.items():
        wanted = _wanted(key, kind)
        if wanted is not None and released is not None and now < released:
            reason = f"until no cache has anything that {provider.name} signed with it"
            waits.append(Blocked(key, kind, wanted, reason, released))
        elif wanted is not None:
            verb = "published" if wanted in IN_ZONE else "withdrawn"
            return Move(key, kind, wanted, now, f"{kind} is {verb}, the key of {provider.name} is to be {key.goal}")
        if standing.state not in ON_ITS_WAY:
            continue
        becomes = _BECOMES.get(standing.state, RecordState.HIDDEN)
        due = settled_at(key, kind, [*ours, key], policy, ttls)
        if due.at is not None and due.at <= now:
            return Move(key, kind, becomes, due.at, f"waited {due.reason}")
        look_at = due.look_at if due.look_at is not None and due.look_at > now else None
        waits.append(Blocked(key, kind, becomes, due.reason, due.at or look_at))
    return waits


def _wanted(key: Key, kind: RecordKind) -> RecordState | None:
    """The state that the goal wants next, whatever the time."""
    state = key.state(kind)
    if key.goal is Goal.PRESENT:
        return None if state in IN_ZONE else RecordState.RUMOURED
    if kind is RecordKind.DNSKEY and key.state(RecordKind.DS) is not RecordState.HIDDEN:
        return None  # CDS may only be of a DNSKEY that is there (RFC 7344 section 4.1)
    return _LEAVES.get(state)
