"""The `update` directive: who may change zones by DNS UPDATE, and whether they are all UPDATE's or have an overlay."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authserver.backend import ZoneHandler, ZoneTable
from authserver.plugin import (
    ROOT,
    SOURCES,
    UPDATES,
    ZONES,
    Argument,
    Build,
    Integer,
    Link,
    PathKind,
    Place,
    Schema,
    Settings,
    Source,
    UpdateRule,
    Word,
    Zone,
    name_text,
)
from engine import EngineError, name_from_text, rrtype_from_text, rrtype_to_text
from zones.errors import UpdatePolicyError
from zones.overlay import MOST_OF_OVERLAY, MOST_OF_ZONE, Updating
from zones.transfer import Target
from zones.update import SIGNERS
from zones.updatepolicy import Pattern, Rule, parse_pattern

ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
FILE: Final = Argument("FILE", PathKind())
NAME: Final = Argument("NAMES", Word("names, in which * stands for one or more labels"), repeat=True)
COUNT: Final = Argument("COUNT", Integer(1))
WHO: Final = Argument(
    "ADDRESS|PREFIX|*... [key NAMES...] [name PATTERNS...] [type TYPES...]", Word("who may"), repeat=True
)
BEFORE: Final = "etcd"
WORDS: Final = ("key", "name", "type")


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """What the source of zones that are UPDATE's also says.

    The table to fill, the first content's file, and below which folder that may include files, if at all.
    """

    table: ZoneTable
    initial: Path | None
    include_root: Path | None


SCHEMA: Final = Schema(
    arguments=(ZONE,),
    properties={
        "initial": Schema(arguments=(FILE,), once=True),
        "overlay": Schema(arguments=(NAME,)),
        "allow": Schema(arguments=(WHO,)),
        "records": Schema(arguments=(COUNT,), once=True),
    },
)


def setup(build: Build) -> Link | None:
    """Offers one rule for each `update`; serves the zones that are all UPDATE's out of a table of its own."""
    table = ZoneTable(())
    owned: list[bytes] = []
    for settings in build.settings:
        updating = _updating(build, settings)
        origins = build.zones(settings.all(ZONE))
        rules = tuple(_rule(build, line) for line in settings.properties("allow"))
        if not rules:
            build.warn(settings.place, "nobody may update it; `allow` says who may")
        build.offer(UPDATES, UpdateRule(origins, updating, rules, settings.place))
        if updating.is_overlay:
            _check_overlay(build, settings, updating, origins)
        else:
            _own(build, settings, origins, table)
            owned += origins
    if not owned:
        return None
    table.configured = tuple(owned)
    build.offer(ZONES, table)
    return lambda following: ZoneHandler(table, build.configuration, build.block, following)


def _updating(build: Build, settings: Settings) -> Updating:
    patterns = tuple(
        pattern
        for line in settings.properties("overlay")
        for word in line.all(NAME)
        if (pattern := _pattern(build, line.place, word)) is not None
    )
    records = settings.property("records")
    most = MOST_OF_OVERLAY if patterns else MOST_OF_ZONE
    return Updating(patterns, records.one(COUNT) if records is not None else most)


def _own(build: Build, settings: Settings, origins: Sequence[bytes], table: ZoneTable) -> None:
    """The zones are all UPDATE's: nobody else may have them in this server block."""
    for source in build.block.offered(SOURCES):
        for origin in set(source.origins) & set(origins) if source.kind == "file" else ():
            build.problem(
                settings.place,
                f"{name_text(origin)} is of `{source.plugin}` at {source.place}: for its records to stay those of the "
                "file say which names are UPDATE's, `overlay NAMES...`; for the zone to be all UPDATE's put the file "
                "after `initial` here",
            )
    initial = settings.property("initial")
    path = build.path(initial.one(FILE)) if initial is not None else None
    roots = build.block.offered(ROOT)
    build.offer(
        SOURCES,
        Source(
            plugin=build.name,
            kind="update",
            location=" ".join(map(name_text, origins)),
            origins=tuple(origins),
            reload=0,
            place=settings.place,
            options=UpdateOptions(table, path, roots[-1] if roots else None),
        ),
    )


def _check_overlay(build: Build, settings: Settings, updating: Updating, origins: Sequence[bytes]) -> None:
    if settings.property("initial") is not None:
        build.problem(settings.place, "a zone has either an overlay or a first content, not both")
    if all(source.kind in ("secondary", "update", "catalog") for source in build.block.offered(SOURCES)):
        build.problem(settings.place, "there is no zone in this server block that an overlay could be laid over")
    for pattern in updating.patterns:
        if pattern.is_self:
            build.problem(
                settings.place, f"overlay '{pattern.text}': self is for `allow`; name the names that keys have"
            )
        elif not any(pattern.may_hold_in(origin) for origin in origins):
            zones = ", ".join(map(name_text, origins))
            build.problem(settings.place, f"overlay '{pattern.text}' is in none of the zones: {zones}")


def _rule(build: Build, line: Settings) -> Rule:
    """One `allow`: what stands ahead of the first word is addresses."""
    words = line.all(WHO)
    groups = _groups(words)
    for word, group in groups.items():
        if word and not group:
            build.problem(line.place, f"allow: nothing is named after {word}")
    targets = tuple(target for word in groups[""] for target in _targets(build, line.place, word))
    keys = tuple(key for word in groups.get("key", []) for key in _keys(build, line.place, word))
    names = tuple(
        pattern for word in groups.get("name", []) if (pattern := _pattern(build, line.place, word)) is not None
    )
    types = frozenset(rtype for word in groups.get("type", []) for rtype in _types(build, line.place, word))
    if not groups[""] and not keys and "key" not in groups:
        build.problem(line.place, "allow: it says neither who, by address, prefix or *, nor a key")
    if not keys and any(target.network is None for target in targets) and "key" not in groups:
        build.warn(line.place, "allow: * without a key is everybody")
    return Rule(targets or (Target(None, None),), keys, names, types)


def _groups(words: Sequence[str]) -> dict[str, list[str]]:
    """The words by the word they stand behind, which is nothing for the first ones."""
    groups: dict[str, list[str]] = {"": []}
    group = groups[""]
    for word in words:
        if word in WORDS:
            group = groups.setdefault(word, [])
        else:
            group.append(word)
    return groups


def _targets(build: Build, place: Place, word: str) -> Iterator[Target]:
    try:
        yield Target(None if word == "*" else ipaddress.ip_network(word, strict=False), None)
    except ValueError:
        build.problem(place, f"allow: '{word}' is no address, prefix or *, and none of {', '.join(WORDS)}")


def _keys(build: Build, place: Place, word: str) -> Iterator[bytes]:
    try:
        yield build.key(name_from_text(word).lower(), place)
    except EngineError:
        build.problem(place, f"allow: '{word}' is no name of a key")


def _pattern(build: Build, place: Place, word: str) -> Pattern | None:
    try:
        return parse_pattern(word)
    except UpdatePolicyError as error:
        build.problem(place, error.reason)
        return None


def _types(build: Build, place: Place, word: str) -> Iterator[int]:
    try:
        rtype = 255 if word.upper() == "ANY" else rrtype_from_text(word)
    except EngineError:
        build.problem(place, f"allow: type {word} is unknown")
        return
    if rtype in SIGNERS:
        build.problem(place, f"allow: type {rrtype_to_text(rtype)} is made by the signer, never by UPDATE")
    yield rtype
