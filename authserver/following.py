"""The following of sources: files, directories and repositories are looked at, and what changed becomes work.

Each source of a configuration has a *follower*; a *look* reads what changed since the last one and submits it, all
zones of one look together. A look is caused by a hint of the watcher, by the source's own interval, or by a person.

Invariants: a source that can't be read, or that lost all its zones, changes nothing that serves; two looks of one
follower never overlap; files are read in threads.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from authserver.backend import ZoneTable
from authserver.gitrun import GitCache
from authserver.pipeline import Pipeline
from authserver.plugin import Source
from authserver.plugins.auto import AutoOptions
from authserver.plugins.catalog import CatalogOptions
from authserver.plugins.file import FileOptions
from authserver.plugins.update import UpdateOptions
from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.state import State
from authserver.watch import hintless
from engine import Clock, Version, ZoneSlot, read_zone
from keys.policy import Policy
from zones import history, updatestore
from zones.catalog import produced, text_of
from zones.check import Finding, examine, finding, from_engine, merged
from zones.errors import SourceError, ZonesError
from zones.git import Snapshot
from zones.naming import Scan, is_at_or_below, scan
from zones.overlay import Updating
from zones.source import (
    UNSURE,
    Blobs,
    Directory,
    NamedFile,
    Provenance,
    is_unchanged,
    list_directory,
    read_candidate,
)
from zones.vanishing import GRACE_LOOKS, GRACE_S, Vanishing

log = logging.getLogger(__name__)

READERS: Final = 4
SETTLED_AFTER_S: Final = 3
"""When a file was too young to be sure of, it is looked at again after this."""
HINTLESS_LOOK_S: Final = 10
"""Between looks at what lies on a file system that tells nobody of changes."""
UNSETTLED_LOOK_S: Final = 0.2
KEPT_LOOK_S: Final = 60
"""While zones are kept because many lost their files at once, their directory is looked at this often."""

Stamps = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a source stands: its block's view and server, and how zones of it are signed."""

    source: Source
    view: str
    server: str
    policy_of: Callable[[bytes], Policy | None]
    updating_of: Callable[[bytes], Updating | None] = lambda _origin: None

    @property
    def provenance(self) -> str:
        """What the state knows the source by."""
        source = self.source
        if isinstance(source.options, AutoOptions) and source.options.remote is not None:
            return f"{source.options.remote.url}#{source.options.remote.ref}"
        return f"{source.kind} {Path(source.location).absolute() if source.kind == 'file' else source.location}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims a zone: the block that did first, by its server, and the sources that have it, its owner first."""

    policy: Policy | None
    server: str
    sources: list[str]

    def is_shared_by(self, source: str, policy: Policy | None, server: str) -> bool:
        """Whether this source has the same zone: it is of the same block, or it is the same source."""
        return policy == self.policy and (server == self.server or source in self.sources)


