"""The examples' documentation: complete, and every command in it names what there is."""

import ast
import re
from pathlib import Path

import pytest

from testnet.contract_check import check_files

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))


def contracts(folder: str) -> list[Path]:
    return [path for path in sorted((EXAMPLES / folder).glob("*.py")) if not path.name.startswith(("test_", "__"))]


def test_every_example_is_listed_and_there() -> None:
    listed = re.findall(r"^\| \[(\w+)\]\(\1\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert (
        sorted(listed) == FOLDERS == sorted(path.name for path in EXAMPLES.iterdir() if (path / "__init__.py").exists())
    )


def test_no_example_has_a_finding_of_lint_or_types() -> None:
    files = [path for folder in FOLDERS for path in contracts(folder)]
    assert len(files) >= 12
    assert [str(finding) for finding in check_files(files, types=True)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_is_tested_in_both_ways(folder: str) -> None:
    names = {path.name for path in (EXAMPLES / folder).glob("test_*.py")}
    assert names == {f"test_{folder}.py", f"test_{folder}_in_memory.py"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_commands_of_a_readme_name_files_and_methods_that_exist(folder: str) -> None:
    text = (EXAMPLES / folder / "README.md").read_text()
    deployed: dict[str, Path] = {}
    for path, stem, name in re.findall(r"deploy (examples/\w+/(\w+)\.py)(?:[^\n]*?--name (\w+))?", text):
        deployed[name or stem] = EXAMPLES.parent / path
    calls = re.findall(r"ostraka (?:call|view) (\w+)@\S+ (\w+)", text)
    assert deployed
    assert calls
    for name, method in calls:
        tree = ast.parse(deployed[name].read_text())
        assert method in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
