import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authserver.corefile import parse
from authserver.schema import (
    AddressKind,
    Argument,
    Choice,
    Duration,
    Either,
    Endpoint,
    Findings,
    Integer,
    Name,
    PathKind,
    PrefixKind,
    Schema,
    Word,
    Zone,
    nearest,
    settings_of,
)

TO = Argument("ADDRESS", Either((Choice(("*",)), Word("an address"))), repeat=True)
SOURCE = Argument("IP", AddressKind())
ZONES = Argument("ZONES", Zone(), optional=True, repeat=True)
TRANSFER = Schema(
    arguments=(ZONES,),
    properties={
        "to": Schema(arguments=(TO,), required=True),
        "source": Schema(arguments=(SOURCE,), once=True),
        "old": Schema(ignored="it does nothing since long ago"),
        "later": Schema(refused="this version does not have it yet"),
    },
    once=True,
)


def check(text, schema=TRANSFER):
    findings = Findings()
    directives = parse(f". {{\n{text}\n}}\n", {}).blocks[0].directives
    settings = settings_of(directives, schema, findings)
    return settings, [str(p) for p in findings.problems], [str(p) for p in findings.warnings]


class TestKinds:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("30s", 30),
            ("1m", 60),
            ("1h", 3600),
            ("5001ms", 5.001),
            ("1h30m", 5400),
            ("0", 0),
            ("0s", 0),
            ("1.5h", 5400),
            (".5s", 0.5),
            ("250us", 0.00025),
            ("3µs", 3e-6),
        ],
    )
    def test_durations_are_written_as_in_go(self, text, seconds):
        assert Duration().parse(text) == pytest.approx(seconds)

    @pytest.mark.parametrize("text", ["30", "s", "", "1d", "1 s", "-1s", "1s1", "1e3s", "∞", "9" * 40 + "s"])
    def test_what_is_no_duration_is_refused(self, text):
        with pytest.raises(ValueError, match="is not a duration such as 30s, 5m or 1h30m"):
            Duration().parse(text)

    def test_a_missing_unit_is_pointed_out(self):
        with pytest.raises(ValueError, match="a unit is missing, 30s for seconds"):
            Duration().parse("30")

    def test_a_duration_has_bounds_that_zero_may_pass(self):
        assert Duration(minimum=2, or_zero=True).parse("0") == 0
        with pytest.raises(ValueError, match="'1s' must be at least 2s, or 0"):
            Duration(minimum=2, or_zero=True).parse("1s")
        with pytest.raises(ValueError, match="'0' must be at least 2s"):
            Duration(minimum=2).parse("0")
        with pytest.raises(ValueError, match="'6m' must be at most 300s"):
            Duration(maximum=300).parse("6m")

    @given(st.text(max_size=20))
    def test_no_text_breaks_a_kind(self, text):
        for kind in (
            Duration(),
            Integer(),
            AddressKind(),
            PrefixKind(),
            Endpoint(),
            Endpoint(53),
            Zone(),
            Name(),
            PathKind(),
            Choice(("a",)),
        ):
            with contextlib.suppress(ValueError):
                assert kind.parse(text) is not None

    def test_integers_have_bounds(self):
        assert Integer(512, 4096).parse("1232") == 1232
        for text in ("511", "4097", "x", "1_0", "٣", ""):
            with pytest.raises(ValueError, match="is not a number from 512 to 4096"):
                Integer(512, 4096).parse(text)

    def test_a_choice_names_the_accepted_words_and_the_nearest(self):
        with pytest.raises(
            ValueError, match="'denail' is unknown; did you mean 'denial'\\?; accepted: success, denial"
        ):
            Choice(("success", "denial")).parse("denail")

    def test_addresses_and_networks(self):
        assert AddressKind().parse("2001:db8::1") == ipaddress.ip_address("2001:db8::1")
        assert PrefixKind().parse("192.0.2.7/24") == ipaddress.ip_network("192.0.2.0/24")
        assert PrefixKind().parse("192.0.2.7") == ipaddress.ip_network("192.0.2.7/32")

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (":8080", ("", 8080)),
            ("localhost:1", ("localhost", 1)),
            ("127.0.0.1:0", ("127.0.0.1", 0)),
            ("[::1]:53", ("::1", 53)),
            ("127.0.0.1", ("127.0.0.1", 9)),
            ("::1", ("::1", 9)),
            ("[::1]", ("::1", 9)),
        ],
    )
    def test_an_endpoint_is_a_host_and_a_port(self, text, value):
        assert Endpoint(default_port=9).parse(text) == value

    @pytest.mark.parametrize("text", ["8080x", "localhost:http", "a b:1", ":70000", "[x]:1", ""])
    def test_what_is_no_endpoint_is_refused(self, text):
        with pytest.raises(ValueError, match="is not"):
            Endpoint().parse(text)

    def test_a_zone_may_be_a_network_and_a_name_may_not(self):
        assert len(Zone().parse("10.0.0.0/23")) == 2
        with pytest.raises(ValueError, match="is not a name"):
            Name().parse("10.0.0.0/24")


