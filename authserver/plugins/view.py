"""The `view` directive: names an audience of its block's zones, and says by expressions which queries are of it."""

from dataclasses import dataclass
from typing import Final

from authserver.expression import Expression, parse
from authserver.plugin import VIEW, Argument, Build, Link, Schema, Settings, View, Word
from engine import Predicate

MAX_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class ViewName:
    """A view's name; the value is the word as written."""

    accepts: str = f"a name of up to {MAX_NAME} letters, digits and signs, without '://'"

    def parse(self, text: str) -> str:
        """The word, if it is one of these."""
        # What has '://' names a zone's state by its listener.
        if not 0 < len(text) <= MAX_NAME or not text.isprintable() or " " in text or "://" in text:
            raise ValueError(f"{text!r} is not {self.accepts}")
        return text


NAME: Final = Argument("NAME", ViewName())
EXPR: Final = Argument("EXPR", Word("an expression, such as incidr(client_ip(), '192.0.2.0/24')"), repeat=True)

SCHEMA: Final = Schema(arguments=(NAME,), properties={"expr": Schema(arguments=(EXPR,))}, once=True)


def setup(build: Build) -> Link | None:
    """Offers the view; the engine routes by it, so nothing stands in the path of queries."""
    settings = build.settings[0]
    expressions = [_expression(line, build) for line in settings.properties("expr")]
    program = [operation for one in expressions for operation in one.program]
    try:
        predicate = Predicate(program) if program else None
    except ValueError as error:
        build.fail(str(error))
    build.offer(VIEW, View(settings.one(NAME), predicate))
    return None


def _expression(line: Settings, build: Build) -> Expression:
    try:
        expression = parse(" ".join(line.all(EXPR)))
        Predicate(expression.program)
    except ValueError as error:  # the engine's is about a regular expression, or a size
        build.fail(f"expr: {error}", line.place)
    if expression.has_metadata:
        build.warn(line.place, "expr: no plugin of this version gives labels: metadata() is always an empty text")
    return expression
