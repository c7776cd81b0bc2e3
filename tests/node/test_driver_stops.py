"""What a driver has made durable when it stops, cleanly or not, and what it has forgotten."""

import asyncio
from concurrent.futures import Future
from typing import cast

import pytest

from primitives.identifiers import ZERO_HASH, BlockId, Height
from primitives.storage import Write
from shards.node.faults import StorageFault
from shards.node.flusher import Batch
from shards.node.logs import Log
from shards.node.parts import News
from shards.outcome import Execution
from shards.validator.effects import (
    BlockApplied,
    BlockFinalized,
    Publish,
)
from tests.node.rig import Rig, batch_of, persist, reached, write


async def test_the_state_is_flushed_only_after_everything_persisted_before_it(log: Log) -> None:
    applied = Publish(BlockApplied(cast("Execution", object())))

    async with Rig(log, lambda _: (persist(0), applied)) as rig:
        rig.flusher.due = True
        rig.flusher.batches = [batch_of(1), batch_of(2)]
        rig.driver.start()
        await reached(lambda: rig.core.heard)
        assert rig.flusher.written == []
        rig.store.let_through()
        await reached(lambda: rig.flusher.written)
        assert rig.flusher.written == [(batch_of(1), 1)]
        rig.driver.stop()
        rig.store.let_all_through()
        await rig.driver.close()
        assert [batch for batch, _ in rig.flusher.written] == [batch_of(1), batch_of(2)]


@pytest.mark.parametrize(("height", "forgotten"), [(100, []), (120, [Write("t", b"pruned", (20).to_bytes(2, "big"))])])
async def test_history_older_than_the_store_keeps_is_forgotten_once_the_state_is_durable(
    log: Log, height: int, forgotten: list[Write]
) -> None:
    applied = Publish(BlockApplied(cast("Execution", object())))

    async with Rig(log, lambda _: (persist(0), applied), open_gate=True) as rig:
        rig.flusher.due = True
        rig.flusher.batches = [batch_of(height)]
        rig.driver.start()
        await reached(lambda: rig.flusher.written)
        if forgotten:
            await reached(lambda: len(rig.store.durable) > 1)
        rig.driver.stop()
        await rig.driver.close()
        assert rig.store.durable[1:] == forgotten


async def test_a_clean_stop_commits_what_waits_and_flushes_the_state_in_order(log: Log) -> None:
    applied = Publish(BlockApplied(cast("Execution", object())))
    async with Rig(log, lambda _: (persist(0), applied)) as rig:
        rig.flusher.due = True
        rig.flusher.batches = [batch_of(1), batch_of(2)]
        rig.driver.start()
        await reached(lambda: rig.core.heard)
        closing = asyncio.create_task(rig.driver.close())
        await asyncio.sleep(0)
        rig.store.let_all_through()
        await closing
        await rig.driver.run()
        assert rig.store.durable == [write(0)]
        assert rig.flusher.written == [(batch_of(1), 1), (batch_of(2), 1)]
        assert rig.flusher.closed


async def test_a_commit_that_fails_while_stopping_is_told_and_the_state_stays_behind_the_chain(log: Log) -> None:
    async with Rig(log, lambda _: (persist(0),)) as rig:
        rig.flusher.batches = [batch_of(1)]
        rig.driver.start()
        await reached(lambda: rig.core.heard)
        rig.store.fault = StorageFault("ENOSPC")
        rig.driver.stop()
        await rig.driver.run()
        rig.store.let_all_through()
        with pytest.raises(StorageFault, match="ENOSPC"):
            await rig.driver.close()
        assert rig.flusher.written == [], "its receipts and messages are not on disk"


async def test_a_flush_that_fails_while_stopping_is_told(log: Log) -> None:
    def broken(_: Batch) -> "Future[None]":
        future: Future[None] = Future()
        future.set_exception(StorageFault("EIO"))
        return future

    async with Rig(log, lambda _: (), open_gate=True) as rig:
        rig.flusher.batches = [batch_of(1)]
        rig.flusher.write = broken  # type: ignore[assignment, method-assign]
        with pytest.raises(StorageFault, match="EIO"):
            await rig.driver.close()


async def test_any_mistake_in_committing_or_telling_ends_the_run(log: Log) -> None:
    async with Rig(log, lambda _: (persist(0),), open_gate=True) as rig:
        rig.store.fault = TypeError("a key that is no bytes")
        rig.driver.start()
        with pytest.raises(TypeError, match="no bytes"):
            await asyncio.wait_for(rig.driver.run(), 5)

    def publish(_: News) -> None:
        raise KeyError("subscriber")

    news = BlockFinalized(Height(1), BlockId(ZERO_HASH), ())
    async with Rig(log, lambda _: (persist(0), Publish(news)), open_gate=True, publish=publish) as rig:
        rig.driver.start()
        with pytest.raises(KeyError, match="subscriber"):
            await asyncio.wait_for(rig.driver.run(), 5)
