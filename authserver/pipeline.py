"""The waiting side of publishing: work in, batches to the publisher's thread, versions to the sealer, timers out.

Whoever follows a source submits work; what waits while a batch runs is the next batch, so that a thousand zones cost
one transaction and one zone does not wait for a clock. The loop never blocks: reading, publishing and sealing have
threads, and the engine releases the GIL.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

from authserver import updateturn
from authserver.family import Family
from authserver.publication import Draft, Outcome, Work, Zone, ZoneKey
from authserver.publisher import SIGNER_AWAY, Publisher
from authserver.schedule import Schedule
from authserver.sealing import Job, Sealer
from authserver.slow import SlowSigning
from authserver.state import State
from engine import Clock
from keys.custody import ImportedKey
from keys.providers import Told
from keys.rollover import is_asking
from keys.states import Key, Sighting
from signer.refresh import next_refresh
from zones.check import Finding, finding, held
from zones.source import Provenance

log = logging.getLogger(__name__)

MAX_BATCH: Final = 1000
RETRY_S: Final = 10
TIDY_S: Final = 60
SETTLE_S: Final = 0.005
STOP_WITHIN_S: Final = 1.0

T = TypeVar("T")
OnSealed = Callable[[Zone], None]


class Pipeline:
    """Carries zones from a reading to their slots, and keeps them signed."""

    def __init__(self, state: State, clock: Clock, schedule: Schedule, on_sealed: OnSealed) -> None:
        self.zones: dict[ZoneKey, Zone] = {}
        self._clock = clock
        self._schedule = schedule
        self.family = Family(lambda: self.zones)
        self._publisher = Publisher(state, clock, family=self.family)
        self._on_sealed = on_sealed
        self._work: dict[ZoneKey, Work] = {}
        self._has_work = asyncio.Event()
        self._is_busy = False
        self._batch: set[ZoneKey] = set()
        self._deeds: set[asyncio.Task[None]] = set()
        self._told: dict[ZoneKey, tuple[Finding, ...]] = {}
        self._outcome = asyncio.Condition()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publisher")
        self._loop = asyncio.get_running_loop()
        self._sealer = Sealer(state, clock, self._from_sealer, self._from_sealer_failed)
        self._slow = SlowSigning(state, self._from_slow, self._from_slow_failed)

    # ---------------------------------------------------------------- life

    async def restore(self, zones: Sequence[Zone]) -> None:
        """Take these zones in and publish the last good version of each that has one.

        Whoever waits may be cancelled, by a reload for one; what was begun is finished all the same, or zones would be
        live that nobody seals or refreshes.
        """
        self.zones.update((zone.key, zone) for zone in zones)
        self.family.changed()
        await asyncio.shield(self._kept(self._restore(zones)))

    def _kept(self, deed: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """The loop itself keeps no task alive."""
        task = self._loop.create_task(deed)
        self._deeds.add(task)
        task.add_done_callback(self._deeds.discard)
        return task

    async def _restore(self, zones: Sequence[Zone]) -> None:
        works = await self._in_thread(lambda: self._publisher.restore(zones))
        works = [work for work in works if self.zones.get(work.zone.key) is work.zone]
        for zone in zones:
            if zone.live is not None and self.zones.get(zone.key) is zone:
                if zone.live.is_sealable:
                    self._sealer.add(zone, zone.live)
                self._set_timers(Outcome(zone, zone.live, next_step_at=self._clock.now()))
        if works:
            self._apply(await self._in_thread(lambda: self._publisher.run(works)))

    def start(self) -> None:
        """Take work from now on."""
        self._sealer.start()
        self._slow.start()
        self._schedule.start("pipeline", self._run, essential=True)
        self._schedule.after("tidy", TIDY_S, self._tidy)

    async def stop(self) -> None:
        """Finish the batch that runs, leave the rest for the next start."""
        if self._deeds:
            await asyncio.wait(self._deeds)
        await asyncio.to_thread(self._slow.stop, STOP_WITHIN_S)
        await asyncio.to_thread(self._sealer.stop)
        await asyncio.to_thread(self._thread.shutdown)

    async def remove(self, zones: Iterable[Zone]) -> None:
        """These zones are configured no longer: nothing is done about them any more."""
        keys = [zone.key for zone in zones if self.zones.get(zone.key) is zone]
        for key in keys:
            del self.zones[key]
            self.family.changed()
            self._work.pop(key, None)
            self._told.pop(key, None)
            self._slow.forget(key)
            self._schedule.forget(f"refresh {key}")
            self._schedule.forget(f"keys {key}")
        if keys:
            await self._in_thread(lambda: self._publisher.remove(keys))

    async def note_unclaimed(self, claimed: Container[ZoneKey]) -> None:
        """Note that what the state knows and nothing claims is configured no longer."""

        def note() -> None:
            keys = [key for key in self._publisher.provenances() if key not in claimed]
            if keys:
                self._publisher.remove(keys)

        await self._in_thread(note)

    def provenances(self) -> dict[ZoneKey, Provenance | None]:
        """As of the publisher; blocks."""
        return self._publisher.provenances()

    async def adopt(self, zone: Zone, imported: Sequence[ImportedKey]) -> list[Key]:
        """Take over an operator's own keys for a zone, and publish it with them. Raises KeysError."""
        keys = await self._in_thread(lambda: self._publisher.adopt(zone.key, imported))
        self.submit([Work(zone, resign=True)])
        return keys

    async def saw(self, zone: Zone, seen: Mapping[str, Sighting]) -> None:
        """Note what a parent has of the zone's keys, by their ids; they are looked at when that may move them."""
        await self._in_thread(lambda: self._publisher.saw(zone.key, seen))
        if is_asking(zone.known_keys):
            self.submit([Work(zone)])

    async def saw_at_provider(self, zone: Zone, provider: str, ours: Sequence[Key], answers: Sequence[Told]) -> None:
        """Note which of our keys another provider publishes; the zone's keys may wait for that."""
        await self._in_thread(lambda: self._publisher.saw_at_provider(zone.key, provider, ours, answers))
        self.submit([Work(zone)])

    @property
    def waiting_for_seal(self) -> int:
        """How many versions are live and not sealed yet."""
        return self._sealer.waiting

    @property
    def waiting_for_slow_keys(self) -> int:
        """How many versions are not live yet because slow keys sign them."""
        return self._slow.waiting

    # ---------------------------------------------------------------- work

    def submit(self, works: Iterable[Work]) -> None:
        """Work to be done soon; of two works on one zone the newer content counts."""
        for work in works:
            waiting = self._work.get(work.zone.key)
            self._work[work.zone.key] = waiting.merged(work) if waiting else work
        if self._work:
            self._has_work.set()

    async def idle(self) -> None:
        """Wait until all work that was submitted is done."""
        async with self._outcome:
            await self._outcome.wait_for(lambda: not self._work and not self._is_busy)

    async def done_with(self, key: ZoneKey) -> None:
        """Wait until the work on one zone that was submitted is done."""
        async with self._outcome:
            await self._outcome.wait_for(lambda: key not in self._work and key not in self._batch)

    async def _run(self) -> None:
        while True:
            await self._has_work.wait()
            await asyncio.sleep(SETTLE_S)  # what comes in the same moment goes into the same transaction
            batch = [work for work in self._take() if work.zone.key in self.zones]
            if batch:
                self._is_busy = True
                self._batch = {work.zone.key for work in batch}
                try:
                    outcomes = await self._in_thread(lambda: self._publisher.run(batch))  # noqa: B023 (awaited here)
                    for asked, rcode in updateturn.answers(batch, outcomes):
                        asked.answer(rcode)
                    self._apply(outcomes)
                finally:
                    self._is_busy = False
                    self._batch = set()
            async with self._outcome:
                self._outcome.notify_all()

    def _take(self) -> list[Work]:
        keys = list(self._work)[:MAX_BATCH]
        batch = [self._work.pop(key) for key in keys]
        if not self._work:
            self._has_work.clear()
        return batch

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._thread, call)

    # ---------------------------------------------------------------- what came of it

    def _apply(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self._tell(outcome)
            if outcome.live is not None and outcome.live.is_sealable:
                self._sealer.add(outcome.zone, outcome.live)
            if outcome.draft is not None:
                self._slow.add(outcome.draft)
            if outcome.retry is not None:
                self._retry(replace(outcome.retry, updates=()))  # whose clients were told
            self._set_timers(outcome)
            if outcome.live is not None and outcome.live.keys:
                # Its keys may have moved: the zones above it and around it say so; those with nothing new do nothing.
                self.submit(Work(other) for other in self.family.told_by(outcome.zone))

    def _tell(self, outcome: Outcome) -> None:
        """Log what is new: the same findings once, however often the zone is looked at."""
        zone, live, findings = outcome.zone, outcome.live, outcome.findings
        if live is not None:
            log.info("%s: serial %d is live, %d records", zone.key, live.serial, live.signed.version.record_count)
        if findings is None or findings == self._told.get(zone.key, ()):
            return
        was_held = held(self._told.get(zone.key, ()))
        self._told[zone.key] = findings
        for found in findings:
            log.log(logging.ERROR if found.severity == "error" else logging.WARNING, "%s: %s", zone.key, found)
        if held(findings):
            kept = f"serial {zone.live.serial} goes on being served" if zone.live else "it has no version to serve"
            log.error("%s: held, %s", zone.key, kept)
        elif was_held:
            log.info("%s: no longer held", zone.key)

    def _retry(self, work: Work) -> None:
        async def again() -> None:
            later = self._work.pop(work.zone.key, None)
            self.submit([work.merged(later) if later else work])

        self._schedule.after(f"retry {work.zone.key}", RETRY_S, again)

    def _set_timers(self, outcome: Outcome) -> None:
        zone = outcome.zone
        if outcome.next_step_at is not None:

            async def step() -> None:
                self.submit([Work(zone)])

            self._schedule.at(f"keys {zone.key}", outcome.next_step_at, step)
        if outcome.live is not None:
            self._set_refresh(zone)

    def _set_refresh(self, zone: Zone) -> None:
        if zone.live is None or zone.live.policy is None:
            self._schedule.forget(f"refresh {zone.key}")
            return
        now = self._clock.now()
        policy = zone.live.policy
        expiration = zone.live.signed.earliest_expiration
        if zone.live.section is not None and expiration is not None and expiration >= zone.live.section.expiration:
            expiration = None  # nobody here can renew it; when the next section begins is the keys' timer
        due_at = next_refresh(expiration or now + policy.validity - policy.jitter, policy, now)
        if due_at is None:
            return

        async def refresh() -> None:
            self.submit([Work(zone, resign=True)])

        self._schedule.at(f"refresh {zone.key}", due_at, refresh)

    async def _tidy(self) -> None:
        # Set first: on a full disk tidying fails, and is what makes room when it is tried again.
        self._schedule.after("tidy", TIDY_S, self._tidy)
        self._sign_anew_what_is_not_valid_yet()
        await self._in_thread(self._publisher.tidy)

    def _sign_anew_what_is_not_valid_yet(self) -> None:
        """After a clock that ran ahead was put right."""
        now = self._clock.now()
        ahead = [zone for zone in self.zones.values() if zone.live is not None and zone.live.is_ahead(now)]
        if ahead:
            log.warning("the clock went back: %d zones are signed anew, their signatures are not valid yet", len(ahead))
        self.submit(Work(zone, resign=True) for zone in ahead)

    # ---------------------------------------------------------------- what the sealer says

    def _from_sealer(self, jobs: Sequence[Job]) -> None:
        self._loop.call_soon_threadsafe(self._sealed, jobs)

    def _from_sealer_failed(self, job: Job, reason: Finding) -> None:
        self._loop.call_soon_threadsafe(lambda: self._kept(self._not_sealed(job, reason)))

    def _sealed(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if self.zones.get(job.zone.key) is not job.zone:
                continue
            job.zone.sealed = job.live
            if job.zone.live is job.published:
                self._set_refresh(job.zone)
            if job.opened is not None:
                self._kept(self._completed(job))
            self._set_timers(Outcome(job.zone, next_step_at=job.next_step_at))
            self._on_sealed(job.zone)
            # What waits for a DS looks again.
            children = self.family.children_of(job.zone.key)
            self.submit(Work(child) for child in children if is_asking(child.known_keys))

    async def _completed(self, job: Job) -> None:
        await self._in_thread(lambda: self._publisher.complete(job.zone, job.published, job.live))

    async def _not_sealed(self, job: Job, reason: Finding) -> None:
        """A signature that does not verify is live: the version before serves again, until a new one passes."""
        zone = job.zone
        if self.zones.get(zone.key) is not zone:
            return
        if await self._in_thread(lambda: self._publisher.fall_back(zone, job.published, reason)):
            self._tell(Outcome(zone, findings=zone.findings))
            self._retry(Work(zone, resign=True))

    # ---------------------------------------------------------------- what slow keys say

    def _from_slow(self, draft: Draft) -> None:
        self._loop.call_soon_threadsafe(self._signed, draft)

    def _from_slow_failed(self, draft: Draft, error: Exception) -> None:
        self._loop.call_soon_threadsafe(self._not_signed, draft, error)

    def _signed(self, draft: Draft) -> None:
        """The work is done again, and finds its signatures; newer content that came meanwhile counts."""
        later = self._work.pop(draft.work.zone.key, None)
        self.submit([draft.work.merged(later) if later else draft.work])

    def _not_signed(self, draft: Draft, error: Exception) -> None:
        """A token is away: what serves goes on, and it is tried again."""
        zone = draft.work.zone
        if self.zones.get(zone.key) is not zone:
            return
        others = tuple(one for one in zone.findings if one.rule != SIGNER_AWAY)
        zone.findings = (*others, finding(zone.file or str(zone.key), SIGNER_AWAY, str(error)))
        self._tell(Outcome(zone, findings=zone.findings))
        self._retry(draft.work)
