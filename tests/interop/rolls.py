"""Rolls in real processes under a wall clock that the test puts: a server with a parent and its children, and validators.

Words: a *step* puts the clock at the next moment at which some zone's keys are looked at. The *judges* are asked at
each: a warm unbound that keeps its caches all along, a cold one that has none, and a cold one that asks through a cache
that checks nothing and keeps what it is given, so that each RRset is as old as its TTL allows. None may find anything
bogus, and what is secure by the states of the keys has to be secure for all of them.

The monotonic clock is left alone: what waits, waits as ever, and only dates change.
"""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import dns.flags
import dns.rcode

from authserver.control import call
from engine import name_from_text
from keys import store
from keys.rollover import Step, Wait, is_asking, next_step
from keys.states import Key, RecordKind
from keys.timing import ServedTTLs, settled_at
from signer.ttls import served_ttls
from tests.interop.conftest import ds_of
from tools.servers import Unbound, Zonewright, wait_until
from zones import history

NOW: Final = 2_000_000_000
PARENT: Final = "parent.test."
REST_S: Final = 0.1

POLICIES: Final = """\
policies:
  csk:
    dnskey-ttl: 1h
    max-zone-ttl: 1h
    publish-safety: 10m
    retire-safety: 10m
    propagation-delay: 1m
    parent-ds-ttl: 1h
    parent-propagation-delay: 1m
    parent-registration-delay: 10m
    keys: [{role: csk, algorithm: 13}]
  split:
    extends: csk
    keys: [{role: ksk, algorithm: 13}, {role: zsk, algorithm: 13}]
  rsa:
    extends: csk
    keys: [{role: csk, algorithm: 8}]
  ed25519:
    extends: csk
    keys: [{role: csk, algorithm: 15}]
  ed25519-liberal:
    extends: csk
    algorithm-roll: liberal
    keys: [{role: csk, algorithm: 15}]
"""
"""TTLs of an hour: a whole roll is over within a day."""


