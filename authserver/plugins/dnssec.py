"""The `dnssec` directive: signs zones with keys that the server makes and keeps by itself."""

from collections.abc import Sequence
from typing import Final

from authserver.plugin import SIGNING, Argument, Build, Choice, Integer, Link, Schema, Settings, Signing, Word, Zone
from keys.policy import Denial

ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
POLICY: Final = Argument("NAME", Word("the name of a policy"))
CAPACITY: Final = Argument("N", Integer())
KIND: Final = Argument("KIND", Choice(("nsec", "nsec3", "compact")))
PARAMETERS: Final = Argument("PARAMETERS", Word("opt-out, iterations N, salt HEX"), optional=True, repeat=True)
OTHERS: Final = {"nsec": Denial(), "compact": Denial("compact")}
ITERATIONS: Final = Integer(0, 150)
"""Validators take zones of more for insecure, or fail (RFC 9276 section 3.2)."""
MAX_SALT: Final = 255
WORDS: Final = Argument("WORDS", Word(), optional=True, repeat=True)
POLICIES: Final = ("default",)

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    once=True,
    properties={
        "policy": Schema(arguments=(POLICY,), once=True),
        "denial": Schema(arguments=(KIND, PARAMETERS), once=True),
        "key": Schema(
            arguments=(WORDS,),
            refused="signing with keys of files comes in a later version; without this line keys are made and kept by"
            " themselves, and `zonewright key import` takes over the ones you have",
        ),
        "cache_capacity": Schema(arguments=(CAPACITY,), ignored="every signature is kept with its zone"),
    },
)


def setup(build: Build) -> Link | None:
    """Offers which zones are signed; nothing of it stands in the path of queries."""
    for settings in build.settings:
        policy = settings.property("policy")
        name = policy.one(POLICY) if policy is not None else None
        if policy is not None and name not in POLICIES:
            build.fail(f"policy: '{name}' is unknown; accepted: {', '.join(POLICIES)}", policy.place)
        line = settings.property("denial")
        denial = _denial(build, line) if line is not None else Denial()
        build.offer(SIGNING, Signing(build.zones(settings.all(ZONE)), name, denial, (), settings.place))
    return None


def _denial(build: Build, line: Settings) -> Denial:
    kind, words = line.one(KIND), line.all(PARAMETERS)
    if words and kind != "nsec3":
        build.fail(f"denial: '{words[0]}' belongs to nsec3 alone", line.place)
    try:
        denial = _nsec3(words) if kind == "nsec3" else OTHERS[kind]
    except ValueError as error:
        build.fail(f"denial: {error}", line.place)
    if denial.iterations:
        why = "more work for everybody and no more secrecy (RFC 9276 section 3.1); leave it out"
        build.warn(line.place, f"denial: iterations {denial.iterations}: {why}")
    if denial.salt:
        build.warn(line.place, "denial: a salt is of no use (RFC 9276 section 3.1); leave it out")
    return denial


def _nsec3(words: Sequence[str]) -> Denial:
    """What stands behind `nsec3`, in any order. Raises ValueError with a reason."""
    opt_out, iterations, salt = False, 0, b""
    rest = iter(words)
    for word in rest:
        match word.lower():
            case "opt-out":
                opt_out = True
            case "iterations":
                iterations = ITERATIONS.parse(next(rest, ""))
            case "salt":
                salt = _salt(next(rest, ""))
            case _:
                raise ValueError(f"'{word}' is unknown; accepted: opt-out, iterations N, salt HEX")
    return Denial("nsec3", opt_out, iterations, salt)


def _salt(text: str) -> bytes:
    if text == "-":
        return b""
    try:
        salt = bytes.fromhex(text)
    except ValueError:
        salt = b""
    if not 0 < len(salt) <= MAX_SALT:
        raise ValueError(f"salt '{text}' is not 1 to {MAX_SALT} octets in hexadecimal, nor -")
    return salt
