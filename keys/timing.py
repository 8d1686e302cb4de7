"""When caches have caught up with a change: the waiting times of key rollover, and when a successor is due.

The equations are those of RFC 7583 section 3, with TTL* in the place of each TTL: the largest one with which an older
copy can still be cached, whatever the TTL is now. All results are Unix seconds; None is: not known yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from keys.policy import KeySpec, Policy
from keys.providers import Provider
from keys.states import IN_ZONE, Key, RecordKind, RecordState

_SPREAD: Final = 20
"""Later generations end their work by up to this part of their lifetime early; first ones by up to half of it."""


UNSERVED: Final = "until every signature of the new version is made and secondaries can have it"


@dataclass(frozen=True, slots=True)
class ServedTTLs:
    """The largest TTLs ever served that some cache may still count down: of DNSKEY, of any RRset, of denial."""

    dnskey: int = 0
    zone_max: int = 0
    negative: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """When a present state is over; `at` None while `reason` has to happen, which `look_at` may be the time for."""

    at: int | None
    reason: str
    look_at: int | None = None


def settled_at(
    key: Key,
    kind: RecordKind,
    keys: Iterable[Key],
    policy: Policy,
    ttls: ServedTTLs,
    providers: Sequence[Provider] = (),
) -> Due:
    """When every cache has caught up with what `kind` is on its way to; `keys` are all keys of the zone.

    `providers` are those whose servers answer for the zone as well.
    """
    if kind is RecordKind.DS:
        return _parent_settled_at(key, _ds_ttl(keys, policy), policy)
    standing = key.states[kind]
    if standing.served_at is None:
        return Due(None, UNSERVED)
    wait = _signature_wait(key, policy, ttls) if kind is RecordKind.ZRRSIG else _dnskey_wait(key, kind, policy, ttls)
    due = Due(max(standing.since, standing.served_at) + wait, f"until no cache has an older {kind.upper()} RRset")
    if kind is not RecordKind.DNSKEY or standing.state is not RecordState.RUMOURED or not key.is_zsk:
        return due
    # What it signs is looked up in the DNSKEY RRset of whoever answers (RFC 8901 section 6.2).
    dues = (due, *(shared_at(key, provider, policy, ttls) for provider in providers))
    return next((one for one in dues if one.at is None), None) or max(dues, key=lambda one: one.at or 0)


def publish_interval(policy: Policy, ttls: ServedTTLs) -> int:
    """From a DNSKEY's publication to its use (RFC 7583 section 3.2.1, Ipub)."""
    return max(policy.dnskey_ttl, ttls.dnskey) + policy.propagation_delay + policy.publish_safety


def forgotten_after(provider: Provider, policy: Policy, ttls: ServedTTLs) -> int:
    """From the last answer that a provider's key signed to the end of that in caches, keys and data alike."""
    keys = max(policy.dnskey_ttl, ttls.dnskey, provider.dnskey_ttl) + policy.propagation_delay + policy.retire_safety
    return max(keys, retire_interval(policy, ttls))


def shared_at(key: Key, provider: Provider, policy: Policy, ttls: ServedTTLs) -> Due:
    """When no cache can have another provider's DNSKEY RRset without this key; None until it is seen there, or said."""
    ttl = max(policy.dnskey_ttl, ttls.dnskey, provider.dnskey_ttl)
    seen = provider.seen.get(key.dnskey)
    if seen is None or not seen.is_present:
        if provider.leaves_at is not None:
            gone = provider.leaves_at + forgotten_after(provider, policy, ttls)
            return Due(gone, f"until no cache has anything of {provider.name}")
        return Due(None, f"until {provider.name} publishes its DNSKEY, too")
    due = seen.since + max(ttl, seen.ttl or 0) + policy.publish_safety
    if seen.until < due:
        return Due(None, f"until it is seen for long enough that {provider.name} publishes its DNSKEY", due)
    return Due(due, f"until no cache has an older DNSKEY RRset of {provider.name}")


def retire_interval(policy: Policy, ttls: ServedTTLs) -> int:
    """From a signer's last signature to the end of it in caches (RFC 7583 section 3.2.1, Iret, all signed at once)."""
    return max(policy.max_zone_ttl, ttls.zone_max) + policy.propagation_delay + policy.retire_safety


def parent_interval(policy: Policy) -> int:
    """From the request of another DS to the end of the one before in caches."""
    return (
        policy.parent_registration_delay + policy.parent_ds_ttl + policy.parent_propagation_delay + policy.retire_safety
    )


