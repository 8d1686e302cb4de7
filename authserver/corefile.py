"""The grammar of Corefiles: text to immutable server blocks, with every error of all its files at once.

A *token* is a word or a quoted string; a *directive* is a line of tokens with an optional body in braces; a *key*
is `[SCHEME://]ZONE|CIDR[:PORT]`; a *snippet* is a named list of tokens; `import` pastes a snippet or files.

The grammar is CoreDNS's; these are mended: environment variables are substituted once, and `{{$x}}` of a Go template
is none; a quoted brace is text; an unknown scheme is an error; a comment inside a word ends at the line's end.

The grammar knows no directive by what it does, only `bind` and `view` by name, because they decide whether the
same key may stand twice.

**Limits:** 10,000 snippet imports, 100,000 file imports, 5 million tokens, 16 MiB a file, braces 32 deep.
"""

import glob
import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import dns.exception
import dns.name

from authserver.errors import CorefileErrors, Place, Problem

SCHEMES: Final[Mapping[str, int]] = MappingProxyType(
    {"dns": 53, "tls": 853, "quic": 853, "grpc": 443, "https": 443, "https3": 443}
)
"""The accepted schemes of keys and their default ports."""

MAX_SNIPPET_IMPORTS: Final = 10_000
MAX_FILE_IMPORTS: Final = 100_000
MAX_TOKENS: Final = 5_000_000
MAX_FILE_OCTETS: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 32

# Go's unicode.IsSpace without \r, which CoreDNS drops wherever it stands outside quotes.
_SPACE: Final = " \t\n\v\f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LEXEME: Final = re.compile(
    rf'(?P<space>[{_SPACE}]+)|(?P<comment>\#[^\n]*)|(?P<quoted>"(?:[^"\\]+|\\.)*\\?(?P<close>"|\Z))|(?P<word>[^{_SPACE}\#]+)',
    re.DOTALL,
)
# The look-arounds leave `{{$x}}` of a Go template alone.
_VARIABLE: Final = re.compile(r"(?<!\{)\{\$(?P<dollar>[^{}$%\s]+)\}(?!\})|\{%(?P<percent>[^{}%\s]+)%\}")
_SNIPPET: Final = re.compile(r"\((?P<name>[^()]*)\)")
_ADDRESS_LIKE: Final = re.compile(r"[0-9.]+/.*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/.*)?")
_DOUBTFUL_IN_NAME: Final = re.compile(r"[\s{}()\"',;:]")


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive, or a property in a directive's body: name, arguments, body (None without braces) and place."""

    name: str
    arguments: tuple[str, ...]
    body: "tuple[Directive, ...] | None"
    place: Place

    def error(self, reason: str) -> CorefileErrors:
        """The exception to raise for this directive: `FILE:LINE: name: reason`."""
        return CorefileErrors([Problem(self.place, f"{self.name}: {reason}")])


@dataclass(frozen=True, slots=True)
class Key:
    """One zone at one port that a server block answers for; `origin` is a lower-case wire name.

    A CIDR that is no whole number of octets or nibbles gives several keys of the same `text`.
    """

    text: str
    scheme: str
    origin: bytes
    port: int
    place: Place

    def __str__(self) -> str:
        return f"{self.scheme}://{dns.name.from_wire(self.origin, 0)[0]}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerBlock:
    """Keys and directives, in the order of the file; equal directives are not merged."""

    keys: tuple[Key, ...]
    directives: tuple[Directive, ...]
    place: Place

    @property
    def origins(self) -> tuple[bytes, ...]:
        """The wire names of the keys, each once."""
        return tuple(dict.fromkeys(key.origin for key in self.keys))

    def named(self, name: str) -> tuple[Directive, ...]:
        """All directives of this name."""
        return tuple(directive for directive in self.directives if directive.name == name)


@dataclass(frozen=True, slots=True)
class Corefile:
    """A parsed Corefile: server blocks, warnings, and every file that was read for it."""

    file: str
    blocks: tuple[ServerBlock, ...]
    warnings: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-512 in hex of what was parsed: comments, layout and the split into files don't change it."""
        return hashlib.sha512(json.dumps([_plain_block(block) for block in self.blocks]).encode()).hexdigest()


