"""What every test family shares: which programs are there, what was skipped for want of one, servers that stop."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.softhsm import SoftHSM
from tools.servers import PACKAGES, Server, program

IN_CI = os.environ.get("CI") == "true"


def require(*programs: str) -> None:
    """Skip aloud where a program is absent; fail in CI, where all of them must be there."""
    absent = [name for name in programs if program(name) is None]
    if not absent:
        return
    packages = sorted({PACKAGES.get(name, name) for name in absent})
    reason = f"needs {', '.join(absent)} (Debian: {' '.join(packages)})"
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.peer("nsd", …)` names the programs a test needs."""
    for mark in item.iter_markers("peer"):
        require(*mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped, and for what."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        reasons = sorted({str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)})
        terminalreporter.write_line(f"{len(skipped)} tests SKIPPED:", yellow=True, bold=True)
        for reason in reasons:
            terminalreporter.write_line(f"  {reason}", yellow=True)


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHSM:
    """A token of this test's own, seen by this process."""
    require("softhsm2-util")
    hsm = SoftHSM(tmp_path / "hsm").set_up()
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    return hsm


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that are stopped, last first, when the test ends: `run(Nsd, zones=[…])`."""
    started: list[Server] = []

    def start(kind: type[Server], **facts: object) -> Server:
        facts.setdefault("directory", tmp_path / f"{kind.__name__.lower()}{len(started)}")
        server = kind(**facts)
        started.append(server)
        return server.start()

    yield start
    for server in reversed(started):
        server.stop()
