"""The last good versions: what was published before the start is served again, out of its images.

Nothing is read from sources here. A version whose signatures are gone, ran out or are not valid yet gets others under a
new serial; where that can't be committed it is served *open*, with signatures made at need, and no transfer shows it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from authserver.errors import StateError
from authserver.inforce import expected_of, policy_in_force
from authserver.journaling import sealed_before
from authserver.publication import Draft, Live, Work, Zone, ZoneKey, newest_inception
from authserver.state import State
from authserver.timekeeping import is_too_far_behind
from engine import EngineError, SignedVersion, SigningKey, SigningPlan, Version
from keys import custody, keyfiles, providerstore, store
from keys.errors import KeysError
from keys.policy import Policy
from keys.states import Key
from signer import plan as signing
from signer.denial import denial_for
from signer.plan import signs
from signer.sources import has_ours, without_ours
from signer.verify import before_live
from zones import history, journal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Last:
    """What the state knows of a zone's last good version."""

    zone: Zone
    published: history.Published
    images: Mapping[str, history.Image]
    keys: tuple[Key, ...]
    policy: Policy | None
    is_shared: bool
    """Whether its serial stood for other content, too."""
    sealed: SignedVersion | None
    """The version that was sealed before it; None where it was sealed itself."""


@dataclass(slots=True)
class LastVersions:
    """Serves last good versions again; `handles` are the publisher's, and what is found of keys is added to them."""

    state: State
    handles: dict[str, SigningKey]
    _open: dict[ZoneKey, Live] = field(default_factory=dict)
    """Those that need new signatures under a new serial; served open when that can't be committed."""

    def restore(self, zones: Iterable[Zone], now: int, behind: int) -> list[Work]:
        """Publish what was published last; the works are what can't be served as it was.

        `behind` is how many seconds the clock is behind what the state remembers.
        """
        with self.state.reader() as tx:
            lasts = list(self._lasts(tx, {zone.key: zone for zone in zones}))
        works = [self._restored(last, now, behind) for last in lasts]
        return [work for work in works if work is not None]

    def serve_open(self, zone: Zone) -> None:
        """Serve the last good version with signatures made at need; nobody seals it, so no transfer shows it."""
        live = self._open.pop(zone.key, None)
        if live is None or zone.live is not None:
            return
        zone.live = live
        zone.slot.publish(live.signed)
        log.warning("%s: serial %d is served again, with signatures that are not stored", zone.key, live.serial)

    def forget(self, key: ZoneKey) -> None:
        """A newer version is published."""
        self._open.pop(key, None)

    # ---------------------------------------------------------------- what the state knows

    def _lasts(self, tx: sqlite3.Connection, zones: Mapping[ZoneKey, Zone]) -> Iterator[_Last]:
        keys = {key: tuple(self._keys_at_start(tx, zone)) for key, zone in zones.items()}
        known = [one for own in keys.values() for one in own if one.id not in self.handles]
        self.handles.update(custody.usable_signing_keys(tx, self.state.vault, known))
        images: dict[ZoneKey, dict[str, history.Image]] = {}
        for image in history.last_images(tx):
            images.setdefault(ZoneKey(image.origin, image.view), {})[image.kind] = image
        for key, zone in zones.items():
            zone.keys = keys[key]
            zone.providers, zone.csync = providerstore.load(tx, key), providerstore.csync(tx, key)
            zone.journal = journal.totals(tx, *key)
            published, own = history.last_published(tx, *key), images.get(key, {})
            if published is None or "content" not in own:
                continue
            is_shared = history.had_other_content(tx, *key, published.serial, published.content_digest)
            sealed = sealed_before(self.state, tx, key) if published.sealed_at is None else None
            yield _Last(zone, published, own, keys[key], policy_in_force(tx, zone, keys[key]), is_shared, sealed)

    def _keys_at_start(self, tx: sqlite3.Connection, zone: Zone) -> list[Key]:
        """The keys that signed it last; handles of those in files are taken in, as far as the files are there."""
        noted = keyfiles.load(tx, zone.key)
        if not noted:
            return store.load(tx, *zone.key)
        keys, handles = keyfiles.usable(zone.key, noted, zone.policy.key_files if zone.policy is not None else ())
        self.handles.update(handles)
        return keys

    # ---------------------------------------------------------------- one zone

    def _restored(self, last: _Last, now: int, behind: int) -> Work | None:
        try:
            version = Version.from_image(self.state.read_pack(last.images["content"]))
            signatures = self.state.read_pack(last.images["signatures"]) if "signatures" in last.images else None
            policy = last.policy if not last.keys or any(map(signs, last.keys)) else None
            at = now
            if policy is not None and is_too_far_behind(behind, policy):
                at = max(now, last.published.published_at)  # by the state's time, or it would be signed for the past
            return self._serve_again(replace(last, policy=policy), version, signatures, at, now)
        except (EngineError, KeysError, StateError, OSError, ValueError) as error:
            log.warning("%s: the last good version can't be restored: %s", last.zone.key, error)
            return None

    def _serve_again(self, last: _Last, version: Version, signatures: bytes | None, at: int, now: int) -> Work | None:
        zone, policy, published = last.zone, last.policy, last.published
        was_signed = has_ours(version, last.keys)
        plan, is_as_wanted = self._plan(last, version, at) if was_signed else (None, True)
        since = published.published_at - policy.inception_offset if policy is not None and was_signed else None
        is_ahead = since is not None and since > at
        # What secondaries have is carried over, or what leads them on would be longer than the whole zone.
        signed = SignedVersion(version, plan, last.sealed if not is_ahead else None)
        restored = signed.restore(signatures) if signatures is not None and plan is not None and not is_ahead else 0
        _take_over(last, version)
        if signed.slow_missing:
            # Nobody can be answered without the signatures of slow keys; those that are there need not be made again.
            inception = plan.inception if plan is not None else at
            zone.draft = Draft(Work(zone, resign=True), signed, last.keys, inception=inception, begun_at=now)
            return Work(zone, resign=True)
        if (verdict := before_live(signed, replace(expected_of(zone, policy, last.keys, at), horizon=0))).is_held:
            log.warning("%s: the last good version fails its check: %s", zone.key, verdict.findings[0])
            return Work(zone, resign=True)
        live = _live(last, signed, since if restored == signed.slots else newest_inception(plan, None), plan)
        is_lost = is_ahead or (published.sealed_at is not None and restored < signed.slots)
        is_to_be_unsigned = policy is not None and policy.is_insecure and zone.policy is None
        if (policy is not None) != was_signed or is_lost or not is_as_wanted or is_to_be_unsigned:
            # It was transferred with signatures that are gone, too old or not valid yet: others make another serial.
            newest = plan.inception if plan is not None else None
            self._open[zone.key] = replace(live, is_stored=False, latest_inception=newest)
            return Work(zone, resign=True)
        zone.live = live
        zone.base = signed if published.sealed_at is not None else last.sealed
        zone.slot.publish(signed)
        return None

    def _plan(self, last: _Last, version: Version, at: int) -> tuple[SigningPlan | None, bool]:
        """How it was signed, and whether its proofs are those that its policy wants now."""
        if last.policy is None:
            return None, True
        as_published = replace(last.policy, denial=denial_for(version, last.policy.denial))
        plan = signing.signing_plan(last.keys, self.handles, as_published, at)
        return plan, as_published == last.policy


def _take_over(last: _Last, version: Version) -> None:
    """What serves stands for the source until that is read."""
    zone, published = last.zone, last.published
    zone.identity = published.identity
    if published.provenance is not None:
        zone.file = published.provenance.file
    # The source did not say what we added; whatever keys sign it next, those are none of a stranger's.
    zone.source = without_ours(version, last.keys)


def _live(last: _Last, signed: SignedVersion, latest_inception: int | None, plan: SigningPlan | None) -> Live:
    published = last.published
    return Live(
        signed,
        published.source_serial,
        published.content_digest,
        last.keys,
        last.policy,
        published.published_at,
        published.provenance,
        is_stored=published.sealed_at is not None,
        is_catching_up=plan is not None and published.sealed_at is None,  # as far as anybody knows
        is_sealable=plan is not None or not last.is_shared,
        latest_inception=latest_inception,
    )