def parse(source: Path | str, env: Mapping[str, str], *, file: str = "Corefile", default_port: int = 53) -> Corefile:
    """The Corefile at a path, or of a text, which errors call `file`. Raises CorefileErrors."""
    corefile, problems = read(source, env, file=file, default_port=default_port)
    if problems:
        raise CorefileErrors(problems)
    return corefile


def read(
    source: Path | str, env: Mapping[str, str], *, file: str = "Corefile", default_port: int = 53
) -> tuple[Corefile, list[Problem]]:
    """As `parse`, but gives what could be read and everything that was wrong, so that later checks can add theirs."""
    name = str(source) if isinstance(source, Path) else file
    reading = _Reading(env)
    tokens = reading.file_tokens(Path(name), Place(name, 0)) if isinstance(source, Path) else reading.lex(source, name)
    parser = _Parser(reading.expand(tokens, (_Import("file", _identity(Path(name))),), 0), reading, default_port)
    blocks = tuple(parser.blocks())
    if not blocks and not reading.problems:
        reading.problem(Place(name, 1), "no server block; the least is '. {' and '}' around directives")
    _check_duplicates(blocks, reading)
    order = {path: index for index, path in enumerate([name, *reading.files])}
    problems = sorted(reading.problems, key=lambda problem: (order.get(problem.place.file, 0), problem.place.line))
    return Corefile(name, blocks, tuple(reading.warnings), tuple(dict.fromkeys(reading.files))), problems


# ------------------------------------------------------------------ tokens


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    place: Place
    starts_line: bool
    literal: bool = False

    def is_brace(self, brace: str) -> bool:
        return self.text == brace and not self.literal


_Tokens: TypeAlias = list[_Token]


@dataclass(frozen=True, slots=True)
class _Import:
    kind: str
    name: str


