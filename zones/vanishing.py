"""When a zone whose file is gone is let go: at the second look, and later when many vanish at once.

A file that is being replaced is gone for a moment, so what is missing twice is gone. When more than half of a source's
zones vanish at once, somebody may be copying a directory, or have mounted the wrong one: these zones are *kept* until
they were missing for a good while, in which none of them came back. What another source has by now is not lost at all.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

LOOKS: Final = 2
MANY: Final = 3
GRACE_LOOKS: Final = 10
GRACE_S: Final = 600


@dataclass(frozen=True, slots=True)
class _Absence:
    since: int
    looks: int = 0
    is_one_of_many: bool = False


class Vanishing:
    """The zones of one source that have no file at the moment."""

    def __init__(self) -> None:
        self._absent: dict[bytes, _Absence] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether a zone is missing that will go at the next look, or come back."""
        return any(not one.is_one_of_many for one in self._absent.values())

    @property
    def kept(self) -> frozenset[bytes]:
        """Zones that are kept because many vanished at once."""
        return frozenset(origin for origin, one in self._absent.items() if one.is_one_of_many)

    def look(
        self, served: AbstractSet[bytes], missing: AbstractSet[bytes], elsewhere: AbstractSet[bytes], now: int
    ) -> frozenset[bytes]:
        """What is gone for good: of what is `served`, some is `missing` now, and some of that another source has."""
        lost = missing - elsewhere
        has_returned = bool(self.kept - missing)
        are_many = len(lost) >= MANY and 2 * len(lost) > len(served)
        is_emptied = lost == served - elsewhere
        for origin in self._absent.keys() - missing:
            del self._absent[origin]
        for origin in missing:
            was = self._absent.get(origin, _Absence(now))
            if origin in lost and (are_many or was.is_one_of_many):
                was = replace(was, is_one_of_many=True)
                if has_returned or is_emptied:  # the copy is under way, or has yet to begin
                    was = replace(was, since=now, looks=0)
            else:
                was = replace(was, is_one_of_many=False)
            self._absent[origin] = replace(was, looks=was.looks + 1)
        return frozenset(origin for origin, one in self._absent.items() if _is_over(one, now))


def _is_over(absence: _Absence, now: int) -> bool:
    if not absence.is_one_of_many:
        return absence.looks >= LOOKS
    return absence.looks >= GRACE_LOOKS and now - absence.since >= GRACE_S
