"""The trash: deleted keys are kept for a time of grace, and then wiped, from the database and from their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keys import private, store
from keys.errors import KeysError

GRACE: Final = 7 * 86400
"""Seconds for which a deleted key can still be exported: a week is enough to notice that it was wanted."""


@dataclass(frozen=True, slots=True)
class Wiped:
    """What was wiped, and what could not be, with the reason: a token that is away keeps its part until it is back."""

    keys: tuple[store.Trashed, ...] = ()
    kept: tuple[tuple[store.Trashed, str], ...] = ()


def wipe(tx: store.Transaction, vault: private.Vault, thrown: Sequence[store.Trashed], now: int) -> Wiped:
    """Wipe these keys for good."""
    wiped: list[store.Trashed] = []
    kept: list[tuple[store.Trashed, str]] = []
    for one in thrown:
        try:
            # What a token has may be the part of a key that another zone still has.
            if not store.is_elsewhere(tx, one.key_id, one.dnskey):
                private.destroy(vault, one.key_id, one.octets)
        except KeysError as error:
            kept.append((one, str(error)))
        else:
            store.wipe(tx, one, now)
            wiped.append(one)
    return Wiped(tuple(wiped), tuple(kept))
