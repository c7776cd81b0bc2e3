"""`ostraka new`: what it writes, what it refuses, and that the new project's own tests pass."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from testnet.contract_check import check_files
from testnet.project_template import FILES, create_project


def test_a_new_project_has_contracts_tests_and_what_pytest_needs(tmp_path: Path) -> None:
    written = create_project(tmp_path / "my-app", "my-app")
    assert [path.relative_to(tmp_path / "my-app").as_posix() for path in written] == list(FILES)
    project = tomllib.loads((tmp_path / "my-app" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "my-app"
    assert project["project"]["dependencies"] == [f"ostraka>={version('ostraka')}"]
    assert "{" not in (tmp_path / "my-app" / "README.md").read_text()


def test_its_contracts_have_no_findings(tmp_path: Path) -> None:
    written = create_project(tmp_path / "app", "app")
    assert check_files([path for path in written if path.parent.name == "contracts"], types=False) == []


def test_its_tests_pass_out_of_the_box(tmp_path: Path) -> None:
    create_project(tmp_path / "app", "app")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "app",
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


@pytest.mark.parametrize("taken", ["README.md", "contracts/gate.py"])
def test_nothing_is_overwritten_and_then_nothing_is_written(tmp_path: Path, taken: str) -> None:
    mine = tmp_path / taken
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        create_project(tmp_path, "app")
    assert mine.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        create_project(tmp_path / "app", "app")


@pytest.mark.parametrize("name", ["", "My-App", "1app", "a b", "../app", "app-", "a" * 65, 'app"\n'])
def test_a_name_that_is_none_is_refused_with_an_example(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="for example my-app"):
        create_project(tmp_path / "app", name)
    assert not (tmp_path / "app").exists()
