import hashlib
import ipaddress
import textwrap

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authserver import corefile
from authserver.corefile import Corefile, Directive, parse, zones_from_text
from authserver.errors import CorefileErrors, Place


def block(text, env=None):
    (only,) = parse(text, env or {}).blocks
    return only


def words(text, env=None):
    """The words of the first directive of the only block."""
    directive = block(text, env).directives[0]
    return [directive.name, *directive.arguments]


def errors(text, env=None):
    with pytest.raises(CorefileErrors) as raised:
        parse(text, env or {})
    return [str(problem) for problem in raised.value.problems]


def wire(text):
    return dns.name.from_text(text).to_wire()


def keys(text):
    return [str(key) for each in parse(text, {}).blocks for key in each.keys]


def _suffixes(name):
    """A wire name and all its ancestors."""
    found = [name]
    while found[-1] != b"\0":
        found.append(found[-1][found[-1][0] + 1 :])
    return found


class TestTokens:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("d a b", ["d", "a", "b"]),
            ('d "a b" c', ["d", "a b", "c"]),
            ('d "a"b', ["d", "a", "b"]),
            ('d a"b c"', ["d", 'a"b', 'c"']),
            (r'd "a \"b\" c"', ["d", 'a "b" c']),
            (r'd "a\d\\"', ["d", r"a\d\\"]),
            ('d ""', ["d", ""]),
            ("d a#b c", ["d", "a"]),
            ("d # a b", ["d"]),
            ('d "#a"', ["d", "#a"]),
            ("d a\u00a0b\u2003c", ["d", "a", "b", "c"]),
            ("d a;b", ["d", "a;b"]),
            ("d a{b }c", ["d", "a{b", "}c"]),
            ('d "{" x', ["d", "{", "x"]),
            ('d "}" x', ["d", "}", "x"]),
        ],
    )
    def test_a_line_is_split_into_words(self, line, expected):
        assert words(f". {{\n{line}\n}}\n") == expected

    def test_a_quoted_word_keeps_its_newlines_and_the_lines_are_counted_on(self):
        text = '. {\nd "a\nb" c\ne {$F}\n}\n}'
        assert errors(text) == ["Corefile:6: '}' closes nothing"]
        directives = block(text.removesuffix("}")).directives
        assert directives[0] == Directive("d", ("a\nb", "c"), None, Place("Corefile", 2))
        assert directives[1].place.line == 4

    def test_a_byte_order_mark_is_dropped(self):
        assert keys("\ufeff.:1053 {\nd\n}") == ["dns://.:1053"]

    def test_carriage_returns_are_dropped(self):
        assert words(". {\r\nd a\r\n}\r\n") == ["d", "a"]

    def test_a_brace_at_the_end_of_a_word_is_part_of_it(self):
        assert errors("example.org{\nd\n}\n")[0].startswith("Corefile:1: 'example.org{' is not a zone: '{'")