class Registry:
    """The zones of a configuration by what claims them; zones that were there before keep their slots.

    Of several sources of one block that have a zone, the first owns it, and the next one takes it over when the owner
    has it no more: so a file may be moved from one to the other, and the zone keeps its keys and serials.

    A zone's state is kept under the name of its block's view. Where several blocks without one have a zone each from
    another source (they listen on different addresses), one of them has no name and the others that of their server;
    who has which is as the state knows it, so that blocks may change places.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sites: Iterable[Site] = (),
        known: Mapping[ZoneKey, Provenance | None] = MappingProxyType({}),
    ) -> None:
        """For these sites; `known` is where the state's zones came from."""
        self._pipeline = pipeline
        self._known = known
        self._servers: dict[str, set[str]] = {}
        for site in sites:
            self._servers.setdefault(site.provenance, set()).add(site.server)
        self._claims: dict[ZoneKey, Claim] = {}
        self._changed: dict[ZoneKey, tuple[Policy | None, Updating | None]] = {}
        self._is_in_force = False
        self.zones: dict[ZoneKey, Zone] = {}

    def claim(self, origin: bytes, source: str, site: Site) -> Zone:
        """The zone of an origin; in another block, another source's is another one."""
        policy, server, updating = site.policy_of(origin), site.server, site.updating_of(origin)
        key = ZoneKey(origin.lower(), site.view or self._name(origin.lower(), site))
        claim = self._claims.setdefault(key, Claim(policy, server, []))
        if not claim.is_shared_by(source, policy, server):
            key = ZoneKey(origin.lower(), " ".join(filter(None, [site.view, server])))
            claim = self._claims.setdefault(key, Claim(policy, server, []))
        if source not in claim.sources:
            claim.sources.append(source)
        known = self.zones.get(key) or self._pipeline.zones.get(key)
        zone = known or Zone(key, policy, ZoneSlot(key.origin), updating=updating)
        self.zones[key] = zone
        if (zone.policy, zone.updating) != (policy, updating):
            self._changed[key] = policy, updating
            if self._is_in_force:
                self.put_in_force()
        return zone

    def _name(self, origin: bytes, site: Site) -> str:
        """The name of a zone in no view: none, or its server where the state has it so, or has another under none."""
        owner, own = self._known.get(ZoneKey(origin)), self._known.get(ZoneKey(origin, site.server))
        if owner is not None and owner.source == site.provenance:
            return ""
        if own is not None and own.source == site.provenance:
            return site.server
        servers = self._servers.get(owner.source, set()) if owner is not None else set()
        return site.server if servers and site.server not in servers else ""

    def put_in_force(self) -> None:
        """Sign zones that were there before as this configuration wants it; until now it may still be given up."""
        self._is_in_force = True
        changed, self._changed = self._changed, {}
        self._pipeline.family.changed()
        for key, (policy, updating) in changed.items():
            zone = self.zones[key]
            zone.policy, zone.updating = policy, updating
            if zone.live is not None:
                self._pipeline.submit([Work(zone, resign=True)])

    def is_owner(self, zone: Zone, source: str) -> bool:
        """Whether what this source says of the zone counts."""
        claim = self._claims.get(zone.key)
        return claim is not None and claim.sources[:1] == [source]

    def is_elsewhere(self, zone: Zone, source: str) -> bool:
        """Whether another source has the zone, too."""
        claim = self._claims.get(zone.key)
        return claim is not None and any(one != source for one in claim.sources)

    def release(self, zones: Iterable[Zone], source: str) -> list[Zone]:
        """This source has these zones no longer; those that no other has."""
        gone = []
        for zone in zones:
            claim = self._claims.get(zone.key)
            if claim is not None and source in claim.sources:
                claim.sources.remove(source)
            if claim is None or not claim.sources:
                self._claims.pop(zone.key, None)
                self.zones.pop(zone.key, None)
                gone.append(zone)
        return gone


@dataclass(frozen=True, slots=True)
class World:
    """What followers share."""

    registry: Registry
    pipeline: Pipeline
    state: State
    clock: Clock
    on_zones_changed: Callable[[], None]
    look_again: Callable[[Zone], None]
    is_settled: Callable[[], bool] = lambda: True
    """Whether each zone but a catalog is live or held."""
    readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))
    caches: dict[str, asyncio.Lock] = field(default_factory=dict)
    """Who uses a cache of git holds its lock: several blocks may follow one repository."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading one zone gave; `content` None when it says what it said before."""

    zone: Zone
    content: Content | None
    stamps: Stamps
    identity: str