@dataclass(slots=True)
class _Reading:
    """What one reading of a Corefile and its imports gathers."""

    env: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    snippets: dict[str, _Tokens] = field(default_factory=dict)
    snippet_imports: int = 0
    file_imports: int = 0
    token_count: int = 0
    open_quote: Place | None = None
    _cache: dict[str, _Tokens] = field(default_factory=dict)

    def problem(self, place: Place, message: str) -> None:
        problem = Problem(place, message)
        if problem not in self.problems[-50:]:
            self.problems.append(problem)

    def warn(self, place: Place, message: str) -> None:
        if (problem := Problem(place, message)) not in self.warnings:
            self.warnings.append(problem)

    def file_tokens(self, path: Path, place: Place) -> _Tokens:
        """The tokens of a file; a problem at `place` and no tokens when it can't be read."""
        name = str(path)
        if name in self._cache:
            return self._cache[name]
        self.files.append(name)
        try:
            text = _read_octets(path).decode("utf-8")
        except OSError as error:
            self.problem(place, f"cannot read {name}: {error.strerror or error}")
            return []
        except UnicodeDecodeError as error:
            self.problem(Place(name, error.object.count(b"\n", 0, error.start) + 1), "not UTF-8")
            return []
        except ValueError as error:
            self.problem(place, f"cannot read {name}: {error}")
            return []
        return self._cache.setdefault(name, self.lex(text, name))

    def lex(self, text: str, file: str) -> _Tokens:
        """Tokens of a text, environment variables substituted."""
        tokens: _Tokens = []
        line, ended_on = 1, 0
        for match in _LEXEME.finditer(text.removeprefix("\ufeff")):
            lexeme = match[0]
            word, quoted = match["word"], match["quoted"]
            if word is not None and (word := word.replace("\r", "")):
                tokens.append(self._token(word, Place(file, line), starts_line=ended_on != line, literal=False))
                ended_on = line
            elif quoted is not None:
                if not match["close"]:
                    self.open_quote = Place(file, line)
                value = quoted[1:].removesuffix(match["close"]).replace('\\"', '"')
                tokens.append(self._token(value, Place(file, line), starts_line=ended_on != line, literal=True))
                ended_on = line + lexeme.count("\n")
            line += lexeme.count("\n")
        return tokens

    def _token(self, text: str, place: Place, *, starts_line: bool, literal: bool) -> _Token:
        def value(match: re.Match[str]) -> str:
            name = match["dollar"] or match["percent"]
            if name not in self.env:
                self.warn(place, f"environment variable {name} is not set, it stands for nothing")
            return self.env.get(name, "")

        # One pass over the text as written: a value is never scanned again, so no value can loop.
        replaced, count = _VARIABLE.subn(value, text) if "{" in text else (text, 0)
        return _Token(replaced, place, starts_line, literal or count > 0)

    # -------------------------------------------------------------- import and snippets

    def expand(self, tokens: _Tokens, stack: tuple[_Import, ...], depth: int) -> _Tokens:
        """The tokens with imports pasted in and snippet definitions taken out."""
        out: _Tokens = []
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token.starts_line and not token.literal and token.text == "import":
                end = _end_of_line(tokens, position)
                out += self._import(tokens[position:end], stack, depth)
                position = end
                continue
            if depth == 0 and token.starts_line and (name := _snippet_name(tokens, position)) is not None:
                position = self._define(name, tokens, position)
                continue
            depth += token.is_brace("{") - token.is_brace("}")
            out.append(token)
            position += 1
        return out

    def _define(self, name: str, tokens: _Tokens, position: int) -> int:
        place = tokens[position].place
        end = _matching_brace(tokens, position + 1)
        if end is None:
            self.problem(place, f"the '{{' of snippet ({name}) is never closed")
            return len(tokens)
        if name in self.snippets:
            self.problem(place, f"snippet ({name}) is already defined at {self._snippet_place(name)}")
        else:
            self.snippets[name] = tokens[position : end + 1]
        return end + 1

    def _snippet_place(self, name: str) -> Place:
        return self.snippets[name][0].place

    def _import(self, line: _Tokens, stack: tuple[_Import, ...], depth: int) -> _Tokens:
        place = line[0].place
        if len(line) != 2:
            self.problem(place, f"import takes one argument, a snippet, a file or a glob, not {len(line) - 1}")
            return []
        pattern = line[1].text
        if pattern in self.snippets:
            return self._import_snippet(pattern, place, stack, depth)
        return self._import_files(pattern, place, stack, depth)

    def _import_snippet(self, name: str, place: Place, stack: tuple[_Import, ...], depth: int) -> _Tokens:
        self.snippet_imports += 1
        entry = _Import("snippet", name)
        if not self._may_import(entry, place, stack, self.snippet_imports, MAX_SNIPPET_IMPORTS):
            return []
        # The tokens are `(name) { … }`; the body's first one starts a line wherever it stood.
        return self._paste(self.snippets[name][2:-1], (*stack, entry), depth)

    def _import_files(self, pattern: str, place: Place, stack: tuple[_Import, ...], depth: int) -> _Tokens:
        out: _Tokens = []
        for path in self._matches(pattern, place):
            self.file_imports += 1
            entry = _Import("file", _identity(path))
            if not self._may_import(entry, place, stack, self.file_imports, MAX_FILE_IMPORTS):
                break
            out += self._paste(self.file_tokens(path, place), (*stack, entry), depth)
        return out

    def _paste(self, tokens: _Tokens, stack: tuple[_Import, ...], depth: int) -> _Tokens:
        if tokens and not tokens[0].starts_line:
            tokens = [replace(tokens[0], starts_line=True), *tokens[1:]]
        expanded = self.expand(tokens, stack, depth)
        self.token_count += len(expanded)
        return expanded

    def _may_import(self, entry: _Import, place: Place, stack: tuple[_Import, ...], count: int, limit: int) -> bool:
        if entry in stack:
            loop = " -> ".join(step.name for step in (*stack[stack.index(entry) :], entry))
            self.problem(place, f"{entry.kind} {entry.name} imports itself: {loop}")
        elif count == limit + 1:
            self.problem(place, f"more than {limit} {entry.kind} imports")
        elif self.token_count > MAX_TOKENS:
            self.problem(place, f"imports give more than {MAX_TOKENS} tokens")
        elif len(stack) > MAX_DEPTH:
            self.problem(place, f"imports are nested more than {MAX_DEPTH} deep")
        else:
            return count <= limit
        return False

    def _matches(self, pattern: str, place: Place) -> list[Path]:
        if not pattern:
            self.problem(place, "import takes the name of a snippet, a file or a glob, not an empty one")
            return []
        path = Path(place.file).parent / pattern
        if not any(character in pattern for character in "*?["):
            if not path.exists():
                known = ", ".join(sorted(self.snippets)) or "none"
                self.problem(
                    place, f"import: no snippet ({pattern}) before this line (defined: {known}) and no file {path}"
                )
                return []
            return [path]
        if pattern.count("*") > 1 or pattern.count("?") > 1 or "[" in pattern:
            self.problem(place, f"import: a glob takes at most one '*' and one '?' and no '[': {pattern}")
            return []
        # The directory of the importing file may itself hold characters that mean something in a glob.
        full = (
            pattern if Path(pattern).is_absolute() else str(Path(glob.escape(str(Path(place.file).parent))) / pattern)
        )
        found = sorted(Path(name) for name in glob.iglob(full) if Path(name).is_file())  # noqa: PTH207 hidden files are editors' leftovers, and glob leaves them out
        if not found:
            self.warn(place, f"import: no file matches {path}")
        return found


