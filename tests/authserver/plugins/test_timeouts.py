"""The plugin `timeouts`: limits of connections, whose they are where blocks share an address, and what is refused."""

import pytest

from authserver.listeners import limits_of
from authserver.plugin import TIMEOUTS, StreamLimits


def limits(load, text):
    """The limits that the lines of a body say."""
    (block,) = load(f". {{\ntimeouts {{\n{text}\n}}\nwhoami\n}}\n").blocks
    (offered,) = block.offered(TIMEOUTS)
    return offered.limits


def test_each_property_is_a_limit(load):
    text = """read 1s
        write 1m30s
        idle 5m
        lifetime 24h
        maxtcpqueries 1000
        max_connections 200
        max_connections_per_client 10"""
    assert limits(load, text) == StreamLimits(
        read=1, write=90, idle=300, lifetime=86400, queries=1000, connections=200, connections_per_client=10
    )


def test_what_is_not_said_is_as_without_the_directive(load):
    assert limits(load, "idle 20s") == StreamLimits(idle=20)
    assert limits(load, "maxtcpqueries -1") == StreamLimits()


def test_a_number_is_seconds_as_in_coredns(load):
    assert limits(load, "idle 20\nread 1.5s") == StreamLimits(idle=20, read=1.5)


def test_a_block_stays_direct(load):
    (block,) = load("example.org {\ntimeouts {\nidle 5s\n}\nfile db.example.org\n}\n").blocks
    assert block.is_direct


PROPERTIES = "read, write, idle, lifetime, maxtcpqueries, max_connections, max_connections_per_client"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("idle 0", "timeouts: idle: DURATION: '0s' must be at least 1s"),
        ("read 500ms", "timeouts: read: DURATION: '500ms' must be at least 1s"),
        ("write 25h", "timeouts: write: DURATION: '25h' must be at most 86400s"),
        ("idle soon", "timeouts: idle: DURATION: 'soon' is not a duration such as 30s, 5m or 1h30m"),
        ("maxtcpqueries 0", "timeouts: maxtcpqueries: 0 would answer nothing; -1 is no limit"),
        ("maxtcpqueries -2", "timeouts: maxtcpqueries: N: '-2' is not a number from -1 to 2147483647"),
        ("max_connections 0", "timeouts: max_connections: N: '0' is not a number from 1 to 1048576"),
        (
            "linger 5s",
            f"timeouts: property 'linger' is unknown; accepted: {PROPERTIES}",
        ),
        ("idle 5s\nidle 6s", "timeouts: idle may stand once, it is at Corefile:3 already"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(errors, line, problem):
    assert errors(f". {{\ntimeouts {{\n{line}\n}}\n}}\n") == [f"Corefile:{3 + line.count(chr(10))}: {problem}"]


@pytest.mark.parametrize("text", ["timeouts", "timeouts {\n}"])
def test_to_say_nothing_is_an_error(errors, text):
    (problem,) = errors(f". {{\n{text}\n}}\n")
    assert problem.startswith("Corefile:2: timeouts: says nothing; accepted: read, write, ")


SHARED = """a.test b.test:54 {
    bind 127.0.0.1
    timeouts {
        idle 1m
    }
}
c.test:54 {
    bind 127.0.0.1 127.0.0.2
    timeouts {
        idle 2m
    }
}
d.test {
    bind 127.0.0.1
}
e.test {
    bind 127.0.0.1
    timeouts {
        idle 60s
    }
}
"""


def test_an_address_and_port_has_the_limits_of_the_first_block_that_says_some(load):
    configuration = load(SHARED)
    assert {place[:2]: own.idle for place, own in limits_of(configuration).items()} == {
        ("127.0.0.1", 53): 60,
        ("127.0.0.1", 54): 60,
        ("127.0.0.2", 54): 120,
    }


def test_other_limits_at_the_same_address_and_port_are_a_warning(load):
    assert [str(warning) for warning in load(SHARED).warnings] == [
        "Corefile:9: timeouts: where both blocks listen, the limits of Corefile:3 are in force"
    ]
    unbound = ". {\n timeouts {\n idle 1\n }\n}\n"
    assert load(unbound + unbound.replace(".", "x.test", 1)).warnings == ()
    assert len(load(unbound + unbound.replace(".", "x.test", 1).replace("1", "2")).warnings) == 1
