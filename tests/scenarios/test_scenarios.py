"""Plays the scenarios of this folder: text files of steps, acted on a real server on loopback.

A step is a line that begins with a verb; the indented lines below are its body.

    corefile            body: the Corefile; {port} and {directory} are put in
    file PATH           body: the file's text, below {directory}
    remove PATH
    start, stop, kill   the server; `stop` demands status 0
    ask QNAME QTYPE [dnssec] [tcp]
                        body: `RCODE flags…`, then the records `answer …`, `authority …`, `additional …`, compared whole,
                        `*` for what may vary; additional only where it is named. Asked again for up to ten seconds.
    log TEXT            the log says this within ten seconds
    run ARGUMENTS       `zonewright ARGUMENTS`; body: `exit N`, then lines that its output must have, `*` as above
"""

import contextlib
import fnmatch
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from tools.servers import Zonewright, wait_until, zonewright

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Step:
    """One step and where it stands."""

    line: int
    words: list[str]
    body: list[str]


def steps(text: str) -> Iterator[Step]:
    """The steps of a scenario; lines that begin with # and empty lines between steps are passed over."""
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        line, start = lines[index], index + 1
        index += 1
        if not line.strip() or line.startswith("#"):
            continue
        body = []
        while index < len(lines) and (lines[index].startswith("    ") or not lines[index].strip()):
            body.append(lines[index][4:])
            index += 1
        yield Step(start, line.split(" ", 2) if line.startswith("log ") else shlex.split(line), body)


class Stage:
    """A server and the verbs that act on it."""

    def __init__(self, directory: Path) -> None:
        self.server = Zonewright(directory=directory)

    def corefile(self, step: Step) -> None:
        self.server.write_corefile("\n".join(step.body) + "\n")

    def file(self, step: Step) -> None:
        path = self.server.directory / step.words[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(step.body) + "\n")

    def remove(self, step: Step) -> None:
        (self.server.directory / step.words[1]).unlink()

    def start(self, _step: Step) -> None:
        self.server.start()

    def stop(self, _step: Step) -> None:
        assert self.server.stop() == 0

    def kill(self, _step: Step) -> None:
        self.server.kill()

    def log(self, step: Step) -> None:
        text = " ".join(step.words[1:])
        wait_until(lambda: text in self.server.new_log, 10, f"the log says {text}\n{self.server.new_log[-2000:]}")

    def run(self, step: Step) -> None:
        words = [word.replace("{directory}", str(self.server.directory)) for word in step.words[1:]]
        if words[0] in {"zone", "key"}:
            words += ["--state", str(self.server.state)]
        done = zonewright(*words, cwd=self.server.directory)
        wanted = [line for line in step.body if line.strip()]
        assert f"exit {done.returncode}" == wanted[0], done.stdout + done.stderr
        said = (done.stdout + done.stderr).splitlines()
        for line in wanted[1:]:
            assert any(fnmatch.fnmatchcase(text, line) for text in said), f"{line}\nnot in\n{done.stdout}{done.stderr}"

    def ask(self, step: Step) -> None:
        qname, qtype, *options = step.words[1:]
        wanted = [" ".join(line.split()) for line in step.body if line.strip()]
        got: list[str] = []

        def is_so() -> bool:
            with contextlib.suppress(dns.exception.DNSException, OSError):
                response = self.server.ask(qname, qtype, dnssec="dnssec" in options, tcp="tcp" in options, timeout=1)
                got[:] = described(response, with_additional=any(line.startswith("additional") for line in wanted))
            return len(got) == len(wanted) and all(map(fnmatch.fnmatchcase, got, [wanted[0], *sorted(wanted[1:])]))

        try:
            wait_until(is_so, 10, "the answer")
        except AssertionError:
            assert got == [wanted[0], *sorted(wanted[1:])], self.server.new_log[-1500:]
            raise


def described(response: dns.message.Message, *, with_additional: bool) -> list[str]:
    """A response as the body of `ask` writes it: rcode and flags, then the records sorted."""
    flags = dns.flags.to_text(response.flags & ~dns.flags.QR).lower()
    sections = [("answer", response.answer), ("authority", response.authority)]
    if with_additional:
        sections.append(("additional", response.additional))
    records = [
        f"{name} {rrset.name.to_text()} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}"
        for name, rrsets in sections
        for rrset in rrsets
        for rdata in rrset
    ]
    return [f"{dns.rcode.to_text(response.rcode())} {flags}".strip(), *sorted(records)]


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_scenario(path, tmp_path):
    stage = Stage(tmp_path / "server")
    played = list(steps(path.read_text()))
    assert played
    try:
        for step in played:
            try:
                getattr(stage, step.words[0])(step)
            except AssertionError as error:
                raise AssertionError(f"{path.name}:{step.line}: {' '.join(step.words)}\n{error}") from error
    finally:
        stage.server.stop()


def test_the_player_reads_steps_with_their_bodies():
    found = list(steps("# a note\nfile a.zone\n    one\n      two\n\nask x. A\n    NOERROR aa\n"))
    assert [(step.line, step.words, step.body) for step in found] == [
        (2, ["file", "a.zone"], ["one", "  two", ""]),
        (6, ["ask", "x.", "A"], ["NOERROR aa"]),
    ]
