"""What no linter knows about this house: small rooms, a pure core, and words that must not appear."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("primitives", "consensus", "contracts", "ostraka_contract", "shards", "relay", "testnet")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
SHELLS = (
    "shards/node/",
    "relay/service",
    "testnet/",
    "contracts/machine/",
    "contracts/runtime/",
    "contracts/worker/",
    # What runs in the machine is asynchronous by nature; its scheduler is deterministic, see test_hostile.
    "ostraka_contract/",
)


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def core_sources() -> list[Path]:
    return [path for path in sources() if not path.relative_to(ROOT).as_posix().startswith(SHELLS)]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


def long_functions(tree: ast.AST) -> list[str]:
    return [function.name for function in functions(tree) if body_lines(function) > MAX_FUNCTION_LINES]


def impurities(tree: ast.AST) -> list[str]:
    """Floats, true division and async in a syntax tree, each with its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"float literal, line {node.lineno}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"true division, line {node.lineno}")
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await):
            found.append(f"async, line {node.lineno}")
        elif isinstance(node, ast.Name) and node.id in {"float", "hash", "id"} and isinstance(node.ctx, ast.Load):
            found.append(f"{node.id}() differs between processes, line {node.lineno}")
        elif isinstance(node, ast.Assert):
            found.append(f"assert, line {node.lineno}")
    return found


def test_every_source_file_is_a_small_room() -> None:
    too_long = {
        str(path.relative_to(ROOT)): n
        for path in sources()
        if (n := len(path.read_text().splitlines())) > MAX_FILE_LINES
    }
    assert too_long == {}


def test_every_function_is_short() -> None:
    too_long = {
        str(path.relative_to(ROOT)): names
        for path in sources()
        if (names := long_functions(ast.parse(path.read_text())))
    }
    assert too_long == {}


def test_the_core_is_pure() -> None:
    impure = {
        str(path.relative_to(ROOT)): found
        for path in core_sources()
        if (found := impurities(ast.parse(path.read_text())))
    }
    assert impure == {}


def test_every_module_says_what_it_is() -> None:
    silent = [str(path.relative_to(ROOT)) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []


def test_every_silenced_check_has_its_reason() -> None:
    silencer = re.compile(r"# (noqa: \S+|type: ignore\[[\w-]+\])(.*)$")
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := silencer.search(line)) and len(match.group(2).strip(" #-")) < 8
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("x = 0.5", "float literal"),
        ("x = 1 / 2", "true division"),
        ("async def f(): pass", "async"),
        ("x = hash('a')", "hash()"),
        ("assert x", "assert"),
    ],
)
def test_the_rule_of_purity_sees_what_it_must(code: str, rule: str) -> None:
    assert any(rule in found for found in impurities(ast.parse(code)))


def test_the_rule_of_length_sees_a_long_function() -> None:
    body = "\n".join("    x = 1" for _ in range(MAX_FUNCTION_LINES + 1))
    assert long_functions(ast.parse(f"def f():\n{body}\n")) == ["f"]
