"""Who may update what by DNS UPDATE: by address and key, by name, by type.

Words: a *rule* admits a client, by its address, its TSIG key, or both, and says which names and types it may change; a
*pattern* is a name in which `*` stands for one or more labels, and `self` at the end for the name of the client's key:
`www.example.org`, `*.dyn.example.org`, `_acme-challenge.*`, `_acme-challenge.self`.

Nobody may anything where no rule says so. What the signer makes is nobody's (`zones.update.SIGNERS`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engine import NameSyntaxError, name_from_text
from zones.errors import UpdatePolicyError
from zones.naming import is_at_or_below
from zones.transfer import Target, allowed
from zones.update import ANY, NS, SIGNERS, SOA

_ROOT: Final = b"\0"
_STAR: Final = b"\1*"
_SELF: Final = b"\4self\0"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Names that begin with `before` and end with `after`; with a star, one or more labels are between the two."""

    text: str
    before: bytes
    has_star: bool
    after: bytes
    is_self: bool

    def holds(self, owner: bytes, key: bytes | None) -> bool:
        """Whether a wire name is meant; `key` is the name of the client's key."""
        owner = owner.lower()
        if not owner.startswith(self.before) or (self.is_self and key is None):
            return False
        rest, after = owner[len(self.before) :], key if self.is_self and key is not None else self.after
        return is_at_or_below(rest, after) and (rest != after) == self.has_star

    def may_hold_in(self, origin: bytes) -> bool:
        """Whether there can be such a name at or below the origin."""
        if self.is_self or self.after == _ROOT:
            return True
        fixed = self.after if self.has_star else self.before + self.after
        return is_at_or_below(fixed, origin) or (self.has_star and is_at_or_below(origin, self.after))


def parse_pattern(text: str) -> Pattern:
    """The pattern of a word. Raises UpdatePolicyError."""
    try:
        name = name_from_text(text).lower()
    except NameSyntaxError as error:
        raise UpdatePolicyError("update-name", f"'{text}' is no name: {error}") from None
    before, found, after = _split_at_star(name)
    if found and _split_at_star(after)[1]:
        raise UpdatePolicyError("update-name", f"'{text}' has more than one *")
    is_self = not text.endswith(".") and name.endswith(_SELF)
    if is_self and found:
        return Pattern(text, before, found, after[: -len(_SELF)], is_self) if after == _SELF else _refused(text)
    if is_self:
        return Pattern(text, name[: -len(_SELF)], found, _ROOT, is_self)
    return Pattern(text, before, found, after, is_self) if found else Pattern(text, b"", found, name, is_self)


def _refused(text: str) -> Pattern:
    raise UpdatePolicyError("update-name", f"'{text}': nothing may stand between * and self")


def _split_at_star(name: bytes) -> tuple[bytes, bool, bytes]:
    """(labels ahead of the star, whether there is one, the name behind it)."""
    at = 0
    while name[at:] and name[at:] != _ROOT:
        end = at + name[at] + 1
        if name[at:end] == _STAR:
            return name[:at], True, name[end:]
        at = end
    return name, False, b""


@dataclass(frozen=True, slots=True)
class Rule:
    """One `allow`: clients by address and key; names and types, none for all that may be had without being named."""

    targets: tuple[Target, ...]
    keys: tuple[bytes, ...] = ()
    """Wire names in lower case; none: the client need not sign."""
    names: tuple[Pattern, ...] = ()
    types: frozenset[int] = frozenset()

    def admits(self, address: str, key: bytes | None) -> bool:
        """Whether it is about this client."""
        return allowed(self.targets, address) and (not self.keys or key in self.keys)

    def allows(self, owner: bytes, rtype: int, key: bytes | None) -> bool:
        """Whether a client that it admits may change this."""
        if rtype in SIGNERS or (self.names and not any(pattern.holds(owner, key) for pattern in self.names)):
            return False
        if self.types:
            return rtype in self.types or ANY in self.types
        return rtype not in (SOA, NS)


def admitted(rules: Iterable[Rule], address: str, key: bytes | None) -> tuple[Rule, ...]:
    """The rules that are about a client; without any it is refused whatever it asks."""
    return tuple(rule for rule in rules if rule.admits(address, key))


def permission(rules: Sequence[Rule], key: bytes | None) -> Callable[[bytes, int], bool]:
    """Whether a client that these rules admit may change an RRset, by owner and type."""
    return lambda owner, rtype: any(rule.allows(owner, rtype, key) for rule in rules)
