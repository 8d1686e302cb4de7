"""How steps in the life of keys are carried out: keys made, moved, marked as served, taken over, and all of it saved.

The order that keeps every chain whole: `advance` in the transaction before a version is planned, `served` in the one
that seals that version, `advance` again whenever its Wait ends, and a new version when a step changes the zone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine import key_tag, name_to_text
from keys import adoption, private, rollover, store
from keys.errors import KeysError, KeySetError
from keys.policy import Policy
from keys.providers import Provider, foreign_keys
from keys.rollover import Change, Creation, Move, NewGoal, Removal, ServedTTLs, Step, Wait, fits, settle
from keys.states import Goal, Key, Provenance, Sharing, Sighting, hidden_states, key_id

Zone = tuple[bytes, str]
"""Origin and view."""

_ATTEMPTS = 100
_MOST_CREATIONS = 32


@dataclass(frozen=True, slots=True)
class Progress:
    """The keys after all steps that were due, the steps, and what to wait for."""

    keys: list[Key]
    steps: list[Step]
    wait: Wait


def advance(
    tx: store.Transaction,
    vault: private.Vault,
    zone: Zone,
    keys: Sequence[Key],
    policy: Policy,
    ttls: ServedTTLs,
    now: int,
    providers: Sequence[Provider] = (),
) -> Progress:
    """Take and save all steps that are due; a zone that has no keys yet gets those its policy wants.

    No new key has a tag of those of other providers.
    """
    done: list[Step] = []
    for _ in range(_MOST_CREATIONS):
        keys, steps, end = settle(keys, policy, ttls, now, providers)
        for step in steps:
            _save(tx, step, now)
        done += steps
        if isinstance(end, Wait):
            return Progress(keys, done, end)
        done.append(end)
        keys = _created(tx, vault, zone, keys, policy, end, now, foreign_keys(providers))
    raise KeysError(f"{name_to_text(zone[0])}: its policy wants ever more keys")


def served(tx: store.Transaction, keys: Iterable[Key], now: int) -> list[Key]:
    """The keys after noting that all servers of the zone can have what these states say: waiting times start here.

    `keys` are as they were when the version was planned that now is sealed; what moved since is not noted.
    """
    return [store.mark_served(tx, key, now) for key in keys]


def sighted(tx: store.Transaction, key: Key, sighting: Sighting) -> Key:
    """The key after noting what the parent was seen to have of it."""
    seen = key.sighted(sighting)
    store.record_sighting(tx, key, seen.sighting or sighting)
    return seen


def roll(tx: store.Transaction, key: Key, at: int, reason: str, now: int) -> Key:
    """The key after an operator decided that its work ends `at`; its successor comes in time, or as soon as it can."""
    key = replace(key, retire_at=at)
    store.update(tx, key, "retirement", str(at), reason, now)
    return key


def abort(tx: store.Transaction, keys: Sequence[Key], key: Key, policy: Policy, now: int) -> list[Key]:
    """The keys after a roll was taken back (`rollover.abort`). Raises KeySetError where it can't be."""
    lifetime = next((spec.lifetime for spec in policy.keys if spec.algorithm == key.algorithm), None)
    try:
        after = rollover.abort(keys, key, now, lifetime)
    except ValueError as error:
        raise KeySetError(name_to_text(key.origin), str(error)) from error
    before = {one.id: one for one in keys}
    for one in after:
        if one != before[one.id]:
            store.update(tx, one, "goal", one.goal, "the roll is taken back", now)
    return after


def _save(tx: store.Transaction, step: Change, now: int) -> None:
    match step:
        case Move():
            store.save_move(tx, step.key, step.moved, step.kind, step.reason, now)
        case NewGoal():
            store.update(tx, replace(step.key, goal=step.goal), "goal", step.goal, step.reason, now)
        case Removal():
            store.delete(tx, step.key, step.reason, now)


def _created(
    tx: store.Transaction,
    vault: private.Vault,
    zone: Zone,
    keys: Sequence[Key],
    policy: Policy,
    creation: Creation,
    now: int,
    foreign: Sequence[Key],
) -> list[Key]:
    """All keys, with the new one; the one it replaces is to go, and both know each other."""
    taken = frozenset(tag for key in (*keys, *foreign) for tag in private.tags_of(key.dnskey))
    shared = _of_others(tx, zone, policy, creation, taken) if creation.spec.shared else None
    if shared is not None:
        part = vault.open(shared.id, store.pkcs8(tx, shared.id))
        new = replace(_fresh(zone, shared.dnskey, creation, now), sharing=shared.sharing)
    else:
        new, part = new_key(vault, zone, creation, now, taken)
        new = replace(new, sharing=Sharing(policy.name, now) if creation.spec.shared else None)
    old = creation.predecessor
    if old is not None:
        new = replace(new, predecessor=old.id)
        old = replace(old, goal=Goal.ABSENT, successor=new.id)
        store.update(tx, old, "goal", old.goal, f"the key {new.tag} takes over", now)
    store.insert(tx, new, vault.seal(new.id, part), reason=creation.reason)
    return [old if old is not None and key.id == old.id else key for key in keys] + [new]


