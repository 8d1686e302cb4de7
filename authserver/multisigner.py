"""Other providers for people: who they are, which steps of joining and leaving are done, and the deeds in between.

Everything is told from the state alone, so that it is the same with and without a running server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Final

from authserver.control import ControlError
from authserver.publication import ZoneKey
from authserver.rolling import SEEN_BY_HAND, Stand, named, stand, to_do_at_parent, to_do_there
from authserver.state import State
from engine import name_to_text, rdata_to_text
from keys import joining, keyfiles, offline, providers, providerstore, store
from keys.errors import KeysError, ProviderError
from keys.providers import MOST_KEYS, MOST_PROVIDERS, MOST_SERVERS, Provider, Server
from keys.states import ON_ITS_WAY, Goal, Key, RecordKind, RecordState, Sighting
from keys.timing import shared_at
from signer import csync
from zones import history

Facts = dict[str, Any]
Arguments = Mapping[str, Any]
Answer = Callable[[State, ZoneKey, Arguments, int], Any]

DNSKEY: Final = 48
PORT: Final = 53
DELEGATION_TTL: Final = 2 * 86400
"""For how long resolvers may be sent to servers that the parent named: no top-level domain gives NS records more."""

LOOKS: Final = ("key.provider.list", "key.provider.show")
DEEDS: Final = ("key.provider.add", "key.provider.confirm", "key.provider.remove", "key.csync")


def carry_out(command: str, state: State, arguments: Arguments, now: int) -> Any:
    """The facts that a command gives. Raises ControlError."""
    commands: Mapping[str, Answer] = {
        "key.provider.list": _list,
        "key.provider.show": _show,
        "key.provider.add": _add,
        "key.provider.confirm": _confirm,
        "key.provider.remove": _remove,
        "key.csync": _csync,
    }
    try:
        return commands[command](state, named(arguments), arguments, now)
    except KeysError as error:
        raise ControlError(str(error)) from error


# ------------------------------------------------------------------ looking


def _list(state: State, zone: ZoneKey, _: Arguments, now: int) -> list[Facts]:
    known = stand(state, zone, now)
    return [_facts(zone, provider, known) for provider in known.providers]


def _show(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> Facts:
    known = stand(state, zone, now)
    provider = _of_name(zone, known.providers, arguments)
    steps = _joining(zone, known, provider, now) if provider.leaves_at is None else _leaving(zone, known, provider, now)
    with state.reader() as tx:
        asked = providerstore.csync(tx, zone)
    return {
        **_facts(zone, provider, known),
        "csync": asked is not None and asked.is_published,
        "waits": [
            {"tag": one.key.tag, "record": str(one.kind), "to": str(one.to), "reason": one.reason, "until": one.until}
            for one in joining.settle(provider, *known[:3], now).waits
        ],
        "steps": steps,
    }


def _facts(zone: ZoneKey, provider: Provider, known: Stand) -> Facts:
    published = [key for key in known.keys if key.is_published(RecordKind.DNSKEY)]
    return {
        "zone": name_to_text(zone.origin),
        "view": zone.view,
        "provider": provider.name,
        "servers": [
            f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in provider.servers
        ],
        "leaves_at": provider.leaves_at,
        "keys": [_key_facts(zone, key, provider, known) for key in provider.keys],
        "has_ours": [_seen_facts(provider, key) for key in published],
    }


def _key_facts(zone: ZoneKey, key: Key, provider: Provider, known: Stand) -> Facts:
    text = rdata_to_text(DNSKEY, key.dnskey)
    return {
        "tag": key.tag,
        "algorithm": key.algorithm,
        "has_ds": key.is_ksk,
        "goal": str(key.goal),
        "states": {str(kind): {"state": str(one.state), "since": one.since} for kind, one in key.states.items()},
        "released_at": joining.released_at(key, provider, known.policy, known.ttls),
        "dnskey": f"{name_to_text(zone.origin)} {known.policy.dnskey_ttl} IN DNSKEY {text}",
    }


def _seen_facts(provider: Provider, key: Key) -> Facts:
    seen = provider.seen.get(key.dnskey)
    by = None if seen is None else "operator" if seen.is_word else "servers"
    return {
        "tag": key.tag,
        "role": key.role,
        "present": seen.is_present if seen is not None else None,
        "since": seen.since if seen is not None else None,
        "by": by,
    }


# ------------------------------------------------------------------ the steps


def _step(what: str, *, is_done: bool, until: int | None = None, to_do: Sequence[str] = ()) -> Facts:
    return {"what": what, "done": is_done, "until": None if is_done else until, "to_do": [] if is_done else list(to_do)}


def _joining(zone: ZoneKey, known: Stand, provider: Provider, now: int) -> list[Facts]:
    """RFC 8901 section 6.2 and section 8: keys everywhere first, then the DS of all, then the name servers."""
    name = name_to_text(zone.origin)
    waits = joining.settle(provider, *known[:3], now).waits
    ours = [key for key in known.keys if key.is_published(RecordKind.DNSKEY) and key.is_zsk]
    moments = [one.at for key in ours if (one := shared_at(key, provider, known.policy, known.ttls)).at is not None]
    is_shared = len(moments) == len(ours) and all(at <= now for at in moments)
    is_spread = all(key.is_omnipresent(RecordKind.DNSKEY) for key in provider.keys)
    asking = [key for key in (*known.keys, *provider.keys) if key.state(RecordKind.DS) in ON_ITS_WAY]
    is_anchored = not asking and any(key.is_omnipresent(RecordKind.DS) for key in provider.keys)
    servers = [
        f"add the name servers of {provider.name} to the zone's NS records, here and at {provider.name}",
        f"have the parent follow: zonewright key csync {name}; when it has: zonewright key csync {name} --withdraw",
    ]
    is_ready = is_spread and is_shared and is_anchored
    return [
        _step(
            f"the keys of {provider.name} are in our DNSKEY RRset, and in every cache",
            is_done=is_spread,
            until=_latest(one.until for one in waits if one.kind is RecordKind.DNSKEY),
        ),
        _step(
            f"our keys are in the DNSKEY RRset of {provider.name}, and in every cache",
            is_done=is_shared,
            until=_latest(moments) if len(moments) == len(ours) else None,
            to_do=to_do_there(zone, known, provider),
        ),
        _step(
            f"the parent has the DS of the keys of {provider.name} and of ours, and every cache has them",
            is_done=is_anchored,
            until=_latest(one.until for one in waits if one.kind is RecordKind.DS),
            to_do=to_do_at_parent(zone, known),
        ),
        # Which of the name servers are whose nobody here knows: this step is the operator's own.
        _step("resolvers may be sent to both", is_done=False, to_do=servers if is_ready else ()),
    ]


def _leaving(zone: ZoneKey, known: Stand, provider: Provider, now: int) -> list[Facts]:
    del zone
    assert provider.leaves_at is not None
    released = _latest(joining.released_at(key, provider, known.policy, known.ttls) for key in provider.keys)
    anchors = [key for key in provider.keys if key.is_ksk]
    waits = joining.settle(provider, *known[:3], now).waits
    return [
        _step(
            f"no resolver is sent to the servers of {provider.name}",
            is_done=provider.leaves_at <= now,
            until=provider.leaves_at,
        ),
        _step(
            f"no cache has anything that {provider.name} signed",
            is_done=released is not None and released <= now,
            until=released,
        ),
        _step(
            f"the parent has no DS of {provider.name}, and no cache has one",
            is_done=all(key.state(RecordKind.DS) is RecordState.HIDDEN for key in anchors),
            until=_latest(one.until for one in waits if one.kind is RecordKind.DS),
            to_do=to_do_at_parent(ZoneKey(provider.keys[0].origin, provider.keys[0].view), known) if anchors else (),
        ),
        _step(f"the keys of {provider.name} are in our DNSKEY RRset no more; it is forgotten then", is_done=False),
    ]


def _latest(moments: Iterable[int | None]) -> int | None:
    return max((moment for moment in moments if moment is not None), default=None)


# ------------------------------------------------------------------ deeds


def _add(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> Facts:
    """Take a provider in, or more keys and servers of one: published from the next version on."""
    name = providers.named(str(arguments.get("provider") or ""))
    found, ttl = _dnskeys(zone, arguments)
    with state.transaction(now) as tx:
        if offline.responses(tx, zone):
            raise ProviderError("its KSK is offline, and what that signed ahead has no keys of others")
        ours, others = _ours(tx, zone), {one.name: one for one in providerstore.load(tx, zone)}
        theirs = [dnskey for dnskey in found if dnskey not in {key.dnskey for key in ours}]
        if not theirs:
            raise ProviderError(f"these DNSKEY records are all our own; those of {name} are needed")
        before = others.pop(name, Provider(name))
        _refuse_others(theirs, others.values())
        keys = {key.dnskey: key for key in before.keys}
        for dnskey in theirs:
            is_anchor = _is_anchor(dnskey, str(arguments.get("ds") or "sep"))
            fresh = providers.foreign_key(zone, dnskey, now, is_anchor=is_anchor)
            keys[dnskey] = replace(keys.get(dnskey, fresh), goal=Goal.PRESENT, retire_at=None)
        if len(others) + 1 > MOST_PROVIDERS or len(keys) > MOST_KEYS:
            raise ProviderError(f"a zone has at most {MOST_PROVIDERS} other providers, each with {MOST_KEYS} keys")
        staying = [key.algorithm for key in keys.values() if key.goal is Goal.PRESENT]
        providers.check_algorithms(name, staying, _in_force(ours))
        servers = _servers(arguments) or before.servers
        provider = replace(before, servers=servers, dnskey_ttl=max(before.dnskey_ttl, ttl), leaves_at=None)
        providerstore.save(tx, zone, provider)
        for key in keys.values():
            if key not in before.keys:
                providerstore.save_key(tx, name, key)
                store.note(tx, key, now, "goal", key.goal, f"a key of {name}, by an operator")
    return _after(state, zone, name, now)


def _confirm(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> Facts:
    """An operator says that all of a provider's servers publish our keys: those of a text, or all there are."""
    with state.transaction(now) as tx:
        provider = _of_name(zone, providerstore.load(tx, zone), arguments)
        ours = [key for key in _ours(tx, zone) if key.is_published(RecordKind.DNSKEY)]
        if arguments.get("dnskey"):
            found, ttl = _dnskeys(zone, arguments)
            ours = [key for key in ours if key.dnskey in found]
            provider = replace(provider, dnskey_ttl=max(provider.dnskey_ttl, ttl))
        if not ours:
            raise ControlError(f"{zone}: none of our published keys is among these DNSKEY records")
        look = Sighting(is_present=True, since=now, until=now + SEEN_BY_HAND, is_word=True)
        seen = {**provider.seen, **{key.dnskey: _followed(provider, key, look) for key in ours}}
        providerstore.save(tx, zone, replace(provider, seen=seen))
        for key in ours:
            store.note(
                tx, key, now, RecordKind.DNSKEY, "confirmed", f"{provider.name} publishes it, by an operator's word"
            )
    return _after(state, zone, provider.name, now)