def shortest_lifetime(policy: Policy, spec: KeySpec, ttls: ServedTTLs | None = None) -> int:
    """What a key of this role needs to come and to be gone again, before its successor has to do the same."""
    ttls = ttls or ServedTTLs()
    zone = retire_interval(policy, ttls) if spec.role.is_zsk else 0
    parent = parent_interval(policy) if spec.role.is_ksk else 0
    return publish_interval(policy, ttls) + max(zone, parent)


def retire_at(key: Key, spec: KeySpec, policy: Policy, ttls: ServedTTLs) -> int | None:
    """When the key's work ends and its successor's begins; None for never.

    For a shared key that is one moment for all zones that have it, so that they roll to one successor.
    """
    if key.retire_at is not None:
        return key.retire_at
    if spec.lifetime is None or key.active_at is None:
        return None
    if key.sharing is not None:
        return key.sharing.since + spec.lifetime
    return key.active_at + _lifetime(key, spec.lifetime, shortest_lifetime(policy, spec, ttls))


def successor_at(key: Key, spec: KeySpec, policy: Policy, ttls: ServedTTLs) -> int | None:
    """When the key's successor is to be made, so that it can take over in time (RFC 7583 section 3.2.1)."""
    end = retire_at(key, spec, policy, ttls)
    return None if end is None else end - publish_interval(policy, ttls)


def _lifetime(key: Key, lifetime: int, shortest: int) -> int:
    """The lifetime, shortened by a part that is each zone's own, so that zones made together don't roll together.

    It depends on nothing random, so that what comes can be foretold.
    """
    roles = bytes((key.algorithm, key.is_ksk, key.is_zsk))
    seed = sha256(b"\0".join((key.origin, key.view.encode(), roles, str(key.generation).encode()))).digest()
    most = lifetime // 2 if key.generation == 0 else lifetime // _SPREAD
    share = int.from_bytes(seed[:4], "big") * most >> 32
    return max(lifetime - share, min(shortest, lifetime))


def _dnskey_wait(key: Key, kind: RecordKind, policy: Policy, ttls: ServedTTLs) -> int:
    standing = key.states[kind]
    wait = max(policy.dnskey_ttl, ttls.dnskey) + policy.propagation_delay
    if standing.state is not RecordState.RUMOURED:
        return wait
    # The first DNSKEY of a zone also has to outlive "there is no DNSKEY" (RFC 2308 section 5).
    denied = ttls.negative if key.predecessor is None else 0
    return max(wait, denied + policy.propagation_delay) + policy.publish_safety


def _signature_wait(key: Key, policy: Policy, ttls: ServedTTLs) -> int:
    """RFC 7583 section 3.2.1, Iret, with Dsgn 0: a version that is served everywhere is signed anew as a whole."""
    is_rolling = key.predecessor is not None or key.successor is not None
    safety = policy.retire_safety if is_rolling else 0
    return max(ttls.zone_max, ttls.negative) + policy.propagation_delay + safety


def _ds_ttl(keys: Iterable[Key], policy: Policy) -> int:
    """The TTL of the parent's DS RRset: the largest that was seen, and the policy's while none was."""
    seen = [key.sighting.ttl for key in keys if key.sighting is not None and key.sighting.ttl is not None]
    return max(seen, default=policy.parent_ds_ttl)


def _parent_settled_at(key: Key, ttl: int, policy: Policy) -> Due:
    """The DS is what was asked for in every cache; one sighting is no confirmation, only an unbroken one is."""
    standing = key.states[RecordKind.DS]
    wants = standing.state in IN_ZONE
    seen = key.sighting
    what = "has" if wants else "no longer has"
    if seen is None or seen.is_present != wants:
        return Due(None, f"until every server of the parent {what} the DS")
    since = max(seen.since, standing.since)
    if key.is_request_open:
        # What was asked before this was never seen to be done: the parent may have read it as long as a server gave it,
        # may still do it, and this after it.
        if standing.served_at is None:
            return Due(None, UNSERVED)
        since = max(since, standing.served_at + policy.propagation_delay + policy.parent_registration_delay)
    due = since + ttl + policy.parent_propagation_delay + policy.retire_safety
    if seen.until < due:
        return Due(None, f"until it is seen for long enough that the parent {what} the DS", due)
    return Due(due, "until no cache has another DS RRset")
