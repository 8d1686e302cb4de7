"""NOTIFY of new versions (RFC 1996): who is told, how often, and what became of it.

A *target* is a server that is told of a zone. There is one NOTIFY at a time between a zone and a target: what changes
while it goes on is told by the next one, a second after the last one began at the earliest, so that a burst of changes
costs one a second. Who does not answer is told again at growing intervals, and after the last of them at the next
change; until then its own timers see to it.

Limits: `AT_ONCE` tries in all and `AT_ONCE_TO_ONE` to one address at a time; a try holds its place for two seconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import dns.rcode
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from authserver.listeners import shown
from authserver.publication import Zone, ZoneKey
from authserver.sockets import NOTIFY_PAUSES_S, NotifyTarget, notify_once
from engine import name_to_text
from zones.errors import TransferMessageError, TSIGError
from zones.transfer import notify_message, notify_rcode
from zones.tsig import StreamVerifier, sign_request

if TYPE_CHECKING:
    from engine import Clock, SignedVersion

log = logging.getLogger(__name__)

HEARD_FOR_S: Final = 2.0
GAP_S: Final = 1.0
AT_ONCE: Final = 256
AT_ONCE_TO_ONE: Final = 16
SOA: Final = 6


@dataclass(frozen=True, slots=True)
class NotifyFacts:
    """What became of telling a target of a zone; points in time are Unix seconds."""

    zone: ZoneKey
    address: str
    port: int
    serial: int | None = None
    """What it was told last."""
    told_at: int | None = None
    acknowledged: int | None = None
    """The serial whose NOTIFY it answered last."""
    acknowledged_at: int | None = None
    tries: int = 0
    error: str = ""
    """Why it has not acknowledged what it was told last, as far as that is known."""

    @property
    def is_acknowledged(self) -> bool:
        """Whether it has answered what it was told last."""
        return self.serial is not None and self.serial == self.acknowledged

    def as_json(self) -> dict[str, Any]:
        """For `zone show`."""
        return {
            **{name: fact for name, fact in asdict(self).items() if name != "zone"},
            "is_acknowledged": self.is_acknowledged,
        }


class _Telling:
    """One target of one zone."""

    def __init__(self, zone: Zone, target: NotifyTarget) -> None:
        self.zone = zone
        self.target = target
        self.facts = NotifyFacts(zone.key, target.address, target.port)
        self.is_due = True
        self.task: asyncio.Task[None] | None = None


class Notifier:
    """Tells the targets of zones of their sealed versions."""

    def __init__(self, clock: Clock, targets_of: Callable[[Zone], Sequence[NotifyTarget]]) -> None:
        """`targets_of` says who is told of a zone by the configuration in force."""
        self._clock = clock
        self._targets_of = targets_of
        self._tellings: dict[tuple[ZoneKey, str, int], _Telling] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._slots_of: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE_TO_ONE))

    def tell(self, zone: Zone, *, again: bool = False) -> None:
        """The zone's sealed version is new; with `again`, tell also who has acknowledged it."""
        signed = zone.sealed_version
        for target in self._targets_of(zone) if signed is not None else ():
            one = self._tellings.setdefault((zone.key, target.address, target.port), _Telling(zone, target))
            one.zone, one.target = zone, target
            is_known = one.facts.is_acknowledged and signed is not None and one.facts.serial == signed.serial
            if is_known and not again:
                continue
            one.is_due = True
            if one.task is None:
                one.task = asyncio.create_task(self._run(one), name=f"notify {zone.key} {target.address}")

    def keep(self, zones: Iterable[Zone]) -> None:
        """Forget what is about other zones than these, or about who is no target any more."""
        wanted = {(zone.key, target.address, target.port) for zone in zones for target in self._targets_of(zone)}
        for place in self._tellings.keys() - wanted:
            self._cancel(self._tellings.pop(place))
        addresses = {address for _, address, _ in wanted}
        for address in self._slots_of.keys() - addresses:
            del self._slots_of[address]

    def facts(self) -> list[NotifyFacts]:
        """Of every zone and target there was something to tell, in order."""
        return [self._tellings[place].facts for place in sorted(self._tellings)]

    def stop(self) -> None:
        """Tell nobody any more."""
        for one in self._tellings.values():
            self._cancel(one)

    @staticmethod
    def _cancel(one: _Telling) -> None:
        if one.task is not None:
            one.task.cancel()

    async def _run(self, one: _Telling) -> None:
        try:
            while one.is_due:
                began = time.monotonic()
                await self._until_acknowledged(one)
                if one.is_due:
                    await asyncio.sleep(max(0.0, began + GAP_S - time.monotonic()))
        finally:
            one.task = None

    async def _until_acknowledged(self, one: _Telling) -> None:
        where = shown((one.target.address, one.target.port))
        for pause in NOTIFY_PAUSES_S:
            one.is_due = False
            began = time.monotonic()
            signed = one.zone.sealed_version
            if signed is None:
                return
            if await self._try(one, signed):
                if one.facts.is_acknowledged:
                    log.info("%s: NOTIFY of serial %d is acknowledged by %s", one.zone.key, signed.serial, where)
                else:
                    log.warning("%s: NOTIFY to %s: %s", one.zone.key, where, one.facts.error)
                return
            # What changed meanwhile is told by the next try; only after the last one it begins anew.
            await asyncio.sleep(max(0.0, began + pause - time.monotonic()))
        log.warning("%s: NOTIFY to %s: %s", one.zone.key, where, one.facts.error)

    async def _try(self, one: _Telling, signed: SignedVersion) -> bool:
        """Tell once; whether an answer came, whatever it says."""
        async with self._slots_of[one.target.address], self._slots:
            now = self._clock.now()
            one.facts = replace(one.facts, serial=signed.serial, told_at=now, tries=one.facts.tries + 1)
            exchange = _Exchange(signed, one.target, now)
            try:
                answered = await notify_once(
                    one.target, exchange.message, lambda octets: exchange.take(octets, self._clock.now()), HEARD_FOR_S
                )
            except OSError as error:
                one.facts = replace(one.facts, error=error.strerror or str(error))
                return False
        if exchange.rcode == dns.rcode.NOERROR:
            one.facts = replace(one.facts, acknowledged=signed.serial, acknowledged_at=self._clock.now(), error="")
        else:
            one.facts = replace(one.facts, error=exchange.trouble or "no answer")
        return answered


