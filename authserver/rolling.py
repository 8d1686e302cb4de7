"""Rollovers for people: why a zone's keys wait, what comes, and the deeds that change it, of one state.

Everything is told from the state alone, so that it is the same with and without a running server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from authserver.control import ControlError
from authserver.publication import ZoneKey
from authserver.state import State
from authserver.timeline import timeline
from engine import EngineError, name_from_text, name_to_text, rdata_to_text
from keys import introduction, joining, offline, providerstore, store
from keys.ds import ds_rdatas, leaves, with_ds
from keys.errors import KeysError
from keys.forecast import PARENT_DELAY, Event, forecast
from keys.ksr import Section, shown
from keys.policy import Policy, duration_text
from keys.providers import Provider, foreign_keys
from keys.rollover import Blocked, Creation, Move, NewGoal, ServedTTLs, Wait, next_step
from keys.states import IN_ZONE, ON_ITS_WAY, Goal, Key, RecordKind, Sighting
from signer.ttls import served_ttls

Facts = dict[str, Any]
Arguments = Mapping[str, Any]

DS: Final = 43
DNSKEY: Final = 48
DAY: Final = 86400
LONGEST_PLAN: Final = 20 * 366 * DAY
SEEN_BY_HAND: Final = 2**40
"""What an operator says of the parent holds until something else is seen."""

LOOKS: Final = ("key.why", "key.plan", "key.timeline")
DEEDS: Final = ("key.roll", "key.abort", "key.confirm")


def carry_out(command: str, state: State, arguments: Arguments, now: int) -> Any:
    """The facts that a command gives. Raises ControlError."""
    commands: Mapping[str, Callable[[State, ZoneKey, Arguments, int], Any]] = {
        "key.why": _why,
        "key.plan": _plan,
        "key.timeline": _timeline,
        "key.roll": _roll,
        "key.abort": _abort,
        "key.confirm": _confirm,
    }
    return commands[command](state, named(arguments), arguments, now)


def named(arguments: Arguments) -> ZoneKey:
    """The zone that the arguments name. Raises ControlError."""
    zone, view = arguments.get("zone"), arguments.get("view")
    if not isinstance(zone, str) or not zone:
        raise ControlError("a zone has to be named")
    try:
        return ZoneKey(name_from_text(zone).lower(), view if isinstance(view, str) else "")
    except EngineError as error:
        raise ControlError(f"{zone!r} is no zone's name: {error}") from error


# ------------------------------------------------------------------ what is, and what comes


class Stand(NamedTuple):
    """What is known of a zone's keys, and of the other providers that sign it."""

    keys: list[Key]
    policy: Policy
    ttls: ServedTTLs
    providers: tuple[Provider, ...]

    @property
    def foreign(self) -> list[Key]:
        """The keys of the other providers."""
        return foreign_keys(self.providers)


def stand(state: State, zone: ZoneKey, now: int) -> Stand:
    """How it stands. Raises ControlError for a zone without keys."""
    with state.reader() as tx:
        keys = store.load(tx, *zone)
        policy = store.policy_of(tx, *zone)
        providers = providerstore.load(tx, zone)
        ttls = served_ttls(tx, *zone, [*keys, *foreign_keys(providers)], now)
    if not keys:
        raise ControlError(f"{zone}: no key; it was never served with dnssec")
    return Stand(keys, policy, ttls, providers)


def _why(state: State, zone: ZoneKey, _: Arguments, now: int) -> Facts:
    known = stand(state, zone, now)
    keys, policy, ttls, providers = known
    step = next_step(keys, policy, ttls, now, providers)
    waits = list(step.blocked) if isinstance(step, Wait) else []
    waits += [one for provider in providers for one in joining.settle(provider, keys, policy, ttls, now).waits]
    ahead = _signed_ahead(state, zone) if policy.offline_ksk else []
    return {
        "zone": name_to_text(zone.origin),
        "view": zone.view,
        "policy": policy.name,
        "next_look_at": step.until if isinstance(step, Wait) else now,
        "due": None if isinstance(step, Wait) else _said(step),
        "waits": [_blocked_facts(one) for one in waits],
        "parent_seen": [_seen_facts(key) for key in keys if key.sighting is not None],
        "signed_ahead": [{"since": one.since, "expiration": one.expiration} for one in ahead],
        "to_do": [
            *to_do_at_parent(zone, known),
            *(line for one in providers for line in to_do_there(zone, known, one)),
            *_to_ask(zone, policy, ahead, now),
        ],
    }


