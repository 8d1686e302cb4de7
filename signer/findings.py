"""A finding of signer about a version: the same attributes as `engine.Diagnostic`, which only the engine can make."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about a zone's version; `file` is the origin where no file is known, line and column 0 no place."""

    file: str
    rule: str
    severity: Severity
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message} [{self.rule}]"
