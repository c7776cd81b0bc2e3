"""Every mark there is, found in the source: what no seed reaches can only be named if it is known to exist."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

from primitives.errors import invariant

PACKAGES: Final = ("consensus", "shards", "relay")
"""That have marks."""

_ROOT: Final = Path(__file__).parents[2]


@cache
def declared_marks() -> tuple[str, ...]:
    """Names of all marks, in order; each stands for one place in the code."""
    found: list[str] = []
    for package in PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            found += _marks_in(path.read_text(encoding="utf-8"), path.name)
    invariant(len(set(found)) == len(found), "two places have the same mark")
    return tuple(sorted(found))


def _marks_in(source: str, name: str) -> list[str]:
    if "sometimes(" not in source:
        return []
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sometimes"
    ]
    names = [call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)]
    invariant(len(names) == len(calls), f"{name}: a mark's name is a literal")
    return [str(each) for each in names]
