"""The server: puts a configuration in force, keeps it there, replaces it on reload, and ends in order.

The order at start is DESIGN's: Corefile, state and its lock, clock, sockets, privileges, last good versions, answers,
`ready`, sources. What can fail for reasons of configuration fails before anything is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import pwd
import random
import resource
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dns.opcode
from prometheus_client import Metric

from authserver import chain
from authserver.answering import Answering
from authserver.backend import engine_effects
from authserver.control import ControlError, ControlSocket
from authserver.errors import CorefileErrors, StateError, StateInUse
from authserver.facts import LiveFacts, metric_facts
from authserver.following import Follower, Registry, Site, World, follow, follower
from authserver.http import HttpServers
from authserver.journaling import Reader
from authserver.keymetrics import key_metrics
from authserver.listeners import ListenError, Listeners, places_of, shown
from authserver.notifying import Notifier, notify_metrics
from authserver.outgoing import Outgoing
from authserver.parent import ParentWatcher
from authserver.pipeline import Pipeline
from authserver.plugin import (
    LAMEDUCK,
    LOG,
    PARENT,
    SIGNING,
    SOURCES,
    TRANSFER,
    ZONES,
    Block,
    Configuration,
    ParentRule,
    Runtime,
    StreamLimits,
)
from authserver.plugins.transfer import rule_of
from authserver.providerwatch import ProviderWatcher
from authserver.publication import Zone, ZoneKey
from authserver.schedule import Action, Schedule
from authserver.secondaries import Secondaries, SecondaryFollower
from authserver.secondarymetrics import secondary_metrics
from authserver.sockets import DeclinedQueries, NotifyTarget
from authserver.state import State, default_directory
from authserver.streams import Streams
from authserver.telemetry import stream_metrics, transfer_metrics, zone_metrics
from authserver.timekeeping import TOLERANCE_S
from authserver.updating import Updates, updating_of
from authserver.watch import Watch, Watcher
from engine import Block as Route
from engine import Clock, Responder, ZoneSlot, drop_capabilities
from keys import custody
from keys.errors import KeysError
from keys.policy import Policy
from keys.providers import Told
from keys.rollover import is_asking
from keys.states import Key, Sighting
from zones.naming import is_at_or_below
from zones.source import Provenance
from zones.transfer import notified

log = logging.getLogger(__name__)

GOOD: Final = 0
BAD_CONFIGURATION: Final = 1
IN_USE: Final = 2
KEPT_CAPABILITIES: Final = ("CAP_NET_BIND_SERVICE", "CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE")
LOG_PAUSE_S: Final = 0.1
STOP_WITHIN_S: Final = 4.0
READY_POLL_S: Final = 0.02
UPDATE: Final = 5
LEAVING: Final = "leaving"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    corefile: Path
    state: Path | None = None
    user: str | None = None
    threads: int | None = None
    port: int = 53
    passphrase: bytes | None = None
    trusts_clock: bool = False


class StartError(Exception):
    """The server can't start; `status` is what the process ends with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """One running server."""

    def __init__(self, options: Options, configuration: Configuration, state: State, clock: Clock) -> None:
        self.options = options
        self.configuration = configuration
        self.state = state
        self.clock = clock
        self.responder = Responder(clock)
        self.schedule = Schedule(clock)
        self.answering = Answering(self.responder, clock, lambda: self.configuration.blocks, self._address_of)
        self.streams = Streams(self.responder, self.answering.dispatch, room_for_connections())
        self.listeners = Listeners(self.responder, self.streams, options.threads)
        self.declined = DeclinedQueries(self.responder, self.answering.dispatch)
        self.pipeline = Pipeline(state, clock, self.schedule, self._on_sealed)
        self.outgoing = Outgoing(Reader(state), clock.now)
        self.secondaries = Secondaries(clock, self.schedule, self.pipeline, state)
        self.answering.opcodes[dns.opcode.NOTIFY] = self.secondaries.on_notify
        self.updates = Updates(self.pipeline.submit)
        self.answering.opcodes[UPDATE] = self.updates.answer
        self.http = HttpServers()
        self.watcher = Watcher()
        self.followers: list[Follower] = []
        self.is_ready = False
        self._registry = Registry(self.pipeline)
        self._served_by: dict[int, list[Block]] = {}
        """The blocks of each slot, by its identity; looking through them for each zone is too long for ten thousand."""
        self._watches: list[Watch] = []
        self._hints: list[tuple[Follower, asyncio.Event]] = []
        self._stop = asyncio.Event()
        self._reloads_failed = 0
        self._reload_lock = asyncio.Lock()
        self._token_lock = threading.Lock()
        self.notifier = Notifier(clock, self._targets)
        self.parents = ParentWatcher(clock, lambda: self.pipeline.zones, self._parent_rule, self._seen_at_parent)
        self.providers = ProviderWatcher(clock, lambda: self.pipeline.zones, self._seen_at_provider)
        self._commands = LiveFacts(self).commands()
        self._control = ControlSocket(state.control_path, self._commands)

    # ---------------------------------------------------------------- life

    async def run(self) -> int:
        """Serve until told to stop; the exit status."""
        async with self.schedule:
            try:
                await self._start()
                await self._until_stopped()
            finally:
                await self._end()
        return GOOD if self.schedule.failed_task is None else BAD_CONFIGURATION

    async def _start(self) -> None:
        self.listeners.bind(self.configuration)
        drop_privileges(self.options.user)
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, self._stop.set)
        for signal_number in (signal.SIGHUP, signal.SIGUSR1):
            asyncio.get_running_loop().add_signal_handler(signal_number, self._on_reload_signal)
        self._say_chains(self.configuration)
        await self._put_in_force(self.configuration)
        self.pipeline.start()
        self.responder.start()
        self.listeners.listen(self.configuration)
        self.declined.start()
        self.schedule.start("limits of connections", self.streams.sweep)
        self.schedule.start("query log", self._write_log)
        self.schedule.start("parents", self.parents.run)
        self.schedule.start("providers", self.providers.run)
        await self._control.start()
        self.schedule.start("ready", self._say_ready)

    async def _until_stopped(self) -> None:
        waits = [asyncio.create_task(self._stop.wait()), asyncio.create_task(self.schedule.failed.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        log.info("stopping")

    async def _end(self) -> None:
        self._stop.set()
        lameduck = sum(self.configuration.offered(LAMEDUCK))
        _leave_after(lameduck + STOP_WITHIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(lameduck + STOP_WITHIN_S / 2):
                await self.configuration.stop()
        self.watcher.close()
        self.notifier.stop()
        await self._control.stop()
        await self.secondaries.stop()
        self.declined.stop()
        self.streams.close_all()
        await asyncio.to_thread(self.responder.stop)
        await self.pipeline.stop()

    async def _say_ready(self) -> None:
        """The one line that says it: each configured zone is live or held."""
        while not all(one.is_settled for one in self.followers):  # noqa: ASYNC110 (once, at start)
            await asyncio.sleep(READY_POLL_S)
        self.is_ready = True
        print("ready", *map(shown, self.listeners.bound), file=sys.stderr, flush=True)  # noqa: T201 (pinned by DESIGN)
        self.schedule.start("zones of before", self._note_unclaimed)

    async def _note_unclaimed(self) -> None:
        await self.pipeline.note_unclaimed(self._registry.zones)

    @staticmethod
    def _say_chains(configuration: Configuration) -> None:
        for warning in configuration.warnings:
            log.warning("%s", warning)
        for block in configuration.blocks:
            if block.chained_by is not None:
                log.info("%s: %s is chained: %s", block.place, block.label, block.chained_by)

    # ---------------------------------------------------------------- configuration

    async def _put_in_force(self, configuration: Configuration) -> None:
        """Serve by this configuration; what it shares with the one before goes on without a gap."""
        configuration.runtime = Runtime(
            responder=self.responder,
            clock=self.clock,
            schedule=self.schedule,
            http=self.http,
            reload=self.reload,
            zone_metrics=self._zone_metrics,
            stream_metrics=lambda: stream_metrics(self.streams.facts),
            reloads_failed=lambda: self._reloads_failed,
            is_settled=lambda: all(one.is_settled for one in followers),
            is_stopping=self._stop.is_set,
            outgoing=self.outgoing,
            tell=self._tell,
        )
        known = await asyncio.to_thread(self.pipeline.provenances)
        sites = _sites(configuration)
        registry = Registry(self.pipeline, sites, known)
        world = World(
            registry, self.pipeline, self.state, self.clock, self._route, self.look_again, self._may_be_listed
        )
        followers = [
            SecondaryFollower(site, world, self.secondaries)
            if site.source.kind == "secondary"
            else follower(site, world)
            for site in sites
        ]
        stores = {one.name: one for signing in configuration.offered(SIGNING) for one in signing.stores}
        self.state.vault.tokens = custody.tokens(stores.values(), self.state.vault.tokens, self._token_lock)
        await self._restore(followers, known)
        await configuration.start()
        gone = [zone for key, zone in self.pipeline.zones.items() if key not in registry.zones]
        await self._unfollow()
        self.configuration, self.followers, self._registry = configuration, followers, registry
        registry.put_in_force()
        await self.secondaries.put_in_force(followers)
        self._say_new_names(known)
        self._route()
        await self.pipeline.remove(gone)
        self.notifier.keep(self.pipeline.zones.values())
        self._follow()

    def _zone_metrics(self) -> list[Metric]:
        zones = list(self.pipeline.zones.values())
        handed = [(key.origin, key.view, one) for key, one in self.outgoing.of(self.pipeline.zones)]
        return [
            *zone_metrics(metric_facts(zones)),
            *transfer_metrics(handed),
            *key_metrics(zones, self.parents.status, self.clock.now()),
            *notify_metrics(self.notifier.facts()),
            *secondary_metrics(self.secondaries.all().values(), self.clock.now()),
            *self.updates.metrics(),
        ]

    def _say_new_names(self, known: Mapping[ZoneKey, Provenance | None]) -> None:
        """A zone whose view got another name begins with new keys, which its DS at the parent does not know."""
        zones = self._registry.zones
        left: dict[bytes, list[ZoneKey]] = {}
        for key in known.keys() - zones.keys():
            left.setdefault(key.origin, []).append(key)
        for key in zones.keys() - known.keys():
            if key.origin in left and zones[key].policy is not None:
                before = ", ".join(f"'{other.view}'" for other in sorted(left[key.origin]))
                log.warning("%s: begins with new keys; those kept under the view's name %s are not used", key, before)

    async def _restore(self, followers: list[Follower], known: Mapping[ZoneKey, Provenance | None]) -> None:
        """The last good versions of what the state knows."""
        zones = [zone for one in followers for zone in one.known(known)]
        fresh = {zone.key: zone for zone in zones if zone.key not in self.pipeline.zones}
        await self.pipeline.restore(list(fresh.values()))

    def _follow(self) -> None:
        for number, one in enumerate(self.followers):
            hint = asyncio.Event()
            self._hints.append((one, hint))
            self.schedule.start(f"source {number}: {one.name}", _following(one, hint))
            self._watches += [self.watcher.watch(path, hint.set) for path in one.watched]

    async def _unfollow(self) -> None:
        for watch in self._watches:
            self.watcher.unwatch(watch)
        self._watches.clear()
        self._hints.clear()
        for number, one in enumerate(self.followers):
            await self.schedule.stop(f"source {number}: {one.name}")

    def _may_be_listed(self) -> bool:
        return all(one.is_settled for one in self.followers if one.source.kind != "catalog")

    def _route(self) -> None:
        """Swap the engine's routes for what the tables hold now."""
        numbers = self.listeners.numbers
        routes = []
        served_by: dict[int, list[Block]] = {}
        for block in self.configuration.blocks:
            by_origins: dict[tuple[bytes, ...], list[int]] = {}
            for place, origins in places_of(block).items():
                if place in numbers:
                    by_origins.setdefault(tuple(origins), []).append(numbers[place])
            zones = _zones_of(block)
            for _, slot in zones:
                served_by.setdefault(id(slot), []).append(block)
            effects = engine_effects(block.effect)
            for origins_there, listeners in by_origins.items():
                route = Route(
                    block.number,
                    listeners,
                    list(origins_there),
                    zones,
                    chained=not block.is_direct,
                    guarded=block.is_guarded,
                    effects=effects,
                    view=block.view.predicate,
                    counted_as=block.counted_as,
                )
                routes.append(route)
        self.responder.route(routes)
        self._served_by = served_by
        for one, hint in self._hints:
            if one.source.kind == "catalog":
                hint.set()

    def look_again(self, zone: Zone | None = None) -> None:
        """Look at all sources now, or at those of one zone, which is read whether or not it seems changed."""
        for one, hint in self._hints:
            if zone is None or any(zone is own for own in one.zones.values()):
                one.forget(zone.key.origin if zone is not None else None)
                hint.set()

    # ---------------------------------------------------------------- reload

    def _on_reload_signal(self) -> None:
        async def run() -> None:
            await self.reload()

        with contextlib.suppress(ValueError):  # one is running; it reads the file as it is now
            self.schedule.start("reload", run, essential=False)

    async def _tell(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """What a command of the control socket gives, for plugins, which know no server."""
        try:
            return await self._commands[command](arguments)
        except ControlError as error:
            raise LookupError(str(error)) from error

    async def reload(self) -> bool:
        """Load the Corefile again and put it in force; False, and nothing changed, when it can't be."""
        async with self._reload_lock:
            try:
                configuration = await asyncio.to_thread(load, self.options)
                bound = self.listeners.bind(configuration)
                old = self.configuration
                try:
                    await self._put_in_force(configuration)
                except (OSError, CorefileErrors):
                    self.listeners.close(bound)
                    raise
                self._say_chains(configuration)
                self.responder.start()
                self.listeners.listen(configuration)
                await old.stop()
                self.listeners.close_unwanted(configuration)
            except CorefileErrors as errors:
                return self._kept([str(problem) for problem in errors.problems])
            except (ListenError, OSError) as error:
                return self._kept([str(error)])
            log.info("reload: %s is in force", self.options.corefile)
            return True

    def _kept(self, problems: list[str]) -> bool:
        self._reloads_failed += 1
        for problem in problems:
            log.error("%s", problem)
        log.error("reload: the old configuration serves on")
        return False

    # ---------------------------------------------------------------- queries

    def _address_of(self, listener: int) -> tuple[str, int]:
        return self.listeners.address(listener)

    async def _write_log(self) -> None:
        while True:
            await asyncio.sleep(LOG_PAUSE_S)
            for entry in self.responder.log_entries():
                if 0 <= entry[0] < len(self.configuration.blocks):
                    for tap in self.configuration.blocks[entry[0]].offered(LOG):
                        tap.write(entry)

    # ---------------------------------------------------------------- parents

    def _parent_rule(self, zone: Zone) -> ParentRule | None:
        """The rule of the longest origin that the zone is at or below; none where its parent is ours."""
        if self.pipeline.family.parent_of(zone.key) is not None:
            return None
        rules = [
            (len(origin), rule)
            for block in self._served_by.get(id(zone.slot), ())
            for rule in block.offered(PARENT)
            for origin in rule.origins
            if is_at_or_below(zone.key.origin, origin)
        ]
        return max(rules, key=lambda rule: rule[0])[1] if rules else None

    async def _seen_at_parent(self, zone: Zone, seen: Mapping[str, Sighting]) -> None:
        await self.pipeline.saw(zone, seen)

    async def _seen_at_provider(self, zone: Zone, name: str, ours: Sequence[Key], answers: Sequence[Told]) -> None:
        await self.pipeline.saw_at_provider(zone, name, ours, answers)

    # ---------------------------------------------------------------- NOTIFY

    def _on_sealed(self, zone: Zone) -> None:
        if is_asking(zone.known_keys):
            self.parents.look_soon(zone.key)
        log.info("%s: serial %d is sealed", zone.key, zone.sealed.serial if zone.sealed else 0)
        self.notifier.tell(zone)

    def _targets(self, zone: Zone) -> list[NotifyTarget]:
        targets: dict[tuple[str, int], NotifyTarget] = {}
        for block in self._served_by.get(id(zone.slot), ()):
            rule = rule_of(block.offered(TRANSFER), zone.key.origin)
            if rule is None:
                continue
            keyring = block.keyring
            for group in (*rule.to, *rule.also):
                key = keyring.signing(group.key) if group.key is not None else None
                for address, port in notified(group.targets):
                    source = rule.source or _source_for(address, block)
                    targets.setdefault((address, port), NotifyTarget(address, port, source, key))
        return list(targets.values())


# -------------------------------------------------------------------- start


def load(options: Options) -> Configuration:
    """The configuration of the Corefile. Raises CorefileErrors."""
    return chain.load(options.corefile, os.environ, default_port=options.port)


def serve(options: Options) -> int:
    """Run a server in this process; the exit status. What keeps it from starting is logged, all of it."""
    try:
        configuration = load(options)
    except CorefileErrors as errors:
        for problem in errors.problems:
            print(problem, file=sys.stderr)  # noqa: T201 (for whoever started it)
        return BAD_CONFIGURATION
    try:
        with _opened_state(options) as state:
            return asyncio.run(_serve(options, configuration, state))
    except StartError as error:
        log.error("%s", error)  # noqa: TRY400 (no bug of ours)
        return error.status
    except ListenError as error:
        log.error("%s", error)  # noqa: TRY400
        return IN_USE if error.is_in_use else BAD_CONFIGURATION
    except CorefileErrors as errors:
        for problem in errors.problems:
            log.error("%s", problem)  # noqa: TRY400
        return BAD_CONFIGURATION
    finally:
        _stay()


async def _serve(options: Options, configuration: Configuration, state: State) -> int:
    for notice in state.notices:
        log.warning("%s", notice)
    clock = Clock()
    if options.trusts_clock:
        state.disclaim()
    if (behind := state.ahead_of(clock.now())) > TOLERANCE_S:
        log.warning("the clock is %d s behind what the state remembers; no key takes a step until it is right", behind)
    return await Server(options, configuration, state, clock).run()


@contextlib.contextmanager
def _opened_state(options: Options) -> Iterator[State]:
    """The state, taken as the user who will own it."""
    directory = options.state or default_directory(os.geteuid())
    with _as_user(options.user, directory):
        try:
            state = State.open(directory, options.passphrase)
        except StateInUse as error:
            raise StartError(IN_USE, str(error)) from error
        except (StateError, KeysError, sqlite3.Error, OSError) as error:
            raise StartError(BAD_CONFIGURATION, str(error)) from error
    with state:
        yield state


@contextlib.contextmanager
def _as_user(user: str | None, directory: Path) -> Iterator[None]:
    """Until the end of the block, act as the user, to whom the directory is handed."""
    if user is None or os.geteuid() != 0:
        yield
        return
    account = _account(user)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise StartError(BAD_CONFIGURATION, f"user {user} does not exist") from None


def room_for_connections() -> int:
    """How many connections there may be: never all descriptors, or clients could keep the state from being written.

    As many descriptors as the process may have are asked for first.
    """
    wanted = StreamLimits().connections
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY or most * 3 // 4 >= wanted:
        return wanted
    log.warning(
        "no more than %d connections at a time: %d descriptors may be open (RLIMIT_NOFILE)", most * 3 // 4, most
    )
    return most * 3 // 4


def drop_privileges(user: str | None) -> None:
    """Give up what binding needed: become `user`, or stay root with the few capabilities that reading files needs."""
    if os.geteuid() != 0:
        if user is not None:
            log.warning("only root can become user %s; it goes on as it is", user)
        return
    if user is None:
        drop_capabilities(KEPT_CAPABILITIES)
        return
    account = _account(user)
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    drop_capabilities([])


def _leave_after(seconds: float) -> None:
    """End the process if it has not ended by then: a thread may be deep in a large zone, and a kill loses nothing."""

    def leave() -> None:
        log.warning("something is still busy after %.0f s; leaving it", seconds)
        logging.shutdown()
        os._exit(GOOD)

    timer = threading.Timer(seconds, leave)
    timer.name = LEAVING
    timer.daemon = True
    timer.start()


def _stay() -> None:
    """All has ended in time; whoever called may go on."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and thread.name == LEAVING:
            thread.cancel()


# -------------------------------------------------------------------- what a configuration means


def _sites(configuration: Configuration) -> list[Site]:
    return [
        Site(source, block.view.name, block.label, _policies(block), updating_of(block, source))
        for block in configuration.blocks
        for source in block.offered(SOURCES)
    ]


def _policies(block: Block) -> Callable[[bytes], Policy | None]:
    policies = [(origin, signing.policy) for signing in block.offered(SIGNING) for origin in signing.origins]

    def policy_of(origin: bytes) -> Policy | None:
        return next((policy for one, policy in policies if is_at_or_below(origin, one)), None)

    return policy_of


def _zones_of(block: Block) -> list[tuple[bytes, ZoneSlot]]:
    """The zones of a block's tables; the first table that has an origin serves it."""
    zones: dict[bytes, ZoneSlot] = {}
    for backend in block.offered(ZONES):
        for origin, slot in backend.zones():
            if any(is_at_or_below(origin, key) for key in block.origins):
                zones.setdefault(origin, slot)
    return list(zones.items())


def _source_for(address: str, block: Block) -> str | None:
    """The block's own address of the target's family, when it has just one: secondaries know us by it."""
    version = ipaddress.ip_address(address).version
    own = []
    for word in block.addresses:
        with contextlib.suppress(ValueError):
            own += [word] if ipaddress.ip_address(word).version == version else []
    return own[0] if len(own) == 1 else None


def _following(one: Follower, hint: asyncio.Event) -> Action:
    def wait() -> float:
        reload = one.source.reload or 86400.0
        return reload * random.uniform(0.9, 1.1)  # noqa: S311 (spreads polls)

    async def run() -> None:
        await follow(one, hint, wait)

    return run
