"""The secondary zones of a server: each looked at when it is due or somebody hints at it, taken, confirmed, or expired.

Words as in `zones.refresh`; an *attempt* asks a zone's primaries in turn until one confirms the copy or gives a newer
one. What is received becomes content as from any source: it is checked, held if it is broken, published, persisted.

Invariants: at most one attempt of a zone at a time, and what asks for another one meanwhile makes one more; a primary
that refuses, lies or breaks off changes neither what serves nor when that expires; content that was held is not taken
again before its serial changes.

Limits: so many transfers and questions at a time in all and of one primary; the others wait their turn.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import dns.rcode

from authserver.backend import ZoneTable
from authserver.consuming import Consumers
from authserver.errors import StateError
from authserver.following import Follower, Site, World
from authserver.pipeline import Pipeline
from authserver.plugin import ZONES, Block, Query, Response
from authserver.plugins.secondary import Primary, SecondaryOptions
from authserver.primaries import LatePrimaryError, PrimaryError, ask_serial, transfer
from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.schedule import Schedule
from authserver.state import State
from engine import Clock, EngineError, IncomingTransfer, Version
from zones import copies, zonemd
from zones.catalog import Member
from zones.check import from_engine, held
from zones.copies import Confirmation
from zones.refresh import Standing, Timers, at_start, compared
from zones.serial import MODULUS
from zones.source import Provenance

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Questions and transfers in flight in all."""
AT_ONCE_OF_PRIMARY: Final = 8
REMEMBER_AFTER_S: Final = 5
"""Confirmations are written down together, so late at most: a kill makes a copy expire that much sooner."""
HINT_GAP_S: Final = 0.1
LOOK_WAIT_S: Final = 30.0
SOA: Final = 6
SECONDARY: Final = "secondary"


@dataclass(slots=True)
class Dealings:
    """What came of asking one primary about one zone."""

    primary: Primary
    serial: int | None = None
    confirmed_at: int | None = None
    duration: float | None = None
    octets: int = 0
    axfrs: int = 0
    ixfrs: int = 0
    failures: int = 0
    problem: str | None = None
    held_serial: int | None = None
    """What it gave under this serial was held."""


@dataclass(slots=True, eq=False)
class Secondary:
    """One secondary zone as it stands."""

    zone: Zone
    options: SecondaryOptions
    standing: Standing
    dealings: dict[str, Dealings] = field(default_factory=dict)
    attempt: asyncio.Task[None] | None = None
    is_wanted_again: bool = False
    is_wanted_whole: bool = False
    hinted_by: str | None = None
    """The address of a primary that said that there is something new."""
    taken: Version | None = None
    """The last version that was received; None before the first one of this process."""
    confirmed_by: str | None = None
    problem: str | None = None
    is_tried: bool = False

    def dealings_with(self, primary: Primary) -> Dealings:
        """What came of it so far."""
        return self.dealings.setdefault(primary.shown, Dealings(primary))

    def in_turn(self) -> list[Primary]:
        """The primaries in the order they are asked: as configured, but that who hinted comes first."""
        return sorted(self.options.primaries, key=lambda one: one.address != self.hinted_by)

    @property
    def primary_serial(self) -> int | None:
        """The newest serial that a primary said."""
        newest: int | None = None
        for serial in (one.serial for one in self.dealings.values() if one.serial is not None):
            newest = serial if compared(serial, newest) == "newer" else newest
        return newest

    @property
    def lag(self) -> int | None:
        """How many serials the copy is behind that; None where one of them is not known."""
        theirs, ours = self.primary_serial, self.zone.live
        if theirs is None or ours is None:
            return None
        return (theirs - ours.source_serial) % MODULUS if compared(theirs, ours.source_serial) == "newer" else 0

    @property
    def copy(self) -> Version | None:
        """What changes can be made to: the last version that came from a primary, with the primary's serial."""
        zone = self.zone
        if self.taken is not None and zone.source is self.taken:
            return self.taken
        live = zone.live
        if zone.source is None or live is None or not _is_transferred(zone):
            return None
        return _with_serial(zone.source, live.source_serial)


