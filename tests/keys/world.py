"""A world around one zone's keys, and an oracle that knows only what caches may hold in it.

The world publishes what the keys' states say, seals it late, lets secondaries lag, has a parent that is slow, lets its
servers disagree for a while, and asks it now and then. The oracle reads no state: it is told which DNSKEY RRset, which
signatures and which DS RRset were served from when to when with which TTL, and asks of every combination that some
resolver may have at a moment whether it validates.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import product

from keys import rollover
from keys.forecast import foretold
from keys.policy import KeySpec, Policy, Role
from keys.rollover import Creation, Move, ServedTTLs, Wait, settle
from keys.states import Goal, Key, RecordKind, Sighting

START = 1_000_000
ALGORITHMS = (8, 13, 15)


# ------------------------------------------------------------------ the oracle


@dataclass(frozen=True, slots=True)
class Served:
    """An RRset as it was served: what is in it, who signed it, its TTL, and when some server gave it."""

    members: frozenset[str]
    signers: frozenset[str]
    ttl: int
    start: int
    end: int | None = None
    """The last moment at which a server gave it; None: it is given still."""

    def is_cached(self, now: int) -> bool:
        """Whether some cache may have it; what was fetched with TTL 1 is gone a second later."""
        return self.start <= now and (self.end is None or now < self.end + self.ttl)


@dataclass(slots=True)
class Oracle:
    """Everything that was served, and what it makes of it."""

    algorithm_of: dict[str, int] = field(default_factory=dict)
    dnskeys: list[Served] = field(default_factory=list)
    data: list[Served] = field(default_factory=list)
    ds: list[Served] = field(default_factory=list)
    is_strict: bool = True
    was_secure: bool = False
    may_be_insecure: bool = False

    def violations(self, now: int) -> list[str]:
        """Which of the properties P1 to P4 do not hold for some resolver now."""
        found = []
        cached = [[one for one in served if one.is_cached(now)] for served in (self.ds, self.dnskeys, self.data)]
        self.ds, self.dnskeys, self.data = cached[0], cached[1], cached[2]
        if any(one.members for one in self.ds):
            self.was_secure = True
        for ds, dnskeys, data in product(*cached):
            if not ds.members:
                continue
            found += [f"{name}: {reason}" for name, reason in self._judged(ds, dnskeys, data)]
        if self.was_secure and not self.may_be_insecure and any(not one.members for one in self._after_first_ds()):
            found.append("P4: a resolver finds no DS that nobody wanted to be gone")
        return found

    def _after_first_ds(self) -> list[Served]:
        first = min((one.start for one in self.ds if one.members), default=0)
        return [one for one in self.ds if one.start > first]

    def _judged(self, ds: Served, dnskeys: Served, data: Served) -> Iterable[tuple[str, str]]:
        anchors = ds.members & dnskeys.members & dnskeys.signers
        signers = data.signers & dnskeys.members
        if not anchors or not signers:
            yield "P1", f"no chain from DS {sorted(ds.members)} by {sorted(dnskeys.members)} to {sorted(data.signers)}"
        for algorithm in {self.algorithm_of[key] for key in ds.members}:
            if not self._has(anchors, algorithm) or not self._has(signers, algorithm):
                yield "P2", f"algorithm {algorithm} of the DS has no chain"
        if self.is_strict:
            for algorithm in {self.algorithm_of[key] for key in dnskeys.members}:
                if not self._has(signers, algorithm):
                    yield "P3", f"algorithm {algorithm} of the DNSKEY RRset does not sign"

    def _has(self, keys: Iterable[str], algorithm: int) -> bool:
        return any(self.algorithm_of[key] == algorithm for key in keys)


# ------------------------------------------------------------------ the world


@dataclass(slots=True)
class World:
    """One zone, its servers and its parent, driven by dice that a seed makes, or by whoever gives the choices."""

    dice: random.Random
    policy: Policy
    now: int = START
    keys: list[Key] = field(default_factory=list)
    oracle: Oracle = field(default_factory=Oracle)
    ttl_sig: int = 0
    ttl_key: int = 0
    transitions: int = 0
    trail: list[str] = field(default_factory=list)
    saved: Callable[[list[Key]], list[Key]] | None = None
    """Saves and loads the keys, as a restart does."""
    _served_ttls: list[tuple[int, str, int, int | None]] = field(default_factory=list)
    _effect: object = None
    _seal_at: int | None = None
    _planned: list[Key] = field(default_factory=list)
    _asked: frozenset[str] = frozenset()
    _wanted: tuple[int, frozenset[str]] = (0, frozenset())
    """What is asked of the parent in a sealed version, and since when."""
    _requests: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    _ds_ttl: int = 30
    _spread_until: int = 0
    _made: int = 0
    is_wired: bool = False
    """Its parent is ours: what is wanted no more goes without being asked away by CDS."""

    def __post_init__(self) -> None:
        self.oracle.is_strict = self.policy.algorithm_roll == "strict"
        self.ttl_sig = self.dice.randint(1, self.policy.max_zone_ttl)
        self.ttl_key = self.policy.dnskey_ttl
        self._ds_ttl = self.dice.randint(1, 60)
        self.is_wired = self.dice.random() < 0.4
        self.oracle.ds.append(Served(frozenset(), frozenset(), 0, self.now))

    # ---------------------------------------------------------------- time goes on

    def run(self, seconds: int, *, chance: float = 0.02) -> None:
        """Go on, a few seconds at a time, with things that happen by chance; stop at the first violation."""
        end = self.now + seconds
        while self.now < end:
            self.now += self.dice.randint(1, 12)
            if self.dice.random() < chance:
                self.happen()
            self.tick()

    def tick(self) -> None:
        """Everything that is due now, and the oracle's look at it."""
        self._parent_acts()
        if self._seal_at is not None and self._seal_at <= self.now:
            self._sealed()
        if self.dice.random() < 0.5:
            self._ask_parent()
        self._look(self.now)
        found = self.oracle.violations(self.now)
        if found:
            raise AssertionError("\n".join([*found[:4], *self.trail[-60:]]))

    def happen(self) -> None:
        """One of the things that operators, clocks and machines do."""
        getattr(self, self.dice.choice(("roll", *DEEDS)))()

    def roll(self) -> None:
        """An operator rolls one key now."""
        candidates = [key for key in self.keys if key.goal is Goal.PRESENT and key.successor is None]
        if candidates:
            chosen = self.dice.choice(candidates)
            self._say(f"roll {chosen.id}")
            self.keys = [replace(key, retire_at=self.now) if key is chosen else key for key in self.keys]

    def abort(self) -> None:
        """An operator takes back a roll."""
        candidates = [key for key in self.keys if key.goal is Goal.PRESENT and key.predecessor]
        if candidates:
            try:
                self.keys = rollover.abort(self.keys, chosen := self.dice.choice(candidates), self.now, None)
            except ValueError:
                return
            self._say(f"abort {chosen.id}")

    def change_policy(self) -> None:
        """Another scheme, algorithm or none at all, in the midst of whatever goes on."""
        keys = self.dice.choice([*SCHEMES, *SCHEMES, ()])
        name = "insecure" if not keys else "other"
        self.policy = replace(self.policy, name=name, keys=keys)
        self.oracle.may_be_insecure = self.oracle.may_be_insecure or not keys
        self._say(f"policy {[(spec.role.value, spec.algorithm) for spec in keys]}")

    def change_ttls(self) -> None:
        """The zone's data and its policy have other TTLs from the next version on."""
        self.policy = replace(self.policy, dnskey_ttl=self.dice.randint(1, 60))
        self.ttl_sig, self.ttl_key = self.dice.randint(1, self.policy.max_zone_ttl), self.policy.dnskey_ttl
        self._effect = None
        self._say(f"ttls {self.ttl_key} {self.ttl_sig}")

    def restart(self) -> None:
        """Everything but what is saved is forgotten."""
        if self.saved is not None:
            self.keys = self.saved(self.keys)
        self._seal_at = None if self._seal_at is None else self.now + self.dice.randint(0, 8)

    def set_clock_back(self) -> None:
        """P8: a clock that goes back moves nothing."""
        past = min((key.newest_event for key in self.keys), default=self.now) - 1
        keys, steps, _ = settle(self.keys, self.policy, self._ttls(), past)
        assert steps == [], "P8: moved by a clock that is set back"
        assert keys == self.keys

    # ---------------------------------------------------------------- the zone

    def _look(self, now: int) -> None:
        while True:
            self.keys, steps, end = settle(self.keys, self.policy, self._ttls(), now)
            for step in steps:
                self.transitions += 1
                what = f"{step.kind} {step.state}" if isinstance(step, Move) else type(step).__name__
                self._say(f"{step.key.id} {what}")
            if isinstance(end, Wait):
                break
            self._create(end)
        effect = (_dnskeys(self.keys), _key_signers(self.keys), _zone_signers(self.keys), self.ttl_sig, self.ttl_key)
        if effect != self._effect and self._seal_at is None:
            self._publish(effect)
        for key in self.keys:
            # P6: no signature by a key that is hidden everywhere.
            assert not (key.state(RecordKind.ZRRSIG) == "hidden" and key.id in effect[2])

    def _create(self, creation: Creation) -> None:
        self._made += 1
        new = foretold(self._made, creation, self.now)
        new = replace(new, id=f"{new.role}{self._made}/{new.algorithm}")
        self.oracle.algorithm_of[new.id] = new.algorithm
        self._say(f"made {new.id} for {new.predecessor}")
        self.keys = [
            replace(key, goal=Goal.ABSENT, successor=new.id) if key.id == new.predecessor else key for key in self.keys
        ]
        self.keys.append(new)

    def _publish(self, effect: tuple[frozenset[str], frozenset[str], frozenset[str], int, int]) -> None:
        """The primary gives the new version at once; the others until some time after it is sealed."""
        dnskeys, key_signers, zone_signers, ttl_sig, ttl_key = effect
        self._effect, self._planned = effect, list(self.keys)
        self._seal_at = self.now + self.dice.randint(0, 8)
        self.oracle.dnskeys.append(Served(dnskeys, key_signers, ttl_key, self.now))
        self.oracle.data.append(Served(frozenset(), zone_signers, ttl_sig, self.now))
        self._served_ttls.append((ttl_key, "dnskey", self.now, None))
        self._served_ttls.append((ttl_sig, "zone_max", self.now, None))

    def _sealed(self) -> None:
        assert self._seal_at is not None
        gone_at = self.now + self.dice.randint(0, self.policy.propagation_delay)
        for served in (self.oracle.dnskeys, self.oracle.data):
            served[:-1] = [one if one.end is not None else replace(one, end=gone_at) for one in served[:-1]]
        self._served_ttls[:-2] = [
            (ttl, kind, start, self.now if end is None else end) for ttl, kind, start, end in self._served_ttls[:-2]
        ]
        planned = {key.id: key for key in self._planned}
        self.keys = [_marked(key, planned.get(key.id), self.now) for key in self.keys]
        self._seal_at = None

    def _ttls(self) -> ServedTTLs:
        """As `signer.ttls.served_ttls` has them: remembered as of the oldest state that is on its way."""
        moving = [one.since for key in self.keys for one in key.states.values() if one.state in rollover.ON_ITS_WAY]
        since = min(moving, default=self.now)
        known: dict[str, int] = {}
        for ttl, kind, _, end in self._served_ttls:
            if end is None or end + ttl >= since:
                known[kind] = max(known.get(kind, 0), ttl)
        return ServedTTLs(known.get("dnskey", 0), known.get("zone_max", 0), 0)

    # ---------------------------------------------------------------- the parent

    def _parent_acts(self) -> None:
        """It reads the CDS now and then, and carries requests out in order, none later than it may take for all of it."""
        wanted = frozenset(key.id for key in self.keys if key.wants_ds)
        last = self._requests[-1][1] if self._requests else self._asked
        if self.is_wired:
            wanted |= frozenset(key.id for key in self.keys if key.is_published(RecordKind.DS)) & last
        is_asked = bool(wanted) or self.is_wired or (self.policy.is_insecure and any(map(_leaves, self.keys)))
        if wanted != self._wanted[1] and self._seal_at is None:
            self._wanted = (self.now, wanted)
        latest = self._wanted[0] + self.policy.parent_registration_delay
        is_read = self.dice.random() < 0.7 or self.now >= latest
        if is_asked and wanted != last and wanted == self._wanted[1] and is_read:
            at = min(self.now + self.dice.randint(0, self.policy.parent_registration_delay), max(latest, self.now))
            at = max([at, *(other for other, _ in self._requests[-1:])])
            self._requests.append((at, wanted))
        while self._requests and self._requests[0][0] <= self.now:
            self._asked = self._requests.pop(0)[1]
            self._say(f"parent has {sorted(self._asked)}")
            lag = self.dice.randint(0, self.policy.parent_propagation_delay)
            self._spread_until = max(self._spread_until, self.now + lag)
            self.oracle.ds[-1] = replace(self.oracle.ds[-1], end=self.now + lag)
            self.oracle.ds.append(Served(self._asked, frozenset(), self._ds_ttl, self.now))

    def _ask_parent(self) -> None:
        """All its servers are asked; while they disagree the contrary of what is wanted is seen."""
        present = self.oracle.ds[-1].members
        self.keys = [self._seen(key, key.id in present) for key in self.keys]

    def _seen(self, key: Key, is_present: bool) -> Key:
        if RecordKind.DS not in key.states:
            return key
        if self.now < self._spread_until:
            is_present = key.state(RecordKind.DS) not in ("rumoured", "omnipresent")
        return key.sighted(Sighting(is_present, self.now, self.now, self._ds_ttl))

    def _say(self, what: str) -> None:
        self.trail.append(f"{self.now - START} {what}")


