"""From a reading of a zone to its published version: many zones in one transaction, one pack, one swap each.

Words: a *zone* is what is served under one origin in one view; *work* is what is to be done about a zone; a *batch*
is all work that waits when the one before is done. The order in a batch is what makes a kill harmless at any point:
keys, TTLs and serials are noted, versions planned and checked, their images written and synced, all of it committed,
and only then published. A zone whose content is held keeps its last good version, and nobody else's work waits for it.

Invariants: a serial that is committed stands for one content; a version whose image is not on the disk is never
published; one thread at a time runs batches, and only it changes `Zone`.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from authserver import offlineksk, updateturn
from authserver.errors import StateError
from authserver.family import Family
from authserver.inforce import choice_of_keys, expected_of, insecure, policy_in_force
from authserver.journaling import sealed_before
from authserver.publication import Draft, Live, Outcome, Work, Zone, ZoneKey, newest_inception
from authserver.restoring import LastVersions
from authserver.state import PackRef, State, named_packs
from authserver.timekeeping import Timekeeper, is_too_far_behind
from engine import Clock, EngineError, SignedVersion, SigningKey, Version
from keys import custody, introduction, keyfiles, offline, providerstore, store, trash
from keys.errors import KeysError, KeySetError, StoreError
from keys.ksr import Section
from keys.policy import DEFAULT, Policy
from keys.providers import Told, foreign_keys, seen_after
from keys.rollover import Wait, next_step
from keys.states import Key, Sighting
from signer import plan as signing
from signer import wiring
from signer.plan import effect_of, signs
from signer.sources import identity_of, with_capped, without_ours
from signer.ttls import served_ttls, ttls_of
from signer.verify import AT_LIVE, NOT_SEALED, before_live, presigned
from zones import history, journal
from zones.check import Finding, finding, from_engine, held
from zones.serial import Serials
from zones.source import Provenance

log = logging.getLogger(__name__)

DNSKEY: Final = 48
CDS: Final = 59
RRSIG: Final = 46

CLOCK_BEHIND: Final = "clock-behind-state"
STILL_SIGNED: Final = "still-signed"
NOT_RAISED: Final = "serial-not-raised"
OTHER_KEYS: Final = "other-keys-sign"
SIGNER_AWAY: Final = "signer-away"
OF_THE_MOMENT: Final = (
    CLOCK_BEHIND,
    STILL_SIGNED,
    NOT_RAISED,
    OTHER_KEYS,
    SIGNER_AWAY,
    NOT_SEALED,
    *offlineksk.RULES,
    *updateturn.RULES,
    *AT_LIVE,
)
"""Rules of findings that are made anew by every work, whatever the source says."""
LOOK_AT_CLOCK_S: Final = 60


@dataclass(frozen=True, slots=True)
class _Ready:
    """A version that is checked and waits for the commit."""

    work: Work
    live: Live
    identity: str
    findings: tuple[Finding, ...]
    next_step_at: int | None
    turn: updateturn.Turn | None = None


@dataclass(frozen=True, slots=True)
class _Keys:
    """A zone's keys after all steps that are due; `policy` is None when none of them signs."""

    policy: Policy | None
    keys: list[Key]
    next_step_at: int | None
    is_moved: bool
    """Whether the zone changes with them."""
    is_catching_up: bool = False
    """Whether they stay as they are until the zone is signed anew and sealed."""
    section: Section | None = None
    """What an offline KSK signed ahead and is to be served now."""
    notices: tuple[Finding, ...] = ()


