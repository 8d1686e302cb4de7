"""What a zone backend of the chain is: a table of the zones its plugin serves, and the lookup in it.

A plugin makes its table at setup, empty but for what the Corefile names; the server fills it as sources are read. The
handler serves blocks the engine can't answer by itself, out of the same slots.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import dns.rcode
import dns.rdatatype

from authserver.plugin import ZONES, Block, Configuration, Effect, Handler, Link, Query, Response, Transfer
from engine import Effects, SignedVersion, ZoneSlot

TRANSFERS: Final = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
UDP_SIZE: Final = 1232
SEAL_WAIT_S: Final = 8.0
SEAL_POLL_S: Final = 0.05


class ServedZone(Protocol):
    """A zone as a table holds it."""

    @property
    def slot(self) -> ZoneSlot: ...
    @property
    def sealed_version(self) -> SignedVersion | None: ...


class ZoneTable:
    """The zones of one directive, by origin; `configured` are those the Corefile names."""

    def __init__(self, configured: tuple[bytes, ...] = ()) -> None:
        self.configured = configured
        self._zones: Mapping[bytes, ServedZone] = {}

    def replace(self, zones: Mapping[bytes, ServedZone]) -> None:
        """From now on these zones are served."""
        self._zones = dict(zones)

    def zones(self) -> list[tuple[bytes, ZoneSlot]]:
        """(origin, slot) of each zone."""
        return [(origin, zone.slot) for origin, zone in self._zones.items()]

    def get(self, origin: bytes) -> ServedZone | None:
        """The zone of exactly this origin."""
        return self._zones.get(origin.lower())


def _covering(tables: Sequence[ZoneTable], query: Query) -> tuple[ZoneTable, ServedZone] | None:
    """The zone that answers a query: the longest match; for a DS question its parent's side (RFC 4035 3.1.4.1)."""
    qname = query.qname.lower()
    found = [(table, zone) for name in _ancestors(qname) for table in tables if (zone := table.get(name)) is not None]
    above = [one for one in found if one[1].slot.origin != qname] if query.qtype == dns.rdatatype.DS else []
    return next(iter([*above, *found]), None)


@dataclass(frozen=True, slots=True)
class ZoneHandler:
    """Answers out of a table; what is below none of its zones goes to the next handler.

    So does what a table further on has a better match for: the nearest of all zones of a block answers, whichever
    directive it comes from.
    """

    table: ZoneTable
    configuration: Configuration
    block: Block
    following: Handler
    falls_through: tuple[bytes, ...] = ()
    """Origins below which a name that does not exist is asked of the next handler."""

    async def serve(self, query: Query) -> Response | Transfer:
        """The engine's answer."""
        found = _covering(self._tables(), query)
        runtime = self.configuration.runtime
        if found is None or found[0] is not self.table or runtime is None:
            return await self.following.serve(query)
        _, zone = found
        if query.qtype in TRANSFERS and not _is_soa_enough(query):
            # Nobody ahead allowed it: without `transfer` nobody may.
            return query.respond(dns.rcode.REFUSED)
        effects = engine_effects(self.block.effect)
        listener = query.listener if query.listener >= 0 else None
        octets = runtime.responder.answer_from(
            zone.slot, query.octets, query.transport, effects, listener, query.client, query.local[0] or None
        )
        response = Response(octets)
        # Where an alias was answered, the name asked exists.
        is_missing = response.rcode == dns.rcode.NXDOMAIN and not response.answer_count
        if is_missing and any(query.is_below(origin) for origin in self.falls_through):
            return await self.following.serve(query)
        return response

    def _tables(self) -> list[ZoneTable]:
        """This one and those of the block that stand behind it in the chain."""
        tables = [table for table in self.block.offered(ZONES) if isinstance(table, ZoneTable)]
        return tables[tables.index(self.table) :]


def in_order(links: Sequence[Link]) -> Link:
    """One link of several, the first standing first in the chain."""

    def link(following: Handler) -> Handler:
        for one in reversed(links):
            following = one(following)
        return following

    return link


@lru_cache(maxsize=256)
def engine_effects(effect: Effect) -> Effects:
    """The effects of a block's plugins as the engine takes them."""
    return Effects(
        log=effect.log,
        nsid=effect.nsid,
        size=effect.size or UDP_SIZE,
        any_=effect.any_ or "one",
        minimal=effect.minimal,
        cookies=effect.cookies,
        limiter=effect.limiter,
    )


async def sealed_version(zone: ServedZone) -> SignedVersion | None:
    """The version transfers show; waits some seconds for the first one to be sealed."""
    deadline = time.monotonic() + SEAL_WAIT_S
    while (signed := zone.sealed_version) is None and time.monotonic() < deadline:  # noqa: ASYNC110 (a rare wait)
        await asyncio.sleep(SEAL_POLL_S)
    return signed


def _is_soa_enough(query: Query) -> bool:
    """IXFR by UDP is answered with the SOA alone, which sends the client to TCP (RFC 1995 section 2)."""
    return query.qtype == dns.rdatatype.IXFR and query.transport == "udp"


def _ancestors(name: bytes) -> Iterator[bytes]:
    while True:
        yield name
        if name == b"\0":
            return
        name = name[name[0] + 1 :]
