"""A simulated network is a web of references of some 50 MB; it goes with its test, not when the collector likes."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()