DEEDS = ("roll", "abort", "change_policy", "change_ttls", "restart", "set_clock_back")
"""What may be done to a world, by the names of its methods."""

SCHEMES = (
    (KeySpec(Role.CSK, 13),),
    (KeySpec(Role.CSK, 15),),
    (KeySpec(Role.KSK, 13), KeySpec(Role.ZSK, 13)),
    (KeySpec(Role.KSK, 8), KeySpec(Role.ZSK, 8)),
    (KeySpec(Role.KSK, 15), KeySpec(Role.ZSK, 15)),
)


def a_policy(dice: random.Random, algorithm_roll: str = "strict") -> Policy:
    """A policy with times of seconds; which of its waits is the longest is left to the dice."""
    lifetime = dice.choice([None, None, 400, 900])
    keys = tuple(replace(spec, lifetime=lifetime) for spec in dice.choice(SCHEMES))
    return Policy(
        "random",
        keys=keys,
        dnskey_ttl=dice.randint(1, 60),
        max_zone_ttl=dice.randint(1, 60),
        publish_safety=dice.randint(0, 5),
        retire_safety=dice.randint(0, 5),
        propagation_delay=dice.randint(0, 30),
        parent_propagation_delay=dice.randint(0, 30),
        parent_ds_ttl=dice.randint(1, 60),
        parent_registration_delay=dice.randint(1, 120),
        purge_after=dice.choice([60, 10**6]),
        algorithm_roll="strict" if algorithm_roll == "strict" else "liberal",
    )


def a_world(seed: int, algorithm_roll: str = "strict") -> World:
    """The world of a seed."""
    dice = random.Random(seed)
    return World(dice, a_policy(dice, algorithm_roll))


def _marked(key: Key, planned: Key | None, now: int) -> Key:
    """Of the key's states those that were planned, and still stand, are served everywhere now."""
    if planned is None:
        return key
    served = planned.served(now)
    same = {
        kind: one
        for kind, one in served.states.items()
        if key.states[kind][:2] == one[:2] and key.states[kind].served_at is None
    }
    return replace(key, states={**key.states, **same})


def _dnskeys(keys: Iterable[Key]) -> frozenset[str]:
    return frozenset(key.id for key in keys if key.is_published(RecordKind.DNSKEY))


def _key_signers(keys: Iterable[Key]) -> frozenset[str]:
    return frozenset(key.id for key in keys if key.is_published(RecordKind.KRRSIG))


def _zone_signers(keys: Iterable[Key]) -> frozenset[str]:
    return frozenset(key.id for key in keys if key.is_published(RecordKind.ZRRSIG))


def _leaves(key: Key) -> bool:
    return key.state(RecordKind.DS) in ("unretentive", "squashed")
