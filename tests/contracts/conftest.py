"""A machine and an empty world."""

import pytest

from contracts.machine.local import LocalMachine
from tests.contracts.support import MemoryWorld


@pytest.fixture(scope="module")
def machine() -> LocalMachine:
    """One for all tests of a file; `run_one` and `run_batch` have it forget what it read."""
    return LocalMachine()


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()
