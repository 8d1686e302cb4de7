"""The `nsid` directive: says which server answers, to those who ask for it (RFC 5001)."""

import socket
from typing import Final

from authserver.plugin import EFFECT, Argument, Build, Effect, Link, Schema, Word

LONGEST: Final = 128
DATA: Final = Argument("DATA", Word("the identifier"), optional=True, repeat=True)

SCHEMA: Final = Schema(arguments=(DATA,), once=True)


def setup(build: Build) -> Link | None:
    """Offers the identifier; the engine answers it, so nothing stands in the path of queries."""
    words = build.settings[0].all(DATA)
    data = (" ".join(words) if words else socket.gethostname()).encode()
    if len(data) > LONGEST:
        build.fail(f"DATA has {len(data)} octets; {LONGEST} are the most")
    build.offer(EFFECT, Effect(nsid=data))
    return None
