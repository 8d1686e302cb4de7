"""What a directive may say, as data: kinds of argument, arguments, properties; and the check of a directive by it.

A *schema* belongs to a directive or to a property in its body; *settings* are a directive's arguments and
properties after the check, as values. Messages name the accepted words, because the schema knows them.

A kind has `accepts`, words for people, and `parse`, which raises ValueError with a reason.
"""

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from authserver.corefile import Directive, zones_from_text
from authserver.errors import Place, Problem

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Prefix: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the nearest of the words, or nothing when none is near."""
    near = difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


# ------------------------------------------------------------------ kinds


class Kind(Protocol[T_co]):
    """How one argument is read."""

    @property
    def accepts(self) -> str:
        """Words for people."""

    def parse(self, text: str) -> T_co:
        """The value. Raises ValueError with a reason."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """Any text; `accepts` says what it is."""

    accepts: str = "a word"

    def parse(self, text: str) -> str:
        """The value. Raises ValueError with a reason."""
        return text


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, in lower case."""

    words: tuple[str, ...]

    @property
    def accepts(self) -> str:
        """Words for people."""
        return " | ".join(self.words)

    def parse(self, text: str) -> str:
        """The value. Raises ValueError with a reason."""
        if text.lower() in self.words:
            return text.lower()
        raise ValueError(f"'{text}' is unknown{nearest(text, self.words)}; accepted: {', '.join(self.words)}")


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds, both included."""

    minimum: int = 0
    maximum: int = 2**31 - 1

    @property
    def accepts(self) -> str:
        """Words for people."""
        return f"a number from {self.minimum} to {self.maximum}"

    def parse(self, text: str) -> int:
        """The value. Raises ValueError with a reason."""
        if re.fullmatch(r"-?[0-9]{1,18}", text) and self.minimum <= int(text) <= self.maximum:
            return int(text)
        raise ValueError(f"'{text}' is not {self.accepts}")


_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SPAN: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_MAX_DIGITS: Final = 30


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time as Go writes it, `1h30m`, `500ms`, `0`; the value is seconds.

    `or_zero` lets 0 stand, which means off, where a minimum would refuse it.
    """

    minimum: float = 0
    maximum: float = float("inf")
    or_zero: bool = False

    @property
    def accepts(self) -> str:
        """Words for people."""
        return "a duration such as 30s, 5m or 1h30m"

    def parse(self, text: str) -> float:
        """The value. Raises ValueError with a reason."""
        spans = list(_SPAN.finditer(text))
        if text != "0" and (len(text) > _MAX_DIGITS or not spans or "".join(span[0] for span in spans) != text):
            unit = f"; a unit is missing, {text}s for seconds" if text.isdigit() else ""
            raise ValueError(f"'{text}' is not {self.accepts}{unit}")
        seconds = sum(float(span[1]) * _UNITS[span[2]] for span in spans)
        if not (seconds == 0 and self.or_zero) and not self.minimum <= seconds <= self.maximum:
            bound = f"at least {self.minimum:g}s" if seconds < self.minimum else f"at most {self.maximum:g}s"
            raise ValueError(f"'{text}' must be {bound}{', or 0' if self.or_zero else ''}")
        return seconds


@dataclass(frozen=True, slots=True)
class AddressKind:
    """An IPv4 or IPv6 address without a port."""

    accepts: str = "an IP address"

    def parse(self, text: str) -> Address:
        """The value. Raises ValueError with a reason."""
        try:
            return ipaddress.ip_address(text)
        except ValueError:
            raise ValueError(f"'{text}' is not {self.accepts}") from None


@dataclass(frozen=True, slots=True)
class PrefixKind:
    """An IPv4 or IPv6 network, or an address as a network of one."""

    accepts: str = "a network such as 192.0.2.0/24"

    def parse(self, text: str) -> Prefix:
        """The value. Raises ValueError with a reason."""
        try:
            return ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"'{text}' is not {self.accepts}") from None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`[HOST]:PORT`, or an address with the port left out when there is a default; the value is (host, port).

    An empty host is every address.
    """

    default_port: int | None = None

    @property
    def accepts(self) -> str:
        """Words for people."""
        return "HOST:PORT or :PORT" if self.default_port is None else "an address, HOST:PORT or :PORT"

    def parse(self, text: str) -> tuple[str, int]:
        """The value. Raises ValueError with a reason."""
        host, colon, port = text.rpartition(":")
        if self.default_port is not None and (not colon or _is_ip(text) or text.endswith("]")):
            host, port = text, str(self.default_port)
        if host.startswith("[") and host.endswith("]") and _is_ip(host[1:-1]):
            host = host[1:-1]
        if not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535 or len(port) > 5:
            raise ValueError(f"'{text}' is not {self.accepts}")
        if not _is_ip(host) and not re.fullmatch(r"[A-Za-z0-9._-]*", host):
            raise ValueError(f"'{text}' is not {self.accepts}: '{host}' is no host")
        return host, int(port)


@dataclass(frozen=True, slots=True)
class PathKind:
    """A path as written; `Build.path` joins it with the block's root."""

    accepts: str = "a path"

    def parse(self, text: str) -> str:
        """The value. Raises ValueError with a reason."""
        if not text or "\0" in text:
            raise ValueError(f"{text!r} is not a path")
        return text


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone's name, or a CIDR for its reverse zones; the value is their wire names, in lower case."""

    accepts: str = "a zone"

    def parse(self, text: str) -> tuple[bytes, ...]:
        """The value. Raises ValueError with a reason."""
        if not text:
            raise ValueError("an empty word is not a zone")
        return zones_from_text(text)


