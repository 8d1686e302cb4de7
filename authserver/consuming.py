"""Catalog zones that are consumed (RFC 9432): which zones they list, whose each is, and what a change of one sets off.

A member is a secondary zone like one of the Corefile; it comes and goes with its catalog. Its copy is kept in the state
as that of any zone that was removed.

Invariants: a zone is of one catalog at most, and never of one when the Corefile has it; a broken one changes
nothing; a zone that is handed over is served without a gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from authserver.publication import Zone, ZoneKey
from engine import name_to_text
from zones.catalog import Catalog, Member, Owned, consumed, read
from zones.errors import CatalogError
from zones.naming import is_at_or_below

if TYPE_CHECKING:
    from authserver.secondaries import SecondaryFollower

log = logging.getLogger(__name__)


class Consumers:
    """Who consumes which catalogs, and what they list; across reloads."""

    def __init__(self, look_after: Callable[[], Awaitable[None]]) -> None:
        """`look_after` is called when zones have come or gone."""
        self._look_after = look_after
        self._followers: list[SecondaryFollower] = []
        self._owned: dict[str, Mapping[bytes, Owned]] = {}
        """By view."""
        self._refused: dict[ZoneKey, frozenset[bytes]] = {}
        self._lock = asyncio.Lock()

    def put_in_force(self, followers: Iterable[SecondaryFollower]) -> None:
        """From now on these consume catalogs; members of others are nobody's."""
        self._followers = [one for one in followers if one.catalogs]
        consumed_here = {zone.key for one in self._followers for zone in one.catalogs}
        for view, owned in self._owned.items():
            self._owned[view] = {
                origin: one for origin, one in owned.items() if ZoneKey(one.catalog, view) in consumed_here
            }

    def members_of(self, catalog: ZoneKey) -> dict[bytes, Member]:
        """What one catalog has by now."""
        owned = self._owned.get(catalog.view, {})
        return {origin: one.member for origin, one in owned.items() if one.catalog == catalog.origin}

    async def consume(self, follower: SecondaryFollower) -> list[Zone]:
        """Serve what the catalogs of this source list now; the members that are other zones than before.

        What it gives up or hands over may be listed by other catalogs, which are looked at after it.
        """
        async with self._lock:
            in_turn = [follower, *(one for one in self._followers if one is not follower)]
            reset = {origin for one in in_turn for catalog in one.catalogs for origin in await self._read(one, catalog)}
            for one in self._followers:
                members = [self.members_of(catalog.key) for catalog in one.catalogs]
                await one.take_members({origin: member for found in members for origin, member in found.items()})
            # Only now: what one hands over to another is claimed already.
            for one in self._followers:
                await one.drop_members()
            await self._look_after()
            return [one.zones[origin] for one in self._followers for origin in reset if origin in one.zones]

    async def _read(self, follower: SecondaryFollower, zone: Zone) -> frozenset[bytes]:
        """What a catalog says, taken over; the members whose unique labels are other ones now."""
        version = zone.source or (zone.live.signed.version if zone.live is not None else None)
        if version is None:
            return frozenset()
        try:
            catalog = await asyncio.to_thread(read, version)
        except CatalogError as error:
            follower.complain(str(error))
            return frozenset()
        view = zone.key.view
        owned = self._owned.get(view, {})
        by_hand = {key.origin for key in follower.world.registry.zones if key.view == view} - owned.keys()
        catalog, outside = _within(catalog, follower)
        done = consumed(owned, catalog, by_hand)
        self._owned[view] = done.members
        self._tell_refused(zone.key, outside, done.clashes)
        if done.added or done.gone or done.reset or done.changed:
            log.info(
                "%s: serial %d lists %d zones: %d new, %d gone, %d begin anew, %d in other groups",
                zone.key,
                version.serial,
                len(catalog.members),
                len(done.added),
                len(done.gone),
                len(done.reset),
                len(done.changed),
            )
        return done.reset

    def _tell_refused(self, key: ZoneKey, outside: frozenset[bytes], clashes: frozenset[bytes]) -> None:
        """Say once of each zone why it is not served."""
        told = self._refused.get(key, frozenset())
        for origin in sorted(outside - told):
            log.warning("%s: %s is listed and not taken: it is outside of what may be", key, name_to_text(origin))
        for origin in sorted(clashes - told):
            log.warning(
                "%s: %s is listed and not taken: the Corefile or another catalog has it", key, name_to_text(origin)
            )
        self._refused[key] = outside | clashes


def _within(catalog: Catalog, follower: SecondaryFollower) -> tuple[Catalog, frozenset[bytes]]:
    """The catalog of the members that the source may have, and the others."""
    consuming = follower.options.consuming
    within = consuming.within if consuming is not None else ()
    members = {
        origin: member
        for origin, member in catalog.members.items()
        if any(is_at_or_below(origin, one) for one in within)
    }
    return replace(catalog, members=members), frozenset(catalog.members.keys() - members.keys())
