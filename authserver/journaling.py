"""The journal at work: what sealing writes into it, and what transfers read out of it.

The *base* of a change is the version that was sealed before, as this process had it or, after a kill, out of its
images.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from authserver.errors import StateError
from authserver.publication import Live, Zone, ZoneKey
from authserver.state import PackRef, State
from engine import EngineError, SignedVersion, count_records, fold_changes
from zones import history, journal

log = logging.getLogger(__name__)

DNSKEY: Final = 48
RRSIG: Final = 46
TRIES: Final = 3
"""How often a change is read whose pack goes while it is being read."""

Change: TypeAlias = tuple[bytes, bytes]
"""Two record runs: what is deleted, what is added."""


@dataclass(frozen=True, slots=True)
class Step:
    """What goes into the journal with a seal; without an entry the chain is cut."""

    entry: journal.Entry | None
    limits: journal.Limits
    refs: tuple[PackRef, ...] = ()


def step_to(state: State, zone: Zone, live: Live, now: int) -> Step | None:
    """What leads to a version that is about to be sealed, its pack written; None where there is nothing to note.

    Whoever gets it releases its refs when the transaction is over. Raises OSError.
    """
    with state.reader() as tx:
        last = history.last_sealed(tx, *zone.key)
        if last is None or last.serial == live.serial:
            return None
        is_known = zone.base is not None and zone.base.serial == last.serial
        base = zone.base if is_known else sealed_before(state, tx, zone.key)
    limits = journal.Limits.of(live.signed.transfer_octets)
    change = _change(zone.key, base, live) if base is not None else None
    if change is None:
        return Step(None, limits)
    deleted, added = change
    counts = count_records(deleted), count_records(added)
    entry = journal.Entry(last.serial, live.serial, now, *counts, len(deleted), len(added), octets=deleted + added)
    if entry.length <= journal.IN_ROW:
        return Step(entry, limits)
    # A pack of its own, so that it goes as soon as the entry does.
    (ref,) = state.write_pack([deleted + added])
    return Step(replace(entry, octets=None, pack=ref.pack, offset=ref.offset), limits, (ref,))


def take_step(tx: sqlite3.Connection, key: ZoneKey, step: Step | None, now: int) -> journal.Totals:
    """Note it, in the transaction that notes the seal; what there is of the zone then."""
    if step is None:
        return journal.totals(tx, *key)
    if step.entry is None:
        journal.cut(tx, *key)
    else:
        journal.record(tx, *key, step.entry)
    return journal.trim(tx, *key, step.limits, now)


def sealed_before(state: State, tx: sqlite3.Connection, key: ZoneKey) -> SignedVersion | None:
    """The version of a zone that was sealed last, out of its images; None where there is none or it is there no more.

    None of its signatures was verified in this process.
    """
    last = history.last_sealed(tx, *key)
    images = history.images_of_version(tx, *key, last.serial) if last is not None else {}
    if "content" not in images:
        return None
    try:
        content = state.read_pack(images["content"])
        signatures = state.read_pack(images["signatures"]) if "signatures" in images else None
        signed = SignedVersion.from_images(content, signatures)
    except (EngineError, StateError, OSError) as error:
        log.warning("%s: what was sealed last can't be read, its secondaries transfer the whole zone: %s", key, error)
        return None
    types = signed.version.rtypes(key.origin) or []
    # Signed here, and the signatures are gone: what secondaries have is not known.
    return None if signatures is None and DNSKEY in types and RRSIG not in types else signed


def _change(key: ZoneKey, base: SignedVersion, live: Live) -> Change | None:
    """None where the whole zone is shorter."""
    try:
        return live.signed.changes_since(base, live.signed.transfer_octets)
    except EngineError as error:
        log.warning("%s: serial %d to %d can't be journaled: %s", key, base.serial, live.serial, error)
        return None


class Reader:
    """Reads changes out of the journal of a state, in threads."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def change(self, key: ZoneKey, since: int, upto: int, most: int) -> Change | None:
        """What leads from one sealed serial to another, as one change.

        None when the journal does not reach so far, or it is `most` octets or more.
        """
        return await asyncio.to_thread(self._change, key, since, upto, most)

    def _change(self, key: ZoneKey, since: int, upto: int, most: int) -> Change | None:
        for _ in range(TRIES):
            with self._state.reader() as tx:
                entries = journal.changes(tx, *key, since, upto)
            try:
                parts = [self._octets(entry) for entry in entries]
            except (OSError, StateError) as error:
                # Trimmed meanwhile, perhaps: what is there now may still reach.
                log.info("%s: serial %d to %d: %s", key, since, upto, error)
                continue
            return _folded(parts, most)
        return None

    def _octets(self, entry: journal.Entry) -> Change:
        octets = entry.octets
        if octets is None:
            assert entry.pack is not None
            assert entry.offset is not None
            octets = self._state.read_pack(PackRef(entry.pack, entry.offset, entry.length))
        return octets[: entry.deleted_octets], octets[entry.deleted_octets :]


def _folded(parts: list[Change], most: int) -> Change | None:
    """One change of many (RFC 1995 section 5); None when it is too long, or there is none."""
    if not parts:
        return None
    deleted, added = parts[0] if len(parts) == 1 else fold_changes(parts)
    return (deleted, added) if len(deleted) + len(added) < most else None
