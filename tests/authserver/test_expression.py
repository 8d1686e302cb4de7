"""The language of `expr`: what holds, what is an error and where, and that the engine evaluates as Python does.

The generated expressions are made together with their value, by rules of the tests' own: neither the parser nor the
engine is asked what they mean.
"""

import contextlib
import ipaddress
import math
import re
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authserver.expression import FACTS, MAX_CHARACTERS, ExpressionError, parse
from engine import Predicate


@dataclass(frozen=True)
class Asked:
    """A query and how it came; `facts` are what expressions see of it."""

    octets: bytes
    client: tuple[str, int]
    transport: str
    server: tuple[str, int]
    facts: dict

    def holds(self, text):
        return Predicate(parse(text).program).holds(self.octets, self.client, self.transport, self.server)


def asked(
    qname="WWW.example.org.", qtype="A", *, client=("192.0.2.7", 4242), transport="udp", size=None, do=False, number=7
):
    message = dns.message.make_query(qname, qtype, id=number)
    if size or do:
        message.use_edns(0, dns.flags.DO if do else 0, size or 1232)
    octets, server = message.to_wire(), ("127.0.0.1", 5300)
    facts = {
        "bufsize": 65535 if transport == "tcp" else max(512, size or (1232 if do else 512)),
        "class": "IN",
        "client_ip": client[0],
        "do": do,
        "id": number,
        "name": message.question[0].name.to_text().lower(),
        "opcode": 0,
        "port": str(client[1]),
        "proto": transport,
        "server_ip": server[0],
        "server_port": str(server[1]),
        "size": len(octets),
        "type": dns.rdatatype.to_text(message.question[0].rdtype),
    }
    return Asked(octets, client, transport, server, facts)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "not false",
        "name() == 'www.example.org.'",
        'name() endsWith ".example.org." && !do()',
        "name() startsWith `www.`",
        "name() contains 'example' and name() not contains 'example.net'",
        r"name() matches '^w{3}\\.[a-z.]+$'",
        r"name() matches `^w{3}\.`",
        "name() not matches '^x'",
        "type() in ['A', 'AAAA',]",
        "type() not in ['MX']",
        "class() == 'IN' and opcode() == 0 and id() == 7",
        "incidr(client_ip(), '192.0.2.0/24')",
        "incidr(client_ip(), '192.0.2.9/24')",
        "incidr(client_ip(), '0.0.0.0/0') and not incidr(client_ip(), '::/0')",
        "incidr(server_ip(), '127.0.0.1/32')",
        "client_ip() == '192.0.2.7' and client_ip() != server_ip() and client_ip() startsWith '192.0.2.'",
        "client_ip() in ['192.0.2.6', '192.0.2.7']",
        "port() == '4242' and server_port() == '5300'",
        "proto() == 'udp' ? bufsize() == 512 : bufsize() == 65535",
        "do() or size() > 10 and size() <= 0x200",
        "false and false or true",
        "true or true and false",
        "1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and 7 - 2 - 1 == 4",
        "7 / 2 == 3.5 and 7 % 4 == 3 and -7 % 4 == -3 and - 2 * 3 == -6 and 1_000 == 1e3 and .5 < 1",
        "'a' + 'b' == 'ab' and 'a' < 'b' and 'b' >= 'b'",
        r"'it\'s' == `it's` and '\x41\u0042\t' == 'AB	'",
        "true == true and do() == false and do() in [false]",
        "do() ? false : true ? true : false",
        "metadata('geoip/country/code') == ''",
        "\n proto()\t== 'udp' ",
    ],
)
def test_what_holds_of_a_query(text):
    assert asked().holds(text)
    assert not asked().holds(f"not ({text})")


def test_facts_of_another_query():
    query = asked(r"a\.b.\001.EXAMPLE.", "TYPE65432", client=("2001:db8::7", 53), transport="tcp", do=True)
    assert query.holds(r"name() == `a\.b.\001.example.` and type() == 'TYPE65432' and do() and proto() == 'tcp'")
    assert query.holds("incidr(client_ip(), '2001:db8::/45') and not incidr(client_ip(), '2001:db9::/32')")
    assert query.holds("bufsize() == 65535 and client_ip() == '2001:db8::7'")
    assert asked("x.", "ANY").holds("type() == 'ANY'")


