"""Whether the clock can be believed, which two things tell: what the state remembers, and how long this process ran.

A clock that is behind what the state remembers is wrong now, or was wrong then. What was signed meanwhile tells which:
a process that was right when it started, and whose clock shows no less than what has passed since, is right now.

Limits: over a restart nothing can tell; the operator can (`serve --trust-clock`).
"""

from __future__ import annotations

import time
from typing import Final

from authserver.state import State
from engine import Clock
from keys.policy import Policy

TOLERANCE_S: Final = 300


class Timekeeper:
    """Judges the clock of one process over one state."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        now = clock.now()
        self._started_at = now if state.ahead_of(now) <= TOLERANCE_S else None
        self._started = time.monotonic()

    def behind(self, now: int) -> int:
        """How many seconds the clock may be behind the time; 0 when it is believed."""
        return 0 if self._is_as_started(now) else self._state.ahead_of(now)

    def note(self, now: int) -> None:
        """Remember over the next restart that it was a wrong clock that ran ahead."""
        if self._is_as_started(now) and self._state.ahead_of(now) > TOLERANCE_S:
            self._state.disclaim()

    def _is_as_started(self, now: int) -> bool:
        if self._started_at is None:
            return False
        return now >= self._started_at + int(time.monotonic() - self._started) - TOLERANCE_S


def is_too_far_behind(behind: int, policy: Policy) -> bool:
    """Whether what is signed now could be too old already, should the clock be wrong by that much.

    Less is harmless whichever is right: a signature made now has `refresh` left even by what the state remembers.
    """
    return behind > policy.validity - policy.jitter - policy.refresh
