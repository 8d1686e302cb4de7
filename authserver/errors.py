"""The exceptions of authserver, and the values their messages are made from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a configuration file; line 0 is the file as a whole, column 0 the line."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing an operator has to know about a configuration: `FILE:LINE: message`."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class CorefileErrors(Exception):
    """A configuration can't be used; `problems` is all that is wrong with it, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StateError(Exception):
    """The state directory can't be used."""


class StateInUse(StateError):
    """Another process holds the state; `holder` is its process id as it wrote it, for people."""

    def __init__(self, directory: Path, holder: str) -> None:
        super().__init__(f"{directory}: in use by process {holder or 'unknown'}")
        self.directory = directory
        self.holder = holder


class StateMissing(StateError):
    """There is no state here, or nothing has been served from it yet."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory}: holds no state")
        self.directory = directory


class StateInsecure(StateError):
    """Somebody else owns the state directory, so its keys can't be trusted."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StateOfOtherSchema(StateError):
    """The database has another schema than this program reads; nothing was changed."""

    def __init__(self, path: Path, version: int, known: int) -> None:
        what_now = (
            "start the server once, or any command that writes, to bring it up to date"
            if version < known
            else "it was written by a newer Zonewright: use that, or a backup from before"
        )
        super().__init__(f"{path}: schema {version} is not the {known} this version reads; {what_now}")
        self.path = path
        self.version = version
        self.known = known


class StateCorrupt(StateError):
    """The database or a pack is damaged, or not ours."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
