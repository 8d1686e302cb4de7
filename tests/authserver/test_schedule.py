"""Tasks and timers: what runs, what is due, what is started again."""

import asyncio

import pytest

from authserver.schedule import Due, Schedule


class Clock:
    def __init__(self) -> None:
        self.time = 1000

    def now(self) -> int:
        return self.time


def run(body):
    return asyncio.run(body)


def test_a_timer_runs_when_the_clock_is_moved_past_it():
    async def body():
        clock, ran = Clock(), []

        async def act():
            ran.append(clock.now())

        async with Schedule(clock) as schedule:
            schedule.at("refresh", 2000, act)
            assert schedule.due() == [Due("refresh", 2000)]
            await asyncio.sleep(0.05)
            assert ran == []
            clock.time = 2500
            schedule.at("other", 9000, act)  # which also wakes it
            await asyncio.sleep(0.1)
            assert ran == [2500]
            assert schedule.due() == [Due("other", 9000)]

    run(body())


def test_a_timer_set_again_is_moved():
    async def body():
        clock, ran = Clock(), []

        async def act():
            ran.append(1)

        async with Schedule(clock) as schedule:
            schedule.at("one", 900, act)
            schedule.at("one", 5000, act)
            await asyncio.sleep(0.05)
            assert ran == []
            schedule.forget("one")
            assert schedule.due() == []

    run(body())


def test_a_task_that_dies_is_started_again(monkeypatch):
    monkeypatch.setattr("authserver.schedule.FIRST_PAUSE_S", 0.01)

    async def body():
        runs = []

        async def work():
            runs.append(1)
            if len(runs) < 3:
                raise RuntimeError("no")

        async with Schedule(Clock()) as schedule:
            schedule.start("work", work)
            await asyncio.sleep(0.3)
            assert len(runs) == 3
            assert schedule.tasks() == ["timers"]

    run(body())


def test_an_essential_task_that_dies_is_said():
    async def body():
        async def work():
            raise RuntimeError("no")

        async with Schedule(Clock()) as schedule:
            schedule.start("work", work, essential=True)
            await asyncio.wait_for(schedule.failed.wait(), 1)
            assert schedule.failed_task == "work"

    run(body())


def test_two_tasks_of_one_name_are_refused():
    async def body():
        async def work():
            await asyncio.sleep(9)

        async with Schedule(Clock()) as schedule:
            schedule.start("work", work)
            with pytest.raises(ValueError, match="work runs already"):
                schedule.start("work", work)

    run(body())


def test_timers_that_are_moved_often_leave_nothing_behind():
    async def story():
        schedule = Schedule(Clock())
        for _ in range(1000):
            schedule.at("one", 5000, _nothing)
            schedule.at("other", 6000, _nothing)
        assert len(schedule._heap) < 100
        assert [due.name for due in schedule.due()] == ["one", "other"]

    asyncio.run(story())


async def _nothing():
    pass
