"""Types, by mypy, as far as it is installed: the file against the API's annotations."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from testnet.contract_check.findings import Finding, Severity

OPTIONS = (
    "--check-untyped-defs",
    "--strict-equality",
    "--extra-checks",
    "--warn-redundant-casts",
    "--warn-unreachable",
    "--no-error-summary",
    "--no-color-output",
    "--no-pretty",
    "--show-column-numbers",
    "--hide-error-context",
    "--follow-imports=silent",
    "--scripts-are-modules",
    "--config-file=",
    f"--cache-dir={os.devnull}",
)
"""Strict about what is written, not about what is left out: annotations are the author's choice. No cache: two
contracts may well have the same name, and nothing is left behind in the author's folder."""

TIMEOUT_S = 120
"""A dozen files take a few seconds."""

_LINE = re.compile(
    r"(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): (?P<kind>error|note): (?P<text>.*?)(?:  \[(?P<code>[\w-]+)\])?$"
)


def check_types(paths: Sequence[Path]) -> list[Finding]:
    """Run mypy on each file; one note when it is not installed."""
    if not paths:
        return []
    if find_spec("mypy") is None:
        text, hint = "types were not checked: mypy is not installed", "pip install mypy"
        return [Finding(paths[0], 0, 0, "types", Severity.NOTE, text, hint)]
    return [finding for group in _groups(paths) for finding in _check_group(group)]


def _groups(paths: Sequence[Path]) -> list[dict[str, Path]]:
    """Files that can be looked at together: two contracts may well have the same name, and modules may not."""
    groups: list[dict[str, Path]] = []
    for path in paths:
        group = next((group for group in groups if path.stem not in group), None)
        if group is None:
            group = {}
            groups.append(group)
        group[path.stem] = path
    return groups


def _check_group(group: dict[str, Path]) -> list[Finding]:
    paths = {path.resolve(): path for path in group.values()}
    first = next(iter(group.values()))
    command = [sys.executable, "-m", "mypy", *OPTIONS, *map(str, group.values())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603 - our own interpreter on the author's files
    except subprocess.TimeoutExpired:
        return [Finding(first, 0, 0, "types", Severity.NOTE, f"mypy took longer than {TIMEOUT_S} s", "")]
    found = []
    for line in done.stdout.splitlines():
        match = _LINE.match(line)
        path = paths.get(Path(match["path"]).resolve()) if match is not None else None
        if match is not None and path is not None and match["kind"] == "error":
            place = int(match["line"]), int(match["column"])
            found.append(Finding(path, *place, match["code"] or "types", Severity.ERROR, match["text"], ""))
    if done.returncode not in (0, 1) and not found:
        text = (done.stderr or done.stdout).strip().split("\n")[-1]
        found.append(Finding(first, 0, 0, "types", Severity.NOTE, f"types were not checked: mypy failed: {text}", ""))
    return found