@dataclass(frozen=True, slots=True)
class Received:
    """What a primary gave; `content` None: it says that the copy is current."""

    content: Content | None
    serial: int
    expire: int | None
    kind: str = ""
    octets: int = 0
    ended_at: float = 0.0
    """When the last octet came, of a clock that only goes forward."""


class Secondaries:
    """All secondary zones of a server, across reloads."""

    def __init__(self, clock: Clock, schedule: Schedule, pipeline: Pipeline, state: State) -> None:
        self._clock = clock
        self._schedule = schedule
        self._pipeline = pipeline
        self._state = state
        self._zones: dict[ZoneKey, Secondary] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._turns_of: dict[tuple[str, int], asyncio.Semaphore] = {}
        self._unwritten: dict[ZoneKey, Confirmation] = {}
        self._followers: list[SecondaryFollower] = []
        self.consumers = Consumers(self._look_after)

    # ---------------------------------------------------------------- life

    async def put_in_force(self, followers: Iterable[Follower]) -> None:
        """From now on these sources' zones are looked after, and no others."""
        self._followers = [one for one in followers if isinstance(one, SecondaryFollower)]
        self.consumers.put_in_force(self._followers)
        await self._look_after()

    async def _look_after(self) -> None:
        """Look after the zones that the sources have now."""
        wanted = {zone.key: (zone, one.options_of(zone)) for one in self._followers for zone in one.owned}
        for key in self._zones.keys() - wanted.keys():
            self._forget(key)
        new = [key for key, (zone, _) in wanted.items() if key not in self._zones or self._zones[key].zone is not zone]
        remembered = await asyncio.to_thread(self._remembered, new) if new else {}
        for key, (zone, options) in wanted.items():
            if key in remembered:
                self._zones[key] = Secondary(zone, options, self._at_start(zone, options, remembered[key]))
            one = self._zones[key]
            is_changed = one.options.primaries != options.primaries
            one.options = options
            self._set_timers(one)
            if is_changed:
                known = {primary.shown for primary in options.primaries}
                one.dealings = {name: dealings for name, dealings in one.dealings.items() if name in known}
                self.hint(one)

    async def stop(self) -> None:
        """Break off every attempt, and write down what was confirmed."""
        attempts = [one.attempt for one in self._zones.values() if one.attempt is not None]
        self._zones.clear()
        for attempt in attempts:
            attempt.cancel()
        await self._remember()

    def _forget(self, key: ZoneKey) -> None:
        one = self._zones.pop(key)
        if one.attempt is not None:
            one.attempt.cancel()
        self._schedule.forget(f"transfer {key}")
        self._schedule.forget(f"expiry {key}")
        one.zone.slot.revive()
        one.zone.is_expired = False

    def _remembered(self, keys: Iterable[ZoneKey]) -> dict[ZoneKey, Confirmation | None]:
        with self._state.reader() as tx:
            return {key: copies.load(tx, *key) for key in keys}

    def _at_start(self, zone: Zone, options: SecondaryOptions, known: Confirmation | None) -> Standing:
        now, jitter = self._clock.now(), _jitter()
        live, timers = zone.live, _timers(zone.source, options)
        if not _is_transferred(zone) or live is None or timers is None:
            return at_start(None, None, None, now, jitter)
        if known is None:  # killed before it could be written down
            return at_start(timers, live.published_at, None, now, jitter)
        return at_start(timers, known.confirmed_at, known.expires_at, now, jitter)

    # ---------------------------------------------------------------- hints

    def of(self, zone: object) -> Secondary | None:
        """The secondary zone, if this is one."""
        return self._zones.get(zone.key) if isinstance(zone, Zone) else None

    def hint(self, one: Secondary, address: str | None = None) -> asyncio.Task[None]:
        """Look at the zone now, or once more when it is being looked at; who hinted is asked first."""
        one.hinted_by = address or one.hinted_by
        if one.attempt is not None:
            one.is_wanted_again = True
            return one.attempt
        self._schedule.forget(f"transfer {one.zone.key}")
        task = asyncio.create_task(self._attempts(one), name=f"transfer {one.zone.key}")
        one.attempt = task
        return task

    async def look(self, one: Secondary) -> None:
        """Look at the zone now, and wait for what comes of it, within reason."""
        for dealings in one.dealings.values():
            dealings.held_serial = None
        await asyncio.wait([self.hint(one)], timeout=LOOK_WAIT_S)

    async def take_whole(self, one: Secondary) -> None:
        """Transfer the whole zone now, whatever its serial is, and wait as `look` does."""
        one.is_wanted_whole = True
        await self.look(one)

    async def on_notify(self, block: Block, query: Query) -> Response:
        """The answer to a NOTIFY (RFC 1996 sections 3.10 and 3.11); one that is heeded is a hint."""
        tables = [table for table in block.offered(ZONES) if isinstance(table, ZoneTable)]
        zone = next((zone for table in tables if (zone := table.get(query.qname)) is not None), None)
        one = self.of(zone)
        if one is None:
            return query.respond(dns.rcode.NOTAUTH if zone is None else dns.rcode.REFUSED)
        if query.qtype != SOA or not any(who.admits(query.client[0], query.key, ()) for who in one.options.notifiers):
            return query.respond(dns.rcode.REFUSED)
        # Whatever serial it names, only what a primary says when it is asked counts.
        self.hint(one, query.client[0])
        return query.respond(dns.rcode.NOERROR)

    # ---------------------------------------------------------------- attempts

    async def _attempts(self, one: Secondary) -> None:
        try:
            await self._attempt(one)
            while one.is_wanted_again:
                one.is_wanted_again = False
                await asyncio.sleep(HINT_GAP_S)  # hints of one moment make one attempt
                await self._attempt(one)
        except Exception:
            log.exception("%s: an attempt failed", one.zone.key)
            one.standing = one.standing.failed(self._clock.now(), _jitter())
        finally:
            one.attempt = None
            one.is_tried = True
            if self._zones.get(one.zone.key) is one:
                self._set_timers(one)

    async def _attempt(self, one: Secondary) -> None:
        problems = ["the zone is frozen"] if one.zone.is_frozen else []
        for primary in [] if one.zone.is_frozen else one.in_turn():
            dealings, begun = one.dealings_with(primary), time.monotonic()
            try:
                async with self._turn(primary):
                    received = await self._received(one, primary, dealings)
                if received.content is not None:
                    await self._publish(one, dealings, received.content, received.serial)
                    _tell_taken(one, primary, received, begun)
                    await self._consume(one.zone)
            except PrimaryError as error:
                dealings.failures += 1
                if dealings.problem != str(error):
                    log.warning("%s: nothing from %s: %s", one.zone.key, primary.shown, error)
                dealings.problem = str(error)
                problems.append(f"{primary.shown}: {error}")
                continue
            dealings.duration = time.monotonic() - begun
            self._confirm(one, dealings, received)
            return
        one.standing = one.standing.failed(self._clock.now(), _jitter())
        one.hinted_by = None
        one.problem = "; ".join(problems)

    async def _consume(self, zone: Zone) -> None:
        """Follow what a catalog says now; what another zone of its member was is taken whole (RFC 9432 section 5.4)."""
        for follower in self._followers:
            if follower.has_catalog(zone):
                for member in await self.consumers.consume(follower):
                    if (one := self.of(member)) is not None:
                        one.is_wanted_whole = True
                        self.hint(one)

    @asynccontextmanager
    async def _turn(self, primary: Primary) -> AsyncIterator[None]:
        where = (primary.address, primary.port)
        own = self._turns_of.setdefault(where, asyncio.Semaphore(AT_ONCE_OF_PRIMARY))
        # The primary's own first: those that wait for a slow one keep nobody from asking another.
        async with own, self._turns:
            yield

    async def _received(self, one: Secondary, primary: Primary, dealings: Dealings) -> Received:
        """Ask for the serial, then for changes, then for the whole zone. Raises PrimaryError."""
        origin, patience, ours = one.zone.key.origin, one.options.patience, one.copy
        if ours is None or one.is_wanted_whole:
            return await self._whole(one, primary, dealings, None)
        answer = await ask_serial(primary, origin, patience, self._clock)
        dealings.serial = answer.serial
        match compared(answer.serial, ours.serial):
            case "older":
                raise PrimaryError(f"its serial {answer.serial} is before ours, which is {ours.serial}")
            case "current":
                return Received(None, answer.serial, answer.expire)
        if answer.serial == dealings.held_serial:
            raise PrimaryError(f"its serial {answer.serial} was held, and is not taken again before it changes")
        try:
            return await self._changed(one, primary, dealings, ours)
        except LatePrimaryError:
            raise
        except (PrimaryError, EngineError) as error:
            log.info("%s: IXFR from %s: %s; the whole zone is taken", one.zone.key, primary.shown, error)
        return await self._whole(one, primary, dealings, ours)

    async def _changed(self, one: Secondary, primary: Primary, dealings: Dealings, ours: Version) -> Received:
        """What changed since our version. Raises PrimaryError, EngineError."""
        _, (soa, *_) = ours.rrset(ours.origin, SOA) or (0, [b""])
        incoming = await transfer(
            primary, one.zone.key.origin, soa, one.options.patience, one.options.ceiling, self._clock
        )
        _count(dealings, incoming)
        _check_newer(incoming, ours)
        dealings.ixfrs += 1
        return await asyncio.to_thread(_content, primary, incoming, ours, time.monotonic())

    async def _whole(self, one: Secondary, primary: Primary, dealings: Dealings, ours: Version | None) -> Received:
        """The whole zone, if it is newer than ours. Raises PrimaryError."""
        incoming = await transfer(
            primary, one.zone.key.origin, None, one.options.patience, one.options.ceiling, self._clock
        )
        _count(dealings, incoming)
        dealings.axfrs += 1
        if ours is not None:
            _check_newer(incoming, ours)
        return await asyncio.to_thread(_content, primary, incoming, one.zone.source, time.monotonic())

    async def _publish(self, one: Secondary, dealings: Dealings, content: Content, serial: int) -> None:
        """Hand content on and wait for what becomes of it. Raises PrimaryError when it is not taken."""
        zone = one.zone
        self._pipeline.submit([Work(zone, content)])
        await self._pipeline.done_with(zone.key)
        waits = zone.draft is not None and zone.draft.work.content is content
        if content.version is not None and (zone.source is content.version or waits):
            one.taken, dealings.held_serial, one.is_wanted_whole = content.version, None, False
            return
        if zone.is_held:
            dealings.held_serial = serial
        reason = next((str(found) for found in zone.findings if found.severity == "error"), "it could not be published")
        raise PrimaryError(f"serial {serial} is not served: {reason}")

    def _confirm(self, one: Secondary, dealings: Dealings, received: Received) -> None:
        now, zone = self._clock.now(), one.zone
        if one.problem is not None:
            log.info("%s: %s gives it again", zone.key, dealings.primary.shown)
        dealings.serial, dealings.confirmed_at, dealings.problem = received.serial, now, None
        one.problem, one.hinted_by, one.confirmed_by = None, None, dealings.primary.shown
        timers = _timers(one.copy, one.options) or one.standing.timers
        assert timers is not None, "what was confirmed is there"
        is_new = received.content is not None
        one.standing = one.standing.confirmed(timers, now, _jitter(), expire=received.expire, is_new=is_new)
        assert one.standing.expires_at is not None
        self._unwritten[zone.key] = Confirmation(now, one.standing.expires_at, dealings.primary.shown)
        if len(self._unwritten) == 1:
            self._schedule.after("confirmations", REMEMBER_AFTER_S, self._remember)

    # ---------------------------------------------------------------- timers

    def _set_timers(self, one: Secondary) -> None:
        key, standing = one.zone.key, one.standing

        async def due() -> None:
            self.hint(one)

        async def expire() -> None:
            self._set_timers(one)

        if one.attempt is None:
            self._schedule.at(f"transfer {key}", standing.next_at, due)
        one.zone.slot.expires_at = standing.expires_at  # what the EXPIRE option says (RFC 7314 section 3.2)
        is_expired = standing.has_expired(self._clock.now())
        if is_expired != one.zone.is_expired:
            one.zone.is_expired = is_expired
            if is_expired:
                one.zone.slot.expire()
                log.error(
                    "%s: expired, no primary confirmed it for %d s",
                    key,
                    standing.timers.expire if standing.timers else 0,
                )
            else:
                one.zone.slot.revive()
                log.info("%s: served again", key)
        if standing.expires_at is not None and not is_expired:
            self._schedule.at(f"expiry {key}", standing.expires_at, expire)

    async def _remember(self) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        try:
            await asyncio.to_thread(self._write, unwritten)
        except (sqlite3.Error, StateError, OSError) as error:
            # A full disk: what was confirmed counts here, and is written down when there is room.
            log.error("state: confirmations can't be written down: %s", error)  # noqa: TRY400 (the disk is full)
            self._unwritten = {**unwritten, **self._unwritten}
            self._schedule.after("confirmations", REMEMBER_AFTER_S, self._remember)

    def _write(self, confirmations: Mapping[ZoneKey, Confirmation]) -> None:
        if confirmations:
            with self._state.transaction(self._clock.now()) as tx:
                for key, one in confirmations.items():
                    copies.record(tx, *key, one)

    # ---------------------------------------------------------------- facts

    def facts(self, zone: Zone) -> dict[str, Any]:
        """What there is to say of a secondary zone; nothing of another."""
        one = self.of(zone)
        if one is None:
            return {}
        standing, now = one.standing, self._clock.now()
        return {
            "kind": SECONDARY,
            "primaries": [primary.shown for primary in one.options.primaries],
            "primary_serial": one.primary_serial,
            "confirmed_at": standing.confirmed_at,
            "confirmed_by": one.confirmed_by,
            "transfer_problem": one.problem,
            "next_transfer_at": standing.next_at,
            "expires_at": standing.expires_at,
            "expires_in": standing.expires_at - now if standing.expires_at is not None else None,
            "expired": zone.is_expired,
        }

    def all(self) -> Mapping[ZoneKey, Secondary]:
        """All of them, by key."""
        return self._zones


