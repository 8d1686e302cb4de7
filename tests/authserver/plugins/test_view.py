import pytest

from authserver.plugin import View

BLOCK = "example.org {{\nview {name} {{\n{body}\n}}\nfile db.{file}\n}}\n"


def block(body="expr true", name="inside", file="a", more=""):
    return BLOCK.format(name=name, body=body, file=file).replace("file db", f"{more}\nfile db")


def test_a_block_offers_its_view_and_stays_direct(load):
    (inside, rest) = load(block("expr incidr(client_ip(), '10.0.0.0/8')") + "example.org {\nfile db.b\n}\n").blocks
    assert (inside.view.name, rest.view) == ("inside", View("", None))
    assert inside.view.predicate is not None
    assert inside.is_direct


def test_words_of_a_line_are_one_expression_and_several_lines_all_have_to_hold(load):
    import dns.message

    (one,) = load(block("expr type() in ['A', 'AAAA'] \\\n".replace("\\", "") + "expr name() == 'a.' or do()")).blocks
    holds = [
        one.view.predicate.holds(dns.message.make_query(*question).to_wire(), ("127.0.0.1", 1), "udp")
        for question in (("a.", "A"), ("b.", "A"), ("a.", "MX"))
    ]
    assert holds == [True, False, False]


def test_a_view_without_expressions_takes_every_query_and_has_a_name(load):
    (one,) = load("example.org {\nview outside\nwhoami\n}\n").blocks
    assert one.view == View("outside", None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("expr type() = 'A'", "Corefile:3: view: expr: column 8: '=' means nothing here; operators: or, and"),
        ("expr size()", "Corefile:3: view: expr: column 1: an expression gives true or false"),
        ("expr", "Corefile:3: view: expr: EXPR is missing (an expression, such as incidr("),
        ("expr name() matches '('", "Corefile:3: view: expr: column 16: '(' is not a regular expression: unclosed"),
        ("exp true", "Corefile:3: view: property 'exp' is unknown; did you mean 'expr'?; accepted: expr"),
        ("expr " + "&&".join(["do()"] * 250), "Corefile:3: view: expr: operators are nested more than 200 deep"),
    ],
)
def test_errors_are_told_at_their_line(errors, body, message):
    (problem,) = errors(block(body))
    assert problem.startswith(message)


def test_every_wrong_line_of_a_file_is_told_at_once(errors):
    assert len(errors(block("expr 1") + block("expr 2", name="b"))) == 2


def test_metadata_is_warned_of(load):
    (warning,) = load(block("expr metadata('geoip/country/code') == 'US'")).warnings
    assert str(warning) == (
        "Corefile:3: view: expr: no plugin of this version gives labels: metadata() is always an empty text"
    )


@pytest.mark.parametrize("name", ["a" * 64, "dns://:53", '"a b"', '""'])
def test_a_name_that_would_be_taken_for_something_else_is_an_error(errors, name):
    (problem,) = errors(f"example.org {{\nview {name}\nwhoami\n}}\n")
    assert problem.startswith("Corefile:2: view: NAME: ")


def test_a_block_has_one_view(errors):
    (problem,) = errors("example.org {\nview a\nview b\nwhoami\n}\n")
    assert problem == "Corefile:3: view: may stand once in a server block, it is at Corefile:2 already"


def test_two_views_of_a_zone_with_one_name_must_have_the_same_content(load, errors):
    assert len(load(block("expr do()") + block("expr size() > 100")).blocks) == 2
    assert len(load(block() + block(file="b", name="outside")).blocks) == 2
    expected = "Corefile:9: view inside of example.org. is at Corefile:1 already, with other zones or signed otherwise"
    (problem,) = errors(block() + block(file="b"))
    assert problem.startswith(expected)
    (problem,) = errors(block() + block(more="dnssec"))
    assert problem.startswith(expected)


def test_a_view_behind_a_block_that_takes_everything_is_warned_of(load):
    (warning,) = load("example.org {\nfile db.b\n}\n" + block()).warnings
    assert str(warning) == (
        "Corefile:4: no query for dns://example.org.:53 gets here: the block at Corefile:1 takes them all"
    )
    apart = "example.org {\nbind 127.0.0.1\nfile db.b\n}\n" + block(more="bind 127.0.0.2")
    assert load(apart).warnings == ()