class WallClock:
    """A wall clock that stands where it is put, for every process that has its environment."""

    def __init__(self, directory: Path, now: int = NOW) -> None:
        self._file = directory / "now"
        self.now = now
        self.put(now)

    def put(self, now: int) -> None:
        """From now on it is `now`, for all at once."""
        self.now = now
        fresh = self._file.with_suffix(".new")
        fresh.write_text(time.strftime("%Y-%m-%d %H:%M:%S\n", time.gmtime(now)))
        fresh.replace(self._file)

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes a process see it: libfaketime, by wall clock only, and reading the file each time."""
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "TZ": "UTC",
        }


def zone_text(origin: str, children: Iterable[str] = ()) -> str:
    """A zone with something of every kind, and secure delegations to `children`."""
    names = "".join(f"a{number} A 192.0.2.{number}\n" for number in range(30))
    cuts = "".join(f"{child} NS ns.{child}\nns.{child} A 127.0.0.1\n" for child in children)
    return (
        f"$ORIGIN {origin}\n$TTL 3600\n@ SOA ns admin 1 3600 600 604800 1800\n@ NS ns\nns A 127.0.0.1\n{names}"
        f"*.w TXT wild\ncut NS ns.cut\nns.cut A 192.0.2.53\n{cuts}"
    )


def questions(origin: str, dice: random.Random) -> list[tuple[str, str]]:
    """One of each kind of answer: positive, NODATA, NXDOMAIN, wildcard, delegation, apex; others each time."""
    number = dice.randrange(30)
    return [
        (f"a{number}.{origin}", "A"),
        (f"a{number}.{origin}", "MX"),
        (f"no{number}.{origin}", "A"),
        (f"x{number}.w.{origin}", "TXT"),
        (f"x{number}.w.{origin}", "A"),
        (f"cut.{origin}", "DS"),
        (origin, "SOA"),
        (origin, "DNSKEY"),
        *([(origin, "DS")] if origin != PARENT else []),  # which the root would have
    ]


@dataclass
class Judges:
    """Validators that must find nothing bogus."""

    warm: Unbound
    cold: Unbound
    cache: Unbound
    behind: Unbound
    """It has no cache of its own, and asks `cache`."""
    dice: random.Random = field(default_factory=lambda: random.Random(int(os.environ.get("SEED", "4"))))
    secure: int = 0
    """How many answers had to be secure, and were."""

    @classmethod
    def start(cls, run: Any, zones: Iterable[str], port: int, anchors: str, environment: Mapping[str, str]) -> "Judges":
        """All of them, asking the server at `port` for the zones."""
        facts = {"anchors": anchors, "environment": environment}
        stubs = dict.fromkeys(zones, port)
        cache = run(Unbound, stubs=stubs, modules="iterator", environment=environment)
        behind = run(Unbound, forward=cache.port, **facts)
        return cls(run(Unbound, stubs=stubs, **facts), run(Unbound, stubs=stubs, **facts), cache, behind)

    def fill(self, zones: Iterable[str]) -> list[str]:
        """Let the caches take up some of what is served now; what was bogus of it."""
        found = []
        for zone in zones:
            for question in self.dice.sample(questions(zone, self.dice), 3):
                found.append(self._judge("warm", question))
                self.cache.resolve(*question)
        return [one for one in found if one is not None]

    def judge(self, zones: Mapping[str, bool]) -> list[str]:
        """What is bogus to whom, or is not secure; `zones` says which have to be."""
        self.cold.forget()
        self.behind.forget()
        found = [
            self._judge(name, question, is_secure=is_secure)
            for zone, is_secure in zones.items()
            for question in questions(zone, self.dice)
            for name in ("warm", "cold", "behind")
        ]
        return [one for one in found if one is not None]

    def _judge(self, name: str, question: tuple[str, str], *, is_secure: bool = False) -> str | None:
        unbound: Unbound = getattr(self, name)
        response = unbound.resolve(*question)
        has_ad = bool(response.flags & dns.flags.AD)
        if response.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN} and (has_ad or not is_secure):
            self.secure += is_secure
            return None
        return f"{name}: {' '.join(question)}: {dns.rcode.to_text(response.rcode())}, AD {has_ad}"


class Rolls:
    """A server of a parent and children, each child under a policy of its own."""

    def __init__(self, directory: Path, policies: Mapping[str, str]) -> None:
        """`policies` are the children's, by their first labels."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.clock = WallClock(directory)
        self.policies = dict(policies)
        self.origins = {name: f"{name}.{PARENT}" for name in policies}
        (directory / "policies.yaml").write_text(POLICIES)
        (directory / "parent.zone").write_text(zone_text(PARENT, policies))
        for name, origin in self.origins.items():
            (directory / f"{name}.zone").write_text(zone_text(origin))
        self.server = Zonewright(
            directory=directory, environment=self.clock.environment, corefile=self._corefile(), start_seconds=60
        )

    @property
    def zones(self) -> list[str]:
        """All of them, the parent first."""
        return [PARENT, *self.origins.values()]

    def _corefile(self) -> str:
        here = self.directory
        blocks = [
            (PARENT, "parent", "csk"),
            *((self.origins[name], name, self.policies[name]) for name in self.origins),
        ]
        return "".join(
            f"{origin}:{{port}} {{\n    bind 127.0.0.1\n    file {here}/{name}.zone {origin}\n    transfer {{\n        to *\n"
            f"    }}\n    dnssec {{\n        policies {here}/policies.yaml\n        policy {policy}\n    }}\n}}\n"
            for origin, name, policy in blocks
        )

    # ------------------------------------------------------------ what is asked of it

    def start(self) -> None:
        """Start it, and wait until all there is to do now is done."""
        self.server.start()
        self.settle()

    def adopt(self, **policies: str) -> None:
        """Other policies for these children."""
        self.policies.update(policies)
        self.server.write_corefile(self._corefile())
        os.kill(self.server.pid, signal.SIGHUP)
        for name in policies:
            wait_until(partial(self._is_adopted, name), 20, f"{name} under its policy\n{self.server.new_log[-2000:]}")
        self.settle()

    def _is_adopted(self, name: str) -> bool:
        with self._state() as tx:
            return store.policy_of(tx, name_from_text(self.origins[name])).name == self.policies[name]

    def roll(self, name: str, **chosen: object) -> None:
        """The work of a child's keys ends now."""
        call(self.server.state / "control.sock", "key.roll", {"zone": self.origins[name], **chosen})
        self.settle()

    # ------------------------------------------------------------ the clock

    def put(self, now: int) -> None:
        """It is this time now, and the server has done what is due."""
        self.clock.put(now)
        self.settle()

    def settle(self, seconds: float = 60) -> None:
        """Until the server has done all there is to do at this time, and sealed it."""
        deadline = time.monotonic() + seconds
        before = None
        while (standing := self._standing()) is None or standing != before:
            before = standing
            assert time.monotonic() < deadline, f"no rest at {self.clock.now}\n{self.server.new_log[-3000:]}"
            time.sleep(REST_S)

    def _standing(self) -> object:
        """What every zone is like when nothing is left to do; None while something is."""
        now = self.clock.now
        standing = []
        with self._state() as tx:
            for zone in map(name_from_text, self.zones):
                published = history.last_published(tx, zone, "")
                step = _next(tx, zone, now)
                if published is None or published.sealed_at is None or not isinstance(step, Wait):
                    return None
                if (step.until is not None and step.until <= now) or not _is_heard(tx, zone, now):
                    return None
                standing.append((published.serial, step))
        return standing

    @property
    def next_at(self) -> int | None:
        """When a record of some key may move next; None when all are as they are to be."""
        with self._state() as tx:
            return next_move_at(tx, map(name_from_text, self.zones), self.clock.now)

    # ------------------------------------------------------------ what it is like

    @contextmanager
    def _state(self) -> Iterator[sqlite3.Connection]:
        """The server's database as it is, whether or not a server has it: asking it would cost more than a roll."""
        place = f"{(self.server.state / 'state.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            yield connection

    def keys(self, zone: str) -> list[Key]:
        """The zone's keys, the oldest first."""
        with self._state() as tx:
            return sorted(store.load(tx, name_from_text(zone)), key=lambda key: (key.created_at, key.role))

    @property
    def course(self) -> dict[str, list[tuple[object, ...]]]:
        """Where all keys stand."""
        return {zone: sorted(map(place_of, self.keys(zone))) for zone in self.zones}

    def words(self, zone: str) -> list[str]:
        """The keys' states in short: DNSKEY, ZRRSIG, KRRSIG, DS, a letter each."""
        return ["".join(key.state(kind).value[0].upper() for kind in RecordKind) for key in self.keys(zone)]

    @property
    def secure(self) -> dict[str, bool]:
        """Whether it has to be secure to everybody, by zone: when every cache knows a DS, and it is to stay so."""
        leaving = {self.origins[name] for name, policy in self.policies.items() if policy == "insecure"}
        return {
            zone: zone == PARENT
            or (zone not in leaving and any(key.is_omnipresent(RecordKind.DS) for key in self.keys(zone)))
            for zone in self.zones
        }

    def anchors(self) -> str:
        """The parent's DS."""
        return "".join(f"{PARENT} 3600 IN DS {rdata}\n" for rdata in ds_of(self.server, PARENT))