class TestSettings:
    def test_values_are_those_of_the_kinds(self):
        (settings,), problems, warnings = check("transfer a.example 10.0.0.0/24 {\nto 192.0.2.1 *\nto x\nsource ::1\n}")
        assert (problems, warnings) == ([], [])
        assert [len(zones) for zones in settings.all(ZONES)] == [1, 1]
        assert [line.all(TO) for line in settings.properties("to")] == [("192.0.2.1", "*"), ("x",)]
        assert settings.property("source").one(SOURCE) == ipaddress.ip_address("::1")
        assert settings.property("nothing") is None
        assert settings.get(ZONES, ()) == (b"\x01a\x07example\x00",)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("transfer", ["Corefile:2: transfer: to is missing; usage: to ADDRESS..."]),
            (
                "transfer {\ntoo x\nto *\n}",
                ["Corefile:3: transfer: property 'too' is unknown; did you mean 'to'?; accepted: to, source, old"],
            ),
            (
                "transfer {\nto\n}",
                ["Corefile:3: transfer: to: ADDRESS is missing (* | an address); usage: transfer: to ADDRESS..."],
            ),
            ("transfer {\nto *\nsource 1.2.3\n}", ["Corefile:4: transfer: source: IP: '1.2.3' is not an IP address"]),
            (
                "transfer {\nto *\nsource ::1 ::2\n}",
                ["Corefile:4: transfer: source: takes 1 argument, not 2; usage: transfer: source IP"],
            ),
            (
                "transfer {\nto *\nsource ::1\nsource ::2\n}",
                ["Corefile:5: transfer: source may stand once, it is at Corefile:4 already"],
            ),
            (
                "transfer {\nto * {\n}\n}",
                ["Corefile:3: transfer: to: takes no body in braces; usage: transfer: to ADDRESS..."],
            ),
            ("transfer {\nto *\nlater\n}", ["Corefile:4: transfer: later: this version does not have it yet"]),
            (
                "transfer {\nto *\n}\ntransfer {\nto *\n}",
                ["Corefile:5: transfer: may stand once in a server block, it is at Corefile:2 already"],
            ),
            ("transfer a..b {\nto *\n}", ["Corefile:2: transfer: ZONES: 'a..b' is not a zone: a DNS label is empty"]),
        ],
    )
    def test_what_does_not_fit_is_told_with_the_accepted_words(self, text, expected):
        assert check(text)[1] == expected

    def test_ignored_words_are_warnings(self):
        assert check("transfer {\nto *\nold x y\n}")[2] == [
            "Corefile:4: transfer: old: ignored: it does nothing since long ago"
        ]

    def test_lines_of_their_own_may_be_in_a_body(self):
        line = Argument("LINE", Word())
        schema = Schema(properties={"ttl": Schema(arguments=(Argument("N", Integer()),))}, lines=line)
        (settings,), problems, _ = check("hosts {\n10.0.0.1 a b\nttl 5\n}", schema)
        assert problems == []
        assert settings.body[0].all(line) == ("10.0.0.1", "a", "b")

    def test_usage_is_a_synopsis(self):
        assert TRANSFER.usage("transfer") == "transfer [ZONES...] { to | source | old | later }"


def test_the_nearest_word_is_offered_only_when_it_is_near():
    assert nearest("promtheus", ["prometheus", "file"]) == "; did you mean 'prometheus'?"
    assert nearest("xyz", ["prometheus", "file"]) == ""
