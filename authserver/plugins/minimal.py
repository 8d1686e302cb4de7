"""The `minimal` directive: positive answers without records that nobody asked for."""

from typing import Final

from authserver.plugin import EFFECT, Build, Effect, Link, Schema

SCHEMA: Final = Schema(once=True)


def setup(build: Build) -> Link | None:
    """Offers the effect; the engine leaves them out, so nothing stands in the path of queries."""
    build.offer(EFFECT, Effect(minimal=True))
    return None
