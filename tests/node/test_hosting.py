"""What a node process asks of its system."""

import asyncio
import gc
import weakref

import pytest

from shards.node import hosting


class Knot(list[object]):
    """Something that only a look for cycles frees, once it holds itself."""


async def test_what_died_in_a_cycle_is_freed_soon_and_the_thresholds_are_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosting, "COLLECT_EVERY_S", 0.0)
    before = gc.get_threshold()
    with hosting.collected_regularly():
        assert gc.get_threshold() == hosting.GC_THRESHOLDS
        for _ in range(2):  # it goes on
            knot = Knot()
            knot.append(knot)
            gone = weakref.ref(knot)
            del knot
            for _ in range(100):  # turns of the loop
                await asyncio.sleep(0)
            assert gone() is None
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
