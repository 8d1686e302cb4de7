"""How keys enter a zone's life: made at first sight, marked when first served, advanced in time, saved.

The order that keeps every chain whole: `introduce` in the transaction before a version is planned, `served` after that
version went live, `advance` whenever its Wait ends, and a new version when a step says that the zone changes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine import key_tag, name_to_text
from keys import adoption, private, store
from keys.errors import KeysError, KeySetError
from keys.policy import Policy
from keys.rollover import ServedTTLs, Step, Wait, settle
from keys.states import Goal, Key, Provenance, hidden_states, key_id

Zone = tuple[bytes, str]
"""Origin and view."""

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """The keys after all steps that were due, the steps, and what to wait for."""

    keys: list[Key]
    steps: list[Step]
    wait: Wait

    @property
    def changes_zone(self) -> bool:
        """Whether a new version of the zone is due."""
        return any(step.changes_zone for step in self.steps)


def introduce(
    tx: store.Transaction, vault: private.Vault, zones: Iterable[Zone], policy: Policy, now: int
) -> dict[Zone, list[Key]]:
    """The keys of these zones; those that have none get one CSK, published from `now`. A thousand zones: one call."""
    return {zone: store.load(tx, *zone) or [_introduce_one(tx, vault, zone, policy, now)] for zone in zones}


def served(tx: store.Transaction, keys: Iterable[Key], now: int) -> list[Key]:
    """The keys, those never served before marked as first served now.

    Call it when every server of the zone can have them: waiting times start here, and what a secondary does not have
    yet is not served. Only the mark is written, so `keys` may be as they were when the version was planned.
    """
    return [key if key.active_at is not None else _mark_served(tx, key, now) for key in keys]


def advance(tx: store.Transaction, keys: Sequence[Key], policy: Policy, ttls: ServedTTLs, now: int) -> Progress:
    """Take and save all steps that are due."""
    after, steps, wait = settle(keys, policy, ttls, now)
    for step in steps:
        store.update_states(tx, step.moved, step.reason, now)
    return Progress(after, steps, wait)


def adopt(
    tx: store.Transaction, vault: private.Vault, zone: Zone, imported: Sequence[private.ImportedKey], now: int
) -> list[Key]:
    """The zone's keys after taking over the operator's own; keys made here that nobody ever saw give way to them.

    They count as published from now on, as the zone had them before; waiting times start when they are served here.
    Raises KeySetError when the zone would have keys that can't sign it together, KeyImportError for a wrong one.
    """
    present = [key for key in store.load(tx, *zone) if key.provenance is Provenance.IMPORTED or key.active_at]
    known = {key.dnskey for key in present}
    fresh = [one for one in imported if one.dnskey not in known]
    if not fresh:
        return present
    _refuse_mixture(zone, present)
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


def _mark_served(tx: store.Transaction, key: Key, now: int) -> Key:
    store.mark_served(tx, key, now)
    return store.load_key(tx, key.id) or replace(key, active_at=now)


def _refuse_mixture(zone: Zone, present: Sequence[Key]) -> None:
    if any(key.provenance is Provenance.GENERATED for key in present):
        reason = "it is served with a key made here; rolling over to imported keys is not possible in this version"
        raise KeySetError(name_to_text(zone[0]), reason)


def _introduce_one(tx: store.Transaction, vault: private.Vault, zone: Zone, policy: Policy, now: int) -> Key:
    new, pkcs8 = new_csk(zone, policy, now)
    store.insert(tx, new, vault.seal(new.id, pkcs8))
    return advance(tx, [new], policy, ServedTTLs(), now).keys[0]


def new_csk(zone: Zone, policy: Policy, now: int, taken: frozenset[int] = frozenset()) -> tuple[Key, bytes]:
    """A combined signing key that nobody has seen, and its PKCS#8 DER; its tags are none of `taken`."""
    origin, view = zone[0].lower(), zone[1]
    for _ in range(_ATTEMPTS):
        pkcs8, dnskey = private.generate(policy.keys[0].algorithm)
        if not private.tags_of(dnskey) & taken:
            break
    else:
        raise KeysError(f"no unused key tag in {_ATTEMPTS} attempts")
    return Key(
        id=key_id(origin, view, dnskey),
        origin=origin,
        view=view,
        algorithm=policy.keys[0].algorithm,
        is_ksk=True,
        is_zsk=True,
        dnskey=dnskey,
        tag=key_tag(dnskey),
        goal=Goal.PRESENT,
        states=hidden_states(is_ksk=True, is_zsk=True, since=now),
        created_at=now,
        provenance=Provenance.GENERATED,
    ), pkcs8