class SecondaryFollower(Follower):
    """The zones of one `secondary`: there from the start, looked at by `Secondaries`."""

    def __init__(self, site: Site, world: World, secondaries: Secondaries) -> None:
        super().__init__(site, world)
        assert isinstance(site.source.options, SecondaryOptions)
        self.options = site.source.options
        self._secondaries = secondaries
        self._asked: set[bytes] = set()
        self._members: Mapping[bytes, Member] = {}
        self._claim_named()

    @property
    def owned(self) -> list[Zone]:
        """Its zones, but those that a source ahead of it has."""
        return [zone for zone in self.zones.values() if self._is_owner(zone)]

    def options_of(self, zone: Zone) -> SecondaryOptions:
        """How a zone is transferred: as the directive says, or as the first group says that a catalog has it in."""
        consuming, member = self.options.consuming, self._members.get(zone.key.origin)
        if consuming is None or member is None:
            return self.options
        for template in consuming.templates:
            if template.group in member.groups:
                return replace(self.options, primaries=template.primaries, notifiers=template.notifiers)
        return self.options

    @property
    def catalogs(self) -> list[Zone]:
        """Those of its zones that list others."""
        return [self.zones[origin] for origin in self.source.origins] if self.options.consuming is not None else []

    def has_catalog(self, zone: Zone) -> bool:
        """Whether the zone is one of its catalogs."""
        return any(zone is one for one in self.catalogs)

    def known(self, zones: Mapping[ZoneKey, Provenance | None]) -> list[Zone]:
        """Its zones, and the members that its catalogs had before a reload; after a start the first look finds them."""
        for catalog in self.catalogs:
            members = self._secondaries.consumers.members_of(catalog.key)
            self._members = {**self._members, **members}
            for origin in members:
                self._claim(origin)
        self.table.replace(self.zones)
        return super().known(zones)

    async def take_members(self, members: Mapping[bytes, Member]) -> None:
        """Have these zones too, beside those it has."""
        self._members = members
        await self._set_zones(members, ())

    async def drop_members(self) -> None:
        """Have no members but those that were taken last."""
        await self._set_zones((), self.zones.keys() - {*self.source.origins, *self._members})

    def complain(self, problem: str) -> None:
        """Note what is wrong with a catalog; what the last good one said goes on."""
        self._note(problem)

    @property
    def is_settled(self) -> bool:
        """Whether each zone is live, held, or its primaries gave nothing at the first attempt."""
        if self.catalogs and self.looked_at is None:
            return False
        found = [(zone, self._secondaries.of(zone)) for zone in self.zones.values()]
        return all(zone.is_settled or (one is not None and one.is_tried) for zone, one in found)

    def forget(self, origin: bytes | None = None) -> None:
        """Look at one zone, or all, whenever they are due."""
        self._asked.update([origin] if origin is not None else self.zones)

    async def _look(self) -> None:
        if self.looked_at is None and self.catalogs:
            await self._secondaries.consumers.consume(self)
        asked, self._asked = self._asked, set()
        zones = [self._secondaries.of(self.zones[origin]) for origin in asked if origin in self.zones]
        await asyncio.gather(*(self._secondaries.look(one) for one in zones if one is not None))


