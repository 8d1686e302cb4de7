"""The `file` directive: serves one zone file for the zones of its server block, or for the zones it names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authserver.backend import ZoneHandler, ZoneTable, in_order
from authserver.plugin import (
    ROOT,
    SOURCES,
    ZONES,
    Argument,
    Build,
    Choice,
    Duration,
    Link,
    PathKind,
    Schema,
    Settings,
    Source,
    Word,
    Zone,
)

FILE: Final = Argument("DBFILE", PathKind())
ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
PRESIGNED: Final = Argument("POLICY", Choice(("warn", "hold")))
RELOAD: Final = Argument("DURATION", Duration(or_zero=True))
ANYTHING: Final = Argument("WORDS", Word(), optional=True, repeat=True)
DEFAULT_RELOAD: Final = 60.0

SCHEMA: Final = Schema(
    arguments=(FILE, ZONE),
    properties={
        "reload": Schema(arguments=(RELOAD,), once=True),
        "presigned": Schema(arguments=(PRESIGNED,), once=True),
        "reload_by_mtime": Schema(ignored="content decides whether a zone changed, never a time or a serial"),
        "fallthrough": Schema(arguments=(ZONE,), once=True),
        "upstream": Schema(arguments=(ANYTHING,), ignored="CoreDNS ignores it too"),
    },
)


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a file's source also says: the table to fill, and below which folder files may be included, if at all."""

    table: ZoneTable
    include_root: Path | None


def setup(build: Build) -> Link | None:
    """One table and one link for each `file`; they stand in the chain in the order of the Corefile."""
    return in_order([_one(build, settings) for settings in build.settings])


def _one(build: Build, settings: Settings) -> Link:
    origins = build.zones(settings.all(ZONE))
    below = settings.property("fallthrough")
    falls_through = build.zones(below.all(ZONE)) if below is not None else ()
    reload = settings.property("reload")
    presigned = settings.property("presigned")
    roots = build.block.offered(ROOT)
    table = ZoneTable(origins)
    build.offer(ZONES, table)
    build.offer(
        SOURCES,
        Source(
            plugin=build.name,
            kind="file",
            location=str(build.path(settings.one(FILE))),
            origins=origins,
            reload=reload.one(RELOAD) if reload is not None else DEFAULT_RELOAD,
            place=settings.place,
            presigned="hold" if presigned is not None and presigned.one(PRESIGNED) == "hold" else "warn",
            falls_through=below is not None,
            options=FileOptions(table, roots[-1] if roots else None),
        ),
    )
    return lambda following: ZoneHandler(table, build.configuration, build.block, following, falls_through)