@dataclass(slots=True)
class Publisher:
    """Runs batches over one state; to be called from one thread at a time."""

    state: State
    clock: Clock
    handles: dict[str, SigningKey] = field(default_factory=dict)
    family: Family = field(default_factory=lambda: Family(dict))
    _timekeeper: Timekeeper = field(init=False)
    _behind: int = field(init=False, default=0)
    _last_versions: LastVersions = field(init=False)

    def __post_init__(self) -> None:
        self._timekeeper = Timekeeper(self.state, self.clock)
        self._last_versions = LastVersions(self.state, self.handles)

    def restore(self, zones: Iterable[Zone]) -> list[Work]:
        """Publish what was published last, out of the images; the works are what can't be served as it was."""
        now = self.clock.now()
        self._behind = self._timekeeper.behind(now)
        return self._last_versions.restore(zones, now, self._behind)

    # ---------------------------------------------------------------- batches

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Do all the work; never raises for what a zone, its keys or the disk are like."""
        now = self.clock.now()
        try:
            self._behind = self._timekeeper.behind(now)
            outcomes, ready = self._commit(works, now)
        except (sqlite3.Error, OSError, StateError, KeysError) as error:
            log.error("state: nothing was published: %s", error)  # noqa: TRY400 (the disk is full, not our code wrong)
            return [self._unwritten(work, error) for work in works]
        for one in ready:
            one.work.zone.slot.publish(one.live.signed)
        outcomes.extend(self._published(one) for one in ready)
        return outcomes

    def _commit(self, works: Sequence[Work], now: int) -> tuple[list[Outcome], list[_Ready]]:
        refs: list[PackRef] = []
        try:
            with self.state.transaction(now) as tx:
                done = [self._prepared(tx, work, now) for work in works]
                ready = [one for one in done if isinstance(one, _Ready)]
                slow = [one for one in ready if one.live.has_slow_keys]
                if ready:
                    contents = [one.live.signed.version.image() for one in ready]
                    refs = self.state.write_pack([*contents, *(one.live.signed.signatures() for one in slow)])
                for one, ref in zip(ready, refs, strict=False):
                    self._record_image(tx, one, ref, now)
                for one, ref in zip(slow, refs[len(ready) :], strict=True):
                    # After a kill no token may be there that could sign it again.
                    self._record_image(tx, one, ref, now, "signatures")
        finally:
            self.state.release_pack(refs)
        return [one for one in done if isinstance(one, Outcome)], ready

    @staticmethod
    def _record_image(
        tx: sqlite3.Connection, one: _Ready, ref: PackRef, now: int, kind: history.Kind = "content"
    ) -> None:
        key = one.work.zone.key
        image = history.Image(*key, one.live.serial, kind, ref.pack, ref.offset, ref.length)
        history.record_image(tx, image, now)
        history.drop_superseded_images(tx, *key)

    def provenances(self) -> dict[ZoneKey, Provenance | None]:
        """Every zone the state knows as configured, and where what it serves came from."""
        with self.state.reader() as tx:
            keys = [ZoneKey(zone.origin, zone.view) for zone in history.zones(tx) if zone.removed_at is None]
            lasts = [(key, history.last_published(tx, *key)) for key in keys]
        return {key: last.provenance if last is not None else None for key, last in lasts}

    def adopt(self, key: ZoneKey, imported: Sequence[custody.ImportedKey]) -> list[Key]:
        """Take over an operator's own keys. Raises KeysError."""
        now = self.clock.now()
        with self.state.transaction(now) as tx:
            history.see(tx, *key, now)
            return introduction.adopt(tx, self.state.vault, key, imported, now)

    def saw(self, key: ZoneKey, seen: Mapping[str, Sighting]) -> None:
        """Note what a parent has of the keys of a zone, by their ids."""
        with self.state.transaction(self.clock.now()) as tx:
            for one in store.load(tx, *key):
                if one.id in seen:
                    introduction.sighted(tx, one, seen[one.id])
            for provider in providerstore.load(tx, key):
                for one in provider.keys:
                    if one.id in seen:
                        providerstore.sighted(tx, provider.name, one, seen[one.id])

    def saw_at_provider(self, key: ZoneKey, name: str, ours: Sequence[Key], answers: Sequence[Told]) -> None:
        """Note which of our keys another provider publishes, all of whose servers have answered."""
        now = self.clock.now()
        with self.state.transaction(now) as tx:
            for provider in providerstore.load(tx, key):
                if provider.name == name:
                    ttl = max([provider.dnskey_ttl, *(ttl for _, ttl in answers)])
                    seen = seen_after(provider, ours, answers, now)
                    providerstore.save(tx, key, replace(provider, seen=seen, dnskey_ttl=ttl))

    def remove(self, keys: Iterable[ZoneKey]) -> None:
        """Note that these zones are configured no longer; what is known of them is kept for a while."""
        now = self.clock.now()
        with self.state.transaction(now) as tx:
            for key in keys:
                history.mark_removed(tx, *key, now)

    @staticmethod
    def complete(zone: Zone, opened: Live, live: Live) -> None:
        """Serve the sealed version, which has the digest of the zone, in the place of the open one that had none."""
        if zone.live is opened:
            zone.live = live
            zone.slot.publish(live.signed)

    def fall_back(self, zone: Zone, failed: Live, reason: Finding) -> bool:
        """Serve the sealed version again in place of what failed to be sealed; whether that was live.

        Without a sealed one, or with one that ran out, what failed goes on: most of its signatures are right.
        """
        if zone.live is not failed:
            return False
        zone.findings = (*zone.findings, reason)
        zone.failed, zone.draft = failed, None  # which may have taken signatures of it over
        if zone.sealed is not None and not zone.sealed.has_expired(self.clock.now()):
            zone.live = zone.sealed
            zone.slot.publish(zone.sealed.signed)
        return True

    def tidy(self) -> None:
        """Forget zones that were removed long ago, and delete packs that nothing names any more."""
        now = self.clock.now()
        with self.state.transaction() as tx:
            trash.wipe(tx, self.state.vault, store.trash(tx, before=now - trash.GRACE), now)
            for origin, view in history.expired(tx, now):
                history.forget(tx, origin, view)
                store.forget(tx, origin, view)
                keyfiles.forget(tx, (origin, view))
                providerstore.forget(tx, (origin, view))
            journal.expire(tx, now)
            named = named_packs(tx)
        self.state.drop_unreferenced(named)
        self._timekeeper.note(now)

    def _unwritten(self, work: Work, error: Exception) -> Outcome:
        self._last_versions.serve_open(work.zone)
        reason = finding(str(self.state.directory), "state-unwritable", f"{error}")
        return Outcome(work.zone, findings=(reason,), retry=work)

    def _published(self, one: _Ready) -> Outcome:
        zone = one.work.zone
        self._last_versions.forget(zone.key)
        zone.live, zone.failed, zone.draft = one.live, None, None
        if one.live.is_catching_up:
            log.warning("%s: its signatures are overdue or gone and come first, steps of keys afterwards", zone.key)
        zone.identity = one.identity
        zone.findings = one.findings
        if one.work.content is not None:
            zone.source, zone.file = one.work.content.version, one.work.content.file
        if one.turn is None:
            return Outcome(zone, one.live, one.findings, one.next_step_at)
        zone.laid = one.turn.laid
        return Outcome(zone, one.live, one.findings, one.next_step_at, answers=one.turn.answers)

    # ---------------------------------------------------------------- one zone

    def _prepared(self, tx: sqlite3.Connection, work: Work, now: int) -> _Ready | Outcome:
        zone, content = work.zone, work.content
        if content is not None and content.version is None:
            zone.findings = content.findings
            zone.file = content.file or zone.file
            # What serves has to stay valid all the same: new signatures or a step of a key may be due with it.
            work, content = replace(work, content=None), None
        if content is not None:
            zone.file = content.file
        findings = content.findings if content is not None else zone.findings
        findings = tuple(one for one in findings if one.rule not in OF_THE_MOMENT)
        if zone.updating is None:
            return self._based(tx, work, _base(work), findings, now)
        turn = updateturn.begin(tx, work, _base(work))
        findings = (*findings, *turn.findings)
        done = self._based(tx, turn.work, turn.laid.version if turn.laid is not None else None, findings, now)
        if isinstance(done, _Ready):
            turn.note(tx, now)
            return replace(done, turn=turn)
        return turn.ended(tx, done, findings, now)

    def _based(
        self, tx: sqlite3.Connection, work: Work, base: Version | None, findings: tuple[Finding, ...], now: int
    ) -> _Ready | Outcome:
        zone, content = work.zone, work.content
        if base is None:
            return Outcome(zone, findings=findings)
        if self._waits_for_clock(tx, zone):
            return self._held_by_clock(work, findings, now)
        try:
            return self._version(tx, work, base, findings, now)
        except StoreError as error:
            # A token where a key is to be made is away, and may be back any time.
            zone.findings = (*findings, finding(zone.file or str(zone.key), SIGNER_AWAY, str(error)))
            return Outcome(zone, findings=zone.findings, retry=work)
        except (EngineError, KeysError, ValueError) as error:
            if not isinstance(error, KeySetError):  # which is an operator's matter, and the finding says all of it
                log.exception("%s: held", zone.key)
            findings = (*findings, finding(zone.file, "not-publishable", str(error)))
            if content is not None:
                zone.findings = findings
            # Content waits for other content; signatures and keys don't wait, or what serves would run out.
            is_due = content is None or work.resign
            retry = Work(zone, resign=work.resign) if is_due else None
            return Outcome(zone, findings=findings, retry=retry, is_held=True)

    def _waits_for_clock(self, tx: sqlite3.Connection, zone: Zone) -> bool:
        if not self._behind:
            return False
        policy = policy_in_force(tx, zone, keyfiles.in_force(tx, zone.key))
        return policy is not None and is_too_far_behind(self._behind, policy)

    def _held_by_clock(self, work: Work, findings: tuple[Finding, ...], now: int) -> Outcome:
        """Signing now could make a zone of signatures that ran out; what serves goes on, and is right by its time."""
        zone = work.zone
        self._last_versions.serve_open(zone)
        if work.content is None and not work.resign:
            return Outcome(zone, next_step_at=now + LOOK_AT_CLOCK_S)
        reason = (
            f"the clock is far behind {_shown(now + self._behind)}, which the state remembers: nothing is signed, "
            "put the clock right; if it is right, and was wrong before, start with --trust-clock"
        )
        zone.findings = (*findings, finding(zone.file, CLOCK_BEHIND, reason))
        return Outcome(zone, findings=zone.findings, retry=work)

    @staticmethod
    def _held(zone: Zone, findings: tuple[Finding, ...]) -> Outcome:
        zone.findings = findings
        return Outcome(zone, findings=findings, is_held=True)

    def _version(
        self, tx: sqlite3.Connection, work: Work, base: Version, findings: tuple[Finding, ...], now: int
    ) -> _Ready | Outcome:
        zone = work.zone
        history.see(tx, *zone.key, now)
        last = history.last_published(tx, *zone.key)
        choice = choice_of_keys(tx, zone, now)
        own = self._keys(tx, zone, choice, now)
        policy, keys, wait_until = own.policy, own.keys, own.next_step_at
        base = base if policy is not None else without_ours(base, keys)
        is_ahead = zone.live is not None and zone.live.is_ahead(now)
        is_overdue = zone.live is not None and zone.live.is_overdue(now)
        resign = work.resign or own.is_moved or choice.is_change or is_ahead or is_overdue
        source_serial = base.serial if last is None or _says_serial(work) else last.source_serial
        findings = (*findings, *_notices(zone, policy, choice), *own.notices)
        kin = self.family.kin_of(zone.key) if policy is not None else []
        if work.content is None and not resign and self._says_all(zone, policy, kin):
            is_sealable = zone.live is None or zone.live.is_sealable
            zone.findings = findings if is_sealable else (*findings, _not_raised(zone, source_serial))
            return Outcome(zone, findings=zone.findings, next_step_at=wait_until)
        if last is not None and last.sealed_at is not None and zone.live is None and policy is not None:
            resign = True  # its signatures are gone, but somebody may have them: others need another serial
        base = base.edited(wired) if (wired := wiring.edits(base, kin)) else base
        serials = Serials(
            source_serial,
            last.serial if last else None,
            is_foreign=policy is None and _is_signed(base),
            policy=policy.serial if policy is not None else "auto",
            now=zone.draft.begun_at if zone.draft is not None else now,
        )
        prepared = self._prepare(zone, base, own, serials.when_changed, now)
        told, is_new = from_engine(prepared.findings), work.content is not None or prepared.is_held
        findings = (*findings, *told) if is_new else with_capped(findings, told)
        brought = presigned(SignedVersion(base), zone.presigned, now) if policy is None and work.content else ()
        findings = (*findings, *brought)
        if prepared.is_held or held(brought):
            return self._held(zone, findings)
        digest = prepared.version.content_digest
        is_sealable = not (serials.is_foreign and history.had_other_content(tx, *zone.key, source_serial, digest))
        if not is_sealable:
            findings = (*findings, _not_raised(zone, source_serial))
        if last is not None and not resign and digest == last.content_digest:
            if serials.when_same == last.serial and zone.live is not None and zone.live.serial == last.serial:
                return self._unchanged(tx, work, last, findings, wait_until, now)
            if serials.when_same != serials.when_changed:
                prepared = self._prepare(zone, base, own, serials.when_same, now)
        # Nothing is carried over of a clock that ran ahead, or of a version with a wrong signature.
        previous = zone.live if not is_ahead and zone.live is not zone.failed else None
        signed = SignedVersion(prepared.version, prepared.plan, self._carried(tx, zone, previous, now))
        if own.section is not None:
            offlineksk.give(signed, own.section, keys)
        slow_keys = tuple(key for key in signing.signers(keys) if policy is not None and self.handles[key.id].is_slow)
        if signed.slow_missing:
            again, inception = replace(work, resign=resign), newest_inception(prepared.plan, None) or now
            return _drafted(Draft(again, signed, tuple(keys), slow_keys, inception, now))
        if (verdict := before_live(signed, expected_of(zone, policy, keys, now))).is_held:
            outcome = self._held(zone, (*findings, *verdict.findings))
            return replace(outcome, retry=_another_try(work, verdict.findings, is_due=own.is_moved))
        content = work.content
        provenance = content.provenance if content is not None else (zone.live.provenance if zone.live else None)
        identity = identity_of(content.identity if content is not None else zone.identity, findings)
        live = Live(
            signed,
            source_serial,
            digest,
            tuple(keys),
            policy,
            now,
            provenance,
            is_sealable=is_sealable,
            latest_inception=newest_inception(prepared.plan, previous),
            has_slow_keys=bool(slow_keys),
            is_catching_up=own.is_catching_up,
            section=own.section,
            is_stored=bool(slow_keys) and signed.slots_made == signed.slots,
        )
        if choice.is_change or choice.keys:
            keyfiles.take(tx, zone.key, choice, store.load(tx, *zone.key), now)
        self._note(tx, zone.key, live, identity, now)
        return _Ready(work, live, identity, findings, wait_until)

    def _carried(self, tx: sqlite3.Connection, zone: Zone, previous: Live | None, now: int) -> SignedVersion | None:
        """What signatures are carried over from.

        A draft, which has those of the version before, or that version; of a zone that comes back what was sealed last.
        """
        carried = zone.draft if zone.draft is not None and zone.draft.inception <= now else previous
        if carried is not None or zone.live is not None:
            return carried.signed if carried is not None else None
        if zone.base is None and not self._behind:
            zone.base = sealed_before(self.state, tx, zone.key)
        return zone.base

    @staticmethod
    def _says_all(zone: Zone, policy: Policy | None, kin: Sequence[wiring.Relative]) -> bool:
        """Whether what serves is what the policy and other zones want it to be."""
        live = zone.live
        return live is not None and live.policy == policy and not wiring.edits(live.signed.version, kin)

    @staticmethod
    def _note(tx: sqlite3.Connection, key: ZoneKey, live: Live, identity: str, now: int) -> None:
        record = history.record_published if live.is_sealable else history.record_same_serial
        record(
            tx,
            *key,
            serial=live.serial,
            source_serial=live.source_serial,
            content_digest=live.digest,
            identity=identity,
            provenance=live.provenance,
            now=now,
        )
        history.record_ttls(tx, *key, ttls_of(live.signed.version), now)

    def _unchanged(
        self,
        tx: sqlite3.Connection,
        work: Work,
        last: history.Published,
        findings: tuple[Finding, ...],
        wait_until: int | None,
        now: int,
    ) -> Outcome:
        """The content that serves already, perhaps from another file or commit."""
        zone, content = work.zone, work.content
        zone.findings = findings
        if content is not None:
            identity = identity_of(content.identity, findings)
            if identity != last.identity or content.provenance != last.provenance:
                history.record_published(
                    tx,
                    *zone.key,
                    serial=last.serial,
                    source_serial=last.source_serial,
                    content_digest=last.content_digest,
                    identity=identity,
                    provenance=content.provenance,
                    now=now,
                )
            zone.source, zone.identity, zone.file = content.version, identity, content.file
        return Outcome(zone, findings=findings, next_step_at=wait_until)

    def _prepare(self, zone: Zone, base: Version, own: _Keys, serial: int, now: int) -> signing.PreparedZone:
        if own.policy is None:
            return signing.prepare_unsigned(base, serial)
        return signing.prepare(base, own.keys, self.handles, own.policy, serial, now, zone.shared, own.section)

    # ---------------------------------------------------------------- keys

    def _keys(self, tx: sqlite3.Connection, zone: Zone, choice: keyfiles.Choice, now: int) -> _Keys:
        zone.providers, zone.csync = providerstore.load(tx, zone.key), providerstore.csync(tx, zone.key)
        own = self._own_keys(tx, zone, choice, now)
        if own.policy is None or not (zone.providers or zone.csync):
            return own
        look_at = self._advance_providers(tx, zone, own, now)
        # By what serves, as commands change it also while no server runs.
        is_moved = zone.live is not None and not signing.shows_all(
            zone.live.signed.version, own.keys, own.policy, zone.shared
        )
        moments = [moment for moment in (own.next_step_at, look_at) if moment is not None]
        zone.next_step_at = min(moments, default=None)
        return replace(own, next_step_at=zone.next_step_at, is_moved=own.is_moved or is_moved)

    def _advance_providers(self, tx: sqlite3.Connection, zone: Zone, own: _Keys, now: int) -> int | None:
        """Take the steps of other providers' keys that are due; when to look again."""
        assert own.policy is not None
        seen = self._seen_in_parent(zone, foreign_keys(zone.providers), now)
        for provider in zone.providers:
            for key in provider.keys:
                if key.id in seen:
                    providerstore.sighted(tx, provider.name, key, seen[key.id])
        providers = providerstore.load(tx, zone.key)
        ttls = served_ttls(tx, *zone.key, [*own.keys, *foreign_keys(providers)], now)
        zone.providers, look_at = providerstore.advance(tx, zone.key, providers, own.keys, own.policy, ttls, now)
        return look_at

    def _own_keys(self, tx: sqlite3.Connection, zone: Zone, choice: keyfiles.Choice, now: int) -> _Keys:
        if choice.keys:
            self.handles.update(choice.handles)
            zone.keys = choice.keys
            in_files = policy_in_force(tx, zone, choice.keys) or DEFAULT
            if not in_files.is_insecure:
                store.record_policy(tx, *zone.key, in_files)
            return _Keys(in_files, list(choice.keys), None, choice.is_change)
        stored = store.load(tx, *zone.key)
        policy = policy_in_force(tx, zone, stored)
        if policy is None:
            return _Keys(None, [], None, False)
        stored = self._seen_by_family(tx, zone, stored, now)
        ttls = served_ttls(tx, *zone.key, stored, now)
        store.record_policy(tx, *zone.key, policy)
        course: introduction.Progress | offline.Course
        # What an offline KSK signed ahead has a timetable that waits for nobody.
        is_catching_up = not policy.offline_ksk and _is_catching_up(tx, zone, stored, now)
        if is_catching_up:
            course = introduction.Progress(stored, [], Wait(now + LOOK_AT_CLOCK_S))
        else:
            course = offlineksk.follow(tx, self.state.vault, zone, stored, policy, ttls, now)
        section = course.section if isinstance(course, offline.Course) else None
        zone.keys, zone.next_step_at = tuple(course.keys), course.wait.until
        missing = [key for key in course.keys if signs(key) and self._is_to_be_opened(key, section)]
        if missing:
            self.handles.update(custody.signing_keys(tx, self.state.vault, missing))
        if section is not None:
            # Whatever private part was here before: what the response has is what counts.
            self.handles.update({key.id: custody.public_handle(key) for key in course.keys if key.is_ksk})
        in_force = policy if any(map(signs, course.keys)) else None
        # What moved before may still wait for its version, as one that was held would leave it.
        is_moved = zone.live is not None and effect_of(zone.live.keys, policy) != effect_of(course.keys, policy)
        is_moved = is_moved or (section is not None and offlineksk.is_news(zone, section))
        notices = offlineksk.notices(zone, course, policy, now)
        return _Keys(in_force, list(course.keys), course.wait.until, is_moved, is_catching_up, section, notices)

    def _is_to_be_opened(self, key: Key, section: Section | None) -> bool:
        """One that can't sign at need may be back from where it was offline."""
        handle = self.handles.get(key.id)
        return handle is None or (handle.is_slow and section is None and key.is_ksk and not key.store)

    def _seen_by_family(self, tx: sqlite3.Connection, zone: Zone, keys: list[Key], now: int) -> list[Key]:
        """The keys, with what a parent of ours has of them."""
        seen = self._seen_in_parent(zone, keys, now)
        return [introduction.sighted(tx, key, seen[key.id]) if key.id in seen else key for key in keys]

    def _seen_in_parent(self, zone: Zone, keys: Iterable[Key], now: int) -> dict[str, Sighting]:
        """What a parent of ours has of keys, by their ids: what it sealed is what all its servers are told."""
        parent = self.family.parent_of(zone.key)
        if parent is None or (sealed := parent.sealed_version) is None:
            return {}
        return {key.id: wiring.sighting(sealed.version, zone.key.origin, key, now) for key in keys if key.is_ksk}