def _read_octets(path: Path) -> bytes:
    if not path.is_file():
        if path.exists():
            raise ValueError("not a regular file")
        raise FileNotFoundError(2, "No such file or directory", str(path))
    with path.open("rb") as stream:
        octets = stream.read(MAX_FILE_OCTETS + 1)
    if len(octets) > MAX_FILE_OCTETS:
        raise ValueError(f"larger than {MAX_FILE_OCTETS} octets")
    return octets


def _identity(path: Path) -> str:
    """The same for two names of one file."""
    return str(path.resolve())


def _end_of_line(tokens: _Tokens, position: int) -> int:
    end = position + 1
    while end < len(tokens) and not tokens[end].starts_line and not tokens[end].is_brace("}"):
        end += 1
    return end


def _snippet_name(tokens: _Tokens, position: int) -> str | None:
    match = _SNIPPET.fullmatch(tokens[position].text)
    followed = position + 1 < len(tokens) and tokens[position + 1].is_brace("{")
    return match["name"] if match and followed else None


def _matching_brace(tokens: _Tokens, position: int) -> int | None:
    depth = 0
    for index in range(position, len(tokens)):
        depth += tokens[index].is_brace("{") - tokens[index].is_brace("}")
        if depth == 0:
            return index
    return None


# ------------------------------------------------------------------ blocks


