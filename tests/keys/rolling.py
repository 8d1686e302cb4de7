"""A zone whose keys live by the rules, sealed at once, with a parent that does what CDS asks after a while."""

from collections.abc import Iterator

from keys.forecast import Future
from keys.policy import Policy
from keys.rollover import Move, ServedTTLs, Step
from keys.states import Key, RecordKind

START = 1_700_000_000


def word(key: Key) -> str:
    """The states in the order of RecordKind."""
    return "".join(key.state(kind).value[0].upper() for kind in RecordKind)


class Rolling(Future):
    """A future that begins with a new zone."""

    def __init__(self, policy: Policy, ttls: ServedTTLs, *, parent_delay: int | None = 600) -> None:
        super().__init__([], policy, ttls, START, parent_delay)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    @property
    def log(self) -> list[tuple[int, Step]]:
        """What happened, as `(now, step)`."""
        return [(event.at, event.step) for event in self.events]

    @property
    def words(self) -> list[str]:
        """Of the keys that somebody may know, oldest first."""
        return [word(key) for key in self.keys if word(key) != "HHHH"]

    def go(self, seconds: int) -> None:
        """Go on for so long."""
        self.run(self.now + seconds)

    def moves(self) -> list[Move]:
        """All moves so far."""
        return [step for _, step in self.log if isinstance(step, Move)]
