"""Which moves keep every chain whole: the safety rules of key rollover as a table of patterns over the keys of a zone.

A *pattern* has a letter for each record of a key, in the order DNSKEY, ZRRSIG, KRRSIG, DS: H hidden, R rumoured,
O omnipresent, U unretentive, S squashed, `-` any. A record that a key does not have is hidden. `E[p]` is: a key
matches p. `E[p => s]` is: a key matches p and its successor matches s, so that what one loses the other gives.

The rules are those of BIND's key manager (RFC 7583 timing with the invariants of Schaeffer, Overeinder and Mekking),
with the corrections that docs/adr/key-rollover.md lists. They know states alone; when a state may change is `timing`'s.
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Final, NamedTuple

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


class Placed(NamedTuple):
    """What the rules see of a key: its algorithm, its letters, and which other key it replaces or is replaced by.

    `turns` tells, for each record in the order of the letters, which key's entered its present state first.
    """

    algorithm: int
    letters: str
    predecessor: int | None
    successor: int | None
    turns: tuple[int, ...]


Constellation = tuple[Placed, ...]
"""The keys of a zone in their states; a key's number is its place."""


def constellation(keys: Sequence[Key]) -> Constellation:
    """The keys as the rules see them."""
    numbers = {key.id: number for number, key in enumerate(keys)}
    turns = zip(*(_turns(keys, kind) for kind in _KINDS), strict=True)
    return tuple(
        Placed(
            key.algorithm,
            letters(key),
            numbers.get(key.predecessor or ""),
            numbers.get(key.successor or ""),
            turn,
        )
        for key, turn in zip(keys, turns, strict=True)
    )


def _turns(keys: Sequence[Key], kind: RecordKind) -> list[int]:
    since = [key.states[kind].since if kind in key.states else 0 for key in keys]
    order = sorted(set(since))
    return [order.index(moment) for moment in since]


def broken(keys: Sequence[Key], *, is_strict: bool, may_lose_ds: bool = False) -> frozenset[str]:
    """The rules that do not hold, by name: what they demand, in words.

    `is_strict` demands signatures of every algorithm whenever there is any DS (RFC 4035 section 2.2 read literally);
    otherwise only when there is one of that algorithm. `may_lose_ds`: the zone is being taken insecure on purpose.
    """
    return _broken(constellation(keys), is_strict, may_lose_ds)


@lru_cache(maxsize=1 << 14)
def _broken(keys: Constellation, is_strict: bool, may_lose_ds: bool) -> frozenset[str]:  # noqa: FBT001 (a cache's key)
    """Kept, because ten thousand zones of one policy stand in few constellations."""
    found = set()
    if not (may_lose_ds or _exists(keys, "---O") or _exists(keys, "---R")):
        found.add("the zone must keep a DS")
    for algorithm in sorted({key.algorithm for key in keys}):
        if not _has_chain(keys, algorithm):
            found.add(
                f"a DNSKEY of algorithm {algorithm} that a DS points to must be in every cache, with its signature"
            )
        if not _has_signatures(keys, algorithm, is_strict=is_strict):
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
    return any(key.algorithm == algorithm and _matches(letters(key), _SIGNED) for key in keys)


@cache
def _matches(one: str, pattern: str) -> bool:
    return all(wanted in ("-", letter) for letter, wanted in zip(one, pattern, strict=True))


def _withdraws(before: Sequence[Key], after: Sequence[Key]) -> bool:
    stood = {key.id: letters(key) for key in before}
    return any(
        new in "US" and old != new for key in after for old, new in zip(stood[key.id], letters(key), strict=True)
    )


def _of(keys: Constellation, algorithm: int | None) -> list[str]:
    return [key.letters for key in keys if algorithm in (None, key.algorithm)]


def _exists(keys: Constellation, pattern: str, algorithm: int | None = None) -> bool:
    """E[pattern]."""
    return any(_matches(one, pattern) for one in _of(keys, algorithm))


def _swaps(keys: Constellation, leaving: str, coming: str, algorithm: int) -> bool:
    """E[leaving => coming]."""
    own = [number for number, key in enumerate(keys) if key.algorithm == algorithm]
    going = [number for number in own if _matches(keys[number].letters, leaving)]
    arriving = [number for number in own if _matches(keys[number].letters, coming)]
    return any(_is_successor(keys, one, other) and _meet(keys, one, other) for other in arriving for one in going)


def _meet(keys: Constellation, leaving: int, coming: int) -> bool:
    """Whether the one was there when the other left, and since then: what was taken back and comes again was not."""
    records = zip(keys[leaving].letters, keys[coming].letters, keys[leaving].turns, keys[coming].turns, strict=True)
    return all(came <= left for old, new, left, came in records if (old, new) == ("U", "R"))


def _depends_on(keys: Constellation, number: int) -> int | None:
    """The key that this one is to replace, while caches may still have something of it."""
    predecessor = keys[number].predecessor
    if predecessor is None or keys[predecessor].successor != number or keys[predecessor].letters == _HIDDEN:
        return None
    return predecessor


def _is_successor(keys: Constellation, leaving: int, coming: int) -> bool:
    if _depends_on(keys, leaving) is not None:
        return False  # somebody still relies on it
    replaced = _depends_on(keys, coming)
    if replaced is None:
        return False
    if replaced == leaving:
        return True
    # Rolled again before the first roll was over: the one between counts only if it stands where `coming` does.
    return keys[replaced].letters == keys[coming].letters and _is_successor(keys, leaving, replaced)


def _has_chain(keys: Constellation, algorithm: int) -> bool:
    return (
        _exists(keys, _CHAIN, algorithm)
        or _swaps(keys, *_DS_SWAP, algorithm)
        or any(_swaps(keys, *swap, algorithm) for swap in _DNSKEY_SWAPS)
        or all(one[3] == "H" or _matches(one, "O-O-") for one in _of(keys, algorithm))
    )


def _has_signatures(keys: Constellation, algorithm: int, *, is_strict: bool) -> bool:
    return (
        all(one[3] == "H" for one in _of(keys, None if is_strict else algorithm))
        or _exists(keys, _SIGNED, algorithm)
        or any(_swaps(keys, *swap, algorithm) for swap in _SIGNED_SWAPS)
        # Each DNSKEY that a cache may have is signed for by a key that every DNSKEY RRset with it has, too.
        or all(_is_signed_for(keys, key) for key in keys if key.algorithm == algorithm)
    )


def _is_signed_for(keys: Constellation, key: Placed) -> bool:
    if key.letters[0] == "H" or _matches(key.letters, "-O--"):
        return True
    signers = [one for one in keys if one.algorithm == key.algorithm and _matches(one.letters, f"{key.letters[0]}O--")]
    match key.letters[0]:
        case "R":
            return any(one.turns[0] <= key.turns[0] for one in signers)
        case "U":
            # It was in every cache until it was withdrawn, and that not before this one.
            return any(one.turns[0] >= key.turns[0] for one in signers)
    # Of what was squashed nothing tells when it came; what is omnipresent is in all RRsets.
    return key.letters[0] == "O" and bool(signers)