@dataclass(frozen=True, slots=True)
class Name:
    """A domain name; the value is its wire name, in lower case."""

    accepts: str = "a name"

    def parse(self, text: str) -> bytes:
        """The value. Raises ValueError with a reason."""
        if not text or "/" in text:
            raise ValueError(f"'{text}' is not a name")
        return zones_from_text(text)[0]


@dataclass(frozen=True, slots=True)
class Either(Generic[T]):
    """What the first of some kinds takes."""

    kinds: tuple[Kind[T], ...]

    @property
    def accepts(self) -> str:
        """Words for people."""
        return " | ".join(kind.accepts for kind in self.kinds)

    def parse(self, text: str) -> T:
        """The value. Raises ValueError with a reason."""
        for kind in self.kinds:
            try:
                return kind.parse(text)
            except ValueError:
                continue
        raise ValueError(f"'{text}' is not {self.accepts}")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------ schemas


@dataclass(frozen=True, slots=True)
class Argument(Generic[T_co]):
    """One argument in the order of its directive; only the last may repeat."""

    name: str
    kind: Kind[T_co]
    optional: bool = False
    repeat: bool = False

    def __str__(self) -> str:
        text = f"{self.name}..." if self.repeat else self.name
        return f"[{text}]" if self.optional else text


@dataclass(frozen=True, slots=True)
class Schema:
    """What a directive or a property takes.

    `properties` None: it takes no body. `once`: at most once in its block or body. `required`: its body must have it.
    `ignored` is a warning, `refused` an error, each with this reason, for words that CoreDNS has and that do
    nothing or can't be done here. `lines` is what lines of the body are that begin with no property's name.

    `clauses` are pairs of a word and a value behind the arguments, in any order, each at most once; the word is the
    first one of the clause's name.
    """

    arguments: tuple[Argument[object], ...] = ()
    clauses: tuple[Argument[object], ...] = ()
    properties: "Mapping[str, Schema] | None" = None
    once: bool = False
    required: bool = False
    ignored: str = ""
    refused: str = ""
    lines: Argument[object] | None = None

    def usage(self, name: str) -> str:
        """The synopsis of one line, as in a manual."""
        body = "" if self.properties is None else f"{{ {' | '.join(self.properties) or '...'} }}"
        return " ".join(filter(None, [name, *map(str, (*self.arguments, *self.clauses)), body]))


@dataclass(frozen=True, slots=True)
class Settings:
    """A directive that fits its schema, as values."""

    directive: Directive
    values: Mapping[str, tuple[object, ...]] = field(default_factory=lambda: MappingProxyType({}))
    body: "tuple[Settings, ...]" = ()

    @property
    def place(self) -> Place:
        """Where the directive stands."""
        return self.directive.place

    def one(self, argument: Argument[T]) -> T:
        """The value of an argument that is not optional."""
        return self.all(argument)[0]

    def get(self, argument: Argument[T], default: T) -> T:
        """The value of an optional argument, or the default."""
        values = self.all(argument)
        return values[0] if values else default

    def all(self, argument: Argument[T]) -> tuple[T, ...]:
        """All values of an argument."""
        return self.values.get(argument.name, ())  # type: ignore[return-value]

    def properties(self, name: str) -> "tuple[Settings, ...]":
        """All properties of this name, in the order of the file."""
        return tuple(settings for settings in self.body if settings.directive.name == name)

    def property(self, name: str) -> "Settings | None":
        """The last property of this name."""
        found = self.properties(name)
        return found[-1] if found else None

    def has(self, name: str) -> bool:
        """Whether there is such a property."""
        return bool(self.properties(name))


@dataclass(slots=True)
class Findings:
    """Problems and warnings, gathered."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, place: Place, message: str) -> None:
        """Note an error."""
        self.problems.append(Problem(place, message))

    def warn(self, place: Place, message: str) -> None:
        """Note something that is allowed but hardly meant."""
        self.warnings.append(Problem(place, message))


def settings_of(directives: Sequence[Directive], schema: Schema, findings: Findings) -> tuple[Settings, ...]:
    """All directives of one name in a block, as settings; what doesn't fit goes to the findings."""
    if schema.once and len(directives) > 1:
        first = directives[0].place
        for again in directives[1:]:
            findings.problem(again.place, f"{again.name}: may stand once in a server block, it is at {first} already")
    return tuple(_settings(directive, schema, directive.name, findings) for directive in directives)


