"""The plugins whose effect the engine applies: what each offers, that none makes a block chained, what is refused."""

import pytest

from authserver.plugin import EFFECT, METRICS, Effect
from authserver.plugins.rrl import Reporter


class Noted:
    """A limiter that has noted something."""

    def __init__(self, noted):
        self.noted = noted

    def notices(self):
        return self.noted


def effect(load, text):
    """The effect of a block with the lines of a text."""
    (block,) = load(f". {{\n{text}\nwhoami\n}}\n").blocks
    return block.effect


@pytest.mark.parametrize(
    "line",
    [
        "nsid x",
        "bufsize",
        "any",
        "minimal",
        "cookies off",
        "rrl",
        "cookies {\nsecret 00112233445566778899aabbccddeeff\n}",
    ],
)
def test_a_block_stays_direct(load, line):
    (block,) = load(f"example.org {{\n{line}\nfile db.example.org\n}}\n").blocks
    assert block.is_direct


def test_nsid_is_the_words_or_the_name_of_the_host(load, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "ams-2")
    assert effect(load, "nsid").nsid == b"ams-2"
    assert effect(load, "nsid one two").nsid == b"one two"
    assert effect(load, 'nsid ""').nsid == b""


def test_nsid_has_a_bound(errors):
    assert errors(". {\nnsid " + "x" * 129 + "\n}\n") == [
        "Corefile:2: nsid: DATA has 129 octets; 128 are the most",
    ]


@pytest.mark.parametrize(("line", "size"), [("bufsize", 1232), ("bufsize 512", 512), ("bufsize 4096", 4096)])
def test_bufsize_is_a_size(load, line, size):
    assert effect(load, line).size == size


@pytest.mark.parametrize("size", ["511", "4097", "x", "-1"])
def test_bufsize_has_bounds(errors, size):
    assert errors(f". {{\nbufsize {size}\n}}\n") == [
        f"Corefile:2: bufsize: SIZE: '{size}' is not a number from 512 to 4096"
    ]


def test_any_and_minimal_are_modes(load):
    assert effect(load, "any").any_ == "hinfo"
    assert effect(load, "any all\nminimal") == Effect(any_="all", minimal=True)


def test_effects_of_many_plugins_are_one(load):
    found = effect(load, "log\nnsid x\nbufsize 2000\nany one\ncookies off\nrrl")
    assert (found.log, found.nsid, found.size, found.any_, found.minimal) == (True, b"x", 2000, "one", False)
    assert found.cookies is not None
    assert found.limiter is not None


SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"


def test_cookies_take_secrets_of_the_corefile_and_of_a_file(load, tmp_path):
    (tmp_path / "secrets").write_text(f"# the old one\n{SECRET} # 2026\n\n")
    assert effect(load, f"cookies {{\nsecret {SECRET}\nfile {tmp_path}/secrets\nrequire\n}}").cookies is not None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("secret abc", "Corefile:3: cookies: a secret is 32 hexadecimal digits, this has 3 characters"),
        ("secret " + "x" * 32, "Corefile:3: cookies: a secret is 32 hexadecimal digits, this has 32 characters"),
        (
            "require",
            "Corefile:2: cookies: a `secret` or a `file` is missing; without `cookies` the server makes a secret",
        ),
        ("file /nowhere/secrets", "Corefile:3: cookies: file: /nowhere/secrets: [Errno 2] No such file or directory"),
    ],
)
def test_cookies_without_a_secret_are_refused_and_it_is_not_repeated(errors, body, message):
    (problem,) = errors(f". {{\ncookies {{\n{body}\n}}\n}}\n")
    assert problem.startswith(message)


def test_a_bad_secret_in_a_file_has_its_line(errors, tmp_path):
    (tmp_path / "secrets").write_text(f"{SECRET}\n\nwrong\n")
    assert errors(f". {{\ncookies {{\nfile {tmp_path}/secrets\n}}\n}}\n") == [
        f"{tmp_path}/secrets:3: cookies: a secret is 32 hexadecimal digits, this has 5 characters"
    ]