class _Parser:
    """Server blocks out of expanded tokens; after an error it goes on where the next thing can begin."""

    def __init__(self, tokens: _Tokens, reading: _Reading, default_port: int) -> None:
        self._tokens = tokens
        self._position = 0
        self._reading = reading
        self._default_port = default_port

    def blocks(self) -> Iterator[ServerBlock]:
        while (token := self._peek()) is not None:
            if token.is_brace("}"):
                self._reading.problem(token.place, "'}' closes nothing")
                self._position += 1
                continue
            yield self._block(token)

    def _peek(self) -> _Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _next(self) -> _Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def _block(self, first: _Token) -> ServerBlock:
        keys = tuple(self._keys(first))
        opening = self._peek()
        if opening is not None and opening.is_brace("{"):
            return ServerBlock(keys, self._body(self._next(), 1), first.place)
        return ServerBlock(keys, self._rest_of_file(), first.place)

    def _keys(self, first: _Token) -> Iterator[Key]:
        is_any = is_expecting = False
        while (token := self._peek()) is not None and not token.is_brace("{"):
            if token.starts_line and is_any and not is_expecting:
                break
            self._next()
            is_any, is_expecting = True, token.text.endswith(",")
            for text in filter(None, token.text.split(",")):
                yield from self._key(text, token.place)
        if not is_any:
            self._reading.problem(first.place, "'{' without a zone before it; '.' is all zones")
        elif is_expecting:
            self._reading.problem(self._tokens[self._position - 1].place, "another key must follow the ','")

    def _key(self, text: str, place: Place) -> Iterator[Key]:
        if _SNIPPET.fullmatch(text):
            self._reading.problem(
                place, f"snippet {text} stands alone, '{{' follows it, and it is defined outside blocks"
            )
            return
        try:
            yield from parse_key(text, place, self._default_port)
        except ValueError as error:
            self._reading.problem(place, str(error))

    def _rest_of_file(self) -> tuple[Directive, ...]:
        directives: list[Directive] = []
        while (token := self._peek()) is not None:
            if token.is_brace("}") or token.is_brace("{"):
                self._reading.problem(token.place, f"'{token.text}' in a server block that was opened without '{{'")
                self._position += 1
                continue
            directives.append(self._directive(1))
        return tuple(directives)

    def _body(self, opening: _Token, depth: int) -> tuple[Directive, ...]:
        directives: list[Directive] = []
        while (token := self._peek()) is not None:
            if token.is_brace("}"):
                self._next()
                return tuple(directives)
            if token.is_brace("{"):
                self._stray_body(depth)
                continue
            directives.append(self._directive(depth))
        hint = (
            f"; the quote opened at {self._reading.open_quote} is not closed either" if self._reading.open_quote else ""
        )
        self._reading.problem(opening.place, f"'{{' is never closed{hint}")
        return tuple(directives)

    def _stray_body(self, depth: int) -> None:
        opening = self._next()
        self._reading.problem(opening.place, "'{' must stand on the line of its directive")
        self._nested(opening, depth)

    def _directive(self, depth: int) -> Directive:
        name = self._next()
        arguments: list[str] = []
        while (token := self._peek()) is not None and not token.starts_line:
            if token.is_brace("{"):
                body = self._nested(self._next(), depth)
                self._nothing_follows()
                return Directive(name.text, tuple(arguments), body, name.place)
            if token.is_brace("}"):
                break
            arguments.append(self._next().text)
        return Directive(name.text, tuple(arguments), None, name.place)

    def _nested(self, opening: _Token, depth: int) -> tuple[Directive, ...]:
        if depth < MAX_DEPTH:
            return self._body(opening, depth + 1)
        self._reading.problem(opening.place, f"braces are nested more than {MAX_DEPTH} deep")
        end = _matching_brace(self._tokens, self._position - 1)
        self._position = len(self._tokens) if end is None else end + 1
        return ()

    def _nothing_follows(self) -> None:
        token = self._peek()
        if token is None or token.starts_line or token.is_brace("}"):
            return
        self._reading.problem(token.place, f"'{token.text}' after '}}'; the next directive goes on its own line")
        self._position = _end_of_line(self._tokens, self._position)


# ------------------------------------------------------------------ keys


def parse_key(text: str, place: Place, default_port: int = 53) -> list[Key]:
    """The keys that `[SCHEME://]ZONE|CIDR[:PORT]` stands for. Raises ValueError."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "dns", text
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        raise ValueError(f"key {text}: scheme '{scheme}' is unknown; accepted: {', '.join(SCHEMES)}")
    zone, port = _split_port(text, rest)
    if port is None:
        port = default_port if scheme == "dns" else SCHEMES[scheme]
    return [Key(text, scheme, origin, port, place) for origin in zones_from_text(zone or ".")]


def _split_port(text: str, rest: str) -> tuple[str, int | None]:
    zone, separator, digits = rest.rpartition(":")
    if not separator or "/" in digits or (":" in zone and "/" not in zone):
        # Without a colon there is no port; a '/' after the last colon is the prefix length of an IPv6 network, and
        # several colons without one are an address, which is no zone.
        return rest, None
    if not (digits.isascii() and digits.isdigit()) or int(digits[:6]) > 65535 or len(digits) > 5:
        raise ValueError(f"key {text}: port '{digits}' is not a number from 0 to 65535")
    return zone, int(digits)


def zones_from_text(text: str) -> tuple[bytes, ...]:
    """The lower-case wire names of a zone's name, or of the reverse zones that a CIDR stands for. Raises ValueError."""
    address, slash, length = text.partition("/")
    if slash and length.isascii() and length.isdigit():
        try:
            return _reverse_zones(ipaddress.ip_network(f"{address}/{int(length)}", strict=False))
        except ValueError:
            if _ADDRESS_LIKE.fullmatch(text):
                raise ValueError(
                    f"'{text}' is not a network; a reverse zone is 192.0.2.0/24 or 2001:db8::/32"
                ) from None
    return (_name_from_text(text),)


