"""Which moves keep every chain whole: the safety rules of key rollover as a table of patterns over the keys of a zone.

A *pattern* has a letter for each record of a key, in the order DNSKEY, ZRRSIG, KRRSIG, DS: H hidden, R rumoured,
O omnipresent, U unretentive, S squashed, `-` any. A record that a key does not have is hidden. `E[p]` is: a key
matches p. `E[p => s]` is: a key matches p and its successor matches s, so that what one loses the other gives.

The rules are those of BIND's key manager (RFC 7583 timing with the invariants of Schaeffer, Overeinder and Mekking),
with the corrections that docs/adr/key-rollover.md lists. They know states alone; when a state may change is `timing`'s.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from keys.states import Key, RecordKind, RecordState

_KINDS: Final = (RecordKind.DNSKEY, RecordKind.ZRRSIG, RecordKind.KRRSIG, RecordKind.DS)
_LETTERS: Final = {state: state.value[0].upper() for state in RecordState}
_HIDDEN: Final = "HHHH"

_CHAIN: Final = "O-OO"
_DS_SWAP: Final = ("O-OU", "O-OR")
_DNSKEY_SWAPS: Final = tuple(
    (f"{leaving[0]}-{leaving[1]}O", f"{coming[0]}-{coming[1]}O")
    for leaving in ("UU", "OU", "UO")
    for coming in ("RR", "OR", "RO")
)
_SIGNED: Final = "OO--"
_SIGNED_SWAPS: Final = (("UO--", "RO--"), ("OU--", "OR--"))


class Constellation:
    """The keys of a zone in their states, asked by patterns."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.id: key for key in keys}
        self._letters = {key.id: letters(key) for key in self._keys.values()}

    @property
    def algorithms(self) -> list[int]:
        """All algorithms, of hidden keys too."""
        return sorted({key.algorithm for key in self._keys.values()})

    def of(self, algorithm: int | None = None) -> list[str]:
        """The letters of every key, or of those of an algorithm."""
        return [self._letters[key.id] for key in self._keys.values() if algorithm in (None, key.algorithm)]

    def exists(self, pattern: str, algorithm: int | None = None) -> bool:
        """E[pattern]."""
        return any(_matches(one, pattern) for one in self.of(algorithm))

    def swaps(self, leaving: str, coming: str, algorithm: int) -> bool:
        """E[leaving => coming]."""
        keys = [key for key in self._keys.values() if key.algorithm == algorithm]
        going = [key for key in keys if _matches(self._letters[key.id], leaving)]
        return bool(going) and any(
            self._is_successor(one, key) for key in keys if _matches(self._letters[key.id], coming) for one in going
        )

    def _depends_on(self, key: Key) -> Key | None:
        """The key that `key` is to replace, while caches may still have something of it."""
        predecessor = self._keys.get(key.predecessor or "")
        if predecessor is None or predecessor.successor != key.id or self._letters[predecessor.id] == _HIDDEN:
            return None
        return predecessor

    def _is_successor(self, leaving: Key, coming: Key) -> bool:
        if self._depends_on(leaving) is not None:
            return False  # somebody still relies on it
        replaced = self._depends_on(coming)
        if replaced is None:
            return False
        if replaced.id == leaving.id:
            return True
        # Rolled again before the first roll was over: the one between counts only if it stands where `coming` does.
        return self._letters[replaced.id] == self._letters[coming.id] and self._is_successor(leaving, replaced)


def broken(keys: Iterable[Key], *, is_strict: bool, may_lose_ds: bool = False) -> frozenset[str]:
    """The rules that do not hold, by name: what they demand, in words.

    `is_strict` demands signatures of every algorithm whenever there is any DS (RFC 4035 section 2.2 read literally);
    otherwise only when there is one of that algorithm. `may_lose_ds`: the zone is being taken insecure on purpose.
    """
    all_keys = Constellation(keys)
    found = set()
    if not (may_lose_ds or all_keys.exists("---O") or all_keys.exists("---R")):
        found.add("the zone must keep a DS")
    for algorithm in all_keys.algorithms:
        if not _has_chain(all_keys, algorithm):
            found.add(
                f"a DNSKEY of algorithm {algorithm} that a DS points to must be in every cache, with its signature"
            )
        if not _has_signatures(all_keys, algorithm, is_strict=is_strict):
            found.add(f"signatures of algorithm {algorithm} over the whole zone must be in every cache")
    return frozenset(found)


def forbids(before: Sequence[Key], after: Sequence[Key], *, is_strict: bool, may_lose_ds: bool) -> frozenset[str]:
    """The rules that forbid a move from `before` to `after`; empty when it is allowed.

    No move may break a rule that holds. A withdrawal is not even made while some rule is broken: what is withdrawn
    may be what the zone still hangs on.
    """
    now = broken(before, is_strict=is_strict, may_lose_ds=may_lose_ds)
    then = broken(after, is_strict=is_strict, may_lose_ds=may_lose_ds)
    return now | then if now and _withdraws(before, after) else then - now


def letters(key: Key) -> str:
    """The states of a key's records as patterns see them."""
    states = key.states
    return "".join([_LETTERS[states[kind].state] if kind in states else "H" for kind in _KINDS])


def is_hidden(key: Key) -> bool:
    """Whether no cache has anything of the key."""
    return letters(key) == _HIDDEN


def has_signer(keys: Iterable[Key], algorithm: int) -> bool:
    """Whether a key of the algorithm signs the zone already, so that another one has to wait for its DNSKEY."""
    return Constellation(keys).exists(_SIGNED, algorithm)


@cache
def _matches(one: str, pattern: str) -> bool:
    return all(wanted in ("-", letter) for letter, wanted in zip(one, pattern, strict=True))


def _withdraws(before: Sequence[Key], after: Sequence[Key]) -> bool:
    stood = {key.id: letters(key) for key in before}
    return any(
        new in "US" and old != new for key in after for old, new in zip(stood[key.id], letters(key), strict=True)
    )


def _has_chain(keys: Constellation, algorithm: int) -> bool:
    whole = keys.exists(_CHAIN, algorithm)
    return (
        whole
        or keys.swaps(*_DS_SWAP, algorithm)
        or any(keys.swaps(*swap, algorithm) for swap in _DNSKEY_SWAPS)
        or all(one[3] == "H" or _matches(one, "O-O-") for one in keys.of(algorithm))
    )


def _has_signatures(keys: Constellation, algorithm: int, *, is_strict: bool) -> bool:
    return (
        all(one[3] == "H" for one in keys.of(None if is_strict else algorithm))
        or keys.exists(_SIGNED, algorithm)
        or any(keys.swaps(*swap, algorithm) for swap in _SIGNED_SWAPS)
        # Each DNSKEY that a cache may have is signed for by a key in the same state.
        or all(one[0] == "H" or keys.exists(f"{one[0]}O--", algorithm) for one in keys.of(algorithm))
    )
