"""The `log` directive: one line for each query, in a format of the operator's.

A *format* is text with placeholders in braces; a *fact* is what one answer gives for them; a *class* is what became of
the query: success, denial (the name or type does not exist) or error.

Limits: of direct answers the engine's ring gives header flags and sizes only; an answer without data for an
existing name then counts as success, and `{local}` is `-`.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from authserver.plugin import (
    EFFECT,
    LOG,
    Argument,
    Build,
    Choice,
    Effect,
    Handler,
    Link,
    LogEntry,
    Query,
    Response,
    Schema,
    Settings,
    Transfer,
    Word,
    Zone,
)

log = logging.getLogger(__name__)

COMMON: Final = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} '
    "{rsize} {duration}"
)
COMBINED: Final = COMMON + ' "{>opcode}"'
EMPTY: Final = "-"

_CLASSES: Final = ("success", "denial", "error", "all")
_WORDS: Final = Argument("NAMES|FORMAT", Word("a name, or a format with braces in it"), optional=True, repeat=True)
_CLASS: Final = Argument("CLASSES", Choice(_CLASSES), repeat=True)

SCHEMA = Schema(arguments=(_WORDS,), properties={"class": Schema(arguments=(_CLASS,))})

# The bits of the header's flags by name, in the order CoreDNS tells them (RFC 1035 section 4.1.1, RFC 4035 section 3).
_FLAGS: Final = (
    (0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0040, "z"), (0x0020, "ad"),
    (0x0010, "cd"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """What one answer was, as placeholders tell it; `flags` are the response's."""

    client: str
    port: int
    local: str
    transport: str
    qname: bytes
    qtype: int
    qclass: int
    id: int
    flags: int
    query_octets: int
    response_octets: int
    edns_size: int
    dnssec_ok: bool
    duration_us: int
    is_denial: bool
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def rcode(self) -> int:
        """The RCODE of the response's header."""
        return self.flags & 0xF

    @property
    def name(self) -> str:
        """The qname in lower case, odd octets escaped, so that no client can write a line of its own."""
        return dns.name.from_wire(self.qname.lower(), 0)[0].to_text()

    @property
    def kind(self) -> str:
        """The class of the answer."""
        if self.is_denial:
            return "denial"
        return "success" if self.rcode == dns.rcode.NOERROR else "error"


def _brackets(address: str) -> str:
    return f"[{address}]" if ":" in address else address


_PLACEHOLDERS: Final[dict[str, Callable[[Fact], str]]] = {
    "type": lambda fact: dns.rdatatype.to_text(dns.rdatatype.RdataType.make(fact.qtype)),
    "name": lambda fact: fact.name,
    "class": lambda fact: dns.rdataclass.to_text(dns.rdataclass.RdataClass.make(fact.qclass)),
    "proto": lambda fact: fact.transport,
    "remote": lambda fact: _brackets(fact.client),
    "local": lambda fact: _brackets(fact.local) or EMPTY,
    "size": lambda fact: str(fact.query_octets),
    "port": lambda fact: str(fact.port),
    "duration": lambda fact: f"{fact.duration_us / 1e6:.6f}s",
    "rcode": lambda fact: dns.rcode.to_text(dns.rcode.Rcode.make(fact.rcode)),
    "rsize": lambda fact: str(fact.response_octets),
    ">rflags": lambda fact: ",".join(name for bit, name in _FLAGS if fact.flags & bit),
    ">bufsize": lambda fact: str(max(512, fact.edns_size)),
    ">do": lambda fact: "true" if fact.dnssec_ok else "false",
    ">id": lambda fact: str(fact.id),
    ">opcode": lambda fact: str(fact.flags >> 11 & 0xF),
}
ACCEPTED: Final = ", ".join(f"{{{name}}}" for name in (*_PLACEHOLDERS, "common", "combined", "/label"))

_BRACED: Final = re.compile(r"\{([^{}\s]+)\}")


class Format:
    """A format, taken apart once."""

    def __init__(self, text: str) -> None:
        """Unknown placeholders stay as they are, as in CoreDNS, and are noted in `unknown`."""
        whole = text.replace("{common}", COMMON).replace("{combined}", COMBINED)
        pieces = _BRACED.split(whole)
        self.unknown = tuple(name for name in pieces[1::2] if name not in _PLACEHOLDERS and not name.startswith("/"))
        self._pieces = tuple(_piece(text, is_name=index % 2 == 1) for index, text in enumerate(pieces) if text)

    def line(self, fact: Fact) -> str:
        """The line for one answer."""
        return "".join(piece if isinstance(piece, str) else piece(fact) for piece in self._pieces)