def _followed(provider: Provider, key: Key, look: Sighting) -> Sighting:
    before = provider.seen.get(key.dnskey)
    return look if before is None else before.followed(look)


def _remove(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> Facts:
    """Have a provider leave, or one of its keys: taken out as soon as no cache can need it."""
    tag, ttl = arguments.get("tag"), arguments.get("delegation_ttl")
    with state.transaction(now) as tx:
        provider = _of_name(zone, providerstore.load(tx, zone), arguments)
        if tag is None:
            retire_at = now + (DELEGATION_TTL if ttl is None else int(ttl))
            leaving = [key for key in provider.keys if key.goal is Goal.PRESENT]
            providerstore.save(tx, zone, replace(provider, leaves_at=retire_at))
        else:
            retire_at, leaving = now, [key for key in provider.keys if key.tag == tag and key.goal is Goal.PRESENT]
            if not leaving:
                tags = ", ".join(str(key.tag) for key in provider.keys)
                raise ControlError(f"{zone}: {provider.name} has no key of tag {tag} that stays; it has {tags}")
            _refuse_last(tx, zone, provider, leaving)
        for key in leaving:
            gone = replace(key, goal=Goal.ABSENT, retire_at=retire_at)
            providerstore.save_key(tx, provider.name, gone)
            store.note(tx, key, now, "goal", gone.goal, f"{provider.name} signs with it no more, by an operator's word")
    return _after(state, zone, provider.name, now)


def _refuse_last(tx: store.Transaction, zone: ZoneKey, provider: Provider, leaving: Sequence[Key]) -> None:
    rest = [key for key in provider.keys if key.goal is Goal.PRESENT and key not in leaving]
    if not rest:
        raise ProviderError(
            f"it is the last key of {provider.name}; to have it leave: key provider remove without --tag"
        )
    providers.check_algorithms(provider.name, [key.algorithm for key in rest], _in_force(_ours(tx, zone)))


def _csync(state: State, zone: ZoneKey, arguments: Arguments, now: int) -> Facts:
    """Have CSYNC published, or withdrawn."""
    is_wanted = not arguments.get("withdraw")
    with state.transaction(now) as tx:
        last, asked = history.last_published(tx, *zone), providerstore.csync(tx, zone)
        if last is None or not keyfiles.in_force(tx, zone):
            raise ControlError(f"{zone}: it was never served with dnssec, and no parent believes an unsigned CSYNC")
        if is_wanted:
            wanted = csync.asked(last.serial, is_alone=not providerstore.load(tx, zone))
        elif asked is None:
            raise ControlError(f"{zone}: no CSYNC was published by `key csync`")
        else:
            wanted = replace(asked, is_published=False)
        providerstore.set_csync(tx, zone, wanted)
    return {
        "zone": name_to_text(zone.origin),
        "view": zone.view,
        "published": wanted.is_published,
        "serial": wanted.serial,
        "flags": wanted.flags,
    }


# ------------------------------------------------------------------ arguments


def _after(state: State, zone: ZoneKey, name: str, now: int) -> Facts:
    return _show(state, zone, {"provider": name}, now)


def _of_name(zone: ZoneKey, known: Iterable[Provider], arguments: Arguments) -> Provider:
    found = {one.name: one for one in known}
    name = arguments.get("provider")
    if name not in found:
        raise ControlError(f"{zone}: no provider {name}; it has {', '.join(found) or 'none'}")
    return found[name]


def _ours(tx: store.Transaction, zone: ZoneKey) -> list[Key]:
    """The zone's own keys. Raises ControlError."""
    if keyfiles.load(tx, zone):
        raise ControlError(
            f"{zone}: it is signed with key files, which never roll; import them to share it with others"
        )
    keys = store.load(tx, *zone)
    if not keys:
        raise ControlError(f"{zone}: no key; it was never served with dnssec")
    return keys


def _dnskeys(zone: ZoneKey, arguments: Arguments) -> tuple[list[bytes], int]:
    source = str(arguments.get("dnskey_file") or "the DNSKEY records")
    return providers.dnskeys_of(str(arguments.get("dnskey") or ""), zone.origin, source)


def _refuse_others(dnskeys: Iterable[bytes], known: Iterable[Provider]) -> None:
    of = {key.dnskey: (one.name, key.tag) for one in known for key in one.keys}
    for dnskey in dnskeys:
        if dnskey in of:
            name, tag = of[dnskey]
            raise ProviderError(f"the key {tag} is one of {name}; leave it out")


def _is_anchor(dnskey: bytes, which: str) -> bool:
    return which == "all" or (which == "sep" and providers.is_sep(dnskey))


def _in_force(keys: Iterable[Key]) -> list[int]:
    hidden = RecordState.HIDDEN
    return [key.algorithm for key in keys if key.goal is Goal.PRESENT or key.state(RecordKind.DNSKEY) is not hidden]


def _servers(arguments: Arguments) -> tuple[Server, ...]:
    found = tuple(map(_server, arguments.get("servers") or ()))
    if len(found) > MOST_SERVERS:
        raise ProviderError(f"a provider has at most {MOST_SERVERS} servers here")
    return found


def _server(text: str) -> Server:
    """`192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]:53`. Raises ProviderError."""
    address, port = text, str(PORT)
    if text.startswith("[") and "]" in text:
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        if not 0 < int(port) < 1 << 16:
            raise ValueError
        return str(ip_address(address)), int(port)
    except ValueError as error:
        raise ProviderError(f"{text!r} is no server: accepted are ADDRESS, ADDRESS:PORT, [ADDRESS6]:PORT") from error
