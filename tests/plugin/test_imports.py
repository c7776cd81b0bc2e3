"""Ostraka in a project's run of pytest: imported as it is, from where it is installed, beside folders of any name."""

import sys
import tomllib
from pathlib import Path

import pytest

from testnet.pytest_plugin.imports import PACKAGES, ROOT, OwnPackages
from tests.plugin.test_plugin import CACHE

pytest_plugins = ["pytester"]

WITH_THE_NET = """
def test_it(net, alice, bob):
    alice.transfer(bob, 5, to_shard=1).settle()
    assert bob.balance(1) == 10**12 + 5
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    pytester.makeini("[pytest]\n")
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> None:
    plain = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:asyncio")
    result = project.run(sys.executable, "-m", "pytest", *plain, *arguments)
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=1)


def test_the_packages_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert sorted(PACKAGES) == sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_nothing_else_is_found_in_our_folder() -> None:
    finder = OwnPackages()
    assert finder.find_spec("tests", None) is None
    assert finder.find_spec("json", None) is None
    found = finder.find_spec("shards", None)
    assert found is not None
    assert found.origin == str(ROOT / "shards" / "__init__.py")


def test_pytest_does_not_rewrite_what_has_no_assertions(project: pytest.Pytester) -> None:
    project.makeconftest("import pytest\npytest.register_assert_rewrite('testnet', 'shards', 'helper')")
    project.makepyfile(helper="")
    project.makepyfile("""
        import helper, shards.ledger, testnet.virtual

        def test_it():
            loaders = [type(module.__loader__).__name__ for module in (helper, shards.ledger, testnet.virtual)]
            assert loaders == ["AssertionRewritingHook", "SourceFileLoader", "SourceFileLoader"]
    """)
    run(project)


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
@pytest.mark.parametrize("packages", [True, False])
def test_a_projects_folders_may_be_called_like_our_packages(
    project: pytest.Pytester, mode: str, packages: bool
) -> None:
    for name in ("contracts", "shards", "tests"):
        folder = project.mkdir(name)
        if packages:
            (folder / "__init__.py").write_text("")
    (project.path / "contracts" / "target.py").write_text("def seven() -> int:\n    return 7\n")
    test = "def test_it(net, alice):\n    assert alice.send(net.deploy('target.py').seven()).result() == 7\n"
    (project.path / "tests" / "test_it.py").write_text(test)
    run(project, f"--import-mode={mode}")


def test_a_run_from_another_folder_finds_the_same(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.mkdir("elsewhere")
    project.makepyfile(WITH_THE_NET)
    monkeypatch.chdir(project.path / "elsewhere")
    target = Path(project.path) / "test_a_run_from_another_folder_finds_the_same.py"
    run(project, str(target), f"--rootdir={project.path}")