class Follower(ABC):
    """What the three kinds of source have in common."""

    def __init__(self, site: Site, world: World) -> None:
        self.site = site
        self.source = site.source
        self.world = world
        self.table: ZoneTable = site.source.options.table
        """The directive's, which its zones go into."""
        self.problem: str | None = None
        self.findings: tuple[Finding, ...] = ()
        self.looked_at: int | None = None
        self.commit: str | None = None
        self.zones: dict[bytes, Zone] = {}
        self._seen: dict[bytes, tuple[Stamps, str]] = {}
        self._looking = asyncio.Lock()

    @property
    def name(self) -> str:
        """What names it to people and in the schedule."""
        return f"{self.source.kind} {self.source.location}"

    @property
    def watched(self) -> tuple[Path, ...]:
        """Paths whose changes are a hint to look."""
        return ()

    @property
    def is_settled(self) -> bool:
        """Whether each of its zones is live or held, and what they are is known."""
        return self.looked_at is not None and all(zone.is_settled for zone in self.zones.values())

    @property
    def patience(self) -> float:
        """How long the next look may wait: not long when some file was so young that a change of it might not show."""
        is_unsure = any(mark == UNSURE for stamps, _ in self._seen.values() for _, mark in stamps)
        return SETTLED_AFTER_S if is_unsure else math.inf

    def known(self, zones: Mapping[ZoneKey, Provenance | None]) -> list[Zone]:
        """The zones it has, as far as that is known before the first look; `zones` are the state's."""
        del zones
        return list(self.zones.values())

    def forget(self, origin: bytes | None = None) -> None:
        """Read everything, or one zone, at the next look, whether or not it seems unchanged."""
        for one in [origin] if origin is not None else list(self._seen):
            self._seen.pop(one, None)

    async def look(self) -> None:
        """Read what changed and submit it; what goes wrong is noted and changes nothing that serves."""
        async with self._looking:
            try:
                await self._look()
            except (ZonesError, OSError) as error:
                self._note(str(error))
            else:
                if self.problem is not None:
                    log.info("%s: can be read again", self.name)
                self.problem = None
            self.looked_at = self.world.clock.now()

    @abstractmethod
    async def _look(self) -> None: ...

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s: %s", self.name, problem)
        self.problem = problem

    # ---------------------------------------------------------------- zones

    def _claim(self, origin: bytes) -> Zone:
        zone = self.world.registry.claim(origin, self.name, self.site)
        zone.presigned = self.site.source.presigned
        self.zones[origin] = zone
        return zone

    def _claim_named(self) -> None:
        """Have the zones that the source names."""
        for origin in self.source.origins:
            self._claim(origin)
        self.table.replace(self.zones)

    def _is_owner(self, zone: Zone) -> bool:
        return self.world.registry.is_owner(zone, self.name)

    async def _set_zones(self, origins: Iterable[bytes], gone: Iterable[bytes]) -> None:
        """Claim new origins and give up those that are gone; one change of routes for all."""
        fresh = [self._claim(origin) for origin in origins if origin not in self.zones]
        removed = [self.zones.pop(origin) for origin in gone if origin in self.zones]
        for zone in removed:
            self._seen.pop(zone.key.origin, None)
            log.info("%s: removed, %s has it no more", zone.key, self.name)
        if not fresh and not removed:
            return
        await self.world.pipeline.restore([zone for zone in fresh if zone.key not in self.world.pipeline.zones])
        self._publish_table()
        if removed:
            unclaimed = self.world.registry.release(removed, self.name)
            for zone in removed:
                self.world.look_again(zone)
            await self.world.pipeline.remove(unclaimed)

    def _elsewhere(self) -> frozenset[bytes]:
        """Its zones that another source has, too."""
        registry = self.world.registry
        return frozenset(origin for origin, zone in self.zones.items() if registry.is_elsewhere(zone, self.name))

    def _publish_table(self) -> None:
        self.table.replace(self.zones)
        self.world.on_zones_changed()

    # ---------------------------------------------------------------- reading

    async def _read_all(self, reads: Sequence[Callable[[], Reading | None]]) -> list[Work]:
        # One task each would be most of what a look at ten thousand unchanged zones costs.
        together = 1 + len(reads) // (16 * READERS)

        async def some(reads: Sequence[Callable[[], Reading | None]]) -> list[Reading | None]:
            async with self.world.readers:
                return await asyncio.to_thread(lambda: [read() for read in reads])

        batches = [reads[at : at + together] for at in range(0, len(reads), together)]
        works = []
        for reading in itertools.chain.from_iterable(await asyncio.gather(*map(some, batches))):
            if reading is None:
                continue
            self._seen[reading.zone.key.origin] = (reading.stamps, reading.identity)
            if reading.content is not None:
                works.append(Work(reading.zone, reading.content))
        return works

    def _read(self, zone: Zone, blobs: Blobs, file: str, *, includes: bool, provenance: Provenance) -> Reading | None:
        """One zone, in a thread; None when nothing it was read from can have changed."""
        stamps, identity = self._seen.get(zone.key.origin, ((), ""))
        if zone.is_frozen or not self._is_owner(zone) or is_unchanged(blobs, stamps):
            return None
        try:
            candidate = read_candidate(blobs, file, zone.key.origin, includes=includes, provenance=provenance)
        except SourceError as error:
            reason = finding(file, error.rule, error.reason)
            return Reading(zone, Content(None, (reason,), "", file), (), "")
        serves = zone.identity if zone.live is not None and not zone.is_held else ""
        if candidate.identity == (identity or serves):
            return Reading(zone, None, candidate.stamps, candidate.identity)
        previous: Version | None = zone.source
        examination = examine(candidate, previous)
        content = Content(examination.version, examination.findings, candidate.identity, file, provenance)
        return Reading(zone, content, candidate.stamps, candidate.identity)

    def _sorted_out(self, found: Scan) -> list[Work]:
        """Tell what a scan found; work for the zones whose files can't be served."""
        if found.findings != self.findings:
            for one in found.findings:
                log.log(logging.ERROR if one.severity == "error" else logging.WARNING, "%s: %s", self.name, one)
        self.findings = found.findings
        works = []
        for origin, reasons in found.held.items():
            zone = self.zones[origin]
            self._seen.pop(origin, None)
            if zone.findings != reasons and self._is_owner(zone):
                works.append(Work(zone, Content(None, reasons, "", reasons[0].file)))
        return works


