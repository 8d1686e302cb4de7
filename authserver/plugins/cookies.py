"""The `cookies` directive: DNS cookies with a secret that many servers share, or require (RFC 9018)."""

import re
from typing import Final

from authserver.plugin import (
    EFFECT,
    Argument,
    Build,
    Choice,
    Effect,
    Link,
    PathKind,
    Place,
    Schema,
    Settings,
    Word,
)
from engine import Cookies

SECRET: Final = Argument("SECRET", Word("32 hexadecimal digits"))
FILE: Final = Argument("FILE", PathKind())
OFF: Final = Argument("off", Choice(("off",)), optional=True)

BEFORE: Final = "bind"
"""CoreDNS has no such directive: its place is after `bufsize`."""

SCHEMA: Final = Schema(
    arguments=(OFF,),
    properties={
        "secret": Schema(arguments=(SECRET,)),
        "file": Schema(arguments=(FILE,), once=True),
        "require": Schema(once=True),
    },
    once=True,
)

_SECRET: Final = re.compile(r"[0-9A-Fa-f]{32}")


def setup(build: Build) -> Link | None:
    """Offers secrets and policy; the engine makes and checks cookies, so nothing stands in the path of queries."""
    settings = build.settings[0]
    secrets = [_secret(line.one(SECRET), line.place, build) for line in settings.properties("secret")]
    secrets += _of_file(settings, build)
    if settings.all(OFF):
        if settings.body:
            build.fail("with `off` there is nothing else to say")
        build.offer(EFFECT, Effect(cookies=Cookies([])))
        return None
    if not secrets:
        build.fail("a `secret` or a `file` is missing; without `cookies` the server makes a secret of its own")
    build.offer(EFFECT, Effect(cookies=Cookies(secrets, required=settings.has("require"))))
    return None


def _secret(text: str, place: Place, build: Build) -> bytes:
    if not _SECRET.fullmatch(text):
        # The text may be a secret with a slip of the pen: it is not repeated.
        build.fail(f"a secret is 32 hexadecimal digits, this has {len(text)} characters", place)
    return bytes.fromhex(text)


def _of_file(settings: Settings, build: Build) -> list[bytes]:
    line = settings.property("file")
    if line is None:
        return []
    path = build.path(line.one(FILE))
    try:
        # Read here, as a Corefile's own imports are, so that `check` finds what is wrong with it.
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError) as error:
        build.fail(f"file: {path}: {error}", line.place)
    words = [text.split("#", 1)[0].strip() for text in lines]
    return [_secret(word, Place(str(path), number), build) for number, word in enumerate(words, 1) if word]
