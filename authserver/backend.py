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

from authserver.plugin import Block, Configuration, Effect, Handler, Link, Query, Response, Transfer
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

    def covering(self, query: Query) -> ServedZone | None:
        """The zone that answers a query: the longest match; for a DS question its parent's side (RFC 4035 3.1.4.1)."""
        found = [zone for name in _ancestors(query.qname.lower()) if (zone := self._zones.get(name))]
        if not found:
            return None
        is_at_apex = query.qtype == dns.rdatatype.DS and found[0].slot.origin == query.qname.lower()
        return found[1] if is_at_apex and len(found) > 1 else found[0]


@dataclass(frozen=True, slots=True)
class ZoneHandler:
    """Answers out of a table; what is below none of its zones goes to the next handler."""

    table: ZoneTable
    configuration: Configuration
    block: Block
    following: Handler
    falls_through: tuple[bytes, ...] = ()
    """Origins below which a name that does not exist is asked of the next handler."""

    async def serve(self, query: Query) -> Response | Transfer:
        """The engine's answer."""
        zone = self.table.covering(query)
        runtime = self.configuration.runtime
        if zone is None or runtime is None:
            return await self.following.serve(query)
        if query.qtype in TRANSFERS and not _is_soa_enough(query):
            # Nobody ahead allowed it: without `transfer` nobody may.
            return query.respond(dns.rcode.REFUSED)
        effects = engine_effects(self.block.effect)
        listener = query.listener if query.listener >= 0 else None
        octets = runtime.responder.answer_from(zone.slot, query.octets, query.transport, effects, listener)
        response = Response(octets)
        # Where an alias was answered, the name asked exists.
        is_missing = response.rcode == dns.rcode.NXDOMAIN and not response.answer_count
        if is_missing and any(query.is_below(origin) for origin in self.falls_through):
            return await self.following.serve(query)
        return response


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
