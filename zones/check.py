"""What is found in a zone or a source, and whether that holds it: findings, rules, severities.

A *finding* names a rule and a place. A version with a finding of severity `error` is *held*: the last good one goes
on being served. What the engine finds keeps the engine's severity, unless `SEVERITIES` names its rule.

Limits: a zone's own content is all that is looked at here; rules that need another zone come elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from engine import Version

if TYPE_CHECKING:
    from zones.source import Candidate

Severity: TypeAlias = Literal["error", "warning"]


class Found(Protocol):
    """What a Finding and the engine's Diagnostic have in common."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def rule(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def message(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding at a place; line and column are 0 where there is none. `str()` is how it is shown."""

    file: str
    line: int
    column: int
    rule: str
    severity: Severity
    message: str

    def __str__(self) -> str:
        """Whole, as `file:line:column: message [rule]`, without what is unknown."""
        place = ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])
        mark = "warning: " if self.severity == "warning" else ""
        return f"{place}: {mark}{self.message} [{self.rule}]"


SEVERITIES: Final[Mapping[str, Severity]] = MappingProxyType(
    {
        # A name that can't be shown or handed on safely is skipped; it names no zone, so there is nothing to hold.
        "file-name": "warning",
        "git-submodule": "warning",
        # The zone serves as it should; the operator has something to do.
        "still-signed": "warning",
        "other-keys-sign": "warning",
        "serial-not-raised": "warning",
        "offline-ksk-ends": "warning",
        "offline-ksk-waits": "warning",
        "offline-ksk-online": "warning",
        "overlay-name-in-source": "warning",
        "overlay-hidden": "warning",
        # These are about one zone, and hold it.
        "duplicate-origin": "error",
        "zone-name": "error",
        "zone-not-allowed": "error",
        "git-symlink": "error",
        "git-lfs-pointer": "error",
        "file-too-large": "error",
        "include-missing": "error",
        "include-unreadable": "error",
    }
)
"""Severity by rule id; a rule that is not here is an error when Python found it, and as the engine says when it did."""


def finding(file: str, rule: str, message: str, *, line: int = 0) -> Finding:
    """A finding of our own, its severity from the table."""
    return Finding(file, line, 0, rule, SEVERITIES.get(rule, "error"), message)


def from_engine(found: Iterable[Found]) -> list[Finding]:
    """The engine's diagnostics as findings."""
    return [
        Finding(one.file, one.line, one.column, one.rule, SEVERITIES.get(one.rule, one.severity), one.message)
        for one in found
    ]


def held(findings: Iterable[Found]) -> bool:
    """Whether any of the findings holds the version."""
    return any(one.severity == "error" for one in findings)


def merged(*lists: Iterable[Finding]) -> tuple[Finding, ...]:
    """All findings once, in order of file, line, column and rule."""
    unique = {one: None for findings in lists for one in findings}
    return tuple(sorted(unique, key=lambda one: (one.file, one.line, one.column, one.rule, one.message)))


@dataclass(frozen=True, slots=True)
class Examination:
    """What became of a candidate: its version, None when it is held, and everything that was found."""

    version: Version | None
    findings: tuple[Finding, ...]


def examine(candidate: Candidate, previous: Version | None = None) -> Examination:
    """Build the candidate's version and judge it; unchanged RRsets share the chunks of `previous`.

    In a candidate that could not be read whole only what is there and wrong is looked at: what it lacks may stand on
    a line that could not be read.
    """
    version, content = Version.build(candidate.records, previous)
    if held(candidate.findings):
        present = [found for found in content if found.line and found.severity == "error"]
        return Examination(None, merged(candidate.findings, from_engine(present)))
    findings = merged(candidate.findings, from_engine(content))
    return Examination(None if held(findings) else version, findings)
