"""Which of our zones is whose parent, and which serves whose name servers, so that they are wired without hands.

A zone's *parent* is the configured zone of the same view with the longest name above its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from keys.policy import DEFAULT
from signer import wiring

if TYPE_CHECKING:
    from authserver.publication import Zone, ZoneKey


class Family:
    """The zones that there are, asked of whoever keeps them and says when there are others."""

    def __init__(self, zones: Callable[[], Mapping[ZoneKey, Zone]]) -> None:
        self._zones = zones
        self._children: dict[ZoneKey, list[ZoneKey]] | None = None
        self._shown: list[Zone] | None = None

    def changed(self) -> None:
        """There are other zones now, or some have another policy."""
        self._children = self._shown = None

    def parent_of(self, key: ZoneKey) -> Zone | None:
        """The parent of a zone."""
        return _deepest(self._zones(), key, _above(key.origin))

    def children_of(self, key: ZoneKey) -> list[Zone]:
        """The zones whose parent it is."""
        children = self._children
        if children is None:
            children = self._children = self._by_parent()
        zones = self._zones()
        return [zone for child in children.get(key, ()) if (zone := zones.get(child)) is not None]

    def kin_of(self, key: ZoneKey) -> list[wiring.Relative]:
        """Its children, and the zones that have name servers in it and want to be known by them; all signed by us."""
        own = self._zones().get(key)
        if own is None:
            return []
        kin = {zone.key: zone for zone in self.children_of(key)}
        kin.update((zone.key, zone) for zone in self._bootstrapping(key) if own in self._hosts(zone))
        return [one for zone in kin.values() if (one := _relative(zone)) is not None]

    def told_by(self, zone: Zone) -> list[Zone]:
        """The zones that may have to say something else when this one's keys have moved."""
        parent = self.parent_of(zone.key)
        hosts = self._hosts(zone) if zone.policy is not None and zone.policy.bootstrap else []
        return list(dict.fromkeys([*([parent] if parent is not None else []), *hosts]))

    def _bootstrapping(self, key: ZoneKey) -> Iterator[Zone]:
        shown = self._shown
        if shown is None:
            # Looked for once: doing it for each of ten thousand zones would take their square.
            zones = list(self._zones().values())
            shown = self._shown = [zone for zone in zones if zone.policy is not None and zone.policy.bootstrap]
        yield from (zone for zone in shown if zone.key.view == key.view and zone.key != key)

    def _hosts(self, zone: Zone) -> list[Zone]:
        """The zones that the name servers of `zone` are in."""
        if zone.live is None:
            return []
        zones = self._zones()
        found = (_deepest(zones, zone.key, _from(server)) for server in wiring.servers(zone.live.signed.version))
        return [host for host in found if host is not None and host is not zone]

    def _by_parent(self) -> dict[ZoneKey, list[ZoneKey]]:
        children: dict[ZoneKey, list[ZoneKey]] = {}
        for key in list(self._zones()):
            parent = self.parent_of(key)
            if parent is not None:
                children.setdefault(parent.key, []).append(key)
        return children


def _relative(zone: Zone) -> wiring.Relative | None:
    """What a zone says; one that can't serve again yet still has the DS of its keys, which its parent must not lose."""
    live, origin = zone.live, zone.key.origin
    if live is None:
        return wiring.Relative(origin, zone.keys, zone.policy or DEFAULT, zone.foreign) if zone.keys else None
    if live.policy is None:
        return None
    servers = tuple(wiring.servers(live.signed.version))
    return wiring.Relative(origin, live.keys, live.policy, zone.foreign, servers)


def _deepest(zones: Mapping[ZoneKey, Zone], key: ZoneKey, names: Iterable[bytes]) -> Zone | None:
    """The first of these names that is a zone of the view of `key`."""
    found = (zones.get(key._replace(origin=name)) for name in names)
    return next((zone for zone in found if zone is not None), None)


def _above(name: bytes) -> Iterator[bytes]:
    """The names above a name, the nearest first."""
    names = _from(name)
    next(names)
    yield from names


def _from(name: bytes) -> Iterator[bytes]:
    """A name and those above it."""
    while name != b"\0":
        yield name
        name = name[name[0] + 1 :]
    yield name