def seen_by(key: Key) -> str | None:
    """Who says what the parent has of a key: its servers, or an operator by `key confirm`."""
    if key.sighting is None:
        return None
    return "operator" if key.sighting.is_word else "servers"


def _seen_facts(key: Key) -> Facts:
    assert key.sighting is not None
    seen = key.sighting
    return {"tag": key.tag, "role": key.role, "present": seen.is_present, "since": seen.since, "by": seen_by(key)}


def _signed_ahead(state: State, zone: ZoneKey) -> list[Section]:
    with state.reader() as tx:
        return offline.responses(tx, zone)


def _to_ask(zone: ZoneKey, policy: Policy, ahead: Sequence[Section], now: int) -> list[str]:
    """What an offline KSK is to be asked for, when what it signed ends soon."""
    ends_at = max((one.expiration for one in ahead), default=now)
    if not policy.offline_ksk or ends_at - policy.validity > now:
        return []
    name = name_to_text(zone.origin)
    return [
        f"what the offline KSK signed ends at {shown(ends_at)}; then the zone is bogus:",
        f"zonewright key ksr {name} --until 90d, and zonewright key import-skr {name} FILE",
    ]


def _blocked_facts(one: Blocked) -> Facts:
    return {
        "tag": one.key.tag,
        "role": one.key.role,
        "record": one.kind and str(one.kind),
        "state": one.kind and str(one.key.state(one.kind)),
        "to": one.to and str(one.to),
        "reason": one.reason,
        "until": one.until,
        "rules": list(one.rules),
    }


def to_do_at_parent(zone: ZoneKey, known: Stand) -> list[str]:
    """What only the parent can do, and how; exact, so that it can be copied."""
    keys, policy, *_ = known
    asking = filter(_is_asking, (*keys, *known.foreign))
    late = [key for key in asking if not _is_as_asked(key)]
    if not late:
        return []
    name = name_to_text(zone.origin)
    wanted = ds_rdatas(with_ds(keys, known.foreign), policy.digests)
    is_to_lose_all = any(map(leaves, keys)) and all(key.goal is Goal.ABSENT for key in keys)
    if not wanted and not is_to_lose_all:
        return []  # nothing is to be asked yet, and a DS that is there has to stay
    records = [f"{name} {policy.parent_ds_ttl} IN DS {rdata_to_text(DS, rdata)}" for rdata in wanted]
    have = "the parent is to have exactly these DS records:" if records else "the parent is to have no DS record"
    confirm = f"it is looked for where `parent` says how; or tell it: zonewright key confirm {name}"
    return [have, *records, confirm]


def to_do_there(zone: ZoneKey, known: Stand, provider: Provider) -> list[str]:
    """What another provider has to do about our keys, and how to say that it has."""
    ours = [key for key in known.keys if key.is_published(RecordKind.DNSKEY)]
    missing = [key for key in ours if key.is_zsk and not is_seen_at(provider, key)]
    if not missing or provider.leaves_at is not None:
        return []
    name = name_to_text(zone.origin)
    return [
        f"{provider.name} is to have exactly these DNSKEY records beside its own, and CDS of those with flags 257:",
        *(f"{name} {known.policy.dnskey_ttl} IN DNSKEY {rdata_to_text(DNSKEY, key.dnskey)}" for key in ours),
        f"when all of its servers have them: zonewright key provider confirm {name} {provider.name}",
    ]


def is_seen_at(provider: Provider, key: Key) -> bool:
    """Whether a provider is known to publish a key of ours."""
    seen = provider.seen.get(key.dnskey)
    return seen is not None and seen.is_present


def _is_as_asked(key: Key) -> bool:
    return key.sighting is not None and key.sighting.is_present == (key.state(RecordKind.DS) in IN_ZONE)


