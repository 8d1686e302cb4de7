"""The differential run in short: odd zones beside BIND, NSD and Knot DNS, and each accepted difference written down."""

import subprocess
from pathlib import Path

import pytest

from tests.interop.test_validators import judge
from tools import differential
from tools.accepted import RULES
from tools.facts import Malformed, Record, read
from tools.odd_zone import text
from tools.servers import program

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
    monkeypatch.setattr(differential, "for_peers", lambda text: text + "broken" * ("SOA ns.z501" in text))
    with pytest.raises(ValueError, match=r"nsd does not serve z501"):
        list(differential.compare(range(500, 502), 10, tmp_path, how="unsigned", peers=(differential.Nsd,)))


@pytest.mark.peer("dnssec-verify", "ldns-verify-zone", "kzonecheck")
@pytest.mark.parametrize("how", ["nsec", "nsec3", "opt-out"])
def test_three_checkers_are_content_with_odd_zones(how, tmp_path):
    zones = differential.zones_of(range(520, 523), 253)
    versions = {differential.wire(name): differential.version_of(name, text(zone)) for name, zone in zones.items()}
    ours = differential.Ours(versions, differential.DENIALS[how])
    for name in zones:
        dump = tmp_path / f"{name}zone"
        dump.write_text(differential.for_peers(ours.texts[differential.wire(name)].decode()))
        judge("dnssec-verify", "-z", "-q", "-o", name, dump)
        judge("ldns-verify-zone", "-V", "1", dump)
        # Knot DNS wants addresses of every server below its own cut, too; signatures and chains are what is judged.
        words = [program("kzonecheck"), "-d", "on", "-o", name, dump]
        said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout.splitlines()
        assert [line for line in said if line.startswith("[") and "missing glue record" not in line] == []


def test_every_rule_is_explained_and_every_explanation_is_a_rule():
    table = Path("docs/differences.md").read_text()
    explained = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
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
