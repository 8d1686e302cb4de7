"""The `bufsize` directive: the most octets that are sent over UDP (RFC 6891 section 6.2.5)."""

from typing import Final

from authserver.plugin import EFFECT, Argument, Build, Effect, Integer, Link, Schema

DEFAULT: Final = 1232
SIZE: Final = Argument("SIZE", Integer(512, 4096), optional=True)

SCHEMA: Final = Schema(arguments=(SIZE,), once=True)


def setup(build: Build) -> Link | None:
    """Offers the size; the engine keeps to it, so nothing stands in the path of queries."""
    build.offer(EFFECT, Effect(size=build.settings[0].get(SIZE, DEFAULT)))
    return None