class _Exchange:
    """One NOTIFY and its answer."""

    def __init__(self, signed: SignedVersion, target: NotifyTarget, now: int) -> None:
        self._origin = signed.version.origin
        self._number = random.SystemRandom().randrange(1 << 16)
        self._key = target.key
        self._mac = b""
        self.rcode: int | None = None
        self.trouble = ""
        ttl, (soa, *_) = signed.version.rrset(self._origin, SOA) or (0, [b""])
        self.message = notify_message(self._origin, ttl, soa, self._number)
        if target.key is not None:
            self.message, self._mac = sign_request(self.message, target.key, now)

    def take(self, octets: bytes, now: int) -> bool:
        """Whether this is the answer; one that is not signed as it should be may be anybody's, and is none."""
        try:
            if self._key is not None:
                octets = StreamVerifier(self._key, self._mac).check(octets, now)
            self.rcode = notify_rcode(octets, self._origin, self._number)
        except (TransferMessageError, TSIGError) as error:
            self.trouble = error.reason
            return False
        if self.rcode != dns.rcode.NOERROR:
            self.trouble = f"it answers {dns.rcode.to_text(dns.rcode.Rcode(self.rcode))}"
        return True


def notify_metrics(facts: Iterable[NotifyFacts]) -> list[Metric]:
    """The metrics of NOTIFY: `zonewright_notify_…{zone,view,target}`."""
    labels = ("zone", "view", "target")
    waiting = GaugeMetricFamily(
        "zonewright_notify_unacknowledged", "1 if the target has not answered the last NOTIFY.", labels=labels
    )
    acknowledged = GaugeMetricFamily(
        "zonewright_notify_acknowledged_serial", "The serial whose NOTIFY the target answered last.", labels=labels
    )
    tries = CounterMetricFamily("zonewright_notify_tries", "NOTIFY messages sent.", labels=labels)
    for one in facts:
        values = (name_to_text(one.zone.origin), one.zone.view, shown((one.address, one.port)))
        waiting.add_metric(values, not one.is_acknowledged)
        tries.add_metric(values, one.tries)
        if one.acknowledged is not None:
            acknowledged.add_metric(values, one.acknowledged)
    return [waiting, acknowledged, tries]
