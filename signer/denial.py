"""How absence is proved: what a policy's choice means to the engine, and the NSEC3PARAM that goes with it."""

from dataclasses import asdict
from typing import Final

import engine
from engine import Version
from keys.policy import Denial

NSEC3PARAM: Final = 51
NSEC3PARAM_TTL: Final = 0
"""Nobody but the zone's own servers reads it (RFC 5155 section 4); BIND gives it the same TTL."""

_SHA1: Final = 1
_NO_FLAGS: Final = 0
"""Opt-out is said by each NSEC3, never here (RFC 5155 section 4.1.2)."""


def to_engine(denial: Denial) -> engine.Denial:
    """The choice as the engine's signing plan takes it."""
    return engine.Denial(**asdict(denial))


def nsec3param_rdatas(denial: Denial) -> list[bytes]:
    """Rdatas of the NSEC3PARAM RRset (RFC 5155 section 4.2); none where absence is not proved by NSEC3."""
    if denial.kind != "nsec3":
        return []
    fixed = bytes([_SHA1, _NO_FLAGS]) + denial.iterations.to_bytes(2, "big")
    return [fixed + len(denial.salt).to_bytes(1, "big") + denial.salt]


def denials_of(version: Version) -> tuple[Denial, ...]:
    """The choices that a version as we published it can have been signed by; opt-out is not seen in it."""
    _, rdatas = version.rrset(version.origin, NSEC3PARAM) or (0, [])
    if not rdatas:
        return (Denial(),)
    (rdata, *_) = rdatas
    iterations, salt = int.from_bytes(rdata[2:4], "big"), rdata[5:]
    return Denial("nsec3", False, iterations, salt), Denial("nsec3", True, iterations, salt)


def denial_for(version: Version, wanted: Denial) -> Denial:
    """The choice that a version as we published it can be served by: the one wanted if its NSEC3PARAM fits."""
    possible = denials_of(version)
    return wanted if wanted in possible or (wanted.kind == "compact" and Denial() in possible) else possible[0]
