"""A zone whose keys live by the rules: made, sealed at once, with a parent that does what CDS asks after a while."""

from collections.abc import Iterator
from dataclasses import replace

from keys.policy import Policy
from keys.rollover import Creation, Move, ServedTTLs, Step, Wait, settle
from keys.states import Goal, Key, RecordKind, Sighting, hidden_states, key_id

ORIGIN = b"\x07example\x04test\x00"
START = 1_700_000_000


def word(key: Key) -> str:
    """The states in the order of RecordKind."""
    return "".join(key.state(kind).value[0].upper() for kind in RecordKind)


def new_key(number: int, creation: Creation, now: int) -> Key:
    """A key that `creation` asks for; `number` makes its public part."""
    role = creation.spec.role
    flags = 257 if role.is_ksk else 256
    dnskey = flags.to_bytes(2, "big") + bytes((3, creation.spec.algorithm)) + number.to_bytes(64, "big")
    return Key(
        id=key_id(ORIGIN, "", dnskey),
        origin=ORIGIN,
        view="",
        algorithm=creation.spec.algorithm,
        is_ksk=role.is_ksk,
        is_zsk=role.is_zsk,
        dnskey=dnskey,
        tag=number,
        goal=Goal.PRESENT,
        states=hidden_states(is_ksk=role.is_ksk, is_zsk=role.is_zsk, since=now),
        created_at=now,
        predecessor=creation.predecessor.id if creation.predecessor else None,
        generation=creation.generation,
        store=creation.spec.store,
    )


class Rolling:
    """The keys of one zone, its parent, and what happened, as `(now, step)`."""

    def __init__(self, policy: Policy, ttls: ServedTTLs, *, parent_delay: int | None = 600, poll: int = 7200) -> None:
        self.policy = policy
        self.ttls = ttls
        self.parent_delay = parent_delay
        self.poll = poll
        self.keys: list[Key] = []
        self.log: list[tuple[int, Step]] = []
        self.now = START
        self.at_parent: frozenset[str] = frozenset()
        self.wait = Wait()
        self._asked: list[tuple[int, frozenset[str]]] = []
        self._number = 0

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    @property
    def words(self) -> list[str]:
        """Of the keys that somebody may know, oldest first."""
        return [word(key) for key in self.keys if word(key) != "HHHH"]

    def look(self) -> None:
        """What is due now, by the zone and by its parent."""
        self._see()
        while isinstance(end := self._settle(), Creation):
            self._number += 1
            new = new_key(self._number, end, self.now)
            self.keys = [self._linked(key, new) for key in self.keys] + [new]
        self.wait = end
        self.keys = [key.served(self.now) for key in self.keys]
        self._ask()

    def run(self, seconds: int) -> None:
        """Look whenever something is due, and as often as the parent is asked, for so long."""
        end = self.now + seconds
        self.look()
        while self.now < end:
            moments = [end, self.now + self.poll]
            if self.wait.until is not None and self.wait.until > self.now:
                moments.append(self.wait.until)
            self.now = min(moments)
            self.look()

    def _settle(self) -> Creation | Wait:
        self.keys, steps, end = settle(self.keys, self.policy, self.ttls, self.now)
        self.log += [(self.now, step) for step in steps]
        if isinstance(end, Creation):
            self.log.append((self.now, end))
        return end

    def _linked(self, key: Key, new: Key) -> Key:
        return replace(key, goal=Goal.ABSENT, successor=new.id) if key.id == new.predecessor else key

    def _ask(self) -> None:
        wanted = frozenset(key.id for key in self.keys if key.wants_ds)
        leaves = self.policy.is_insecure
        last = self._asked[-1][1] if self._asked else self.at_parent
        if wanted != last and (wanted or leaves) and self.parent_delay is not None:
            self._asked.append((self.now + self.parent_delay, wanted))

    def _see(self) -> None:
        while self._asked and self._asked[0][0] <= self.now:
            self.at_parent = self._asked.pop(0)[1]
        self.keys = [self._seen(key) for key in self.keys]

    def _seen(self, key: Key) -> Key:
        if RecordKind.DS not in key.states:
            return key
        is_present = key.id in self.at_parent
        now = Sighting(is_present, self.now, self.now, self.policy.parent_ds_ttl if is_present else None)
        return replace(key, sighting=key.sighting.followed_by(now) if key.sighting else now)

    def moves(self) -> list[Move]:
        """All moves so far."""
        return [step for _, step in self.log if isinstance(step, Move)]
