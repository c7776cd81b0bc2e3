"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Severity(StrEnum):
    """How sure it is that something is wrong."""

    ERROR = "error"
    """It cannot be deployed, or fails whenever it is reached."""
    WARNING = "warning"
    """It does something else than it seems to."""
    NOTE = "note"
    """It is right if it is meant."""


@dataclass(frozen=True, order=True)
class Finding:
    """One remark about one place; lines and columns count from 1, line 0 is the whole file."""

    path: Path
    line: int
    column: int
    code: str
    """What to call it in conversation and in `# check: ignore[code]`."""
    severity: Severity
    message: str
    hint: str
    """What to do about it; may be empty."""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else str(self.path)
        return f"{place}: {self.severity}: {self.message} [{self.code}]"