def _content(primary: Primary, incoming: IncomingTransfer, previous: Version | None, ended_at: float) -> Received:
    """What was received, made into content and looked at; in a thread. Raises EngineError."""
    file = f"transfer from {primary.shown}"
    serial = incoming.serial or 0
    if incoming.kind == "incremental":
        assert previous is not None
        changes = incoming.take_changes()
        changed = previous.with_all_changes(changes)
        findings = from_engine(changed.errors_at([run for change in changes for run in change], file))
        version: Version | None = changed
    else:
        version, found = Version.build(incoming.take_records(), previous)
        findings = from_engine(found)
    if version is not None and not held(findings):
        findings += zonemd.verify(version, file)
    taken = None if held(findings) else version
    provenance = Provenance(f"{SECONDARY} {primary.shown}", "", "", file)
    content = Content(taken, tuple(findings), f"serial {serial}", file, provenance)
    kind = "IXFR" if incoming.kind == "incremental" else "AXFR"
    _, octets, _ = incoming.counts
    return Received(content, serial, incoming.expire, kind, octets, ended_at)


def _tell_taken(one: Secondary, primary: Primary, received: Received, begun: float) -> None:
    log.info(
        "%s: serial %d by %s from %s: %d octets in %.3f s, live %.3f s later",
        one.zone.key,
        received.serial,
        received.kind,
        primary.shown,
        received.octets,
        received.ended_at - begun,
        time.monotonic() - received.ended_at,
    )