def _plan(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> Facts:
    keys, policy, ttls, providers = stand(state, zone, now)
    until = now + min(int(arguments.get("seconds") or 365 * DAY), LONGEST_PLAN)
    delay = arguments.get("parent_delay")
    parent_delay = PARENT_DELAY if delay is None else int(delay)
    events = forecast(keys, policy, ttls, now, until, parent_delay, providers)
    return {
        "zone": name_to_text(zone.origin),
        "view": zone.view,
        "policy": policy.name,
        "until": until,
        "assumed": f"policy and TTLs stay, the parent does what is asked after {duration_text(parent_delay)}"
        + (", other providers publish our keys at once" if providers else ""),
        "events": [_event_facts(event, keys) for event in events],
    }


def _event_facts(event: Event, known: Sequence[Key]) -> Facts:
    is_known = any(key.id == event.key.id for key in known)
    return {
        "at": event.at,
        "tag": event.key.tag if is_known else None,
        "role": event.key.role,
        "number": event.key.generation,
        "what": _said(event.step),
        "reason": event.step.reason,
    }


def _said(step: object) -> str:
    match step:
        case Move():
            return f"{step.kind} {step.state}"
        case Creation():
            return f"a new {step.spec.role}"
        case NewGoal():
            return f"to be {step.goal}"
    return "removed"


def _timeline(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> Facts:
    keys, policy, ttls, providers = stand(state, zone, now)
    until = now + min(int(arguments.get("seconds") or 365 * DAY), LONGEST_PLAN)
    with state.reader() as tx:
        past = {key.id: store.history(tx, key.id) for key in keys}
    events = forecast(keys, policy, ttls, now, until, providers=providers)
    return {"svg": timeline(name_to_text(zone.origin), keys, past, events, now, until)}


# ------------------------------------------------------------------ deeds


def _roll(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> list[Facts]:
    """Let the work of a key end now, or at a moment; without a tag, that of every key that has no successor.

    A key that zones share is one secret: where it is to be replaced, it is in all of them.
    """
    at = int(arguments.get("at") or now)
    with state.transaction(now) as tx:
        keys = store.load(tx, *zone)
        if store.policy_of(tx, *zone).is_dictated and offline.responses(tx, zone):
            raise ControlError(f"{zone}: its keys roll by signed key responses: `key ksr`, and `key sign-ksr --roll`")
        chosen = [key for key in keys if key.successor is None and key.goal == "present"]
        if arguments.get("tag") is not None:
            chosen = [_of_tag(zone, chosen, arguments["tag"])]
        if arguments.get("role"):
            chosen = [key for key in chosen if key.role == arguments["role"]]
        if not chosen:
            raise ControlError(f"{zone}: no such key to roll; `zonewright key list {zone}` shows those there are")
        same = [one for key in chosen for one in (store.load_same(tx, key) if key.sharing is not None else [key])]
        meant = [one for one in same if one.successor is None and one.goal == "present"]
        rolled = [introduction.roll(tx, key, at, "by an operator", now) for key in meant]
    return [_key_facts(key) for key in rolled]


def _abort(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> list[Facts]:
    """Take back the roll to a key."""
    try:
        with state.transaction(now) as tx:
            keys = store.load(tx, *zone)
            key = _of_tag(zone, keys, arguments.get("tag"))
            after = introduction.abort(tx, keys, key, store.policy_of(tx, *zone), now)
    except KeysError as error:
        raise ControlError(str(error)) from error
    return [_key_facts(key) for key in after]


def _confirm(state: State, zone: ZoneKey, _: Arguments, now: int) -> list[Facts]:
    """An operator says that the parent has done what was asked of it, at all its servers."""
    with state.transaction(now) as tx:
        keys = store.load(tx, *zone)
        providers = providerstore.load(tx, zone)
        if not any(map(_is_asking, (*keys, *foreign_keys(providers)))):
            raise ControlError(f"{zone}: nothing is asked of the parent")
        for key in filter(_is_asking, keys):
            introduction.sighted(tx, key, _as_asked(key, now))
        for provider in providers:
            for key in filter(_is_asking, provider.keys):
                providerstore.sighted(tx, provider.name, key, _as_asked(key, now))
        after = [*store.load(tx, *zone), *foreign_keys(providerstore.load(tx, zone))]
    return [_key_facts(key) for key in after]


def _is_asking(key: Key) -> bool:
    return key.state(RecordKind.DS) in ON_ITS_WAY


def _as_asked(key: Key, now: int) -> Sighting:
    return Sighting(key.state(RecordKind.DS) in IN_ZONE, now, now + SEEN_BY_HAND, is_word=True)


def _of_tag(zone: ZoneKey, keys: Sequence[Key], tag: object) -> Key:
    found = [key for key in keys if key.tag == tag]
    if not found:
        raise ControlError(
            f"{zone}: no key of tag {tag} there; it has {', '.join(str(key.tag) for key in keys) or 'none'}"
        )
    return found[0]


def _key_facts(key: Key) -> Facts:
    return {
        "zone": name_to_text(key.origin),
        "view": key.view,
        "tag": key.tag,
        "role": key.role,
        "goal": str(key.goal),
        "retire_at": key.retire_at,
        "states": {str(kind): str(one.state) for kind, one in key.states.items()},
    }
