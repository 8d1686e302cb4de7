"""The `catalog` directive: serves a catalog zone that lists zones of this server (RFC 9432)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from authserver.backend import ZoneHandler, ZoneTable
from authserver.plugin import (
    SOURCES,
    ZONES,
    Argument,
    Build,
    Link,
    Name,
    Schema,
    Settings,
    Source,
    Word,
    name_text,
)
from engine import EngineError, name_from_text
from zones.catalog import MOST_GROUPS, Listing
from zones.naming import is_at_or_below

ZONE: Final = Argument("ZONE", Name(), optional=True)
LISTED: Final = Argument(
    "NAMES... [group NAMES...] [coo ZONE]", Word("zones, *.ZONE for those below it, or * for all"), repeat=True
)
BEFORE: Final = "etcd"
WORDS: Final = ("group", "coo")
LONGEST_GROUP: Final = 255

SCHEMA: Final = Schema(arguments=(ZONE,), properties={"zones": Schema(arguments=(LISTED,), required=True)}, once=True)


@dataclass(frozen=True, slots=True)
class CatalogOptions:
    """What a catalog's source also says: the table to fill, and what is listed how."""

    table: ZoneTable
    listings: tuple[Listing, ...]


def setup(build: Build) -> Link | None:
    """Offers the source of one zone, and serves it out of a table of its own."""
    settings = build.settings[0]
    origin = settings.get(ZONE, build.block.origins[0])
    if not any(is_at_or_below(origin, one) for one in build.block.origins):
        build.problem(settings.place, f"{name_text(origin)} is not below a zone of this server block")
    listings = tuple(_listing(build, line) for line in settings.properties("zones"))
    table = ZoneTable((origin,))
    build.offer(ZONES, table)
    build.offer(
        SOURCES,
        Source(
            plugin=build.name,
            kind="catalog",
            location=name_text(origin),
            origins=(origin,),
            reload=0,
            place=settings.place,
            options=CatalogOptions(table, listings),
        ),
    )
    return lambda following: ZoneHandler(table, build.configuration, build.block, following)


def _listing(build: Build, line: Settings) -> Listing:
    names, groups, owners = _sorted_out(line.all(LISTED))
    exact = [word for word in names if not _is_starred(word)]
    below = [word[2:] or "." for word in names if _is_starred(word)]
    if not names:
        build.problem(line.place, "zones: names no zone ahead of group or coo")
    if len(owners) > 1:
        build.problem(line.place, "zones: coo names more than one catalog")
    if len(groups) > MOST_GROUPS or any(len(group.encode()) > LONGEST_GROUP for group in groups):
        build.problem(
            line.place, f"zones: there may be {MOST_GROUPS} groups, with names of at most {LONGEST_GROUP} octets"
        )
    return Listing(
        _wire(build, line, exact),
        _wire(build, line, below),
        tuple(groups),
        next(iter(_wire(build, line, owners)), None),
    )


def _is_starred(word: str) -> bool:
    return word == "*" or word.startswith("*.")


def _sorted_out(words: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """(zones, groups, catalogs) by the word they stand behind."""
    found: dict[str, list[str]] = {"": [], "group": [], "coo": []}
    at = ""
    for word in words:
        if word in WORDS:
            at = word
        else:
            found[at].append(word)
    return found[""], found["group"], found["coo"]


def _wire(build: Build, line: Settings, words: Sequence[str]) -> tuple[bytes, ...]:
    names = []
    for word in words:
        try:
            names.append(name_from_text(word).lower())
        except EngineError as error:
            build.problem(line.place, f"zones: '{word}' is no name: {error}")
    return tuple(names)
