"""Projects of users, as far as the tests of the plugin need them: pytest runs on them in this process."""

import pytest

from tests.support.pytest_in_process import IN_PROCESS

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest on a project."""
    return project.runpytest_inprocess(*IN_PROCESS, *arguments)