def place_of(key: Key) -> tuple[object, ...]:
    """Where a key stands, whichever key it is: others come at the same time into the same place."""
    states = sorted((str(kind), str(one.state), one.since, one.served_at) for kind, one in key.states.items())
    return key.role, key.algorithm, key.generation, key.created_at, str(key.goal), key.retire_at or 0, states


def _is_heard(tx: sqlite3.Connection, zone: bytes, now: int) -> bool:
    """Whether what is asked of the parent, which is ours, was seen there up to now; nobody asks for the parent."""
    keys = store.load(tx, zone) if zone != name_from_text(PARENT) else []
    policy = store.policy_of(tx, zone)
    dues = [settled_at(key, RecordKind.DS, keys, policy, ServedTTLs()) for key in keys if is_asking([key])]
    return all((due.at or due.look_at or now) > now for due in dues)


def next_move_at(tx: sqlite3.Connection, zones: Iterable[bytes], now: int) -> int | None:
    """When a record of some key of these zones may move next, as far as a date is known."""
    steps = [_next(tx, zone, now) for zone in zones]
    moving = [one for step in steps if isinstance(step, Wait) for one in step.blocked if one.kind is not None]
    return min((one.until for one in moving if one.until is not None), default=None)


def _next(tx: sqlite3.Connection, zone: bytes, now: int) -> Step | Wait:
    keys = store.load(tx, zone)
    return next_step(keys, store.policy_of(tx, zone), served_ttls(tx, zone, "", keys, now), now)