def _is_catching_up(tx: sqlite3.Connection, zone: Zone, keys: Iterable[Key], now: int) -> bool:
    """Whether its signatures come first and its keys later: nobody renewed them in time, or they are gone.

    So it is when the clock jumped forward, the machine slept or the server was down for long. What secondaries have
    may run out any time: they get the same keys with good signatures before any key moves.
    """
    if not any(map(signs, keys)):
        return False
    live = zone.live
    if live is None:
        last = history.last_published(tx, *zone.key)
        return last is not None and last.sealed_at is not None
    return live.is_overdue(now) or (live.is_catching_up and zone.sealed is not live)


def _drafted(draft: Draft) -> Outcome:
    """The version waits for slow keys; one that did before has begun then."""
    zone = draft.work.zone
    zone.draft = draft if zone.draft is None else replace(draft, begun_at=zone.draft.begun_at)
    return Outcome(zone, draft=zone.draft)


def _another_try(work: Work, findings: Sequence[Finding], *, is_due: bool) -> Work | None:
    """Other signatures may be right, and a parent changes; a chain comes out the same until the content is another."""
    if any(one.rule.startswith(("signature-", "ds-")) for one in findings):
        return replace(work, resign=work.resign or is_due)
    return Work(work.zone, resign=True) if work.content is None or work.resign or is_due else None


