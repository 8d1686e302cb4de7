"""What an operator's own keys become when they are imported: their roles as a set, and the states they start in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from engine import name_to_text
from keys.errors import KeyImportError, KeySetError
from keys.private import ImportedKey
from keys.states import (
    Goal,
    Key,
    Provenance,
    RecordKind,
    RecordState,
    Standing,
    hidden_states,
    key_id,
    kinds_of,
)


def keys_of(zone: tuple[bytes, str], present: Sequence[Key], imported: Sequence[ImportedKey], now: int) -> list[Key]:
    """The zone's whole key set, those already there first. Raises KeySetError, KeyImportError."""
    adopted = [*present, *(_key(zone, one, now) for one in imported)]
    for algorithm in {key.algorithm for key in adopted}:
        adopted = _with_roles(zone, adopted, algorithm, now)
    if not any(key.goal is Goal.PRESENT for key in adopted):
        raise KeySetError(name_to_text(zone[0]), "by their times all of the imported keys are retired")
    return adopted


def successors_of(
    zone: tuple[bytes, str], present: Sequence[Key], imported: Sequence[ImportedKey], now: int
) -> list[tuple[Key, Key]]:
    """Imported keys that keys made here roll over to, each with the one it replaces, both linked.

    Nobody has seen them yet: they come in as any successor does. Raises KeySetError, KeyImportError.
    """
    name = name_to_text(zone[0])
    pairs: list[tuple[Key, Key]] = []
    for one in imported:
        replaced = {old.id for _, old in pairs}
        old = next((key for key in present if _gives_way(key, one) and key.id not in replaced), None)
        if old is None:
            kind = "key signing key" if one.is_sep else "zone signing key alone"
            reason = f"no {kind} of algorithm {one.algorithm} is at work here that key {one.tag} could replace"
            raise KeySetError(name, f"{reason}; give it a policy of that algorithm and role first")
        if any(one.tag == key.tag and one.algorithm == key.algorithm for key in present):
            raise KeySetError(name, f"another key of tag {one.tag} and algorithm {one.algorithm} is here")
        states = hidden_states(is_ksk=old.is_ksk, is_zsk=old.is_zsk, since=now)
        new = replace(
            _key(zone, one, now),
            goal=Goal.PRESENT,
            is_ksk=old.is_ksk,
            is_zsk=old.is_zsk,
            states=states,
            predecessor=old.id,
            generation=old.generation + 1,
        )
        pairs.append((new, replace(old, goal=Goal.ABSENT, successor=new.id)))
    return pairs


def _gives_way(key: Key, one: ImportedKey) -> bool:
    is_at_work = key.goal is Goal.PRESENT and key.successor is None
    return is_at_work and key.algorithm == one.algorithm and key.is_ksk == one.is_sep


def _key(zone: tuple[bytes, str], one: ImportedKey, now: int) -> Key:
    origin, view = zone[0].lower(), zone[1]
    if one.owner != origin:
        raise KeyImportError(one.file, f"a key of {name_to_text(one.owner)}, not of {name_to_text(origin)}")
    deleted = one.timing.get("Delete")
    if deleted is not None and deleted <= now:
        raise KeyImportError(one.file, f"the key was to be deleted at {deleted}, now is {now}")
    retired = one.timing.get("Inactive")
    goal = Goal.ABSENT if retired is not None and retired <= now else Goal.PRESENT
    return Key(
        id=key_id(origin, view, one.dnskey),
        origin=origin,
        view=view,
        algorithm=one.algorithm,
        is_ksk=one.is_sep,
        is_zsk=not one.is_sep,
        dnskey=one.dnskey,
        tag=one.tag,
        goal=goal,
        states=_states(is_ksk=one.is_sep, is_zsk=not one.is_sep, goal=goal, now=now),
        created_at=now,
        provenance=Provenance.IMPORTED,
    )


def _with_roles(zone: tuple[bytes, str], keys: Sequence[Key], algorithm: int, now: int) -> list[Key]:
    """Per algorithm: key and zone signing keys as marked, or, with none to sign the zone, the former do both."""
    own = [key for key in keys if key.algorithm == algorithm and key.goal is Goal.PRESENT]
    if own and not any(key.is_ksk for key in own):
        reason = f"algorithm {algorithm} has zone signing keys only; import its key signing key with them"
        raise KeySetError(name_to_text(zone[0]), reason)
    if any(key.is_zsk for key in own):
        return list(keys)
    return [_as_csk(key, now) if key in own else key for key in keys]


def _as_csk(key: Key, now: int) -> Key:
    states = _states(is_ksk=True, is_zsk=True, goal=key.goal, now=now)
    return replace(key, is_zsk=True, states=MappingProxyType({**states, **key.states}))


def _states(*, is_ksk: bool, is_zsk: bool, goal: Goal, now: int) -> Mapping[RecordKind, Standing]:
    """Published since the import, as the zone already was; the parent is taken to have the DS, until it is seen not to.

    A retired key keeps its DNSKEY, and its signature over the keys since a DS may still point to it; it signs no more
    of the zone, but signatures that it made before may be in caches.
    """
    states = dict.fromkeys(kinds_of(is_ksk=is_ksk, is_zsk=is_zsk), RecordState.RUMOURED)
    if is_zsk and goal is Goal.ABSENT:
        states[RecordKind.ZRRSIG] = RecordState.UNRETENTIVE
    return MappingProxyType({kind: Standing(states[kind], now) for kind in RecordKind if kind in states})