def _settings(directive: Directive, schema: Schema, trail: str, findings: Findings) -> Settings:
    if schema.refused:
        findings.problem(directive.place, f"{trail}: {schema.refused}")
    elif schema.ignored:
        findings.warn(directive.place, f"{trail}: ignored: {schema.ignored}")
    if schema.refused or schema.ignored:
        return Settings(directive)
    values = _arguments(directive, schema, trail, findings)
    return Settings(directive, MappingProxyType(values), tuple(_body(directive, schema, trail, findings)))


def _arguments(directive: Directive, schema: Schema, trail: str, findings: Findings) -> dict[str, tuple[object, ...]]:
    given, values = _clauses(directive, schema, trail, findings)
    least = sum(not argument.optional for argument in schema.arguments)
    most = None if any(argument.repeat for argument in schema.arguments) else len(schema.arguments)
    usage = schema.usage(trail)
    if len(given) < least:
        missing = [argument for argument in schema.arguments if not argument.optional][len(given)]
        findings.problem(
            directive.place, f"{trail}: {missing.name} is missing ({missing.kind.accepts}); usage: {usage}"
        )
    elif most is not None and len(given) > most:
        takes = f"takes {most or 'no'} argument{'' if most == 1 else 's'}, not {len(given)}"
        findings.problem(directive.place, f"{trail}: {takes}; usage: {usage}")
    for argument, texts in _assign(schema.arguments, given):
        values[argument.name] = tuple(_parsed(argument, texts, directive.place, trail, findings))
    return values


def _clauses(
    directive: Directive, schema: Schema, trail: str, findings: Findings
) -> tuple[Sequence[str], dict[str, tuple[object, ...]]]:
    """The words ahead of the clauses, and the values of these."""
    given = directive.arguments
    clauses = {clause.name.split()[0]: clause for clause in schema.clauses}
    begin = next((at for at, word in enumerate(given) if word in clauses), len(given))
    values: dict[str, tuple[object, ...]] = {}
    for at in range(begin, len(given), 2):
        word, *texts = given[at : at + 2]
        clause = clauses.get(word)
        if clause is None or not texts or clause.name in values:
            reason = "is no clause" if clause is None else "stands twice" if texts else f"needs {clause.kind.accepts}"
            findings.problem(directive.place, f"{trail}: '{word}' {reason}; usage: {schema.usage(trail)}")
            break
        values[clause.name] = tuple(_parsed(clause, texts, directive.place, trail, findings))
    return given[:begin], values


def _assign(
    arguments: Sequence[Argument[object]], given: Sequence[str]
) -> Iterator[tuple[Argument[object], Sequence[str]]]:
    for index, argument in enumerate(arguments):
        yield argument, given[index:] if argument.repeat else given[index : index + 1]


def _parsed(
    argument: Argument[object], texts: Sequence[str], place: Place, trail: str, findings: Findings
) -> Iterator[object]:
    for text in texts:
        try:
            yield argument.kind.parse(text)
        except ValueError as error:
            findings.problem(place, f"{trail}: {argument.name}: {error}")


def _body(directive: Directive, schema: Schema, trail: str, findings: Findings) -> Iterator[Settings]:
    if schema.properties is None and schema.lines is None:
        if directive.body is not None:
            findings.problem(directive.place, f"{trail}: takes no body in braces; usage: {schema.usage(trail)}")
        return
    properties = schema.properties or {}
    first: dict[str, Place] = {}
    for line in directive.body or ():
        if (inner := properties.get(line.name)) is not None:
            if inner.once and line.name in first:
                findings.problem(
                    line.place, f"{trail}: {line.name} may stand once, it is at {first[line.name]} already"
                )
            first.setdefault(line.name, line.place)
            yield _settings(line, inner, f"{trail}: {line.name}", findings)
        elif schema.lines is not None:
            yield Settings(line, MappingProxyType(_line(line, schema.lines, trail, findings)))
        else:
            findings.problem(line.place, _unknown_property(line.name, properties, trail))
    for name, inner in properties.items():
        if inner.required and name not in first:
            findings.problem(directive.place, f"{trail}: {name} is missing; usage: {inner.usage(name)}")


def _line(line: Directive, argument: Argument[object], trail: str, findings: Findings) -> dict[str, tuple[object, ...]]:
    return {argument.name: tuple(_parsed(argument, (line.name, *line.arguments), line.place, trail, findings))}


def _unknown_property(name: str, properties: Mapping[str, Schema], trail: str) -> str:
    accepted = ", ".join(word for word, schema in properties.items() if not schema.refused) or "none"
    return f"{trail}: property '{name}' is unknown{nearest(name, properties)}; accepted: {accepted}"
