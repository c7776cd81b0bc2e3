"""A project with nothing in it but its ini file."""

import pytest

from tests.plugin.support import INI


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(INI)
    return pytester
