"""Views and estimates run one after the other, and who comes when too many wait is told so."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from primitives.errors import Refused
from shards.node.metrics import NodeMetrics
from shards.node.view_desk import MAX_WAITING, ViewDesk
from tests.node.fakes import a_log


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ViewDesk]:
    with a_log(tmp_path) as log:
        desk = ViewDesk(NodeMetrics(), log)
        yield desk
        await desk.close()


async def test_turns_do_not_overlap_and_come_in_order(desk: ViewDesk) -> None:
    told: list[tuple[str, int]] = []

    async def take(number: int) -> None:
        async with desk.turn():
            told.append(("begins", number))
            await asyncio.sleep(0)
            told.append(("ends", number))

    await asyncio.gather(*(take(number) for number in range(5)))
    assert told == [(what, number) for number in range(5) for what in ("begins", "ends")]


async def test_whoever_comes_when_too_many_wait_is_refused_and_nobody_else(desk: ViewDesk) -> None:
    gate = asyncio.Event()

    async def take() -> None:
        async with desk.turn():
            await gate.wait()

    waiting = [asyncio.ensure_future(take()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="busy"):
        await take()
    waiting[-1].cancel()
    await asyncio.sleep(0)
    late = asyncio.ensure_future(take())  # in the place of the one that gave up
    gate.set()
    results = await asyncio.gather(*waiting, late, return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * (MAX_WAITING - 1) + [
        asyncio.CancelledError,
        type(None),
    ]
