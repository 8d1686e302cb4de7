"""Named tasks under supervision and named timers on the engine's clock: what runs, what is due, what died.

A *task* runs as long as its server; when it dies it is started again by name, later each time, or, when it is
essential, its server stops. A *timer* is an action at a point in time of the clock; adding one under a name that
exists moves it. The clock may be moved by tests: timers look at it at least once a second.

A clock that is set back moves the timers that `after` set, or what is to be done in ten seconds would wait for the
time of a clock that ran ahead; what `at` set has a reason to be due then, and stays.

Limits: a timer's action runs in a task of its own, one at a time per name; an action that fails is logged and not
tried again, because whoever set it knows when it is due next.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, Self

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
LONGEST_SLEEP_S = 1.0
CANCEL_AGAIN_S = 0.2
SMALL_HEAP = 64

Action = Callable[[], Awaitable[None]]


class ClockLike(Protocol):
    """What the schedule asks of a clock."""

    def now(self) -> int:
        """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Due:
    """One timer as a person wants to see it."""

    name: str
    due_at: int


class Schedule:
    """Tasks and timers of one server; used as `async with`, which ends them all on leaving."""

    def __init__(self, clock: ClockLike) -> None:
        """Nothing runs before the schedule is entered."""
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._due: dict[str, tuple[int, int, Action]] = {}
        self._pauses: dict[str, int] = {}
        self._seen = clock.now()
        self._heap: list[tuple[int, int, str]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self.failed = asyncio.Event()
        self.failed_task: str | None = None

    async def __aenter__(self) -> Self:
        """Start looking at timers."""
        self.start("timers", self._run_timers, essential=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel every task and wait until all are gone."""
        await _end(self._tasks.values())

    # ---------------------------------------------------------------- tasks

    def start(self, name: str, run: Action, *, essential: bool = False) -> None:
        """Run `run` under this name; a name that runs already is an error of the caller."""
        if name in self._tasks:
            msg = f"task {name} runs already"
            raise ValueError(msg)
        supervised = self._once(name, run) if essential else self._again(name, run)
        task = asyncio.create_task(supervised, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._forget(name, task))

    async def stop(self, name: str) -> None:
        """End a task by name; nothing happens if there is none."""
        if (task := self._tasks.get(name)) is not None:
            await _end([task])

    def tasks(self) -> list[str]:
        """Names of what runs now."""
        return sorted(self._tasks)

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]

    async def _once(self, name: str, run: Action) -> None:
        try:
            await run()
        except Exception:
            log.exception("%s: died, the server stops", name)
            self.failed_task = name
            self.failed.set()

    async def _again(self, name: str, run: Action) -> None:
        pause = FIRST_PAUSE_S
        while True:
            started = self._clock.now()
            try:
                await run()
            except Exception:
                if self._clock.now() - started > LONGEST_PAUSE_S:
                    pause = FIRST_PAUSE_S
                log.exception("%s: died, starts again in %.1f s", name, pause)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    # ---------------------------------------------------------------- timers

    def at(self, name: str, due_at: int, action: Action) -> None:
        """Run `action` at this time of the clock; the name's earlier time, if it had one, is forgotten."""
        self._pauses.pop(name, None)
        self._set(name, due_at, action)

    def after(self, name: str, pause: int, action: Action) -> None:
        """Run `action` in so many seconds, also when the clock is set back before that."""
        now = self._clock.now()
        self._seen = max(self._seen, now)
        self._pauses[name] = pause
        self._set(name, now + pause, action)

    def _set(self, name: str, due_at: int, action: Action) -> None:
        order = next(self._order)
        self._due[name] = (due_at, order, action)
        heapq.heappush(self._heap, (due_at, order, name))
        if len(self._heap) > SMALL_HEAP + 2 * len(self._due):
            # A timer that was moved or forgotten leaves its old entry behind.
            self._heap = [(due_at, order, name) for name, (due_at, order, _) in self._due.items()]
            heapq.heapify(self._heap)
        self._changed.set()

    def forget(self, name: str) -> None:
        """The timer of this name will not run."""
        self._due.pop(name, None)
        self._pauses.pop(name, None)

    def due(self) -> list[Due]:
        """All timers, the soonest first."""
        timers = (Due(name, due_at) for name, (due_at, _, _) in self._due.items())
        return sorted(timers, key=lambda due: (due.due_at, due.name))

    async def _run_timers(self) -> None:
        while True:
            self._changed.clear()
            self._follow_clock()
            for name, action in self._take_due():
                self._run_action(name, action)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._changed.wait()

    def _follow_clock(self) -> None:
        now = self._clock.now()
        if now < self._seen:
            for name, pause in self._pauses.items():
                self._set(name, now + pause, self._due[name][2])
        self._seen = now

    def _take_due(self) -> list[tuple[str, Action]]:
        taken = []
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            _, order, name = heapq.heappop(self._heap)
            entry = self._due.get(name)
            if entry is None or entry[1] != order:
                continue
            if f"timer {name}" in self._tasks:  # the last run is still at it: look again in a moment
                heapq.heappush(self._heap, (now + 1, order, name))
                self._due[name] = (now + 1, order, entry[2])
                continue
            del self._due[name]
            self._pauses.pop(name, None)
            taken.append((name, entry[2]))
        return taken

    def _run_action(self, name: str, action: Action) -> None:
        task_name = f"timer {name}"
        task = asyncio.create_task(self._guarded(name, action), name=task_name)
        self._tasks[task_name] = task
        task.add_done_callback(lambda _: self._forget(task_name, task))

    async def _guarded(self, name: str, action: Action) -> None:
        try:
            await action()
        except Exception:
            log.exception("%s: failed", name)

    def _pause(self) -> float:
        if not self._heap:
            return LONGEST_SLEEP_S
        return min(LONGEST_SLEEP_S, max(0.01, self._heap[0][0] - self._clock.now()))


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they are gone: what a task awaits may swallow a cancellation that comes with its result."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
        if waiting:
            log.debug("still running: %s", ", ".join(sorted(task.get_name() for task in waiting)))
