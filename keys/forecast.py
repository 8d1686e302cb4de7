"""What will happen to a zone's keys, as far as it can be foretold: the rules of rollover, played ahead of time.

It holds what only the world decides for granted: every version is sealed and served at once, policy and TTLs stay as
they are, the parent does what CDS asks of it after `parent_delay`, or never when that is None, and other providers
publish our keys as soon as we do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keys.policy import Policy
from keys.providers import Provider
from keys.rollover import Creation, Removal, ServedTTLs, Step, Wait, next_step, settle
from keys.states import Goal, Key, RecordKind, Sharing, Sighting, hidden_states

PARENT_DELAY: Final = 3600
MOST_EVENTS: Final = 10_000
_FOR_EVER: Final = 2**40


@dataclass(frozen=True, slots=True)
class Event:
    """A step that will be taken, and when; `key` is the one it is about, after it."""

    at: int
    key: Key
    step: Step


@dataclass(slots=True)
class Future:
    """The keys of one zone and its parent, as they go on from `now`."""

    keys: list[Key]
    policy: Policy
    ttls: ServedTTLs
    now: int
    parent_delay: int | None = PARENT_DELAY
    providers: tuple[Provider, ...] = ()
    events: list[Event] = field(default_factory=list)
    wait: Wait = field(default_factory=Wait)
    at_parent: frozenset[str] = frozenset()
    _asked: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.at_parent = frozenset(key.id for key in self.keys if key.sighting is not None and key.sighting.is_present)

    def run(self, until: int) -> None:
        """Go on to `until`, from one moment at which something happens to the next."""
        self.look()
        while (at := self._next_moment()) is not None and at <= until and len(self.events) < MOST_EVENTS:
            self.now = at
            self.look()
        self.now = max(self.now, until)

    def look(self) -> None:
        """All that happens now."""
        self._see()
        while not isinstance(end := self._next(), Wait):
            while isinstance(made := self._settle(), Creation):
                self._create(made)
            self.keys = [key.served(self.now) for key in self.keys]
        self.wait = end
        self._ask()

    def _next(self) -> Step | Wait:
        return next_step(self.keys, self.policy, self.ttls, self.now, self._others())

    def _others(self) -> tuple[Provider, ...]:
        published = {key.dnskey: key.states[RecordKind.DNSKEY].since for key in self.keys} if self.providers else {}
        seen = {dnskey: Sighting(is_present=True, since=since, until=_FOR_EVER) for dnskey, since in published.items()}
        return tuple(replace(provider, seen=seen | _present(provider)) for provider in self.providers)

    def _next_moment(self) -> int | None:
        moments = [at for at, _ in self._asked[:1]]
        if self.wait.until is not None:
            moments.append(max(self.wait.until, self.now + 1))
        return min(moments, default=None)

    def _settle(self) -> Creation | Wait:
        self.keys, steps, end = settle(self.keys, self.policy, self.ttls, self.now, self._others())
        by_id = {key.id: key for key in self.keys}
        for step in steps:
            key = step.key if isinstance(step, Removal) else by_id.get(step.key.id, step.key)
            self.events.append(Event(self.now, key, step))
        return end

    def _create(self, creation: Creation) -> None:
        self._made += 1
        new = foretold(self._made, creation, self.now)
        if creation.spec.shared:
            new = replace(new, sharing=Sharing(self.policy.name, self.now))
        self.keys = [
            replace(key, goal=Goal.ABSENT, successor=new.id) if key.id == new.predecessor else key for key in self.keys
        ]
        self.keys.append(new)
        self.events.append(Event(self.now, new, creation))

    def _ask(self) -> None:
        """By CDS, or the delete form of it: an empty CDS RRset asks for nothing (RFC 7344 section 4.1, RFC 8078)."""
        wanted = frozenset(key.id for key in self.keys if key.wants_ds)
        last = self._asked[-1][1] if self._asked else self.at_parent
        if wanted != last and (wanted or self.policy.is_insecure) and self.parent_delay is not None:
            self._asked.append((self.now + self.parent_delay, wanted))

    def _see(self) -> None:
        while self._asked and self._asked[0][0] <= self.now:
            self.at_parent = self._asked.pop(0)[1]
        self.keys = [self._seen(key) for key in self.keys]

    def _seen(self, key: Key) -> Key:
        """It stays as it is until the parent does something else, which is a moment of its own."""
        if RecordKind.DS not in key.states:
            return key
        is_present = key.id in self.at_parent
        seen = key.sighting or Sighting(not is_present, self.now, self.now)
        since = seen.since if seen.is_present == is_present else self.now
        ttl = seen.ttl or self.policy.parent_ds_ttl
        return replace(key, sighting=Sighting(is_present, since, _FOR_EVER, ttl))


def _present(provider: Provider) -> dict[bytes, Sighting]:
    return {dnskey: seen for dnskey, seen in provider.seen.items() if seen.is_present}


def foretold(number: int, creation: Creation, now: int, origin: bytes = b"\0", view: str = "") -> Key:
    """A key as `creation` will make it, with nothing but a number for its public part."""
    role = creation.spec.role
    flags = 257 if role.is_ksk else 256
    old = creation.predecessor
    return Key(
        id=f"to be made {number}",
        origin=old.origin if old is not None else origin,
        view=old.view if old is not None else view,
        algorithm=creation.spec.algorithm,
        is_ksk=role.is_ksk,
        is_zsk=role.is_zsk,
        dnskey=flags.to_bytes(2, "big") + bytes((3, creation.spec.algorithm)) + number.to_bytes(64, "big"),
        tag=number,
        goal=Goal.PRESENT,
        states=hidden_states(is_ksk=role.is_ksk, is_zsk=role.is_zsk, since=now),
        created_at=now,
        predecessor=old.id if old is not None else None,
        generation=creation.generation,
        store=creation.spec.store,
    )


def forecast(
    keys: Iterable[Key],
    policy: Policy,
    ttls: ServedTTLs,
    now: int,
    until: int,
    parent_delay: int | None = PARENT_DELAY,
    providers: Sequence[Provider] = (),
) -> list[Event]:
    """All steps from `now` to `until`, in order; at most MOST_EVENTS of them."""
    future = Future(list(keys), policy, ttls, now, parent_delay, tuple(providers))
    future.run(until)
    return future.events
