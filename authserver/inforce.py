"""What is in force for a zone: its policy, where its keys come from, and what its versions are held against."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

from authserver.publication import Zone
from keys import keyfiles, store
from keys.ds import ds_rdata
from keys.policy import INSECURE, Policy
from keys.states import Key, RecordKind, RecordState
from keys.states import Provenance as KeyProvenance
from signer.verify import Expected


def policy_in_force(tx: sqlite3.Connection, zone: Zone, keys: Sequence[Key]) -> Policy | None:
    """The zone's policy; one whose DS is out stays signed when `dnssec` is taken away, or it would be bogus.

    What takes its signatures away keeps the times of the policy that made them.
    """
    if not keys or (zone.policy is not None and not zone.policy.is_insecure):
        return zone.policy
    before = store.policy_of(tx, *zone.key)
    if zone.policy is None and any(_has_ds(key) for key in keys):
        return before
    return insecure(before)


def insecure(policy: Policy) -> Policy:
    """What takes signatures away by the times of the policy that made them."""
    return replace(policy, name=INSECURE.name, keys=())


def choice_of_keys(tx: sqlite3.Connection, zone: Zone, now: int) -> keyfiles.Choice:
    """Whose keys sign: those of the files that the zone's policy names, or those kept here."""
    files = zone.policy.key_files if zone.policy is not None else ()
    stored = store.load(tx, *zone.key)
    return keyfiles.choose(tx, zone.key, files, stored, now, is_wanted=zone.policy is not None)


def expected_of(zone: Zone, policy: Policy | None, keys: Iterable[Key], now: int) -> Expected:
    """Nothing is carried over that has less than `refresh` to live, and nothing made either."""
    if policy is None:
        return Expected(now)
    seen = [ds_rdata(key) for key in keys if key.sighting is not None and key.sighting.is_present]
    return Expected(
        now,
        horizon=policy.refresh,
        parent_ds=(*zone.parent_ds, *seen),
        foreign=[key.dnskey for key in zone.foreign],
        is_liberal=policy.algorithm_roll == "liberal",
    )


def _has_ds(key: Key) -> bool:
    """Whether the parent, or a cache, may have its DS; of a key in files nobody here knows."""
    return key.state(RecordKind.DS) is not RecordState.HIDDEN or key.provenance is KeyProvenance.FILE
