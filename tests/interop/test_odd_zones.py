"""The differential run in short: odd zones beside BIND, NSD and Knot DNS, and each accepted difference written down."""

from pathlib import Path

import pytest

from tools import differential
from tools.accepted import RULES
from tools.facts import Malformed, Record, read

SEEDS = range(500, 505)
QUESTIONS = 10_000


@pytest.mark.peer("named", "nsd", "knotd")
@pytest.mark.parametrize("how", differential.DENIALS)
def test_answers_of_odd_zones_equal_those_of_three_others(how, tmp_path):
    count = QUESTIONS // len(differential.DENIALS) // len(SEEDS)
    refused = [str(case) for case, left, _ in differential.compare(SEEDS, count, tmp_path, how=how) if left]
    assert refused == [], "\n".join(refused[:10])


@pytest.mark.peer("nsd")
def test_a_zone_that_a_peer_refuses_is_not_silently_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(differential, "for_peers", lambda text: text + "broken")
    with pytest.raises(ValueError, match=r"nsd does not serve z500"):
        list(differential.compare(range(500, 502), 10, tmp_path, how="unsigned", peers=(differential.Nsd,)))


def test_every_rule_is_explained_and_every_explanation_is_a_rule():
    text = Path("docs/differences.md").read_text()
    explained = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(explained) == sorted([*RULES, "apex-ns"])


MX = bytes.fromhex(
    "0001 8580 0001 0001 0000 0000 01410442454545 00 000f 0001 c00c 000f 0001 0000003c 0006 000a 0142 c00e".replace(
        " ", ""
    )
)


def test_the_reader_of_the_run_takes_names_whole_and_in_lower_case():
    facts = read(MX)
    assert (facts.rcode, facts.aa, facts.tc, facts.doubled) == (0, True, False, False)
    assert facts.answer == {Record(b"\1a\4beee\0", 15, 60, b"\0\12\1b\4beee\0")}


@pytest.mark.parametrize("octets", [MX[:-1], MX + b"\0", MX[:-2] + b"\xc0\x2a", MX[:7]])
def test_the_reader_of_the_run_takes_nothing_malformed(octets):
    with pytest.raises(Malformed):
        read(octets)
