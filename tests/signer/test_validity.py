"""What the plan leads to, judged by other people's validators."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import SignedVersion, Version
from keys.policy import DEFAULT
from signer import plan
from signer.verify import Expected, before_live, before_sealed


@pytest.fixture
def dump(version: Callable[..., Version], tmp_path: Path) -> Callable[..., Path]:
    """The zone signed by these, sealed, as a file."""

    def write(*signers: Any, more: str = "") -> Path:
        handles = {one.key.id: one.handle for one in signers}
        now = int(time.time())
        zone = plan.prepare(version(more), [one.key for one in signers], handles, DEFAULT, 9, now)
        signed = SignedVersion(zone.version, zone.plan)
        assert before_live(signed, Expected(now)).findings == ()
        while not (verdict := before_sealed(signed, 100_000, Expected(now))).is_complete:
            assert not verdict.is_held
        signed.seal()
        path = tmp_path / "signed.zone"
        path.write_bytes(signed.to_text())
        return path

    return write


def judge(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


MORE = """\
sub NS ns.sub
ns.sub A 192.0.2.53
safe NS ns.safe
safe DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.safe A 192.0.2.54
a.b.c TXT "below two empty non-terminals"
"""


@pytest.mark.peer("dnssec-verify", "ldns-verify-zone")
@pytest.mark.parametrize("words", [["RRRH"], ["OOOR"], ["O-OR", "OO--"], ["RRRH", "RRRH"]])
def test_validators_find_nothing_wrong(
    words: list[str], dump: Callable[..., Path], make_signer: Callable[..., Any]
) -> None:
    signers = [make_signer(word, flags=256 if word.endswith("--") else 257) for word in words]
    path = dump(*signers, more=MORE)
    # A CSK signs everything whatever its flag says (-z); split keys sign by their roles (-x).
    judge(
        "dnssec-verify",
        *(["-x"] if len({one.key.is_zsk for one in signers}) > 1 else ["-z"]),
        "-o",
        "example.test.",
        path,
    )
    judge("ldns-verify-zone", path)
