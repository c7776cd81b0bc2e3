"""All checks of a contract's file, cheapest first."""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from contracts.limits import MAX_SOURCE_BYTES
from contracts.outcomes import Rejected
from contracts.port import Machine
from testnet.contract_check.call_rules import check_calls
from testnet.contract_check.findings import Finding, Severity
from testnet.contract_check.flow import check_flow
from testnet.contract_check.source import Source
from testnet.contract_check.surface_rules import check_surface
from testnet.contract_check.types import check_types

MACHINE_PYTHON = (3, 14)
"""What contracts run on; an older Python outside may not know all of its syntax."""

COMPILE_GAS = 5_000_000
"""Enough for the longest source."""


def check_files(paths: Sequence[Path], *, types: bool = True, machine: Machine | None = None) -> list[Finding]:
    """Look for mistakes in contracts, without running them.

    `types` has mypy look too, when it is installed; `machine` compiles each file as deploying would.

    Raises:
        OSError: a file cannot be read.

    """
    found: list[Finding] = []
    sound: list[Path] = []
    for path in paths:
        here = _check_one(path, machine)
        found.extend(here)
        if not any(finding.code in {"syntax", "source"} for finding in here):
            sound.append(path)
    return sorted(found + (check_types(sound) if types else []))


def _check_one(path: Path, machine: Machine | None) -> list[Finding]:
    raw = path.read_bytes()
    if len(raw) > MAX_SOURCE_BYTES:
        text = f"{len(raw)} bytes; a contract has at most {MAX_SOURCE_BYTES}"
        return [Finding(path, 0, 0, "source", Severity.ERROR, text, "split it into two contracts that call each other")]
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return [Finding(path, 0, 0, "source", Severity.ERROR, f"not UTF-8: {error.reason} at byte {error.start}", "")]
    if "\0" in text:
        return [Finding(path, 0, 0, "source", Severity.ERROR, "there is a NUL character in it", "")]
    rejected = _compile(path, text, machine)
    try:
        source = Source(path, text, ast.parse(text, str(path)))
    except SyntaxError as error:
        return rejected or [_syntax(path, error, known_good=machine is not None)]
    except (RecursionError, MemoryError, ValueError) as error:
        return rejected or [Finding(path, 0, 0, "syntax", Severity.ERROR, f"cannot be parsed: {error}", "")]
    for rule in (check_surface, check_calls, check_flow):
        rule(source)
    lines = {finding.line for finding in source.found}
    return source.found + [finding for finding in rejected if not finding.line or finding.line not in lines]


def _compile(path: Path, text: str, machine: Machine | None) -> list[Finding]:
    if machine is None:
        return []
    result = machine.compile(text, COMPILE_GAS)
    if not isinstance(result, Rejected):
        return []
    return [Finding(path, result.line, min(result.line, 1), "syntax", Severity.ERROR, result.message, "")]


def _syntax(path: Path, error: SyntaxError, *, known_good: bool) -> Finding:
    place = error.lineno or 0, error.offset or 0
    if sys.version_info < MACHINE_PYTHON:
        ours = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        machines = f"Python {MACHINE_PYTHON[0]}.{MACHINE_PYTHON[1]}"
        if known_good:
            text = f"the machine's {machines} takes this, and {ours} here does not ({error.msg}): it was not checked"
            return Finding(path, *place, "syntax", Severity.NOTE, text, f"check it with {machines}")
    return Finding(path, *place, "syntax", Severity.ERROR, f"{error.msg}", "")
