"""DNS UPDATE messages and their answers (RFC 2136): who may, which zone, and the wait until what they change is served.

An update is judged by its sender first, then by its form, then by the content of its zone; that last part, and the
change, are the publisher's, in the order of arrival. NOERROR is sent when the version with the change is served.

Limits: `MOST_WAITING` updates at a time, each for `PATIENCE_S`; more are answered SERVFAIL, and clients try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import dns.rcode
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from authserver.backend import ZoneTable
from authserver.plugin import UPDATES, ZONES, Block, Source, UpdateRule
from authserver.publication import Asked, Work, Zone
from authserver.query import Query, Response
from engine import name_to_text
from zones.errors import UpdateError
from zones.naming import is_at_or_below
from zones.overlay import Updating
from zones.update import UpdateMessage, parse, prescan
from zones.updatepolicy import admitted, permission

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1000
PATIENCE_S: Final = 20.0
OVERLAID: Final = ("file", "directory", "git")
LONG: Final = 4096
"""A message of more octets is read in a thread: the largest take a quarter of a second."""


class Updates:
    """Answers UPDATE messages; `submit` hands work to the pipeline."""

    def __init__(self, submit: Callable[[Iterable[Work]], None]) -> None:
        self._submit = submit
        self._waiting = 0
        self.answered: Counter[str] = Counter()
        """How many were answered, by rcode."""

    def metrics(self) -> list[Metric]:
        """The metric of updates: `zonewright_updates_total{rcode}`."""
        answered = CounterMetricFamily("zonewright_updates", "UPDATE messages answered.", labels=["rcode"])
        for rcode, count in self.answered.items():
            answered.add_metric([rcode], count)
        return [answered]

    async def answer(self, block: Block, query: Query) -> Response:
        """The answer to one message, whose signature was verified if it had one."""
        key = query.key or None
        try:
            rcode = await self._rcode(block, query, key)
        except UpdateError as error:
            client = query.client[0]
            log.info("%s: update by %s: %s", name_to_text(query.qname), _who(client, key), error)
            rcode = error.rcode
        self.answered[dns.rcode.to_text(dns.rcode.Rcode(rcode))] += 1
        return query.respond(rcode)

    async def _rcode(self, block: Block, query: Query, key: bytes | None) -> int:
        zone = _zone(block, query.qname)
        if zone is None:
            raise UpdateError(dns.rcode.NOTAUTH, "it is no zone of this server block")  # RFC 2136 section 3.1.2
        rule = rule_of(block.offered(UPDATES), query.qname)
        rules = admitted(rule.rules, query.client[0], key) if rule is not None else ()
        if not rules:
            raise UpdateError(dns.rcode.REFUSED, "no rule is about this client")
        message = await _parsed(query.octets)
        may = permission(rules, key)
        prescan(message, may)
        if zone.updating is None or zone.is_frozen:
            raise UpdateError(dns.rcode.REFUSED, "the zone takes no updates at the moment")
        if self._waiting >= MOST_WAITING:
            raise UpdateError(dns.rcode.SERVFAIL, f"{MOST_WAITING} updates wait already")
        return await self._carried_out(zone, message, may, _who(query.client[0], key))

    async def _carried_out(
        self, zone: Zone, message: UpdateMessage, may: Callable[[bytes, int], bool], who: str
    ) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def settle(rcode: int) -> None:
            if not answer.done():
                answer.set_result(rcode)

        asked = Asked(message, may, settle, who)
        self._waiting += 1
        try:
            self._submit([Work(zone, updates=(asked,))])
            async with asyncio.timeout(PATIENCE_S):
                return await answer
        except TimeoutError:
            raise UpdateError(dns.rcode.SERVFAIL, f"not served after {PATIENCE_S:.0f} s") from None
        finally:
            self._waiting -= 1


async def _parsed(octets: bytes) -> UpdateMessage:
    return await asyncio.to_thread(parse, octets) if len(octets) > LONG else parse(octets)


def _zone(block: Block, qname: bytes) -> Zone | None:
    for table in block.offered(ZONES):
        if isinstance(table, ZoneTable) and isinstance(zone := table.get(qname), Zone):
            return zone
    return None


def rule_of(rules: Iterable[UpdateRule], qname: bytes) -> UpdateRule | None:
    """The rule of the longest zone that the name is in; the first one of equals."""
    found = [(len(origin), rule) for rule in rules for origin in rule.origins if is_at_or_below(qname, origin)]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def updating_of(block: Block, source: Source) -> Callable[[bytes], Updating | None]:
    """How zones of a source take updates: an overlay is laid over files and repositories alone."""

    def find(origin: bytes) -> Updating | None:
        rule = rule_of(block.offered(UPDATES), origin)
        if rule is None or source.kind not in ("update", *OVERLAID):
            return None
        return rule.updating if rule.updating.is_overlay == (source.kind in OVERLAID) else None

    return find


def _who(client: str, key: bytes | None) -> str:
    return f"{client} with key {name_to_text(key)}" if key is not None else client