def mark_served(tx: sqlite3.Connection, key: ZoneKey, live: Live, now: int) -> int | None:
    """Note that what the keys' states say is served everywhere, where their waiting times begin; when to look again.

    To be called when the version is sealed, not when it is published: secondaries have nothing of it before that. None
    when nothing was new and nothing waited for it.
    """
    dnskeys, cds = ((live.signed.version.rrset(key.origin, rtype) or (0, []))[1] for rtype in (DNSKEY, CDS))
    providers = providerstore.mark_served(tx, key, dnskeys, cds, now)
    is_old = not providers and all(one.served(now) == one for one in live.keys)
    if is_old and not live.is_catching_up:
        return None
    marked = introduction.served(tx, live.keys, now)
    policy = live.policy or insecure(store.policy_of(tx, *key))
    step = next_step(marked, policy, served_ttls(tx, *key, marked, now), now, providers)
    # What other providers' keys wait for is found by looking at all of them again.
    return step.until if isinstance(step, Wait) and not providers else now


def _shown(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _notices(zone: Zone, policy: Policy | None, choice: keyfiles.Choice) -> list[Finding]:
    """What there is to say of who signs it."""
    notices = [_still_signed(zone)] if policy is not None and zone.policy is None else []
    if choice.notice:
        notices.append(finding(zone.file or str(zone.key), OTHER_KEYS, choice.notice))
    return notices


def _still_signed(zone: Zone) -> Finding:
    reason = (
        "dnssec is not configured for it any more, but the parent may have its DS: it goes on being signed by the "
        "policy it had, or it would be bogus; `policy insecure` of `dnssec` takes its signatures away"
    )
    return finding(zone.file or str(zone.key), STILL_SIGNED, reason)


def _not_raised(zone: Zone, serial: int) -> Finding:
    """Nothing notes who transferred a serial, so what was published under it counts as transferred.

    The new content is answered, or signatures that its signer renewed would run out here; it is never transferred, so
    that no secondary makes one version out of two. Transfers show what was sealed before.
    """
    reason = (
        f"serial {serial} was published with other content: queries get the new one, secondaries get nothing until "
        "the serial is raised, for which dnssec-signzone has -N increment"
    )
    return finding(zone.file or str(zone.key), NOT_RAISED, reason)


def _base(work: Work) -> Version | None:
    """The content that work is done on: the source's, or what serves while the source was not read yet."""
    if work.content is not None:
        return work.content.version
    if work.zone.source is not None:
        return work.zone.source
    return work.zone.live.signed.version if work.zone.live is not None else None


def _says_serial(work: Work) -> bool:
    """Whether the SOA that work is done on is the source's: a content is, and what UPDATE has of a zone."""
    updating = work.zone.updating
    return work.content is not None or (updating is not None and not updating.is_overlay)


def _is_signed(version: Version) -> bool:
    types = version.rtypes(version.origin) or []
    return RRSIG in types or DNSKEY in types
