"""The thread that seals versions: it makes and verifies their signatures, stores them, and only then seals.

It runs at low priority and takes turns among zones in slices, so that a large one does not keep small ones waiting.
The order (stored, synced, committed, sealed) is what makes transfers safe: a version that somebody can transfer has
its signatures on the disk, and serves with the very same ones after a restart. What changed since the version sealed
before goes into the journal in the transaction that says it is sealed.

Limits: a newer version of a zone replaces the older one that was not yet sealed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from authserver.journaling import Step, step_to, take_step
from authserver.publication import Live, Zone, ZoneKey
from authserver.publisher import mark_served
from authserver.state import PackRef, State
from engine import Clock, EngineError
from keys.errors import KeysError
from signer.slow import verify_batch
from signer.verify import Expected, Verdict, before_sealed, not_sealed
from zones import history, journal
from zones.check import Finding

log = logging.getLogger(__name__)

SLICE_US: Final = 20_000
NICENESS: Final = 15
GATHER_S: Final = 0.25
GATHER_ZONES: Final = 256
RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """A version to seal; `next_step_at` is when its keys move, if sealing them set that off.

    `opened` is what was published where `live` is more than that: the same with the digest of the zone in it.
    """

    zone: Zone
    live: Live
    next_step_at: int | None = None
    opened: Live | None = None

    @property
    def published(self) -> Live:
        """What went live to be sealed."""
        return self.opened or self.live


class Sealer:
    """Seals what it is given, in a thread of its own; the callbacks come from that thread."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        on_sealed: Callable[[Sequence[Job]], None],
        on_failed: Callable[[Job, Finding], None],
    ) -> None:
        self._state = state
        self._clock = clock
        self._on_sealed = on_sealed
        self._on_failed = on_failed
        self._jobs: dict[ZoneKey, Job] = {}
        self._ready: dict[ZoneKey, Job] = {}
        self._ready_since = 0.0
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its slice; what is not sealed is sealed after the next start."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def add(self, zone: Zone, live: Live) -> None:
        """Seal this version; an older one of the same zone is given up."""
        with self._changed:
            self._jobs[zone.key] = Job(zone, live)
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """How many versions are not sealed yet."""
        return len(self._jobs) + len(self._ready)

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while (batch := self._turn()) is not None:
            for job in batch:
                self._slice(job)
            if self._is_time_to_store():
                self._store()

    def _turn(self) -> list[Job] | None:
        """The versions to work on now; waits for one; None when stopping."""
        with self._changed:
            while not self._jobs and not self._ready and not self._is_stopping:
                self._changed.wait()
            return None if self._is_stopping else list(self._jobs.values())

    def _slice(self, job: Job) -> None:
        if self._is_stopping:
            return
        verdict = self._verdict(job)
        if verdict.is_held:
            if self._forget(job):
                self._on_failed(job, verdict.findings[0])
            return
        if not verdict.is_complete or self._has_more_to_make(job) or not self._forget(job):
            return
        if not self._ready:
            self._ready_since = time.monotonic()
        self._ready[job.zone.key] = job

    def _has_more_to_make(self, job: Job) -> bool:
        """Whether the digest of the zone was put in, now that all signatures are made, and waits for its own."""
        policy = job.live.policy
        signed = job.live.signed.with_zone_digest() if policy is not None and policy.zonemd else None
        if signed is None:
            return False
        with self._changed:
            if self._jobs.get(job.zone.key) is job:
                live = replace(job.live, signed=signed, is_stored=False)
                self._jobs[job.zone.key] = replace(job, live=live, opened=job.published)
        return True

    def _verdict(self, job: Job) -> Verdict:
        """What the engine can't verify comes first, so that the gate finds all of it verified in the end."""
        signed = job.live.signed
        try:
            if not verify_batch(signed, job.live.keys):
                return Verdict(is_complete=False)
        except (EngineError, KeysError) as error:
            return Verdict((not_sealed(signed, str(error)),))
        return before_sealed(signed, SLICE_US, _expected(job, self._clock.now()))

    def _forget(self, job: Job) -> bool:
        """Take a job off the list; False when a newer one stands in its place."""
        with self._changed:
            if self._jobs.get(job.zone.key) is not job:
                return False
            del self._jobs[job.zone.key]
            return True

    def _is_time_to_store(self) -> bool:
        if not self._ready:
            return False
        is_late = time.monotonic() - self._ready_since > GATHER_S
        return not self._jobs or is_late or len(self._ready) >= GATHER_ZONES

    def _store(self) -> None:
        jobs = list(self._ready.values())
        try:
            jobs = self._commit(jobs)
        except Exception:
            # A full disk: nothing is sealed, transfers show what was sealed before, and it is tried again.
            log.exception("signatures of %d zones can't be stored, tried again in %.0f s", len(jobs), RETRY_S)
            self._ready_since = time.monotonic()
            with self._changed:
                self._changed.wait(RETRY_S)
            return
        for job in jobs:
            job.live.signed.seal()
        self._ready.clear()
        self._on_sealed(jobs)

    def _commit(self, jobs: Sequence[Job]) -> list[Job]:
        now = self._clock.now()
        images: list[tuple[Job, history.Kind, bytes]] = []
        for job in jobs:
            if job.opened is not None:
                images.append((job, "content", job.live.signed.version.image()))
            if job.live.signed.is_signed and not job.live.is_stored:
                images.append((job, "signatures", job.live.signed.signatures()))
        steps: list[Step | None] = []
        refs: list[PackRef] = []
        try:
            for job in jobs:
                steps.append(step := step_to(self._state, job.zone, job.live, now))
                refs += step.refs if step is not None else ()
            of_images = self._state.write_pack([octets for _, _, octets in images]) if images else []
            refs += of_images
            with self._state.transaction(now) as tx:
                for (job, kind, _), ref in zip(images, of_images, strict=True):
                    image = history.Image(*job.zone.key, job.live.serial, kind, ref.pack, ref.offset, ref.length)
                    history.record_image(tx, image, now)
                done = [self._note(tx, job, step, now) for job, step in zip(jobs, steps, strict=True)]
        finally:
            self._state.release_pack(refs)
        for job, totals in done:
            job.zone.base, job.zone.journal = job.live.signed, totals
        return [job for job, _ in done]

    @staticmethod
    def _note(tx: sqlite3.Connection, job: Job, step: Step | None, now: int) -> tuple[Job, journal.Totals]:
        """That it is sealed and what led to it: never one without the other."""
        history.record_sealed(tx, *job.zone.key, job.live.serial, now)
        totals = take_step(tx, job.zone.key, step, now)
        history.drop_superseded_images(tx, *job.zone.key)
        return replace(job, next_step_at=mark_served(tx, job.zone.key, job.live, now)), totals


def _expected(job: Job, now: int) -> Expected:
    """Part of the horizon of going live may be used up by now, and the more the larger the zone is."""
    policy = job.live.policy
    if policy is None:
        return Expected(now)
    foreign = [key.dnskey for key in job.zone.foreign]
    is_liberal = policy.algorithm_roll == "liberal"
    return Expected(now, horizon=policy.refresh // 2, foreign=foreign, is_liberal=is_liberal)