class TestBlocks:
    def test_values_never_change(self):
        parsed = parse(". {\nd a {\nb c\n}\n}", {})
        assert hash(parsed.blocks) == hash(parse(". {\nd a {\nb c\n}\n}", {}).blocks)
        with pytest.raises(AttributeError):
            parsed.blocks[0].directives[0].name = "x"

    def test_bodies_nest(self):
        (d,) = block(". {\nauto {\ngit url {\nbranch main\n}\nreload 5s\n}\n}").directives
        assert d.arguments == ()
        assert [(line.name, line.arguments) for line in d.body] == [("git", ("url",)), ("reload", ("5s",))]
        assert d.body[0].body == (Directive("branch", ("main",), None, Place("Corefile", 4)),)

    def test_an_empty_body_is_not_no_body(self):
        a, b = block(". {\na {\n}\nb\n}").directives
        assert (a.body, b.body) == ((), None)

    def test_a_file_without_braces_is_one_server(self):
        parsed = block("example.org, example.net:54\nlog\nerrors {\nstacktrace\n}\n")
        assert [str(key) for key in parsed.keys] == ["dns://example.org.:53", "dns://example.net.:54"]
        assert [directive.name for directive in parsed.directives] == ["log", "errors"]

    @pytest.mark.parametrize(
        "text",
        [
            "a.example b.example {\n}",
            "a.example, b.example {\n}",
            "a.example,\nb.example {\n}",
            "a.example,\n\n  b.example\n{\n}",
            "a.example,b.example {\n}",
        ],
    )
    def test_keys_are_parted_by_blanks_or_commas(self, text):
        assert keys(text) == ["dns://a.example.:53", "dns://b.example.:53"]

    def test_equal_directives_keep_their_order(self):
        assert [d.arguments for d in block(". {\nfile a\nlog\nfile b\n}").named("file")] == [("a",), ("b",)]

    def test_a_body_in_one_line_is_taken(self):
        (d,) = block(". { transfer { to * } }").directives
        assert d.body == (Directive("to", ("*",), None, Place("Corefile", 1)),)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", ["Corefile:1: no server block; the least is '. {' and '}' around directives"]),
            (". {\nd\n", ["Corefile:1: '{' is never closed"]),
            (". {\nd {\ne\n}\n", ["Corefile:1: '{' is never closed"]),
            (". {\nd\n}\n}\n", ["Corefile:4: '}' closes nothing"]),
            ("{\nd\n}\n", ["Corefile:1: '{' without a zone before it; '.' is all zones"]),
            ("a.example, {\n}\n", ["Corefile:1: another key must follow the ','"]),
            (". {\nd\n{\ne\n}\n}\n", ["Corefile:3: '{' must stand on the line of its directive"]),
            (". {\nd {\n} e\n}\n", ["Corefile:3: 'e' after '}'; the next directive goes on its own line"]),
            (".\nd\n}\n", ["Corefile:3: '}' in a server block that was opened without '{'"]),
        ],
    )
    def test_braces_out_of_place_are_told(self, text, expected):
        assert errors(text) == expected

    def test_an_unclosed_quote_is_named_with_the_brace_it_swallowed(self):
        assert errors('. {\nlog "oops\n}\n') == [
            "Corefile:1: '{' is never closed; the quote opened at Corefile:2 is not closed either"
        ]

    def test_braces_too_deep_are_an_error_and_not_a_crash(self):
        text = ". {\n" + "d {\n" * 5000 + "}\n" * 5001
        assert errors(text) == ["Corefile:33: braces are nested more than 32 deep"]

    def test_all_errors_come_at_once_in_order(self):
        text = "udp://a.example {\n}\nb.example:x {\n}\nc..example {\nd {\n} e\n}\n10.0.0.0/33 {\n}\n}\n"
        assert errors(text) == [
            "Corefile:1: key udp://a.example: scheme 'udp' is unknown; accepted: dns, tls, quic, grpc, https, https3",
            "Corefile:3: key b.example:x: port 'x' is not a number from 0 to 65535",
            "Corefile:5: 'c..example' is not a zone: a DNS label is empty",
            "Corefile:7: 'e' after '}'; the next directive goes on its own line",
            "Corefile:9: '10.0.0.0/33' is not a network; a reverse zone is 192.0.2.0/24 or 2001:db8::/32",
            "Corefile:11: '}' closes nothing",
        ]

    @given(st.text(alphabet='ab.{}"\\#\n \r,()$%:/1', max_size=60))
    def test_no_text_breaks_the_parser(self, text):
        found, problems = corefile.read(text, {"a": "b"})
        assert isinstance(found, Corefile)
        assert problems or found.blocks


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            (".", "dns://.:53"),
            (":5353", "dns://.:5353"),
            ("192.0.2.7/32", "dns://7.2.0.192.in-addr.arpa.:53"),
            ("2001:db8::1/128", f"dns://1{'.0' * 23}.8.b.d.0.1.0.0.2.ip6.arpa.:53"),
            ("2001:0DB8:FFFF::/36", "dns://f.8.b.d.0.1.0.0.2.ip6.arpa.:53"),
            ("Example.ORG", "dns://example.org.:53"),
            ("example.org.:1053", "dns://example.org.:1053"),
            ("dns://example.org", "dns://example.org.:53"),
            ("tls://example.org", "tls://example.org.:853"),
            ("quic://example.org", "quic://example.org.:853"),
            ("grpc://example.org", "grpc://example.org.:443"),
            ("https://example.org", "https://example.org.:443"),
            ("https3://example.org:8443", "https3://example.org.:8443"),
            ("HTTPS://example.org", "https://example.org.:443"),
            ("10.0.0.0/24", "dns://0.0.10.in-addr.arpa.:53"),
            ("10.0.0.77/24:54", "dns://0.0.10.in-addr.arpa.:54"),
            ("0.0.0.0/0", "dns://in-addr.arpa.:53"),
            ("2001:db8::/32", "dns://8.b.d.0.1.0.0.2.ip6.arpa.:53"),
            ("2001:db8::/32:54", "dns://8.b.d.0.1.0.0.2.ip6.arpa.:54"),
            ("::/0", "dns://ip6.arpa.:53"),
            ("0/25.2.0.192.in-addr.arpa", "dns://0/25.2.0.192.in-addr.arpa.:53"),
        ],
    )
    def test_a_key_is_a_scheme_a_zone_and_a_port(self, key, expected):
        assert keys(f"{key} {{\n}}") == [expected]

    def test_the_default_port_of_dns_can_be_set(self):
        parsed = parse("a.example tls://b.example c.example:1 {\n}", {}, default_port=1053)
        assert [key.port for key in parsed.blocks[0].keys] == [1053, 853, 1]

    @pytest.mark.parametrize(
        ("cidr", "count", "first"),
        [
            ("10.0.0.0/25", 128, "0.0.0.10.in-addr.arpa."),
            ("10.0.0.0/15", 2, "0.10.in-addr.arpa."),
            ("2001:db8::/29", 8, "8.b.d.0.1.0.0.2.ip6.arpa."),
        ],
    )
    def test_a_network_between_the_cuts_is_several_zones(self, cidr, count, first):
        zones = zones_from_text(cidr)
        assert len(set(zones)) == count
        assert zones[0] == wire(first)

    @given(st.ip_addresses(), st.data())
    def test_the_zones_of_a_network_hold_it_and_nothing_else(self, address, data):
        length = data.draw(st.integers(0, address.max_prefixlen))
        network = ipaddress.ip_network(f"{address}/{length}", strict=False)
        zones = zones_from_text(f"{address}/{length}")
        step = 8 if address.version == 4 else 4
        # So no key is more than 128 zones of IPv4, or 8 of IPv6.
        assert len(set(zones)) == len(zones) == 2 ** (-length % step)
        cut = -(-length // step) * step
        parts = (network[0], network[-1], network[network.num_addresses // 3])
        for inside in parts:
            name = wire(inside.reverse_pointer + ".")
            assert sum(name.endswith(zone) and zone in _suffixes(name) for zone in zones) == 1
        labels = {len(_suffixes(zone)) for zone in zones}
        assert labels == {cut // step + 3}

    def test_the_zones_of_a_network_share_their_key_and_are_in_order(self):
        (block,) = parse("10.8.0.0/14:5300 a.example {\n}\n", {}).blocks
        assert [str(key) for key in block.keys] == [
            *(f"dns://{number}.10.in-addr.arpa.:5300" for number in range(8, 12)),
            "dns://a.example.:53",
        ]
        assert {key.text for key in block.keys} == {"10.8.0.0/14:5300", "a.example"}

    def test_what_is_no_network_is_told_with_its_line(self):
        text = "10.0.0.0/33 {\n}\n10.0.0/8 {\n}\n2001:db8::/129 {\n}\n1.2.3.4.5/8 {\n}\n:::/4 {\n}\n2001:db8:: {\n}\n"
        problems = errors(text)
        assert [problem.split(":")[1] for problem in problems] == ["1", "3", "5", "7", "9", "11"]
        assert all("a reverse zone is" in problem for problem in problems)

    @given(st.ip_addresses(v=4), st.integers(0, 32))
    def test_reverse_zones_hold_the_reverse_names_of_the_network(self, address, length):
        network = ipaddress.ip_network(f"{address}/{length}", strict=False)
        name = wire(network.network_address.reverse_pointer + ".")
        assert name.endswith(zones_from_text(f"{address}/{length}")[0])

    @pytest.mark.parametrize(
        "key",
        [
            "a.example:70000",
            "a.example:",
            "a.example:-1",
            "a.example:٣",
            "2001:db8::1",
            "10.0.0/24",
            "x" * 64,
            "unix:///run/x",
        ],
    )
    def test_what_is_no_key_is_an_error(self, key):
        assert len(errors(f"{key} {{\n}}")) == 1

    def test_the_same_key_twice_is_an_error_that_names_both_places(self):
        assert errors("a.example {\n}\nA.EXAMPLE.:53 {\n}\n") == [
            "Corefile:3: cannot serve dns://a.example.:53, it is already defined at Corefile:1"
        ]
        assert len(errors("a.example a.example {\n}\n")) == 1
        assert len(errors("10.0.0.0/16 {\n}\n1.10.in-addr.arpa 10.0.0.0/15 {\n}\n")) == 2

    def test_bind_sets_equal_keys_apart(self):
        text = "a.example {\nbind 127.0.0.1\n}\na.example {\nbind 127.0.0.2\n}\n"
        assert len(parse(text, {}).blocks) == 2
        assert errors(text.replace("127.0.0.2", "127.0.0.1")) == [
            "Corefile:4: cannot serve dns://a.example.:53, it is already defined at Corefile:1"
        ]

    def test_bound_and_unbound_blocks_of_one_key_overlap(self):
        assert errors("a.example {\nbind 127.0.0.1\n}\na.example {\n}\n") == [
            "Corefile:4: cannot serve dns://a.example.:53: with and without bind it overlaps Corefile:1"
        ]

    def test_blocks_with_a_view_may_share_a_key(self):
        assert len(parse("a.example {\nview x {\nexpr true\n}\n}\na.example {\n}\n", {}).blocks) == 2

    def test_five_hundred_blocks_are_read_in_no_time(self):
        text = "".join(
            f"z{n}.example.:15520 {{\nbind 127.0.0.1\nfile z{n}\ntransfer {{\nto *\n}}\n}}\n" for n in range(500)
        )
        assert len(parse(text, {}).blocks) == 500


class TestEnvironment:
    def test_both_ways_of_writing_a_variable_stand_for_its_value(self):
        assert words(". {\nd {$A} x{%B%}y\n}", {"A": "1", "B": "2"}) == ["d", "1", "x2y"]

    def test_variables_stand_in_keys_and_names_of_directives(self):
        parsed = block("{$ZONE}:{$PORT} {\n{$WHAT}\n}", {"ZONE": "example.org", "PORT": "54", "WHAT": "whoami"})
        assert str(parsed.keys[0]) == "dns://example.org.:54"
        assert parsed.directives[0].name == "whoami"

    def test_a_value_with_blanks_stays_one_word(self):
        assert words(". {\nd {$A}\n}", {"A": "a b"}) == ["d", "a b"]

    def test_a_value_is_never_scanned_again(self):
        assert words(". {\nd {$A}\n}", {"A": "{$A}{%B%}", "B": "x"}) == ["d", "{$A}{%B%}"]

    def test_a_brace_that_comes_from_a_variable_is_text(self):
        assert words(". {\nd {$A} e\n}", {"A": "{"}) == ["d", "{", "e"]

    def test_an_unset_variable_is_empty_and_a_warning(self):
        parsed = parse(". {\nd x{$A}\n}", {})
        assert parsed.blocks[0].directives[0].arguments == ("x",)
        assert [str(warning) for warning in parsed.warnings] == [
            "Corefile:2: environment variable A is not set, it stands for nothing"
        ]

    def test_a_variable_of_a_go_template_is_left_alone(self):
        assert words(". {\nd {{$x}} {{.Name}}\n}", {"x": "1"}) == ["d", "{{$x}}", "{{.Name}}"]


def write(directory, corefile, files=None):
    for name, text in {"Corefile": corefile, **(files or {})}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return directory / "Corefile"


class TestImport:
    def test_a_snippet_is_pasted(self):
        text = "(snip) {\nlog {\nclass all\n}\nerrors\n}\na.example {\nimport snip\n}\nb.example {\nimport snip\n}\n"
        a, b = parse(text, {}).blocks
        assert a.directives == b.directives
        assert [directive.name for directive in a.directives] == ["log", "errors"]
        assert a.directives[1].place == Place("Corefile", 5)

    def test_a_snippet_may_stand_in_a_body_and_in_another_snippet(self):
        text = "(to) {\nto *\n}\n(all) {\ntransfer {\nimport to\n}\n}\n. {\nimport all\n}\n"
        assert block(text).directives[0].body[0].arguments == ("*",)

    def test_a_snippet_must_be_defined_earlier(self):
        assert errors(". {\nimport snip\n}\n(snip) {\nlog\n}\n") == [
            "Corefile:2: import: no snippet (snip) before this line (defined: none) and no file snip"
        ]

    def test_a_snippet_is_defined_once(self):
        assert errors("(a) {\nx\n}\n(a) {\ny\n}\n. {\n}\n") == [
            "Corefile:4: snippet (a) is already defined at Corefile:1"
        ]

    def test_a_snippet_that_imports_itself_is_an_error(self):
        assert errors("(a) {\nimport b\n}\n(b) {\nimport a\n}\n. {\nimport a\n}\n") == [
            "Corefile:5: snippet a imports itself: a -> b -> a"
        ]

    def test_import_takes_one_argument(self):
        assert errors(". {\nimport\nimport a b\n}\n") == [
            "Corefile:2: import takes one argument, a snippet, a file or a glob, not 0",
            "Corefile:3: import takes one argument, a snippet, a file or a glob, not 2",
        ]

    def test_import_is_a_word_like_others_in_the_middle_of_a_line(self):
        assert words(". {\nd import x\n}") == ["d", "import", "x"]

    def test_files_are_relative_to_the_importing_file(self, tmp_path):
        files = {"sub/a.conf": "import more/b.conf\na.example {\n}\n", "sub/more/b.conf": "b.example {\nlog\n}\n"}
        path = write(tmp_path, "import sub/a.conf\n", files)
        parsed = parse(path, {})
        assert [str(each.keys[0]) for each in parsed.blocks] == ["dns://b.example.:53", "dns://a.example.:53"]
        assert parsed.blocks[0].directives[0].place == Place(str(tmp_path / "sub/more/b.conf"), 2)
        assert parsed.files == (str(path), str(tmp_path / "sub/a.conf"), str(tmp_path / "sub/more/b.conf"))

    def test_a_snippet_wins_over_a_file(self, tmp_path):
        path = write(tmp_path, "(x) {\nlog\n}\n. {\nimport x\n}\n", {"x": "errors\n"})
        assert [d.name for d in parse(path, {}).blocks[0].directives] == ["log"]

    def test_a_snippet_of_an_imported_file_can_be_used_afterwards(self, tmp_path):
        path = write(tmp_path, "import snips\n. {\nimport x\n}\n", {"snips": "(x) {\nlog\n}\n"})
        assert [d.name for d in parse(path, {}).blocks[0].directives] == ["log"]

    def test_a_glob_takes_files_in_order_of_name(self, tmp_path):
        path = write(tmp_path, "import d/*.conf\n", {"d/b.conf": "b {\n}\n", "d/a.conf": "a {\n}\n"})
        assert [each.keys[0].text for each in parse(path, {}).blocks] == ["a", "b"]

    def test_a_glob_that_matches_nothing_is_a_warning(self, tmp_path):
        path = write(tmp_path, "import d/*\n. {\n}\n")
        assert [str(w) for w in parse(path, {}).warnings] == [f"{path}:1: import: no file matches {tmp_path}/d/*"]

    def test_a_missing_file_is_an_error(self, tmp_path):
        path = write(tmp_path, "import nothing\n. {\n}\n")
        with pytest.raises(CorefileErrors, match=r"Corefile:1: import: no snippet \(nothing\).* and no file"):
            parse(path, {})

    @pytest.mark.parametrize("pattern", ["*/*", "??", "[ab]"])
    def test_a_glob_is_kept_simple(self, tmp_path, pattern):
        with pytest.raises(CorefileErrors, match="at most one"):
            parse(write(tmp_path, f"import {pattern}\n. {{\n}}\n"), {})

    def test_a_file_that_imports_itself_by_any_way_is_an_error(self, tmp_path):
        path = write(tmp_path, "import d/a\n. {\n}\n", {"d/a": "import ../Corefile\n"})
        with pytest.raises(CorefileErrors, match=rf"{tmp_path}/d/a:1: file .*Corefile imports itself"):
            parse(path, {})

    def test_imports_that_multiply_end_at_the_cap(self, monkeypatch):
        monkeypatch.setattr(corefile, "MAX_SNIPPET_IMPORTS", 50)
        text = "(a0) {\nlog\n}\n" + "".join(f"(a{n}) {{\nimport a{n - 1}\nimport a{n - 1}\n}}\n" for n in range(1, 12))
        assert any("more than 50 snippet imports" in error for error in errors(text + ". {\nimport a11\n}\n"))

    def test_errors_of_imported_files_name_their_file(self, tmp_path):
        path = write(tmp_path, "import a\n", {"a": "\n\nx..y {\n}\n"})
        with pytest.raises(CorefileErrors, match=rf"^{tmp_path}/a:3: 'x..y' is not a zone"):
            parse(path, {})

    def test_a_file_that_is_no_text_is_an_error_with_its_line(self, tmp_path):
        path = write(tmp_path, ". {\n}\n")
        path.write_bytes(b". {\n\xff\n}\n")
        with pytest.raises(CorefileErrors, match=r"Corefile:2: not UTF-8"):
            parse(path, {})

    def test_a_missing_corefile_and_a_directory_are_errors(self, tmp_path):
        with pytest.raises(CorefileErrors, match=r"cannot read .*No such file"):
            parse(tmp_path / "Corefile", {})
        with pytest.raises(CorefileErrors, match="not a regular file"):
            parse(tmp_path, {})


class TestDigest:
    def test_layout_comments_and_files_do_not_count(self, tmp_path):
        path = write(tmp_path, "import a # here\n", {"a": "  .  {\n  log   # x\n}\n"})
        assert parse(path, {}).digest == parse(". {\nlog\n}", {}).digest

    def test_what_is_said_counts(self):
        digests = {
            parse(text, {}).digest
            for text in (". {\n}", ".:54 {\n}", ". {\nlog\n}", ". {\nlog {\n}\n}", ". {\nlog a\n}")
        }
        assert len(digests) == 5
        assert all(len(digest) == len(hashlib.sha512().hexdigest()) for digest in digests)