class FileFollower(Follower):
    """Follows one file, which is the zone of one or more origins."""

    def __init__(self, site: Site, world: World) -> None:
        super().__init__(site, world)
        assert isinstance(site.source.options, FileOptions)
        self.options = site.source.options
        self._file = str(Path(site.source.location).absolute())
        self._claim_named()

    @property
    def watched(self) -> tuple[Path, ...]:
        """The file, and what it includes."""
        names = {name for stamps, _ in self._seen.values() for name, _ in stamps}
        return tuple(dict.fromkeys((Path(self._file), *(Path(self._root(), name) for name in sorted(names)))))

    @property
    def is_settled(self) -> bool:
        """Its zones are known from the start."""
        return all(zone.is_settled for zone in self.zones.values())

    def _root(self) -> str:
        root = self.options.include_root
        return str(root.absolute()) if root is not None else str(Path(self._file).parent)

    async def _look(self) -> None:
        blobs = NamedFile(self._file, self._root(), self.world.clock.now())
        provenance = Provenance(self.site.provenance, "", "", self._file)
        includes = self.options.include_root is not None

        def read(zone: Zone) -> Callable[[], Reading | None]:
            return lambda: self._read(zone, blobs, self._file, includes=includes, provenance=provenance)

        self.world.pipeline.submit(await self._read_all([read(zone) for zone in self.zones.values()]))


class DirectoryFollower(Follower):
    """Follows the zone files of a directory tree."""

    def __init__(self, site: Site, world: World) -> None:
        super().__init__(site, world)
        assert isinstance(site.source.options, AutoOptions)
        self.options = site.source.options
        self._directory = str(Path(site.source.location).absolute())
        self._vanishing = Vanishing()

    @property
    def watched(self) -> tuple[Path, ...]:
        """The directory."""
        return (Path(self._directory),)

    def known(self, zones: Mapping[ZoneKey, Provenance | None]) -> list[Zone]:
        """What was served from this directory."""
        for key, provenance in zones.items():
            if provenance is not None and provenance.source == self.site.provenance and self._may_have(key):
                self._claim(key.origin)
        self.table.replace(self.zones)
        return list(self.zones.values())

    def _may_have(self, key: ZoneKey) -> bool:
        return any(is_at_or_below(key.origin, origin) for origin in self.source.origins)

    @property
    def is_settled(self) -> bool:
        """Zones that are restored are enough; without any, the first look is waited for."""
        return bool(self.zones or self.looked_at) and all(zone.is_settled for zone in self.zones.values())

    async def _look(self) -> None:
        entries = await asyncio.to_thread(list_directory, self._directory)
        found = scan(entries, self.options.naming, self.source.origins)
        served, elsewhere = self.zones.keys(), self._elsewhere()
        missing = served - found.zones.keys() - found.held.keys()
        gone = self._vanishing.look(served, missing, elsewhere, self.world.clock.now())
        await self._set_zones([*found.zones, *found.held], gone & elsewhere)
        lost = found.removed(self.zones.keys() - elsewhere, self._directory)
        await self._set_zones((), gone & lost)
        if self._vanishing.kept - gone:
            found = replace(found, findings=merged(found.findings, [self._many_gone(gone)]))
        works = self._sorted_out(found)
        blobs = Directory(self._directory, self.world.clock.now())

        def read(origin: bytes, file: str) -> Callable[[], Reading | None]:
            zone = self.zones[origin]
            provenance = Provenance(self.site.provenance, "", "", file)
            return lambda: self._read(zone, blobs, file, includes=self.options.includes, provenance=provenance)

        works += await self._read_all([read(origin, entry.name) for origin, entry in found.zones.items()])
        self.world.pipeline.submit(works)

    def _many_gone(self, gone: AbstractSet[bytes]) -> Finding:
        kept = len(self._vanishing.kept - gone)
        reason = (
            f"{kept} of {len(self.zones)} zones lost their files at once and go on being served; "
            f"they are let go when they were missing for {GRACE_LOOKS} looks and {GRACE_S // 60} minutes"
        )
        return finding(self._directory, "many-zones-gone", reason)

    @property
    def patience(self) -> float:
        """Also short when files are missing."""
        if self._vanishing.is_waiting:
            return SETTLED_AFTER_S
        return min(super().patience, KEPT_LOOK_S if self._vanishing.kept else math.inf)