def _is_transferred(zone: Zone) -> bool:
    """Whether what serves came from a primary, in this process or one before."""
    provenance = zone.live.provenance if zone.live is not None else None
    return provenance is not None and provenance.source.startswith(f"{SECONDARY} ")


def _check_newer(incoming: IncomingTransfer, ours: Version) -> None:
    if incoming.serial is None or compared(incoming.serial, ours.serial) != "newer":
        raise PrimaryError(f"what it gives is of serial {incoming.serial}, not after ours, which is {ours.serial}")


def _timers(version: Version | None, options: SecondaryOptions) -> Timers | None:
    soa = version.rrset(version.origin, SOA) if version is not None else None
    return Timers.from_soa(soa[1][0], options.bounds) if soa is not None else None


def _with_serial(version: Version, serial: int) -> Version:
    soa = version.rrset(version.origin, SOA)
    if soa is None or version.serial == serial:
        return version
    ttl, (rdata, *_) = soa
    return version.edited([(version.origin, SOA, ttl, [rdata[:-20] + serial.to_bytes(4, "big") + rdata[-16:]])])


def _count(dealings: Dealings, incoming: IncomingTransfer) -> None:
    _, octets, _ = incoming.counts
    dealings.octets += octets
    dealings.serial = incoming.serial


def _jitter() -> float:
    return random.random()  # noqa: S311 (spreads questions)