def _name_from_text(text: str) -> bytes:
    if ":" in text:
        raise ValueError(f"'{text}' is not a zone; a reverse zone is written with its prefix length, as 2001:db8::/32")
    if (doubtful := _DOUBTFUL_IN_NAME.search(text)) is not None:
        raise ValueError(f"'{text}' is not a zone: {doubtful[0]!r} does not belong in its name")
    try:
        return _to_wire(dns.name.from_text(text, dns.name.root).canonicalize())
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"'{text}' is not a zone: {_lower(str(error) or type(error).__name__)}") from None


def _reverse_zones(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[bytes, ...]:
    # A reverse zone can be cut at octets (RFC 1035 section 3.5) or nibbles (RFC 3596 section 2.5) only.
    step, suffix = (8, "in-addr.arpa.") if network.version == 4 else (4, "ip6.arpa.")
    length = -(-network.prefixlen // step) * step
    return tuple(_reverse_zone(part, length // step, suffix) for part in network.subnets(new_prefix=length))


def _reverse_zone(network: ipaddress.IPv4Network | ipaddress.IPv6Network, labels: int, suffix: str) -> bytes:
    address = network.network_address
    parts = address.exploded.split(".") if address.version == 4 else list(address.exploded.replace(":", ""))
    return _to_wire(dns.name.from_text(".".join([*reversed(parts[:labels]), suffix])))


def _to_wire(name: dns.name.Name) -> bytes:
    octets = name.to_wire()
    assert octets is not None, "dnspython returns octets when it is given no file to write to"
    return octets


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def _check_duplicates(blocks: Sequence[ServerBlock], reading: _Reading) -> None:
    """The same key twice on one address is an error; `view` makes blocks differ, `bind` sets their addresses apart.

    A block with a view behind one without, on the same addresses, never gets a query: that is a warning.
    """
    seen: dict[tuple[str, bytes, int], dict[str, Key]] = {}
    for block in blocks:
        addresses = {argument for bind in block.named("bind") for argument in bind.arguments} or {""}
        for key in block.keys:
            others = seen.setdefault((key.scheme, key.origin, key.port), {})
            if block.named("view"):
                if addresses <= others.keys():
                    ahead = others[min(addresses)].place
                    reading.warn(key.place, f"no query for {key} gets here: the block at {ahead} takes them all")
                continue
            _check_duplicate(key, addresses, others, reading)
            others.update(dict.fromkeys(addresses - others.keys(), key))


def _check_duplicate(key: Key, addresses: set[str], others: Mapping[str, Key], reading: _Reading) -> None:
    same = addresses & others.keys()
    if same:
        other = others[min(same)]
        reading.problem(key.place, f"cannot serve {key}, it is already defined at {other.place}")
    elif others and ("" in addresses or "" in others):
        other = others.get("") or next(iter(others.values()))
        reading.problem(key.place, f"cannot serve {key}: with and without bind it overlaps {other.place}")


def _plain_block(block: ServerBlock) -> list[object]:
    return [[str(key) for key in block.keys], [_plain_directive(directive) for directive in block.directives]]


def _plain_directive(directive: Directive) -> list[object]:
    body = None if directive.body is None else [_plain_directive(line) for line in directive.body]
    return [directive.name, directive.arguments, body]