class GitFollower(Follower):
    """Follows the zone files of a folder of a git repository, by polling its ref."""

    def __init__(self, site: Site, world: World) -> None:
        super().__init__(site, world)
        assert isinstance(site.source.options, AutoOptions)
        assert site.source.options.remote is not None
        self.options = site.source.options
        self.remote = site.source.options.remote
        self._cache = GitCache(self.remote, world.state.git_directory)
        self._cache_lock = world.caches.setdefault(self.remote.cache_name, asyncio.Lock())

    @property
    def watched(self) -> tuple[Path, ...]:
        """A repository on this machine: what a push changes there."""
        local = self.remote.local_path
        if local is None:
            return ()
        places = [Path(local, ".git"), Path(local)]
        return tuple(place / part for place in places for part in ("refs/heads", "packed-refs") if place.is_dir())

    def known(self, zones: Mapping[ZoneKey, Provenance | None]) -> list[Zone]:
        """What was served from this repository's folder."""
        source, folder = self.site.provenance, f"{self.remote.path}/" if self.remote.path else ""
        for key, provenance in zones.items():
            if provenance is None or provenance.source != source or not provenance.file.startswith(folder):
                continue
            if any(is_at_or_below(key.origin, origin) for origin in self.source.origins):
                self._claim(key.origin)
        self.table.replace(self.zones)
        return list(self.zones.values())

    @property
    def is_settled(self) -> bool:
        """As of a directory."""
        return bool(self.zones or self.looked_at) and all(zone.is_settled for zone in self.zones.values())

    async def _look(self) -> None:
        async with self._cache_lock:
            self.commit = self.commit or await asyncio.to_thread(self._served_commit)
            snapshot = await self._cache.poll(self.commit)
            if snapshot is not None:
                await self._take(snapshot)

    async def _take(self, snapshot: Snapshot) -> None:
        found = scan(snapshot.listed(self._cache.limits), self.options.naming, self.source.origins)
        elsewhere = self._elsewhere()
        moved = elsewhere - found.zones.keys() - found.held.keys()
        await self._set_zones([*found.zones, *found.held], moved)
        await self._set_zones((), found.removed(self.zones.keys() - elsewhere, self.remote.url))
        works = self._sorted_out(found)
        with self._cache.blobs(snapshot) as blobs:
            reads = [self._reader(snapshot, blobs, origin, entry.name) for origin, entry in found.zones.items()]
            works += await self._read_all(reads)
        self.world.pipeline.submit(works)
        await self.world.pipeline.idle()
        await asyncio.to_thread(self._record, snapshot)
        if all(map(self._is_owner, self.zones.values())):  # or it may have to take a zone over out of this commit
            self._cache.accept(snapshot)
        log.info("%s: commit %s taken, %d zones read anew", self.name, snapshot.commit[:12], len(works))

    def _reader(self, snapshot: Snapshot, blobs: Blobs, origin: bytes, file: str) -> Callable[[], Reading | None]:
        zone, provenance = self.zones[origin], snapshot.provenance(file)
        return lambda: self._read(zone, blobs, file, includes=False, provenance=provenance)

    def _served_commit(self) -> str | None:
        with self.world.state.reader() as tx:
            return history.served_commit(tx, self.remote.name)

    def _record(self, snapshot: Snapshot) -> None:
        now = self.world.clock.now()
        with self.world.state.transaction(now) as tx:
            history.record_commit(tx, self.remote.name, snapshot.commit, now)
        self.commit = snapshot.commit


