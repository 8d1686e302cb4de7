"""The `parent` directive: how the parent of signed zones is found and asked, and how it is told of another DS."""

from pathlib import Path
from typing import Final

from authserver.plugin import (
    PARENT,
    Argument,
    Build,
    Duration,
    Endpoint,
    Link,
    ParentRule,
    PathKind,
    Push,
    Schema,
    Settings,
    Word,
    Zone,
)
from keys import tsigfile
from keys.errors import KeysError

ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
SERVER: Final = Argument("ADDRESS[:PORT]", Endpoint(53), repeat=True)
PUSHED: Final = Argument("ADDRESS[:PORT]", Endpoint(53))
FILE: Final = Argument("FILE", PathKind())
POLL: Final = Argument("DURATION", Duration())
KEY: Final = Argument("key NAME FILE", Word(), optional=True, repeat=True)
COMMAND: Final = Argument("COMMAND [ARGUMENTS]", Word(), repeat=True)
BEFORE: Final = "tls"
SHORTEST_POLL_S: Final = 10
DEFAULT_POLL_S: Final = 3600

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    properties={
        "resolver": Schema(arguments=(SERVER,), once=True),
        "servers": Schema(arguments=(SERVER,)),
        "anchor": Schema(arguments=(FILE,), once=True),
        "poll": Schema(arguments=(POLL,), once=True),
        "notify": Schema(arguments=(SERVER,)),
        "push": Schema(arguments=(PUSHED, KEY), once=True),
        "hook": Schema(arguments=(COMMAND,), once=True),
    },
)


def setup(build: Build) -> Link | None:
    """Offers one rule for each `parent`; nothing of it stands in the path of queries."""
    for settings in build.settings:
        resolver = settings.property("resolver")
        anchor, poll, hook = settings.property("anchor"), settings.property("poll"), settings.property("hook")
        servers = tuple(place for line in settings.properties("servers") for place in line.all(SERVER))
        if resolver is None and not servers:
            build.fail("it names neither a resolver nor servers; one of them finds the DS", settings.place)
        interval = poll.one(POLL) if poll is not None else DEFAULT_POLL_S
        if interval < SHORTEST_POLL_S:
            build.fail(f"poll is below {SHORTEST_POLL_S} s", settings.place)
        build.offer(
            PARENT,
            ParentRule(
                origins=build.zones(settings.all(ZONE)),
                resolvers=tuple(resolver.all(SERVER)) if resolver is not None else (),
                servers=servers,
                anchor=build.path(anchor.one(FILE)) if anchor is not None else None,
                poll=interval,
                notified=tuple(place for line in settings.properties("notify") for place in line.all(SERVER)),
                push=_push(build, settings),
                hook=tuple(hook.all(COMMAND)) if hook is not None else (),
                place=settings.place,
            ),
        )
    return None


def _push(build: Build, settings: Settings) -> Push | None:
    line = settings.property("push")
    if line is None:
        return None
    address, port = line.one(PUSHED)
    words = line.all(KEY)
    if not words:
        return Push(address, port, None)
    if len(words) != 3 or words[0] != "key":
        build.fail("push: after the address comes `key NAME FILE`, or nothing", line.place)
    _, name, file = words
    return Push(address, port, _key(build, line, name, build.path(file)))


def _key(build: Build, line: Settings, name: str, file: Path) -> tsigfile.TSIGKey:
    wanted = name.lower().rstrip(".") + "."
    try:
        keys = tsigfile.read(file)
    except KeysError as error:
        build.fail(f"push: {error}", line.place)
    found = next((key for key in keys if key.name == wanted), None)
    if found is None:
        build.fail(f"push: {file} has no key {name}; it has {', '.join(key.name for key in keys)}", line.place)
    return found
