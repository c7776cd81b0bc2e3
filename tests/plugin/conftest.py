"""A project with nothing in it but its ini file."""

import pytest

# Pytester unloads what a test in this process is the first to import, and the binding of the engine must outlive the
# machine that all tests of a process share.
import contracts.machine.chamber  # noqa: F401 - see above
from tests.plugin.support import INI


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(INI)
    return pytester
