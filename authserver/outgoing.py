"""What a secondary is given of a zone: all of it, what changed since the version it has, or one SOA.

Whoever asks may have it: that was decided before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Container, Iterator
from functools import partial
from typing import Final, TypeAlias

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from authserver.backend import ServedZone, sealed_version
from authserver.handed import Count, Given, Handed, Kind
from authserver.journaling import Change, Reader
from authserver.publication import Zone, ZoneKey
from authserver.query import Query, Response, Transfer
from engine import EngineError, SignedVersion, change_message
from zones.serial import is_after

Maker: TypeAlias = Callable[[int], tuple[bytes, int]]
"""Makes the message that begins at a position, and says where the next one does: -1 after the last."""

ROOM_FOR_OPT: Final = 128
"""Octets of a datagram that are left for the OPT record and its options."""


class Outgoing:
    """Answers transfer queries out of sealed versions and their journal; without a `reader` no changes are known."""

    def __init__(self, reader: Reader | None = None, now: Callable[[], int] = lambda: 0) -> None:
        self._reader = reader
        self._now = now
        self.handed: dict[ZoneKey, Handed] = {}

    def of(self, zones: Container[ZoneKey]) -> Iterator[tuple[ZoneKey, Handed]]:
        """What was given of these zones; what was given of others is forgotten."""
        for key in [key for key in self.handed if key not in zones]:
            del self.handed[key]
        yield from self.handed.items()

    async def answer(self, query: Query, zone: ServedZone, size: int) -> Response | Transfer:
        """The answer to an AXFR or IXFR query; a datagram has at most `size` octets."""
        signed = await sealed_version(zone)
        if signed is None:
            return query.respond(dns.rcode.SERVFAIL, ede=14)  # not ready (RFC 8914 section 4.15)
        expire = _expire(zone, self._now())
        if query.qtype == dns.rdatatype.AXFR:
            return self._transfer(query, zone, signed, "axfr", partial(_whole, signed, query, expire))
        since = _serial_of(query)
        if since is None:
            return query.respond(dns.rcode.FORMERR)  # RFC 1995 section 3: the SOA is in AUTHORITY
        if since == signed.serial or is_after(since, signed.serial):
            return self._soa(query, zone, signed)
        change = await self._change(zone, since, signed)
        if query.transport == "udp":
            return self._datagram(query, zone, signed, change, size)
        if change is None:
            return self._transfer(query, zone, signed, "axfr", partial(_whole, signed, query, expire))
        return self._transfer(query, zone, signed, "ixfr", partial(_part, change, query, expire))

    async def _change(self, zone: ServedZone, since: int, signed: SignedVersion) -> Change | None:
        """What a secondary lacks, if the journal has it and it is shorter than the whole zone."""
        if self._reader is None or not isinstance(zone, Zone):
            return None
        return await self._reader.change(zone.key, since, signed.serial, signed.transfer_octets)

    def _datagram(
        self, query: Query, zone: ServedZone, signed: SignedVersion, change: Change | None, size: int
    ) -> Response:
        """The whole change if it fits; RFC 1995 section 2: else the SOA that sends the client to TCP."""
        message, position = b"", 0
        if change is not None:
            with contextlib.suppress(EngineError):  # not even its first record fits
                room = min(size, query.max_octets) - ROOM_FOR_OPT
                message, position = _part(change, query, _expire(zone, self._now()), 0, room)
        if position >= 0:
            return self._soa(query, zone, signed)
        self._note(query, zone, Given(signed.serial, self._now(), "ixfr"), len(message), 0.0)
        return Response(message)

    def _soa(self, query: Query, zone: ServedZone, signed: SignedVersion) -> Response:
        """RFC 1995 sections 2 and 4."""
        response = _soa_alone(query, signed)
        if query.transport != "udp" or _serial_of(query) == signed.serial:
            self._note(query, zone, Given(signed.serial, self._now(), "soa"), len(response.octets), 0.0)
        return response

    def _transfer(self, query: Query, zone: ServedZone, signed: SignedVersion, kind: Kind, make: Maker) -> Transfer:
        async def messages() -> AsyncIterator[bytes]:
            begun, octets, position = time.monotonic(), 0, 0
            try:
                while position >= 0:
                    message, position = make(position)
                    octets += len(message)
                    yield message
            finally:
                given = Given(signed.serial, self._now(), kind)
                if position < 0:
                    self._note(query, zone, given, octets, time.monotonic() - begun)
                elif isinstance(zone, Zone):
                    self._handed(zone.key).counts.setdefault(kind, Count()).broken += 1

        return Transfer(messages, signed.version.origin, signed.serial)

    def _note(self, query: Query, zone: ServedZone, given: Given, octets: int, seconds: float) -> None:
        if isinstance(zone, Zone):
            self._handed(zone.key).note(query.client[0], given, octets, seconds)

    def _handed(self, key: ZoneKey) -> Handed:
        return self.handed.setdefault(key, Handed())


def _whole(signed: SignedVersion, query: Query, expire: int | None, position: int) -> tuple[bytes, int]:
    return signed.transfer(query.octets, position, query.max_octets, expire=expire)


def _part(
    change: Change, query: Query, expire: int | None, position: int, size: int | None = None
) -> tuple[bytes, int]:
    return change_message(query.octets, *change, position, size or query.max_octets, expire=expire)


def _expire(zone: ServedZone, now: int) -> int | None:
    return zone.slot.seconds_to_expiry(now)


def _serial_of(query: Query) -> int | None:
    """The serial of the version that the client has."""
    try:
        rdatas = [rdata for rrset in query.message.authority for rdata in rrset]
    except dns.exception.DNSException:
        return None
    return next((rdata.serial for rdata in rdatas if rdata.rdtype == dns.rdatatype.SOA), None)


def _soa_alone(query: Query, signed: SignedVersion) -> Response:
    origin = signed.version.origin
    ttl, rdatas = signed.version.rrset(origin, dns.rdatatype.SOA) or (0, [])
    soa = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.SOA, rdatas[0], 0, len(rdatas[0]))
    response = dns.message.make_response(query.message)
    response.flags |= dns.flags.AA
    response.answer.append(dns.rrset.from_rdata(dns.name.from_wire(origin, 0)[0], ttl, soa))
    return query.respond_with(response)
