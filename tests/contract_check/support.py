"""Checks snippets of contracts."""

from pathlib import Path
from textwrap import dedent

from contracts.port import Machine
from testnet.contract_check import Finding, check_files

HEADER = "from ostraka_contract import *\n"


def findings(folder: Path, code: str, *, machine: Machine | None = None, types: bool = False) -> list[Finding]:
    """Check a snippet; the API is imported in its first line."""
    path = folder / "contract.py"
    path.write_text(HEADER + dedent(code).lstrip("\n"), encoding="utf-8")
    return check_files([path], types=types, machine=machine)


def marked(code: str) -> list[tuple[int, str]]:
    """What a snippet expects: `# <- code` at the end of a line."""
    found = []
    for number, line in enumerate((HEADER + dedent(code).lstrip("\n")).split("\n"), 1):
        _, arrow, names = line.partition("# <- ")
        found += [(number, name) for name in names.split(", ") if arrow]
    return sorted(found)


def check_marks(folder: Path, code: str) -> None:
    """Findings stand exactly where the snippet says."""
    assert sorted((finding.line, finding.code) for finding in findings(folder, code)) == marked(code)