def test_cookies_off_has_nothing_else_to_say(errors):
    assert errors(f". {{\ncookies off {{\nsecret {SECRET}\n}}\n}}\n") == [
        "Corefile:2: cookies: with `off` there is nothing else to say"
    ]


@pytest.mark.parametrize(
    ("body", "rates"),
    [
        ("", [200, 200, 200, 200, 200, 0]),
        ("responses-per-second 5", [5, 5, 5, 5, 5, 0]),
        ("nxdomains-per-second 5", [0, 0, 5, 0, 0, 0]),
        ("responses-per-second 9\nerrors-per-second 0\nall-per-second 50", [9, 9, 9, 9, 0, 50]),
    ],
)
def test_rates_are_as_those_of_answers_unless_they_say_otherwise(load, monkeypatch, body, rates):
    made = []
    monkeypatch.setattr("authserver.plugins.rrl.Limiter", lambda rates, **facts: made.append((rates, facts)))
    load(f". {{\nrrl {{\n{body}\n}}\n}}\n")
    assert made[0][0] == rates


def test_rrl_takes_its_words(load, monkeypatch):
    made = []
    monkeypatch.setattr("authserver.plugins.rrl.Limiter", lambda _, **facts: made.append(facts))
    load(
        ". {\nrrl {\nwindow 5\nslip-ratio 3\nipv4-prefix-length 32\nipv6-prefix-length 64\nexempt 192.0.2.1 2001:db8::/32\n"
        "exempt 10.0.0.0/8\nreport-only\nmax-table-size 4096\n}\n}\n"
    )
    assert made == [
        {
            "window": 5,
            "slip": 3,
            "prefixes": (32, 64),
            "exempt": [("192.0.2.1", 32), ("2001:db8::", 32), ("10.0.0.0", 8)],
            "log_only": True,
            "accounts": 4096,
        }
    ]


def test_rrl_does_not_count_queries(errors):
    (problem,) = errors(". {\nrrl {\nrequests-per-second 5\n}\n}\n")
    assert "all-per-second limits responses of every kind" in problem


def test_rrl_tells_its_counts_once_for_all_blocks(load):
    configuration = load(". {\nrrl\n}\nexample.org:5353 {\nrrl\n}\n")
    families = [family for offered in configuration.offered(METRICS) for family in offered()]
    assert [family.name for family in families] == [
        "zonewright_rrl_limited",
        "zonewright_rrl_slipped",
        "zonewright_rrl_dropped",
    ]
    assert {sample.labels["server"] for sample in families[0].samples} == {"dns://:53", "dns://:5353"}


def test_each_offers_one_effect(load):
    (block,) = load(". {\nrrl\nnsid x\n}\n").blocks
    assert len(block.offered(EFFECT)) == 2


def test_what_is_limited_is_logged_a_line_for_each_network(load, caplog):
    configuration = load(". {\nrrl {\nlog-only\n}\n}\n")
    limiter = Noted([("192.0.2.7", "answers", b"\3www\0"), ("192.0.2.9", "answers", b"\3www\0")])
    limiter.noted += [("2001:db8::1", "errors", b""), ("192.0.2.1", "answers", bytes(8))]
    with caplog.at_level("INFO"):
        Reporter(configuration, limiter, (24, 56), "would limit").tell()
    assert caplog.messages == [
        "would limit answers for www. to 192.0.2.0/24",
        "would limit errors to 2001:db8::/56",
        "would limit answers for names of a wildcard to 192.0.2.0/24",
    ]


def test_a_flood_of_networks_does_not_flood_the_log(load, caplog):
    limiter = Noted([(f"10.0.{number}.1", "errors", b"") for number in range(100)])
    with caplog.at_level("INFO"):
        Reporter(load(". {\nrrl\n}\n"), limiter, (24, 56), "limits").tell()
    assert (len(caplog.messages), caplog.messages[-1]) == (21, "and 80 more")
