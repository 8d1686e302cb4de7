"""The `dnssec` directive: signs zones with keys that the server makes and keeps by itself."""

from typing import Final

from authserver.plugin import SIGNING, Argument, Build, Integer, Link, Schema, Signing, Word, Zone

ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
POLICY: Final = Argument("NAME", Word("the name of a policy"))
CAPACITY: Final = Argument("N", Integer())
WORDS: Final = Argument("WORDS", Word(), optional=True, repeat=True)
POLICIES: Final = ("default",)

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    once=True,
    properties={
        "policy": Schema(arguments=(POLICY,), once=True),
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
        build.offer(SIGNING, Signing(build.zones(settings.all(ZONE)), name, (), settings.place))
    return None
