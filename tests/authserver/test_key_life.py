"""A zone's key and signatures through the whole pipeline, weeks in milliseconds: the clock is moved, nothing is waited for."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from authserver.pipeline import Pipeline
from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.schedule import Schedule
from authserver.state import State
from engine import Clock, Version, ZoneSlot, read_zone
from keys import store
from keys.policy import DEFAULT
from keys.states import RecordKind

ORIGIN = b"\x07example\x04test\x00"
NOW = 1_800_000_000
DNSKEY, CDS, CDNSKEY, RRSIG = 48, 59, 60, 46
TEXT = """\
$ORIGIN example.test.
$TTL 3600
@ SOA ns admin 7 3600 600 604800 300
@ NS ns
ns A 192.0.2.1
www 86400 A 192.0.2.2
"""


def content(text: str = TEXT) -> Content:
    version, findings = Version.build(read_zone(ORIGIN, [("db.example", text.encode())]))
    assert version is not None, findings
    return Content(version, (), str(hash(text)), "db.example")


class World:
    """A state, a stopped clock and the zone; `run` is one life of a server over them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.clock.stop_at(NOW)
        self.zone = self._new_zone()

    def _new_zone(self) -> Zone:
        return Zone(ZoneKey(ORIGIN, ""), DEFAULT, ZoneSlot(ORIGIN))

    def run(self, story: Callable[["World"], Awaitable[None]]) -> None:
        async def life() -> None:
            with State.open(self.directory) as state:
                self.state = state
                async with Schedule(self.clock) as schedule:
                    self.pipeline = Pipeline(state, self.clock, schedule, lambda _: None)
                    self.zone = self._new_zone()
                    await self.pipeline.restore([self.zone])
                    self.pipeline.start()
                    try:
                        await asyncio.wait_for(story(self), 30)
                    finally:
                        await self.pipeline.stop()

        asyncio.run(life())

    async def publish(self, text: str = TEXT) -> None:
        self.pipeline.submit([Work(self.zone, content(text))])
        await self.until_sealed()

    async def until_sealed(self) -> None:
        await self.pipeline.idle()
        # Sealing is another thread's; nobody but a test waits for it.
        while self.pipeline.waiting_for_seal or self.zone.live is not self.zone.sealed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def until(self, now: int) -> None:
        """The clock stands at `now`; what was due by then has happened."""
        self.clock.stop_at(now)
        self.pipeline.submit([Work(self.zone)])
        await self.until_sealed()

    def has(self, rtype: int) -> bool:
        current = self.zone.slot.current
        assert current is not None
        return current.rrset(ORIGIN, rtype) is not None

    @property
    def serial(self) -> int:
        current = self.zone.slot.current
        assert current is not None
        return current.serial

    def word(self) -> str:
        with self.state.reader() as tx:
            (key,) = store.load(tx, ORIGIN)
        return "".join(key.state(kind).value[0].upper() for kind in RecordKind)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def test_cds_comes_a_day_later_in_a_serial_of_its_own(world: World) -> None:
    async def story(world: World) -> None:
        await world.publish()
        assert (world.serial, world.word()) == (7, "RRRH")
        assert world.has(DNSKEY)
        assert world.has(RRSIG)
        await world.until(NOW + 86400 + 300 - 1)
        assert (world.serial, world.word()) == (7, "OROH")
        assert not world.has(CDS)
        await world.until(NOW + 86400 + 300)
        assert (world.serial, world.word()) == (8, "OOOR")
        assert world.has(CDS)
        assert world.has(CDNSKEY)

    world.run(story)


def test_the_same_happens_with_a_restart_between_any_two_moments(world: World) -> None:
    words: list[tuple[int, str]] = []
    dnskeys: set[tuple[bytes, ...]] = set()

    async def story(world: World) -> None:
        await (world.publish() if world.zone.live is None else world.until(world.clock.now()))
        words.append((world.serial, world.word()))
        dnskeys.add(tuple(world.zone.slot.current.rrset(ORIGIN, DNSKEY)[1]))

    for moment in (NOW, NOW + 10, NOW + 7500, NOW + 86400, NOW + 86700, NOW + 90000):
        world.clock.stop_at(moment)
        world.run(story)
    assert words == [(7, "RRRH"), (7, "RRRH"), (7, "OROH"), (7, "OROH"), (8, "OOOR"), (8, "OOOR")]
    assert len(dnskeys) == 1


def test_a_clock_set_back_takes_nothing_back(world: World) -> None:
    async def story(world: World) -> None:
        await world.publish()
        await world.until(NOW + 86700)
        await world.until(NOW + 10)
        assert (world.serial, world.word()) == (9, "OOOR")  # signed anew: what was signed ahead is not valid yet
        assert world.has(CDS)

    world.run(story)


def test_a_clock_put_right_signs_anew_within_a_minute(world: World) -> None:
    async def story(world: World) -> None:
        await world.publish()
        world.clock.stop_at(NOW + 3 * 86400)
        world.pipeline.submit([Work(world.zone, resign=True)])
        await world.until_sealed()
        before = world.serial
        await asyncio.sleep(1.2)  # timers look at the clock once a second
        world.clock.stop_at(NOW + 10)
        await asyncio.sleep(1.2)
        world.clock.stop_at(NOW + 75)
        assert world.zone.live is not None
        while world.zone.live.is_ahead(NOW + 75):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await world.until_sealed()
        assert world.serial > before

    world.run(story)


def test_a_larger_ttl_of_the_past_delays_the_ds(world: World) -> None:
    async def story(world: World) -> None:
        await world.publish(TEXT.replace("86400", "200000"))
        await world.publish(TEXT.replace("86400", "60"))
        await world.until(NOW + 86700)
        assert world.word() == "OROH"
        await world.until(NOW + 200_300 - 1)
        assert not world.has(CDS)
        await world.until(NOW + 200_300)
        assert world.has(CDS)

    world.run(story)


def test_signatures_are_renewed_before_they_expire_in_a_new_serial(world: World) -> None:
    async def story(world: World) -> None:
        await world.publish()
        first = world.zone.slot.current.earliest_expiration
        now = NOW
        for _ in range(30):
            now += 86400
            world.clock.stop_at(now)
            # The timer itself submits the work; it looks at the clock about once a second.
            deadline = asyncio.get_running_loop().time() + 3
            due = world.zone.slot.current.earliest_expiration - DEFAULT.refresh + 3600
            while now >= due and world.zone.slot.current.earliest_expiration - DEFAULT.refresh + 3600 <= now:
                assert asyncio.get_running_loop().time() < deadline, "not renewed"
                await asyncio.sleep(0.02)
            await world.until(now)
            assert world.zone.slot.current.earliest_expiration > now + DEFAULT.refresh - 3600
        assert world.zone.slot.current.earliest_expiration > first
        assert world.serial > 8

    world.run(story)


def test_a_restore_that_nobody_waits_for_any_more_leaves_its_zones_sealed_and_refreshed(world: World) -> None:
    async def first(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()

    world.run(first)

    async def second(world: World) -> None:
        with State.open(world.directory) as state:
            async with Schedule(world.clock) as schedule:
                pipeline = Pipeline(state, world.clock, schedule, lambda _: None)
                zone = world._new_zone()
                waiting = asyncio.create_task(pipeline.restore([zone]))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                pipeline.start()
                while zone.sealed is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                assert any(due.name.startswith("refresh") for due in schedule.due())
                await pipeline.stop()

    asyncio.run(asyncio.wait_for(second(world), 20))
