"""What `zonewright check` finds: in a Corefile and the zone files it names, in a directory, in one zone file.

Nothing is opened but files, and nothing is served; the rules are those that hold a zone when a server reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from authserver import chain
from authserver.errors import CorefileErrors, Problem
from authserver.plugin import SOURCES, Source
from authserver.plugins.auto import AutoOptions
from authserver.plugins.file import FileOptions
from engine import NameSyntaxError, name_from_text, name_to_text
from zones.check import Finding, examine, finding
from zones.errors import SourceError
from zones.naming import Naming, naming, scan
from zones.source import Blobs, Directory, NamedFile, list_directory, read_candidate

DIRECTORY_NAMINGS: Final = ((r"db\.(.*)", "{1}"), (r"(.*)\.zone", "{1}"))
"""How zone files in a directory may be named when no Corefile says it."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One line of a report: `FILE:LINE:COLUMN: severity: message [rule]`."""

    file: str
    line: int
    column: int
    severity: Literal["error", "warning"]
    message: str
    rule: str

    def __str__(self) -> str:
        place = ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])
        return f"{place}: {self.severity}: {self.message} [{self.rule}]"


@dataclass(frozen=True, slots=True)
class Report:
    """All remarks, and how many zones were read for them."""

    remarks: tuple[Remark, ...]
    zones: int

    @property
    def errors(self) -> int:
        """How many remarks would hold a zone or stop a start."""
        return sum(remark.severity == "error" for remark in self.remarks)


def check_corefile(path: Path, now: int, default_port: int = 53) -> Report:
    """A Corefile, and every zone file that its `file` and `auto` directives read from this machine."""
    try:
        configuration = chain.load(path, os.environ, default_port=default_port)
    except CorefileErrors as errors:
        return Report(tuple(_of_problem(problem, "error") for problem in errors.problems), 0)
    remarks = [_of_problem(problem, "warning") for problem in configuration.warnings]
    count = 0
    for block in configuration.blocks:
        for source in block.offered(SOURCES):
            for findings in _source(source, now):
                count += 1
                remarks += map(_of_finding, findings)
    return Report(tuple(remarks), count)


def check_directory(path: Path, now: int) -> Report:
    """Every file of a directory tree that is named like a zone file."""
    remarks: list[Remark] = []
    count = 0
    for regexp, template in DIRECTORY_NAMINGS:
        for findings in _directory(str(path.absolute()), naming(regexp, template), (), now, includes=True):
            count += 1
            remarks += map(_of_finding, findings)
    return Report(tuple(dict.fromkeys(remarks)), count)


def check_zone_file(path: Path, origin: str, now: int) -> Report:
    """One zone file; files it includes are read below its directory."""
    try:
        name = name_from_text(origin).lower()
    except NameSyntaxError as error:
        return Report((Remark(str(path), 0, 0, "error", f"{origin!r} is no zone's name: {error}", "zone-name"),), 0)
    file = str(path.absolute())
    blobs = NamedFile(file, str(path.absolute().parent), now)
    findings = _zone(blobs, file, name, includes=True)
    return Report(tuple(_of_finding(found, (file, str(path))) for found in findings), 1)


def _source(source: Source, now: int) -> Iterator[Iterable[Finding]]:
    options = source.options
    if isinstance(options, FileOptions):
        file = str(Path(source.location).absolute())
        root = options.include_root
        blobs = NamedFile(file, str(root.absolute()) if root is not None else str(Path(file).parent), now)
        for origin in source.origins:
            yield _zone(blobs, file, origin, includes=root is not None)
    elif isinstance(options, AutoOptions) and source.kind == "directory":
        directory = str(Path(source.location).absolute())
        yield from _directory(directory, options.naming, source.origins, now, includes=options.includes)


def _directory(
    directory: str, rule: Naming, allowed: tuple[bytes, ...], now: int, *, includes: bool
) -> Iterator[Iterable[Finding]]:
    try:
        found = scan(list_directory(directory), rule, allowed)
    except SourceError as error:
        yield [finding(directory, error.rule, error.reason)]
        return
    if found.findings:
        yield found.findings
    blobs = Directory(directory, now)
    for origin, entry in found.zones.items():
        yield _zone(blobs, entry.name, origin, includes=includes)


def _zone(blobs: Blobs, file: str, origin: bytes, *, includes: bool) -> Iterable[Finding]:
    try:
        candidate = read_candidate(blobs, file, origin, includes=includes)
    except SourceError as error:
        return [finding(file, error.rule, f"{name_to_text(origin)} can't be read: {error.reason}")]
    return examine(candidate).findings


def _of_problem(problem: Problem, severity: Literal["error", "warning"]) -> Remark:
    return Remark(problem.place.file, problem.place.line, problem.place.column, severity, problem.message, "corefile")


def _of_finding(found: Finding, shorter: tuple[str, str] = ("", "")) -> Remark:
    file = shorter[1] if found.file == shorter[0] else found.file
    return Remark(file, found.line, found.column, found.severity, found.message, found.rule)