def adopt(
    tx: store.Transaction, vault: private.Vault, zone: Zone, imported: Sequence[private.ImportedKey], now: int
) -> list[Key]:
    """The zone's keys after taking over the operator's own; keys made here that nobody ever saw give way to them.

    They count as published from now on, as the zone had them before; waiting times start when they are served here. A
    zone that is served with keys made here rolls over to them. Raises KeySetError when the zone would have keys that
    can't sign it together, KeyImportError for a wrong one.
    """
    present = [key for key in store.load(tx, *zone) if key.provenance is Provenance.IMPORTED or key.served_before]
    known = {key.dnskey: key for key in present}
    fresh = [one for one in imported if one.dnskey not in known]
    for known_one in (one for one in imported if one.dnskey in known):
        _take_back(tx, vault, known[known_one.dnskey], known_one)
    if not fresh:
        return present
    if any(key.provenance is not Provenance.IMPORTED for key in present):
        return _roll_over(tx, vault, zone, present, fresh, now)
    adopted = adoption.keys_of(zone, present, fresh, now)
    for key in store.load(tx, *zone):
        if key.id not in {one.id for one in adopted}:
            store.delete(tx, key, "gave way to imported keys before anyone saw it", now)
    for key in adopted:
        one = next((one for one in fresh if one.dnskey == key.dnskey), None)
        if one is None:
            store.update_states(tx, key, "role after import", now)
        else:
            store.insert(tx, key, vault.seal(key.id, one.pkcs8), one.timing)
    return adopted


def _take_back(tx: store.Transaction, vault: private.Vault, key: Key, one: private.ImportedKey) -> None:
    """The private part of a key that was offline is here again."""
    if private.is_offline(vault, key.id, store.pkcs8(tx, key.id)):
        store.replace_pkcs8(tx, [(key.id, vault.seal(key.id, one.pkcs8))])


def _roll_over(
    tx: store.Transaction,
    vault: private.Vault,
    zone: Zone,
    present: Sequence[Key],
    fresh: Sequence[private.ImportedKey],
    now: int,
) -> list[Key]:
    """The zone's keys after a roll from keys made here to imported ones has begun."""
    pairs = adoption.successors_of(zone, present, fresh, now)
    parts = {one.dnskey: one for one in fresh}
    for new, old in pairs:
        one = parts[new.dnskey]
        store.insert(tx, new, vault.seal(new.id, one.pkcs8), one.timing)
        store.update(tx, old, "goal", old.goal, f"the imported key {new.tag} takes over", now)
    going = {old.id: old for _, old in pairs}
    return [going.get(key.id, key) for key in present] + [new for new, _ in pairs]


def new_key(
    vault: private.Vault, zone: Zone, creation: Creation, now: int, taken: frozenset[int] = frozenset()
) -> tuple[Key, bytes]:
    """A key that nobody has seen, and its private part; its tags are none of `taken`."""
    flags = private.CSK_FLAGS if creation.spec.role.is_ksk else private.ZSK_FLAGS
    for _ in range(_ATTEMPTS):
        part, dnskey = private.make(vault, creation.spec, flags)
        if not private.tags_of(dnskey) & taken:
            break
        private.discard(vault, part)
    else:
        raise KeysError(f"no unused key tag in {_ATTEMPTS} attempts")
    return _fresh(zone, dnskey, creation, now), part


def _of_others(
    tx: store.Transaction, zone: Zone, policy: Policy, creation: Creation, taken: frozenset[int]
) -> Key | None:
    """The newest key that other zones of the policy have in common, newer than the one to be replaced.

    None where this zone is the first that needs one, or where its tags are taken here.
    """
    old = creation.predecessor
    since = old.sharing.since if old is not None and old.sharing is not None else -1
    key = store.newest_shared(tx, zone[1], policy.name, creation.spec, since)
    is_usable = key is not None and fits(key, creation.spec) and not private.tags_of(key.dnskey) & taken
    return key if is_usable else None


def _fresh(zone: Zone, dnskey: bytes, creation: Creation, now: int) -> Key:
    """A key as it begins in a zone, where nobody has seen it."""
    origin, view = zone[0].lower(), zone[1]
    role = creation.spec.role
    return Key(
        id=key_id(origin, view, dnskey),
        origin=origin,
        view=view,
        algorithm=creation.spec.algorithm,
        is_ksk=role.is_ksk,
        is_zsk=role.is_zsk,
        dnskey=dnskey,
        tag=key_tag(dnskey),
        goal=Goal.PRESENT,
        states=hidden_states(is_ksk=role.is_ksk, is_zsk=role.is_zsk, since=now),
        created_at=now,
        generation=creation.generation,
        store=creation.spec.store,
    )
