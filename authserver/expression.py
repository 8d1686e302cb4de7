"""The language of `expr`: a text to a program of the engine, every kind of value checked, every error with its column.

The language is what CoreDNS's users write of expr-lang: facts of the query as functions, text, numbers, true and false,
`== != < <= > >= && || ! and or not in matches contains startsWith endsWith + - * / %`, parentheses, `a ? b : c`; the
precedence is expr-lang's. Nothing can fail once a program is made: what is divided by is a number that is written out,
a list and a regular expression are written out, too.

**Limits:** 4096 characters, parentheses 50 deep, lists of 1000; the engine's of a program.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, NoReturn, TypeAlias

from authserver.schema import nearest
from engine import Predicate

Kind: TypeAlias = Literal["truth", "number", "text", "address"]
"""What a value is; an address may stand where a text may."""

Scalar: TypeAlias = bool | float | str
Operation: TypeAlias = tuple[str, Scalar | list[Scalar] | None]

MAX_CHARACTERS: Final = 4096
MAX_NESTING: Final = 50
MAX_LIST: Final = 1000

FACTS: Final = MappingProxyType[str, Kind](
    {
        "bufsize": "number",
        "class": "text",
        "client_ip": "address",
        "do": "truth",
        "id": "number",
        "name": "text",
        "opcode": "number",
        "port": "text",
        "proto": "text",
        "server_ip": "address",
        "server_port": "text",
        "size": "number",
        "type": "text",
    }
)
"""The functions without arguments, and what they give."""

_FUNCTIONS: Final = tuple(sorted([*FACTS, "incidr", "metadata"]))
_ACCEPTED: Final = ", ".join([*(f"{name}()" for name in _FUNCTIONS), "true", "false"])
_OPERATORS: Final = MappingProxyType(
    {
        "or": 10, "and": 15, "==": 20, "!=": 20, "<": 20, "<=": 20, ">": 20, ">=": 20, "in": 20, "matches": 20,
        "contains": 20, "startsWith": 20, "endsWith": 20, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60,
    }
)  # fmt: skip
_NOT: Final = 50
_SIGN: Final = 90
_NEGATED: Final = ("in", "matches", "contains", "startsWith", "endsWith")
_SPELT: Final = MappingProxyType({"||": "or", "&&": "and", "!": "not"})
_SHOWN: Final = MappingProxyType(
    {"truth": "true or false", "number": "a number", "text": "a text", "address": "an address"}
)
_ESCAPES: Final = MappingProxyType(
    {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}
)
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>0[xX][0-9A-Fa-f]{1,13} | (?:[0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<raw>`[^`]*`)
      | (?P<sign>\|\||&&|==|!=|<=|>=|[!<>+\-*/%()\[\],?:])""",
    re.VERBOSE | re.DOTALL,
)


class ExpressionError(ValueError):
    """A text is no expression; `column` counts characters from 1."""

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that gives true or false, as the engine takes it."""

    program: tuple[Operation, ...]
    has_metadata: bool = False
    """It asks for a label; no plugin gives labels, so that is an empty text."""


def parse(text: str) -> Expression:
    """The expression of a text. Raises ExpressionError."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(MAX_CHARACTERS + 1, f"an expression has at most {MAX_CHARACTERS} characters")
    parser = _Parser(list(_tokens(text)))
    term = parser.whole()
    if term.kind != "truth":
        term.fail(f"an expression gives true or false, this one gives {_SHOWN[term.kind]}")
    return Expression(term.program, parser.has_metadata)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["number", "word", "text", "sign", "end"]
    text: str
    column: int
    value: Scalar = ""

    def fail(self, reason: str) -> NoReturn:
        raise ExpressionError(self.column, reason)

    @property
    def shown(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text}'"


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            operators = f"'{text[at]}' means nothing here; operators: {', '.join(_OPERATORS)}, not, ?"
            what = "a quote that is not closed" if text[at] in "'\"`" else operators
            raise ExpressionError(at + 1, what)
        if match.lastgroup != "space":
            yield _token(match, at + 1)
        at = match.end()
    yield _Token("end", "", at + 1)


