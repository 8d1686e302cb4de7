"""The `any` directive: how queries of type ANY are answered (RFC 8482)."""

from typing import Final, Literal

from authserver.plugin import EFFECT, Argument, Build, Choice, Effect, Link, Schema

MODES: Final[dict[str, Literal["hinfo", "one", "all"]]] = {"hinfo": "hinfo", "one": "one", "all": "all"}
MODE: Final = Argument("MODE", Choice(tuple(MODES)), optional=True)

SCHEMA: Final = Schema(arguments=(MODE,), once=True)


def setup(build: Build) -> Link | None:
    """Offers the effect; the engine answers, so nothing stands in the path of queries."""
    build.offer(EFFECT, Effect(any_=MODES[build.settings[0].get(MODE, "hinfo")]))
    return None
