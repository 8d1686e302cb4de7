"""The `tsig` directive: the keys of a server block, and which queries have to be signed with one of them (RFC 8945)."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.opcode
import dns.rcode
import dns.rdatatype

from authserver.plugin import (
    EFFECT,
    TSIG,
    Argument,
    Build,
    Choice,
    Effect,
    Handler,
    Link,
    Name,
    PathKind,
    Query,
    Response,
    Schema,
    Settings,
    SharedKeys,
    Transfer,
    Zone,
    name_text,
)
from keys import tsigfile
from keys.errors import KeysError
from keys.tsigfile import TSIGKey
from zones.transfer import is_transfer
from zones.tsig import Keyring

SECRETS_OF_A_NAME: Final = 2
ALL: Final = "all"
NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in base64; what is wrong with one is told without showing it."""

    accepts: str = "a secret in base64"

    def parse(self, text: str) -> bytes:
        """The octets. Raises ValueError with a reason."""
        try:
            secret = b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("it is not base64") from None
        if not secret:
            raise ValueError("it is empty")
        return secret


@dataclass(frozen=True, slots=True)
class NumberWord:
    """Something with a number by its mnemonic, or `all` or `none`, which stand alone."""

    what: str
    number: Callable[[str], int]

    @property
    def accepts(self) -> str:
        """Words for people."""
        return f"{self.what}s, all or none"

    def parse(self, text: str) -> str | int:
        """The number, or one of the two words. Raises ValueError with a reason."""
        if text.lower() in {ALL, NONE}:
            return text.lower()
        try:
            return int(self.number(text))
        except (dns.exception.DNSException, ValueError):
            raise ValueError(f"'{text}' is no {self.what}") from None


ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
NAME: Final = Argument("NAME", Name())
SECRET: Final = Argument("BASE64", Secret())
ALGORITHM: Final = Argument("ALGORITHM", Choice(tsigfile.ALGORITHMS), optional=True)
FILE: Final = Argument("FILE", PathKind())
QTYPE: Final = Argument("QTYPE", NumberWord("type", dns.rdatatype.from_text), optional=True, repeat=True)
OPCODE: Final = Argument("OPCODE", NumberWord("opcode", dns.opcode.from_text), optional=True, repeat=True)

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    properties={
        "secret": Schema(arguments=(NAME, SECRET, ALGORITHM)),
        "secrets": Schema(arguments=(FILE,)),
        "require": Schema(arguments=(QTYPE,), once=True),
        "require_opcode": Schema(arguments=(OPCODE,), once=True),
    },
    once=True,
)


def setup(build: Build) -> Link | None:
    """Offers the keys, by which the server verifies and signs; what has to be signed is refused here if it is not."""
    settings = build.settings[0]
    keys = [*_of_lines(settings), *_of_files(build, settings)]
    keyring = Keyring(keys)
    for name in keyring.names:
        if (count := len(keyring.named(name))) > SECRETS_OF_A_NAME:
            build.problem(
                settings.place, f"key {name_text(name)} has {count} secrets; {SECRETS_OF_A_NAME} are the most"
            )
    opcodes = _numbers(build, settings, "require_opcode", OPCODE, range(16))
    qtypes = _numbers(build, settings, "require", QTYPE, range(1 << 16))
    if dns.opcode.QUERY in opcodes:
        qtypes = frozenset(range(1 << 16))
    if not settings.has("secret") and not settings.has("secrets"):
        build.problem(settings.place, "has no key; accepted: secret, secrets")
    build.offer(TSIG, SharedKeys(keyring, opcodes - {dns.opcode.QUERY}, settings.place))
    if all(map(is_transfer, qtypes)):
        build.offer(EFFECT, Effect())  # a transfer is never the engine's to answer
    origins = build.zones(settings.all(ZONE))
    return lambda following: Required(following, origins, qtypes)


@dataclass(frozen=True, slots=True)
class Required:
    """Refuses what has to be signed and is not; all else goes to the next handler."""

    following: Handler
    origins: tuple[bytes, ...]
    qtypes: frozenset[int]

    async def serve(self, query: Query) -> Response | Transfer:
        """REFUSED, as CoreDNS says it, or what the next one answers."""
        is_wanted = query.qtype in self.qtypes and any(map(query.is_below, self.origins))
        if is_wanted and not query.key:
            return query.respond(dns.rcode.REFUSED)
        return await self.following.serve(query)


def _of_lines(settings: Settings) -> Iterator[TSIGKey]:
    for line in settings.properties("secret"):
        algorithm = line.get(ALGORITHM, tsigfile.DEFAULT_ALGORITHM)
        yield TSIGKey(name_text(line.one(NAME)), algorithm, line.one(SECRET))


def _of_files(build: Build, settings: Settings) -> Iterator[TSIGKey]:
    for line in settings.properties("secrets"):
        try:
            yield from build.read(build.path(line.one(FILE)), tsigfile.read)
        except KeysError as error:
            build.problem(line.place, f"secrets: {error}")


def _numbers(
    build: Build, settings: Settings, name: str, argument: Argument[str | int], every: Sequence[int]
) -> frozenset[int]:
    """The numbers that a property says; none where it does not stand."""
    line = settings.property(name)
    words = set(line.all(argument)) if line is not None else {NONE}
    if line is not None and len(words) != 1 and words & {ALL, NONE}:
        build.problem(line.place, f"{name}: all and none stand alone")
    if ALL in words:
        return frozenset(every)
    return frozenset(word for word in words if isinstance(word, int))
