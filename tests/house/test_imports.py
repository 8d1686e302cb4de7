"""Each import contract of the house is broken on purpose once, to see that it is caught."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("authserver", "signer", "zones", "keys", "engine")


@pytest.fixture
def house(tmp_path):
    """A copy of the packages and their settings, without anything compiled."""
    for room in ROOMS:
        ignore = shutil.ignore_patterns("target", "fuzz", "src", "*.so", "__pycache__", "examples", "benches")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def verdicts(house: Path) -> str:
    """What import-linter says of the copy."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_house_as_it_stands_keeps_all_its_contracts(house):
    assert "0 broken" in verdicts(house)


BREACHES = [
    ("zones/breach.py", "import signer", "The house: each room sees only the rooms below it"),
    ("keys/breach.py", "import zones", "The house: each room sees only the rooms below it"),
    ("engine/breach.py", "import keys", "The house: each room sees only the rooms below it"),
    ("signer/breach.py", "import authserver", "The house: each room sees only the rooms below it"),
    ("zones/breach.py", "import socket", "The rooms below have no loop, no socket, no clock, no dice"),
    ("keys/breach.py", "import time", "The rooms below have no loop, no socket, no clock, no dice"),
    ("signer/breach.py", "from asyncio import sleep", "The rooms below have no loop, no socket, no clock, no dice"),
    ("signer/breach.py", "from keys.private import generate", "Private keys are touched by keys alone"),
    ("authserver/breach.py", "import keys.private", "Private keys are touched by keys alone"),
    ("authserver/breach.py", "import cryptography", "The cryptography library is used where private keys are"),
    ("authserver/query.py", "import authserver.plugins", "The chain knows no plugin"),
    ("authserver/plugins/breach.py", "import authserver.state", "A plugin knows no server"),
]


@pytest.mark.parametrize(
    ("place", "line", "contract"), BREACHES, ids=[f"{place}: {line}" for place, line, _ in BREACHES]
)
def test_a_forbidden_import_is_caught(house, place, line, contract):
    path = house / place
    text = path.read_text() if path.exists() else '"""A breach, made by a test."""\n'
    path.write_text(text + f"\n{line}\n")
    said = verdicts(house)
    assert any(contract in text and "BROKEN" in text for text in said.splitlines()), said


def test_one_plugin_that_imports_another_is_caught(house):
    (house / "authserver/plugins/breach.py").write_text('"""One."""\n')
    (house / "authserver/plugins/breach_too.py").write_text('"""Two."""\n\nimport authserver.plugins.breach\n')
    said = verdicts(house)
    assert any("Plugins do not know one another" in text and "BROKEN" in text for text in said.splitlines()), said
