"""Where readers of zone files differ, each decision of ours beside named-checkzone's, and both in the manual."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import engine
from tests.engine.test_reader import APEX, ORIGIN, bind_dump

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors" / "dialect.txt"
MANUAL = ROOT / "docs" / "manual" / "zone-files.md"
SURVEYED = 27
"""Differences that the survey found and numbered; those behind are our own."""


@dataclass(frozen=True)
class Case:
    """One line of the vectors."""

    number: int
    is_loaded: bool
    rules: frozenset[str]
    is_as_bind: bool
    text: bytes
    included: bytes

    def files(self, directory: Path) -> tuple[bytes, Path]:
        """The zone's octets, the file it includes being there."""
        path = directory / "included"
        include = str(path).encode()
        path.write_bytes(self.included.replace(b"{include}", include))
        return self.text.replace(b"{include}", include), path


def cases() -> list[Case]:
    found = []
    for line in VECTORS.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        number, decision, rules, relation, rest = line.split(" ", 4)
        text, _, included = rest.encode("ascii").decode("unicode_escape").encode("latin-1").partition(b" <<< ")
        zone = text[4:] if text.startswith(b"RAW ") else APEX + text
        named = frozenset(rules.split(",")) - {"-"}
        found.append(Case(int(number), decision == "loads", named, relation == "=", zone, included))
    return found


CASES = cases()


def verdict(case: Case, directory: Path) -> tuple[frozenset[str], bytes | None]:
    """The rules of what we find, and the zone as we write it, None where it is held."""
    zone, path = case.files(directory)
    sources = [("zone", zone), (str(path), path.read_bytes())]
    records = engine.read_zone(engine.name_from_text(ORIGIN), sources, includes=True)
    version, found = engine.Version.build(records)
    rules = frozenset(one.rule for one in [*records.diagnostics, *found])
    is_held = records.has_errors or version is None
    return rules, None if is_held or version is None else version.to_text()


def test_each_surveyed_difference_is_decided() -> None:
    assert {case.number for case in CASES} >= set(range(1, SURVEYED + 1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}")
def test_the_decision_is_the_one_that_is_written_down(case: Case, tmp_path: Path) -> None:
    rules, text = verdict(case, tmp_path)
    assert (rules, text is not None) == (case.rules, case.is_loaded)


@pytest.mark.peer("named-compilezone")
@pytest.mark.parametrize("case", [case for case in CASES if case.is_as_bind], ids=lambda case: f"{case.number}")
def test_it_is_named_checkzone_s_with_the_same_data(case: Case, tmp_path: Path) -> None:
    zone, _ = case.files(tmp_path)
    expected = bind_dump(zone, tmp_path, "zone")
    _, text = verdict(case, tmp_path)
    assert (expected is None) == (text is None)
    if text is not None:
        assert bind_dump(text, tmp_path, "ours") == expected


def test_the_manual_has_a_row_for_each_with_its_rules() -> None:
    rows = dict(re.findall(r"^\| (\d+) \|(.*)$", MANUAL.read_text(), re.MULTILINE))
    for case in CASES:
        row = rows.get(str(case.number), "")
        assert ("held" in row) is not case.is_loaded, case.number
        assert [rule for rule in case.rules if f"`{rule}`" not in row] == [], case.number
