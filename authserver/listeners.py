"""Where a configuration listens: addresses and ports of its blocks, and the sockets, which survive reloads.

A *place to listen* is an address and a port; its socket for UDP is the engine's, the one for TCP asyncio's, and both
have the engine's listener number. Port 0 takes a free port, once.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from authserver.plugin import LISTEN, TIMEOUTS, TLS, Block, Configuration, Listen, StreamLimits
from authserver.sockets import stream_socket
from authserver.streams import Streams
from authserver.tls import ServerTLS
from engine import Responder

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 (what no `bind` means)
MANY: Final = 4
"""With more listeners than this each has one UDP thread."""


class Place(NamedTuple):
    """Address and port, and what is spoken there: `dns` by UDP and TCP, or `tls`."""

    address: str
    port: int
    scheme: str = "dns"


class ListenError(Exception):
    """A place can't be listened on; `is_in_use` when somebody else does."""

    def __init__(self, place: Place, reason: str, *, is_in_use: bool) -> None:
        super().__init__(f"{shown(place[:2])}: {reason}")
        self.place = place
        self.is_in_use = is_in_use


@dataclass(frozen=True, slots=True)
class Open:
    """An open place: its number, what was really bound, and the TCP socket until asyncio has it."""

    number: int
    bound: tuple[str, int]
    stream: socket.socket


def places_of(block: Block) -> dict[Place, list[bytes]]:
    """The origins a block answers for at each place."""
    places: dict[Place, list[bytes]] = {}
    addresses = _addresses(block)
    for key in block.keys:
        for address in addresses:
            origins = places.setdefault(Place(address, key.port, key.scheme), [])
            if key.origin not in origins:
                origins.append(key.origin)
    return places


def limits_of(configuration: Configuration) -> dict[Place, StreamLimits]:
    """The limits of connections to each place: those of the first block there that says any."""
    limits: dict[Place, StreamLimits] = {}
    for block in configuration.blocks:
        for own in block.offered(TIMEOUTS):
            for place in places_of(block):
                limits.setdefault(place, own.limits)
    return limits


def tls_of(configuration: Configuration) -> dict[Place, ServerTLS]:
    """The TLS of each place that speaks it."""
    return {
        place: tls
        for block in configuration.blocks
        for tls in block.offered(TLS)
        for place in places_of(block)
        if place.scheme == "tls"
    }


def shown(place: tuple[str, int]) -> str:
    """`ADDRESS:PORT` for people."""
    address, port = place
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Listeners:
    """All open places of a server."""

    def __init__(self, responder: Responder, streams: Streams, threads: int | None = None) -> None:
        self._responder = responder
        self._streams = streams
        self._threads = threads
        self._open: dict[Place, Open] = {}
        self._listening: set[Place] = set()

    @property
    def numbers(self) -> Mapping[Place, int]:
        """The engine's number of each place."""
        return {place: one.number for place, one in self._open.items()}

    @property
    def bound(self) -> list[tuple[str, int]]:
        """What is really bound, in the order it was."""
        return [one.bound for one in self._open.values()]

    def address(self, number: int) -> tuple[str, int]:
        """What a listener of the engine is bound to."""
        return next((one.bound for one in self._open.values() if one.number == number), ("", 0))

    def bind(self, configuration: Configuration) -> list[Place]:
        """Bind what the configuration wants and is not there yet; all or nothing; the new ones. Raises ListenError."""
        wanted = dict.fromkeys(place for block in configuration.blocks for place in places_of(block))
        missing = [place for place in wanted if place not in self._open]
        threads = self._threads or (1 if len(wanted) > MANY else max(1, len(os.sched_getaffinity(0))))
        done: list[Place] = []
        try:
            for place in missing:
                if (one := self._bind(place, threads)) is not None:
                    self._open[place] = one
                    done.append(place)
        except ListenError:
            self.close(done)
            raise
        return done

    def _bind(self, place: Place, threads: int) -> Open | None:
        address, port, scheme = place
        if scheme == "tls":
            return self._bind_stream(place)
        try:
            number = self._responder.bind(address, port, threads)
        except OSError as error:
            failure = _listen_error(place, error)
            if address == "::" and not failure.is_in_use:
                return None  # a machine without IPv6 listens everywhere it can
            raise failure from error
        bound = self._responder.address(number)
        try:
            return Open(number, (bound[0], bound[1]), stream_socket(address, bound[1]))
        except OSError as error:
            self._responder.close(number)
            raise _listen_error(place, error) from error

    def _bind_stream(self, place: Place) -> Open | None:
        """A place whose queries come by streams alone."""
        try:
            stream = stream_socket(place.address, place.port)
        except OSError as error:
            failure = _listen_error(place, error)
            if place.address == "::" and not failure.is_in_use:
                return None
            raise failure from error
        port = stream.getsockname()[1]
        return Open(self._responder.bind(place.address, port, 0), (place.address, port), stream)

    def listen(self, configuration: Configuration) -> None:
        """Take TCP connections wherever that is not done yet, everywhere by the limits of this configuration."""
        limits, tls = limits_of(configuration), tls_of(configuration)
        for place, one in self._open.items():
            own = limits.get(place, StreamLimits())
            if place in self._listening:
                self._streams.limit(one.number, own, tls.get(place))
            else:
                self._streams.listen(one.number, one.stream, own, tls.get(place))
                self._listening.add(place)

    def close(self, places: Iterable[Place]) -> None:
        """Close these places."""
        for place in places:
            one = self._open.pop(place)
            self._responder.close(one.number)
            if place in self._listening:
                self._listening.discard(place)
                self._streams.close(one.number)
            else:
                one.stream.close()

    def close_unwanted(self, configuration: Configuration) -> None:
        """Close what the configuration has no use for."""
        wanted = {place for block in configuration.blocks for place in places_of(block)}
        self.close([place for place in self._open if place not in wanted])


def _listen_error(place: Place, error: OSError) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return ListenError(place, "in use by another process", is_in_use=True)
    return ListenError(place, os.strerror(error.errno).lower() if error.errno else str(error), is_in_use=False)


def _addresses(block: Block) -> list[str]:
    listens = block.offered(LISTEN)
    if not listens:
        return list(EVERYWHERE)
    return list(dict.fromkeys(address for listen in listens for address in _of_listen(listen)))


def _of_listen(listen: Listen) -> list[str]:
    excluded = {address for word in listen.excluded for address in _resolved(word)}
    return [address for word in listen.addresses for address in _resolved(word) if address not in excluded]


def _resolved(word: str) -> list[str]:
    """The address itself, or the addresses an interface has now."""
    try:
        return [str(ipaddress.ip_address(word))]
    except ValueError:
        return _of_interface(word)


def _of_interface(name: str) -> list[str]:
    try:
        socket.if_nametoindex(name)
    except OSError as error:
        raise ListenError(Place(name, 0), "no such interface", is_in_use=False) from error
    return [*_ipv4_of(name), *_ipv6_of(name)]


def _ipv4_of(name: str) -> list[str]:
    import fcntl
    import struct

    siocgifaddr = 0x8915
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, siocgifaddr, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return []
    return [socket.inet_ntoa(answer[20:24])]


def _ipv6_of(name: str) -> list[str]:
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as table:  # noqa: PTH123 (a kernel table)
            rows = [line.split() for line in table]
    except OSError:
        return []
    found = [ipaddress.IPv6Address(int(row[0], 16)) for row in rows if row[-1] == name]
    return [f"{address}%{name}" if address.is_link_local else str(address) for address in found]