def _piece(text: str, *, is_name: bool) -> str | Callable[[Fact], str]:
    if not is_name:
        return text
    if text.startswith("/"):
        return lambda fact: dict(fact.tags).get(text[1:]) or EMPTY
    return _PLACEHOLDERS.get(text, f"{{{text}}}")


@dataclass(frozen=True, slots=True)
class Rule:
    """Answers for names at or below `scope`, of these classes, are told in this format."""

    scope: bytes
    classes: frozenset[str]
    format: Format

    def takes(self, fact: Fact) -> bool:
        """Whether this rule tells the answer."""
        if not ("all" in self.classes or fact.kind in self.classes):
            return False
        return self.scope == b"\0" or _is_below(fact.qname.lower(), self.scope)


@dataclass(frozen=True, slots=True)
class Log:
    """The rules of a block; the first that takes an answer tells it."""

    rules: tuple[Rule, ...]

    def line(self, fact: Fact) -> str | None:
        """The line for one answer, None when no rule takes it."""
        return next((rule.format.line(fact) for rule in self.rules if rule.takes(fact)), None)

    def write(self, entry: LogEntry) -> None:
        """Log one direct answer, as `Responder.log_entries()` gives it."""
        self.tell(fact_of_entry(entry))

    def tell(self, fact: Fact) -> None:
        """Log one answer."""
        if (line := self.line(fact)) is not None:
            log.info("%s", line)


@dataclass(frozen=True, slots=True)
class LogHandler:
    """Logs what the plugins behind it answer in a chained block."""

    following: Handler
    log: Log

    async def serve(self, query: Query) -> Response | Transfer:
        """The answer of the plugins behind; what they raise is logged as SERVFAIL and raised on."""
        begun = time.perf_counter_ns()
        answer: Response | Transfer | None = None
        try:
            answer = await self.following.serve(query)
            return answer
        finally:
            response = answer if isinstance(answer, Response) else query.respond(0 if answer else dns.rcode.SERVFAIL)
            self.log.tell(fact_of(query, response, (time.perf_counter_ns() - begun) // 1000))


def fact_of_entry(entry: LogEntry) -> Fact:
    """A row of the engine's log ring."""
    _, _, client, port, transport, qname, qtype, qclass, number, flags, asked, answered, edns, do, duration = entry
    is_denial = flags & 0xF == dns.rcode.NXDOMAIN
    return Fact(
        client, port, "", transport, qname, qtype, qclass, number, flags, asked, answered, edns, do, duration, is_denial
    )


def fact_of(query: Query, response: Response, duration_us: int) -> Fact:
    """An answer of the chain."""
    return Fact(
        client=query.client[0],
        port=query.client[1],
        local=query.local[0],
        transport=query.transport,
        qname=query.qname,
        qtype=query.qtype,
        qclass=query.qclass,
        id=query.id,
        flags=response.flags,
        query_octets=len(query.octets),
        response_octets=len(response.octets),
        edns_size=query.udp_size if query.has_edns else 0,
        dnssec_ok=query.dnssec_ok,
        duration_us=duration_us,
        is_denial=_is_denial(response),
        tags=query.tags,
    )


def _is_denial(response: Response) -> bool:
    if response.rcode == dns.rcode.NXDOMAIN:
        return True
    if response.rcode != dns.rcode.NOERROR or response.answer_count or response.octets[8:10] == b"\0\0":
        return False
    # No answer and records of authority: no data if there is an SOA, a referral if not (RFC 2308 section 2.2).
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.message.authority)


def _is_below(name: bytes, origin: bytes) -> bool:
    start = 0
    while len(name) - start > len(origin):
        start += name[start] + 1
    return name[start:] == origin


def setup(build: Build) -> Link | None:
    """Offers the log as an effect on direct answers, and stands in the path of chained ones."""
    rules = tuple(rule for settings in build.settings for rule in _rules(settings, build))
    tap = Log(rules)
    build.offer(EFFECT, Effect(log=True))
    build.offer(LOG, tap)

    def link(following: Handler) -> Handler:
        return LogHandler(following, tap)

    return link


def _rules(settings: Settings, build: Build) -> list[Rule]:
    words = list(settings.all(_WORDS))
    text = words.pop() if words and "{" in words[-1] else "{common}"
    form = Format(text)
    for name in form.unknown:
        build.warn(settings.place, f"placeholder {{{name}}} is unknown and stays as it is; accepted: {ACCEPTED}")
    classes = frozenset(word for line in settings.properties("class") for word in line.all(_CLASS)) or {"all"}
    return [Rule(scope, frozenset(classes), form) for scope in _scopes(words, settings, build)]


def _scopes(words: list[str], settings: Settings, build: Build) -> list[bytes]:
    scopes: list[bytes] = []
    for word in words or ["."]:
        try:
            scopes += Zone().parse(word)
        except ValueError as error:
            build.problem(settings.place, str(error))
    return scopes
