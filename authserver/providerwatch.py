"""Asking other providers' servers for the DNSKEY RRset, to see that they publish our keys: on a schedule, by TCP.

What is asked is only asked of servers that an operator named; `keys.providers` says what of an answer is believed, and
all servers have to agree. A server that can't be asked leaves everything as it is; the log names it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from engine import Clock
from keys.errors import ProviderError
from keys.providers import Provider, Server, Told, published_by
from keys.states import Key, RecordKind, RecordState

if TYPE_CHECKING:
    from authserver.publication import Zone, ZoneKey

log = logging.getLogger(__name__)

QUERY_S: Final = 5.0
AT_ONCE: Final = 16
WAITING_POLL_S: Final = 30
SETTLED_POLL_S: Final = 3600

OnSeen = Callable[["Zone", str, Sequence[Key], Sequence[Told]], Awaitable[None]]


@dataclass(slots=True)
class ProviderWatcher:
    """Looks at the servers of zones' other providers."""

    clock: Clock
    zones: Callable[[], Mapping[ZoneKey, Zone]]
    on_seen: OnSeen
    _next_at: dict[ZoneKey, int] = field(default_factory=dict)
    _trouble: dict[tuple[ZoneKey, str], str] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def look_soon(self, key: ZoneKey) -> None:
        """Its keys or providers are others now: look as soon as that can be."""
        self._next_at[key] = 0
        self._wake.set()

    async def run(self) -> None:
        """Look at what is due, for ever."""
        while True:
            self._wake.clear()
            slots = asyncio.Semaphore(AT_ONCE)
            due = self._due(self.clock.now())
            await asyncio.gather(*(self._look_within(slots, zone, provider) for zone, provider in due))
            try:
                await asyncio.wait_for(self._wake.wait(), 1.0)
            except TimeoutError:
                continue

    def _due(self, now: int) -> list[tuple[Zone, Provider]]:
        """The pairs to look at now; of zones without named servers nothing is kept."""
        with_providers = [(key, zone) for key, zone in list(self.zones().items()) if zone.providers]
        watched = {key: zone for key, zone in with_providers if any(one.servers for one in zone.providers)}
        self._next_at = {key: self._next_at.get(key, 0) for key in watched}
        due = []
        for key, zone in watched.items():
            if self._next_at[key] <= now:
                due += [(zone, one) for one in zone.providers if one.servers]
                self._next_at[key] = now + (WAITING_POLL_S if _waits(zone) else SETTLED_POLL_S)
        return due

    async def _look_within(self, slots: asyncio.Semaphore, zone: Zone, provider: Provider) -> None:
        async with slots:
            asked = await asyncio.gather(*(self._ask(server, zone, provider) for server in provider.servers))
        answers = [answer for answer in asked if not isinstance(answer, str)]
        trouble = "; ".join(answer for answer in asked if isinstance(answer, str))
        if trouble and trouble != self._trouble.get((zone.key, provider.name)):
            log.warning("%s: whether %s publishes our keys can't be told: %s", zone.key, provider.name, trouble)
        self._trouble[zone.key, provider.name] = trouble
        ours = [key for key in zone.keys if key.is_published(RecordKind.DNSKEY)]
        if not trouble and ours:
            await self.on_seen(zone, provider.name, ours, answers)

    async def _ask(self, server: Server, zone: Zone, provider: Provider) -> Told | str:
        name = dns.name.from_wire(zone.key.origin, 0)[0]
        query = dns.message.make_query(name, dns.rdatatype.DNSKEY, want_dnssec=True)
        try:
            response = await dns.asyncquery.tcp(query, server[0], QUERY_S, server[1])
            return published_by(response, provider, zone.key.origin, self.clock.now())
        except (ProviderError, OSError, EOFError, dns.exception.DNSException, ValueError) as error:
            return f"{server[0]} port {server[1]}: {str(error) or type(error).__name__}"


def _waits(zone: Zone) -> bool:
    """Whether a key of ours waits for others to publish it, or is not known to be there."""
    ours = [key for key in zone.keys if key.is_zsk and key.is_published(RecordKind.DNSKEY)]
    return any(
        key.state(RecordKind.DNSKEY) is RecordState.RUMOURED or not _has(provider, key.dnskey)
        for key in ours
        for provider in zone.providers
    )


def _has(provider: Provider, dnskey: bytes) -> bool:
    seen = provider.seen.get(dnskey)
    return seen is not None and seen.is_present
