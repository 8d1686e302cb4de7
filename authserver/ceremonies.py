"""The commands of an offline KSK: a request from the online side, its signing on the other, the response taken back.

The online side is a server or a state at rest; the side that has the KSK needs no server, only a state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from authserver.control import ControlError
from authserver.publication import ZoneKey
from authserver.rolling import named
from authserver.state import State
from engine import name_to_text
from keys import custody, ksr, offline, store
from keys.errors import KeysError
from keys.ksr import Section
from keys.policy import Policy, from_text
from signer import ceremony
from signer.ttls import served_ttls
from zones import history

Facts = dict[str, Any]
Arguments = Mapping[str, Any]

DEFAULT_SPAN: Final = 90 * 86400
LONGEST_SPAN: Final = 5 * 366 * 86400


def carry_out(command: str, state: State, arguments: Arguments, now: int) -> Facts:
    """The facts of one of `DEEDS`. Raises ControlError."""
    try:
        return DEEDS[command](state, arguments, now)
    except (KeysError, ValueError) as error:
        raise ControlError(str(error)) from error


def request(state: State, arguments: Arguments, now: int) -> Facts:
    """A Key Signing Request for a span of time; the zone signing keys that it needs are made."""
    zone = named(arguments)
    start = now + int(arguments.get("from_seconds") or 0)
    until = now + int(arguments.get("seconds") or DEFAULT_SPAN)
    if not start < until <= now + LONGEST_SPAN:
        raise ControlError("--until is after --from, and at most five years away")
    with state.transaction(now) as tx:
        policy = _offline_policy(store.policy_of(tx, *zone), zone)
        history.see(tx, *zone, now)
        ttls = served_ttls(tx, *zone, store.load(tx, *zone), now)
        sections = offline.request(tx, state.vault, zone, policy, ttls, (start, until), now)
    return {"text": ksr.write(sections, ksr.REQUEST, now), **_summary(sections)}


def _offline_policy(policy: Policy, zone: ZoneKey) -> Policy:
    if not policy.offline_ksk:
        raise ControlError(f"{zone}: its policy {policy.name} has no `offline-ksk: true`")
    return policy


def sign(state: State, arguments: Arguments, now: int) -> Facts:
    """A Signed Key Response to a request, by KSKs of this state; one is made where there is none."""
    file = str(arguments.get("name") or "the request")
    sections = ksr.read(str(arguments.get("text", "")), ksr.REQUEST, file)
    zone = ZoneKey(sections[0].origin, str(arguments.get("view") or ""))
    retire = arguments.get("retire")
    with state.transaction(now) as tx:
        history.see(tx, *zone, now)
        policy = from_text(arguments["policy"]) if arguments.get("policy") else store.policy_of(tx, *zone)
        store.record_policy(tx, *zone, _offline_policy(policy, zone))
        keys = offline.anchors(
            tx,
            state.vault,
            zone,
            policy,
            sections,
            now,
            is_rolling=bool(arguments.get("roll")),
            retire=None if retire is None else int(retire),
        )
        handles = custody.signing_keys(tx, state.vault, keys)
        slow = [key for key in keys if handles[key.id].is_slow]
        signer = custody.SlowSigner(tx, state.vault, slow)
        response = ceremony.respond(sections, keys, handles, signer, policy)
    ours = frozenset(dnskey for one in sections for dnskey in one.dnskeys)
    ceremony.check(response, ours, "the response", min(now, response[0].since))
    return {
        "text": ksr.write(response, ksr.RESPONSE, now),
        "keys": [{"tag": key.tag, "made": key.created_at == now, "until": key.retire_at} for key in keys],
        **_summary(response),
    }


def take(state: State, arguments: Arguments, now: int) -> Facts:
    """Check a Signed Key Response, and keep it for its zone."""
    zone = named(arguments)
    file = str(arguments.get("name") or "the response")
    sections = ksr.read(str(arguments.get("text", "")), ksr.RESPONSE, file)
    if sections[0].origin != zone.origin:
        raise ControlError(f"{file}: is of {name_to_text(sections[0].origin)}, not of {zone}")
    with state.transaction(now) as tx:
        _offline_policy(store.policy_of(tx, *zone), zone)
        ceremony.check(sections, offline.zone_signers(tx, state.vault, zone), file, now)
        before = offline.responses(tx, zone)
        _refuse_gap(before, sections, file, now)
        offline.keep(tx, zone, sections, now)
    return _summary(sections)


def _refuse_gap(before: list[Section], sections: list[Section], file: str, now: int) -> None:
    """What is served now must last until the new response begins."""
    served = [one for one in before if one.since <= now < one.expiration]
    ends_at = max((one.expiration for one in before if one.since < sections[0].since), default=None)
    if served and ends_at is not None and ends_at <= sections[0].since:
        gap = f"what was signed before ends at {ksr.shown(ends_at)}"
        raise ControlError(f"{file}: begins at {ksr.shown(sections[0].since)}, and {gap}: the zone would be bogus")


def _summary(sections: list[Section]) -> Facts:
    return {
        "zone": name_to_text(sections[0].origin),
        "sections": len(sections),
        "since": sections[0].since,
        "until": sections[-1].expiration or sections[-1].since,
    }


DEEDS: Final[Mapping[str, Callable[[State, Arguments, int], Facts]]] = {
    "key.ksr": request,
    "key.sign-ksr": sign,
    "key.import-skr": take,
}
"""By the names the control socket knows."""


def policy_text(file: Path | None, name: str | None) -> str | None:
    """The policy that is named on the command line, as JSON; None when none is. Raises ControlError."""
    from keys import policyfile
    from keys.policy import BUILT_IN, to_text
    from keys.policywords import nearest

    if name is None:
        return None
    policies = {**BUILT_IN, **(policyfile.read(file).policies if file is not None else {})}
    if name not in policies:
        raise ControlError(f"policy '{name}' is unknown{nearest(name, policies)}; there are {', '.join(policies)}")
    return to_text(policies[name])