def _token(match: re.Match[str], column: int) -> _Token:
    text = match[0]
    if match.lastgroup == "number":
        number = int(text, 16) if text[:2].lower() == "0x" else float(text.replace("_", ""))
        return _Token("number", text, column, float(number))
    if match.lastgroup == "quoted":
        return _Token("text", text, column, _unescaped(text[1:-1], column + 1))
    if match.lastgroup == "raw":
        return _Token("text", text, column, text[1:-1])
    spelt = _SPELT.get(text, text)
    is_word = spelt not in _OPERATORS and spelt != "not" and match.lastgroup == "word"
    return _Token("word" if is_word else "sign", spelt, column)


def _unescaped(text: str, column: int) -> str:
    def character(match: re.Match[str]) -> str:
        escaped = match[1]
        if len(escaped) > 1:
            return chr(int(escaped[1:], 16))
        if escaped not in _ESCAPES:
            reason = rf"'\{escaped}' is no escape; a backslash is written \\, and text in `…` has no escapes"
            raise ExpressionError(column + match.start(), reason)
        return _ESCAPES[escaped]

    return _ESCAPE.sub(character, text)


@dataclass(frozen=True, slots=True)
class _Term:
    """A part of an expression: what it gives, and the program that gives it."""

    kind: Kind
    program: tuple[Operation, ...]
    column: int

    def fail(self, reason: str) -> NoReturn:
        raise ExpressionError(self.column, reason)

    @property
    def is_text(self) -> bool:
        return self.kind in ("text", "address")

    def negated(self) -> "_Term":
        return _Term("truth", (*self.program, ("not", None)), self.column)


