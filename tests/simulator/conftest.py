"""A simulated network is a web of references of some 50 MB; it goes when its test does, not when the collector likes."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()
