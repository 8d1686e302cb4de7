"""The differential run in short: odd zones beside NSD and Knot DNS, and each accepted difference written down."""

from pathlib import Path

import pytest

from tools import differential
from tools.servers import Knot, Nsd

SEEDS = range(500, 506)


@pytest.mark.peer("nsd", "knotd")
@pytest.mark.parametrize("how", differential.DENIALS)
@pytest.mark.parametrize("peer", [Nsd, Knot])
def test_answers_of_odd_zones_equal_those_of(peer, how, tmp_path):
    refused = [
        str(case)
        for case in differential.compare(SEEDS, 150, tmp_path, how=how, peers=(peer,))
        if differential.unexplained(case)[0]
    ]
    assert refused == [], "\n".join(refused[:10])


def test_every_rule_is_explained_and_every_explanation_is_a_rule():
    text = Path("docs/differences.md").read_text()
    explained = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(explained) == sorted(differential.RULES)