@dataclass(slots=True)
class _Parser:
    tokens: list[_Token]
    has_metadata: bool = False
    _at: int = field(default=0)
    _depth: int = field(default=0)

    def whole(self) -> _Term:
        term = self._expression(0)
        if (rest := self._peek()).kind != "end":
            rest.fail(f"{rest.shown} after the end of the expression; operators: {', '.join(_OPERATORS)}, ?")
        return term

    # -------------------------------------------------------------- tokens

    def _peek(self, ahead: int = 0) -> _Token:
        return self.tokens[min(self._at + ahead, len(self.tokens) - 1)]

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _has(self, sign: str) -> bool:
        token = self._peek()
        return token.kind == "sign" and token.text == sign

    def _expect(self, sign: str) -> None:
        if not self._has(sign):
            self._peek().fail(f"'{sign}' is missing before {self._peek().shown}")
        self._next()

    # -------------------------------------------------------------- grammar

    def _expression(self, least: int) -> _Term:
        """Operators that bind at least so much, and what stands between them."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            self._peek().fail(f"parts are nested more than {MAX_NESTING} deep")
        left = self._operand()
        while (operator := self._operator(least)) is not None:
            token, is_negated = operator
            left = self._binary(left, token)
            left = left.negated() if is_negated else left
        if least == 0 and self._has("?"):
            left = self._choice(left)
        self._depth -= 1
        return left

    def _operator(self, least: int) -> tuple[_Token, bool] | None:
        """The next operator, taken, if it binds so much; and whether `not` stands before it."""
        is_negated = self._has("not") and self._peek(1).text in _NEGATED
        token = self._peek(1 if is_negated else 0)
        if token.kind != "sign" or _OPERATORS.get(token.text, -1) < least:
            return None
        self._at += 2 if is_negated else 1
        return token, is_negated

    def _operand(self) -> _Term:
        token = self._next()
        if token.kind == "text":
            return _Term("text", (("constant", token.value),), token.column)
        if token.kind == "number":
            return _Term("number", (("constant", token.value),), token.column)
        if token.kind == "word":
            return self._word(token)
        if token.text == "not":
            return _truth(self._expression(_NOT), token).negated()
        if token.text in ("+", "-"):
            return _signed(self._expression(_SIGN), token)
        if token.text == "(":
            inner = self._expression(0)
            self._expect(")")
            return replace(inner, column=token.column)
        is_list = token.text == "["
        missing = f"{token.shown} where a value has to stand; accepted: {_ACCEPTED}, text, numbers"
        raise ExpressionError(token.column, "a list stands behind 'in' only" if is_list else missing)

    def _word(self, token: _Token) -> _Term:
        if token.text in ("true", "false"):
            return _Term("truth", (("constant", token.text == "true"),), token.column)
        if token.text not in _FUNCTIONS:
            hint = nearest(token.text, _FUNCTIONS) or "; text stands in single quotes"
            token.fail(f"'{token.text}' is unknown{hint}; accepted: {_ACCEPTED}")
        self._expect("(")
        special = {"incidr": self._incidr, "metadata": self._metadata}.get(token.text)
        term = special(token) if special is not None else _fact(token)
        self._expect(")")
        return term

    def _incidr(self, token: _Token) -> _Term:
        address = self._expression(0)
        if address.kind != "address":
            address.fail(f"incidr takes client_ip() or server_ip(), this gives {_SHOWN[address.kind]}")
        self._expect(",")
        cidr = self._literal("a network in quotes, such as '192.0.2.0/24'", "text")
        try:
            if "/" not in str(cidr.value):
                raise ValueError
            network = ipaddress.ip_network(str(cidr.value), strict=False)
        except ValueError:
            cidr.fail(f"{cidr.text} is not a network such as '192.0.2.0/24'")
        return _Term("truth", (*address.program, ("within", str(network))), token.column)

    def _metadata(self, token: _Token) -> _Term:
        label = self._literal("a label in quotes, such as 'geoip/country/code'", "text")
        if "/" not in str(label.value):
            label.fail(f"{label.text} is no label; one is 'PLUGIN/NAME'")
        self.has_metadata = True
        return _Term("text", (("constant", ""),), token.column)

    def _literal(self, wanted: str, *kinds: str) -> _Token:
        token = self._next()
        if token.kind not in kinds:
            token.fail(f"{token.shown} where {wanted} has to stand")
        return token

    def _choice(self, condition: _Term) -> _Term:
        mark = self._next()
        _truth(condition, mark)
        then = self._expression(0)
        self._expect(":")
        otherwise = self._expression(0)
        if then.is_text and otherwise.is_text and then.kind != otherwise.kind:
            then = replace(then, kind="text")
        elif then.kind != otherwise.kind:
            mark.fail(f"'?' gives {_SHOWN[then.kind]} or {_SHOWN[otherwise.kind]}; both must be of one kind")
        program = (*condition.program, *then.program, *otherwise.program, ("choice", None))
        return _Term(then.kind, program, condition.column)

    # -------------------------------------------------------------- operators of two operands

    def _binary(self, left: _Term, token: _Token) -> _Term:
        if token.text == "in":
            return self._one_of(left, token)
        if token.text == "matches":
            return self._matches(left, token)
        right_token = self._peek()
        right = self._expression(_OPERATORS[token.text] + 1)
        is_number = len(right.program) == 1 and right.program[0][0] == "constant" and right.program[0][1] != 0
        if token.text in ("/", "%") and not is_number:
            right_token.fail(f"what '{token.text}' divides by is a number that is written out and not 0")
        return _CHECKED[token.text](left, token, right)

    def _one_of(self, left: _Term, token: _Token) -> _Term:
        self._expect("[")
        values: list[Scalar] = []
        while not self._has("]"):
            value = self._literal("a text, a number, true or false", "text", "number", "word")
            values.append(_scalar(value, left))
            if len(values) > MAX_LIST:
                value.fail(f"a list has at most {MAX_LIST} values")
            if not self._has("]"):
                self._expect(",")
        self._next()
        if not values:
            token.fail("an empty list holds nothing")
        return _Term("truth", (*left.program, ("one_of", values)), left.column)

    def _matches(self, left: _Term, token: _Token) -> _Term:
        _text(left, token)
        pattern = self._literal("a regular expression in quotes", "text")
        try:
            Predicate([("constant", ""), ("matches", str(pattern.value))])
        except ValueError as error:
            pattern.fail(f"{pattern.text} is not a regular expression: {error}")
        return _Term("truth", (*left.program, ("matches", str(pattern.value))), left.column)


# ------------------------------------------------------------------ kinds


def _fact(token: _Token) -> _Term:
    return _Term(FACTS[token.text], (("fact", token.text),), token.column)


def _truth(term: _Term, token: _Token) -> _Term:
    if term.kind != "truth":
        hint = "; what it belongs to goes in parentheses" if token.text == "not" else ""
        term.fail(f"'{token.text}' takes true or false, this is {_SHOWN[term.kind]}{hint}")
    return term


def _text(term: _Term, token: _Token) -> _Term:
    if not term.is_text:
        term.fail(f"'{token.text}' takes text, this is {_SHOWN[term.kind]}")
    return term


def _signed(term: _Term, token: _Token) -> _Term:
    if term.kind != "number":
        term.fail(f"'{token.text}' takes a number, this is {_SHOWN[term.kind]}")
    negative: tuple[Operation, ...] = (("negative", None),) if token.text == "-" else ()
    return _Term("number", (*term.program, *negative), token.column)


def _scalar(token: _Token, left: _Term) -> Scalar:
    value: Scalar = token.value
    if token.kind == "word":
        if token.text not in ("true", "false"):
            token.fail(f"'{token.text}' where a text, a number, true or false has to stand; text stands in quotes")
        value = token.text == "true"
    kind = "truth" if isinstance(value, bool) else "number" if isinstance(value, float) else "text"
    if kind != ("text" if left.is_text else left.kind):
        token.fail(f"'in' looks for {_SHOWN[left.kind]}, and {token.shown} is {_SHOWN[kind]}: they are never equal")
    return value


def _joined(left: _Term, word: str, right: _Term, kind: Kind) -> _Term:
    return _Term(kind, (*left.program, *right.program, (word, None)), left.column)


def _logic(left: _Term, token: _Token, right: _Term) -> _Term:
    return _joined(_truth(left, token), token.text, _truth(right, token), "truth")


def _equality(left: _Term, token: _Token, right: _Term) -> _Term:
    if left.kind != right.kind and not (left.is_text and right.is_text):
        token.fail(f"'{token.text}' between {_SHOWN[left.kind]} and {_SHOWN[right.kind]}: they are never equal")
    equal = _joined(left, "==", right, "truth")
    return equal if token.text == "==" else equal.negated()


def _order(left: _Term, token: _Token, right: _Term) -> _Term:
    if not (left.kind == right.kind == "number" or (left.is_text and right.is_text)):
        token.fail(f"'{token.text}' takes two numbers or two texts, not {_SHOWN[left.kind]} and {_SHOWN[right.kind]}")
    if token.text in (">", ">="):
        left, right = right, left
    return _joined(left, "<" if token.text in ("<", ">") else "<=", right, "truth")


def _arithmetic(left: _Term, token: _Token, right: _Term) -> _Term:
    if token.text == "+" and left.is_text and right.is_text:
        return _joined(left, "+", right, "text")
    for term in (left, right):
        if term.kind != "number":
            accepted = "two numbers or two texts" if token.text == "+" else "numbers"
            term.fail(f"'{token.text}' takes {accepted}, this is {_SHOWN[term.kind]}")
    return _joined(left, token.text, right, "number")


def _search(left: _Term, token: _Token, right: _Term) -> _Term:
    return _joined(_text(left, token), token.text, _text(right, token), "truth")


_CHECKED: Final = MappingProxyType[str, Callable[[_Term, _Token, _Term], _Term]](
    {
        **dict.fromkeys(("and", "or"), _logic),
        **dict.fromkeys(("==", "!="), _equality),
        **dict.fromkeys(("<", "<=", ">", ">="), _order),
        **dict.fromkeys(("+", "-", "*", "/", "%"), _arithmetic),
        **dict.fromkeys(("contains", "startsWith", "endsWith"), _search),
    }
)
