"""The thread that has slow keys sign: a token or a library makes in bulk what the engine can't make at need.

A version that waits here is a *draft*: nobody serves it and nothing names it, while the last good one serves. When its
signatures are there, its work is done again, and finds them. What a token that goes away has made by then is kept, too.

Limits: one batch of one zone at a time, zones taking turns; what a kill interrupts is signed again after the start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from authserver.publication import Draft, ZoneKey
from authserver.state import State
from engine import EngineError
from keys import custody
from keys.errors import KeysError
from signer.slow import sign_batch

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    draft: Draft
    signer: custody.Signer | None = field(default=None)


class SlowSigning:
    """Signs the drafts it is given, in a thread of its own; the callbacks come from that thread."""

    def __init__(
        self, state: State, on_signed: Callable[[Draft], None], on_failed: Callable[[Draft, Exception], None]
    ) -> None:
        self._state = state
        self._on_signed = on_signed
        self._on_failed = on_failed
        self._jobs: dict[ZoneKey, _Job] = {}
        self._changed = threading.Condition()
        self._is_stopping = False
        # A token may hang: the process does not wait for it to end.
        self._thread = threading.Thread(target=self._run, name="slow keys", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End the thread after its batch, or leave it to a token that hangs."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def add(self, draft: Draft) -> None:
        """Have this version signed; an older one of the same zone is given up."""
        with self._changed:
            self._jobs[draft.work.zone.key] = _Job(draft)
            self._changed.notify()

    def forget(self, key: ZoneKey) -> None:
        """Give up what waits of a zone."""
        with self._changed:
            self._jobs.pop(key, None)

    @property
    def waiting(self) -> int:
        """How many versions wait for slow keys."""
        return len(self._jobs)

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        while (jobs := self._turn()) is not None:
            for job in jobs:
                self._batch(job)

    def _turn(self) -> list[_Job] | None:
        with self._changed:
            while not self._jobs and not self._is_stopping:
                self._changed.wait()
            return None if self._is_stopping else list(self._jobs.values())

    def _batch(self, job: _Job) -> None:
        if self._is_stopping:
            return
        draft = job.draft
        try:
            if job.signer is None:
                job.signer = self._signer(draft)
            is_done = sign_batch(draft.signed, draft.keys, job.signer)
        except (KeysError, EngineError) as error:
            if self._took_off(job):
                self._on_failed(draft, error)
        except Exception as error:  # a module of somebody else's: whatever it does, the thread goes on
            log.exception("%s: slow keys", draft.work.zone.key)
            if self._took_off(job):
                self._on_failed(draft, error)
        else:
            if is_done and self._took_off(job):
                self._on_signed(draft)

    def _signer(self, draft: Draft) -> custody.Signer:
        with self._state.reader() as tx:
            return custody.SlowSigner(tx, self._state.vault, draft.slow_keys)

    def _took_off(self, job: _Job) -> bool:
        """Take a job off the list; False when a newer one stands in its place."""
        with self._changed:
            key = job.draft.work.zone.key
            if self._jobs.get(key) is not job:
                return False
            del self._jobs[key]
            return True