class UpdateFollower(Follower):
    """Has zones that are UPDATE's: what the state has of them, or a first content out of a file."""

    def __init__(self, site: Site, world: World) -> None:
        super().__init__(site, world)
        assert isinstance(site.source.options, UpdateOptions)
        self.options = site.source.options
        self._claim_named()

    @property
    def is_settled(self) -> bool:
        """Its zones are known from the start."""
        return all(zone.is_settled for zone in self.zones.values())

    async def _look(self) -> None:
        fresh = [zone for zone in self.zones.values() if zone.laid is None]
        kept = await asyncio.to_thread(self._kept, fresh)
        initial = self.options.initial
        works = [Work(zone) for zone in fresh if zone in kept or initial is None]
        if initial is not None:
            file, root = str(initial.absolute()), str((self.options.include_root or initial.parent).absolute())
            blobs, provenance = NamedFile(file, root, self.world.clock.now()), Provenance(self.name, "", "", file)
            read = functools.partial(
                self._read,
                blobs=blobs,
                file=file,
                includes=self.options.include_root is not None,
                provenance=provenance,
            )
            works += await self._read_all([functools.partial(read, zone) for zone in fresh if zone not in kept])
        self.world.pipeline.submit(works)

    def _kept(self, zones: Iterable[Zone]) -> list[Zone]:
        """Those that go on with what the state has, or with what they were as another source's."""
        with self.world.state.reader() as tx:
            return [zone for zone in zones if zone.live is not None or updatestore.has(tx, *zone.key, "zone")]


class CatalogFollower(Follower):
    """Has a catalog of the other zones, made anew when they are other ones."""

    def __init__(self, site: Site, world: World) -> None:
        super().__init__(site, world)
        assert isinstance(site.source.options, CatalogOptions)
        self.options = site.source.options
        self._is_waiting = False
        self._claim_named()

    @property
    def patience(self) -> float:
        """Short while some zone is neither live nor held: a catalog without it would take it from secondaries."""
        return UNSETTLED_LOOK_S if self._is_waiting else math.inf

    async def _look(self) -> None:
        self._is_waiting = not self.world.is_settled()
        if self._is_waiting:
            return
        ((origin, zone),) = self.zones.items()
        zones = [key.origin for key in self.world.registry.zones]
        text = text_of(produced(origin, zones, self.options.listings))
        identity = hashlib.sha256(text).hexdigest()
        if zone.is_frozen or (identity == zone.identity and zone.live is not None):
            return
        version, found = await asyncio.to_thread(lambda: Version.build(read_zone(origin, [(self.name, text)])))
        provenance = Provenance(self.name, "", "", self.name)
        content = Content(version, merged(from_engine(found)), identity, self.name, provenance)
        self.world.pipeline.submit([Work(zone, content)])


KINDS: Final[Mapping[str, Callable[[Site, World], Follower]]] = {
    "file": FileFollower,
    "directory": DirectoryFollower,
    "git": GitFollower,
    "update": UpdateFollower,
    "catalog": CatalogFollower,
}


def follower(site: Site, world: World) -> Follower:
    """The follower of a source."""
    return KINDS[site.source.kind](site, world)


async def follow(one: Follower, hint: asyncio.Event, wait: Callable[[], float]) -> None:
    """Look at once, and again after every hint and interval, for ever; `wait` gives the seconds to the next look."""
    most = HINTLESS_LOOK_S if any(hintless(str(path)) for path in one.watched) else math.inf
    while True:
        hint.clear()
        await one.look()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(wait(), one.patience, most)):
                await hint.wait()