def test_a_client_of_ipv4_on_a_socket_of_ipv6_is_in_its_network():
    assert asked(client=("::ffff:192.0.2.7", 1)).holds("incidr(client_ip(), '192.0.2.0/24')")


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "the end where a value has to stand; accepted: bufsize(), class(), client_ip()"),
        ("do(", 4, "')' is missing before the end"),
        ("do", 3, "'(' is missing before the end"),
        ("do(1)", 4, "')' is missing before '1'"),
        ("do() id()", 6, "'id' after the end of the expression; operators: or, and"),
        ("name() = 'x'", 8, "'=' means nothing here; operators: or, and, =="),
        ("tipe() == 'A'", 1, "'tipe' is unknown; did you mean 'type'?; accepted:"),
        ("type() == Example", 11, "text stands in single quotes"),
        ("'a", 1, "a quote that is not closed"),
        (r"'\.' == ''", 2, r"'\.' is no escape; a backslash is written \\"),
        ("1 + 1", 1, "an expression gives true or false, this one gives a number"),
        ("client_ip()", 1, "this one gives an address"),
        ("not name() == 'x'", 5, "what it belongs to goes in parentheses"),
        ("name() and do()", 1, "'and' takes true or false, this is a text"),
        ("port() == 53", 8, "between a text and a number: they are never equal"),
        ("size() < 'a'", 8, "two numbers or two texts, not a number and a text"),
        ("do() + 1 == 2", 1, "two numbers or two texts, this is true or false"),
        ("name() - 'a' == 'b'", 1, "'-' takes numbers, this is a text"),
        ("- name() == 'b'", 3, "'-' takes a number, this is a text"),
        ("size() contains 'a'", 1, "'contains' takes text, this is a number"),
        ("size() matches 'a'", 1, "'matches' takes text, this is a number"),
        ("name() matches name()", 16, "'name' where a regular expression in quotes has to stand"),
        ("name() matches '('", 16, "'(' is not a regular expression: unclosed group"),
        ("name() matches '(a{999}){999}'", 16, "octets when compiled"),
        ("size() / id() > 1", 10, "a number that is written out and not 0"),
        ("size() % 0 > 1", 10, "a number that is written out and not 0"),
        ("size() / (1 - 1) > 1", 10, "a number that is written out and not 0"),
        ("do() ? 1 : 'x'", 6, "'?' gives a number or a text; both must be of one kind"),
        ("name() ? do() : do()", 1, "'?' takes true or false, this is a text"),
        ("type() in 'A'", 11, "'[' is missing before ''A''"),
        ("type() in []", 8, "an empty list holds nothing"),
        ("type() in ['A', 1]", 17, "they are never equal"),
        ("type() in ['A' 'B']", 16, "',' is missing before ''B''"),
        ("type() in [A]", 12, "text stands in quotes"),
        ("['A'] == 'A'", 1, "a list stands behind 'in' only"),
        ("incidr(name(), '10.0.0.0/8')", 8, "incidr takes client_ip() or server_ip(), this gives a text"),
        ("incidr(client_ip(), '10.0.0.0')", 21, "is not a network such as '192.0.2.0/24'"),
        ("incidr(client_ip(), '10.0.0.0/33')", 21, "is not a network such as '192.0.2.0/24'"),
        ("incidr(client_ip(), name())", 21, "where a network in quotes"),
        ("metadata('x') == ''", 10, "is no label; one is 'PLUGIN/NAME'"),
        ("(" * 60 + "true" + ")" * 60, 51, "nested more than 50 deep"),
        ("true" + " " * MAX_CHARACTERS, MAX_CHARACTERS + 1, "at most 4096 characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(text, column, reason):
    with pytest.raises(ExpressionError) as raised:
        parse(text)
    assert raised.value.column == column
    assert reason in str(raised.value)


def test_lists_and_programs_have_their_limits():
    with pytest.raises(ExpressionError, match="a list has at most 1000 values"):
        parse(f"id() in [{','.join(['1'] * 1001)}]")
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        Predicate(parse("&&".join(["do()"] * 250)).program)


def test_metadata_is_noted():
    assert parse("metadata('a/b') == 'c'").has_metadata
    assert not parse("do()").has_metadata


def test_a_regular_expression_that_would_take_others_for_ever_takes_no_time():
    query = asked("a" * 60 + "." + "a" * 60 + ".org.")
    assert not query.holds("name() matches '^(([a.])*)*[0-9]$'")


# ------------------------------------------------------------------ expressions with their values

WORDS = st.sampled_from(["", "a", "www", ".", "example", "WWW", "a'b", "\\", "192.0.2.7", "udp", "A"])
NETWORKS = st.sampled_from(["192.0.2.0/24", "192.0.2.7/32", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0"])


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def of_kind(facts, kind):
    return st.sampled_from([(f"{name}()", facts[name]) for name, its in FACTS.items() if its == kind])


def joined(operators, operands):
    """A pair of operands with one of the operators."""

    def join(drawn):
        (left, a), (right, b), (sign, value) = drawn
        return f"({left} {sign} {right})", value(a, b)

    return st.tuples(operands, operands, st.sampled_from(operators)).map(join)


def expressions(facts):
    """(text, value) of expressions that give true or false."""
    texts = st.recursive(
        WORDS.map(lambda word: (quoted(word), word)) | of_kind(facts, "text") | of_kind(facts, "address"),
        lambda inner: joined([("+", lambda a, b: a + b)], inner),
        max_leaves=3,
    )
    arithmetic = [("+", lambda a, b: a + b), ("-", lambda a, b: a - b), ("*", lambda a, b: a * b)]
    numbers = st.recursive(
        st.integers(0, 2**16).map(lambda number: (str(number), number)) | of_kind(facts, "number"),
        lambda inner: (
            joined(arithmetic, inner)
            | inner.map(lambda one: (f"-{one[0]}", -one[1]))
            | st.tuples(inner, st.integers(1, 99)).map(lambda two: (f"({two[0][0]} / {two[1]})", two[0][1] / two[1]))
            | st.tuples(inner, st.integers(1, 99)).map(
                lambda two: (f"({two[0][0]} % {two[1]})", math.fmod(two[0][1], two[1]))
            )
        ),
        max_leaves=4,
    )
    order = [
        ("==", lambda a, b: a == b),
        ("!=", lambda a, b: a != b),
        ("<", lambda a, b: a < b),
        ("<=", lambda a, b: a <= b),
        (">", lambda a, b: a > b),
        (">=", lambda a, b: a >= b),
    ]
    search = [
        ("contains", lambda a, b: b in a),
        ("startsWith", lambda a, b: a.startswith(b)),
        ("endsWith", lambda a, b: a.endswith(b)),
        ("not contains", lambda a, b: b not in a),
    ]
    matches = st.tuples(texts, WORDS).map(
        lambda two: (
            f"{two[0][0]} matches {quoted(re.escape(two[1]))}",
            re.search(re.escape(two[1]), two[0][1]) is not None,
        )
    )
    one_of = st.tuples(texts, st.lists(WORDS, min_size=1)).map(
        lambda two: (f"{two[0][0]} in [{', '.join(map(quoted, two[1]))}]", two[0][1] in two[1])
    )
    within = st.tuples(of_kind(facts, "address"), NETWORKS).map(
        lambda two: (
            f"incidr({two[0][0]}, '{two[1]}')",
            ipaddress.ip_address(two[0][1]) in ipaddress.ip_network(two[1]),
        )
    )
    leaves = (
        st.booleans().map(lambda truth: (str(truth).lower(), truth))
        | of_kind(facts, "truth")
        | joined(order, texts)
        | joined(order, numbers)
        | joined(search, texts)
        | matches.map(lambda one: (f"({one[0]})", one[1]))
        | one_of.map(lambda one: (f"({one[0]})", one[1]))
        | within
    )
    logic = [(sign, lambda a, b: a and b) for sign in ("and", "&&")]
    logic += [(sign, lambda a, b: a or b) for sign in ("or", "||")]
    return st.recursive(
        leaves,
        lambda inner: (
            joined(logic, inner)
            | st.tuples(inner, st.sampled_from(["not ", "!"])).map(lambda two: (f"{two[1]}{two[0][0]}", not two[0][1]))
            | st.tuples(inner, inner, inner).map(
                lambda three: (
                    f"({three[0][0]} ? {three[1][0]} : {three[2][0]})",
                    three[1][1] if three[0][1] else three[2][1],
                )
            )
        ),
        max_leaves=6,
    )


QUERIES = st.builds(
    asked,
    st.sampled_from(["www.example.org.", "A.", ".", r"a\'b.example."]),
    st.sampled_from(["A", "AAAA", "DS", "TYPE65432"]),
    client=st.sampled_from([("192.0.2.7", 4242), ("2001:db8::1", 53)]),
    transport=st.sampled_from(["udp", "tcp"]),
    size=st.none() | st.integers(512, 4096),
    do=st.booleans(),
    number=st.integers(0, 65535),
)


@settings(max_examples=300, deadline=None)
@given(QUERIES.flatmap(lambda query: st.tuples(st.just(query), expressions(query.facts))))
def test_the_engine_evaluates_as_python_does(drawn):
    query, (text, value) = drawn
    assert query.holds(text) is value, text


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ado()'\"`[]in<=!&|?:+-*/%.,0x9\\ ", max_size=40))
def test_any_text_is_an_expression_or_an_error_with_its_column(text):
    with contextlib.suppress(ExpressionError):
        assert parse(text).program
        return
    with pytest.raises(ExpressionError) as raised:
        parse(text)
    assert 1 <= raised.value.column <= len(text) + 1
