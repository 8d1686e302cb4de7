"""The `transfer` directive: who may transfer the zones of its server block, and who gets a NOTIFY of a new version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import dns.rcode

from authserver.backend import UDP_SIZE, ServedZone, ZoneTable
from authserver.plugin import (
    EFFECT,
    TLS,
    TRANSFER,
    ZONES,
    AddressKind,
    Argument,
    Block,
    Build,
    Configuration,
    Effect,
    Handler,
    Link,
    Name,
    Query,
    Response,
    Schema,
    Settings,
    Transfer,
    TransferRule,
    Word,
    Zone,
)
from authserver.tls import plain_name
from zones.errors import TransferMessageError
from zones.naming import is_at_or_below
from zones.transfer import Group, is_transfer, parse_target, parse_targets


@dataclass(frozen=True, slots=True)
class TargetWord:
    """Who may transfer; the value is the word as written."""

    accepts: str = "an address, with :PORT where NOTIFY goes elsewhere than to 53, a prefix, or *"

    def parse(self, text: str) -> str:
        """The word, if it is one of these."""
        try:
            parse_target(text)
        except TransferMessageError as error:
            raise ValueError(error.reason) from None
        return text


@dataclass(frozen=True, slots=True)
class ServerWord:
    """Who gets NOTIFY; the value is the word as written."""

    accepts: str = "an address, with :PORT where NOTIFY goes elsewhere than to 53"

    def parse(self, text: str) -> str:
        """The word, if it is one of these."""
        try:
            if parse_target(text).port is None:
                raise ValueError(f"'{text}' is not {self.accepts}")
        except TransferMessageError as error:
            raise ValueError(error.reason) from None
        return text


ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
TO: Final = Argument("ADDRESS|PREFIX|*", TargetWord(), repeat=True)
ALSO: Final = Argument("ADDRESS", ServerWord(), repeat=True)
KEY: Final = Argument("key NAME", Name(), optional=True)
TLS_NAME: Final = Argument("tls NAME", Word("a name in the client's certificate"), optional=True)
SOURCE: Final = Argument("ADDRESS", AddressKind())

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    properties={
        "to": Schema(arguments=(TO,), clauses=(KEY, TLS_NAME), required=True),
        "also": Schema(arguments=(ALSO,), clauses=(KEY,)),
        "source": Schema(arguments=(SOURCE,), once=True),
    },
)


def setup(build: Build) -> Link | None:
    """Offers one rule for each `transfer`, and stands in the path of AXFR and IXFR queries alone."""
    rules = []
    for settings in build.settings:
        source = settings.property("source")
        rule = TransferRule(
            origins=build.zones(settings.all(ZONE)),
            to=tuple(_group(build, line, line.all(TO)) for line in settings.properties("to")),
            also=tuple(_group(build, line, line.all(ALSO)) for line in settings.properties("also")),
            source=str(source.one(SOURCE)) if source is not None else None,
            place=settings.place,
        )
        rules.append(rule)
        build.offer(TRANSFER, rule)
    build.offer(EFFECT, Effect())  # the engine never answers a transfer itself
    return lambda following: Transfers(following, build.configuration, build.block, tuple(rules))


def _group(build: Build, line: Settings, words: Sequence[str]) -> Group:
    key, name = line.get(KEY, None), line.get(TLS_NAME, None)
    asks = [one.files.client_auth != "nocert" for one in build.block.offered(TLS)]
    # A `tls` that could not be set up has said so already.
    is_asked = any(asks) or (not asks and bool(build.block.source.named("tls")))
    if name is not None and not is_asked:
        build.problem(
            line.place, "tls: no certificate is asked of clients here; `tls CERT KEY CA` does, for tls:// blocks"
        )
    return Group(
        parse_targets(words),
        build.key(key, line.place) if key is not None else None,
        plain_name(name) if name is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Transfers:
    """Answers AXFR and IXFR by the rules; everything else goes to the next handler."""

    following: Handler
    configuration: Configuration
    block: Block
    rules: tuple[TransferRule, ...]

    async def serve(self, query: Query) -> Response | Transfer:
        """What the client is to have of the zone, or why not."""
        if not is_transfer(query.qtype):
            return await self.following.serve(query)
        zone = self._zone(query.qname)
        if zone is None:
            return query.respond(dns.rcode.NOTAUTH)  # RFC 5936 section 2.2.1
        rule = rule_of(self.rules, query.qname)
        if query.tls is not None and not query.tls.is_dot:
            return query.respond(dns.rcode.REFUSED)  # RFC 9103 section 7.1
        names = query.tls.names if query.tls is not None else frozenset()
        if rule is None or not any(group.admits(query.client[0], query.key, names) for group in rule.to):
            return query.respond(dns.rcode.REFUSED)
        outgoing = self.configuration.running.outgoing
        if outgoing is None:
            return query.respond(dns.rcode.SERVFAIL)
        return await outgoing.answer(query, zone, self.block.effect.size or UDP_SIZE)

    def _zone(self, qname: bytes) -> ServedZone | None:
        for backend in self.block.offered(ZONES):
            if isinstance(backend, ZoneTable) and (zone := backend.get(qname)) is not None:
                return zone
        return None


def rule_of(rules: Sequence[TransferRule], qname: bytes) -> TransferRule | None:
    """The rule of the longest zone that the name is in; the first one of equals."""
    found = [(len(origin), rule) for rule in rules for origin in rule.origins if is_at_or_below(qname, origin)]
    return max(found, key=lambda pair: pair[0])[1] if found else None
