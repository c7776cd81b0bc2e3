"""The order in which a driver lets effects happen."""

import asyncio
import threading
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.block import Block
from consensus.effects import Broadcast, CancelTimer, Persist, Send, SetTimer
from primitives.errors import InvariantViolated, Refused
from primitives.identifiers import ZERO_HASH, BlockId, Height, Milliseconds
from primitives.instant import Instant
from primitives.signatures import ED25519
from primitives.storage import Write
from shards.node.archive_desk import MAX_REQUESTS_IN_HAND
from shards.node.clock import system_clock
from shards.node.commits import CommitQueue
from shards.node.faults import Halted, StorageFault
from shards.node.logs import Log
from shards.node.timers import Timers
from shards.node.workers import CHUNK_SIGNATURES
from shards.outcome import Execution
from shards.validator.effects import (
    Answer,
    BlockFinalized,
    Effect,
    ExecuteBlock,
    Halt,
    LoadFinalized,
    Publish,
    ServeArchive,
    Submission,
    VerifySignatures,
)
from shards.validator.events import (
    BlockExecuted,
    BlockLoaded,
    BundleSubmitted,
    Event,
    PeerSent,
    SignaturesChecked,
    Started,
    TimerFired,
    TransactionsSubmitted,
)
from tests.node.fakes import GatedStore, a_log
from tests.node.rig import PEER, Rig, Script, batch_of, persist, reached, write
from tests.node.support import key_of, seed_of


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.booleans(), max_size=6), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_nothing_leaves_before_everything_persisted_before_it_is_durable(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bool]], dice: "object"
) -> None:
    """Batches of effects (True: persist, False: send) against a store that lets commits through at any time."""
    persisted = 0
    needed: list[tuple[bytes, int]] = []
    scripts: list[tuple[Effect, ...]] = []
    for batch in batches:
        effects: list[Effect] = []
        for is_persist in batch:
            if is_persist:
                effects.append(persist(persisted))
                persisted += 1
            else:
                raw = len(needed).to_bytes(4, "big")
                needed.append((raw, persisted))
                effects.append(Broadcast(raw) if len(needed) % 2 else Send(PEER, raw))
        scripts.append(tuple(effects))

    async def run() -> None:
        waiting = iter(scripts)
        with a_log(tmp_path_factory.mktemp("log")) as log:
            async with Rig(log, lambda _: next(waiting)) as rig:
                for _ in scripts:
                    rig.driver.post(TimerFired("x"))
                    if dice.random() < 0.5:  # type: ignore[attr-defined]  # hypothesis' Random
                        rig.store.let_through()
                    await asyncio.sleep(0)
                rig.store.let_all_through()
                await reached(lambda: len(rig.outlet.left) == len(needed) and len(rig.store.durable) == persisted)
                assert rig.sent() == [raw for raw, _ in needed]
                for (_, durable), (_, before) in zip(rig.outlet.left, needed, strict=True):
                    assert durable >= before
                assert rig.store.durable == [write(number) for number in range(persisted)]

    asyncio.run(run())


async def test_events_are_handled_while_a_commit_is_under_way_and_one_commit_serves_many(log: Log) -> None:
    effects = iter([(persist(0), Send(PEER, b"0")), (persist(1), Send(PEER, b"1")), (persist(2), Send(PEER, b"2"))])
    async with Rig(log, lambda _: next(effects)) as rig:
        for name in "abc":
            rig.driver.post(TimerFired(name))
        await reached(lambda: len(rig.core.heard) == 3)
        assert rig.sent() == []
        rig.store.let_all_through()
        await reached(lambda: len(rig.sent()) == 3)
        assert len(rig.store.groups) <= 2


async def test_timers_signatures_and_execution_do_not_wait_for_the_disk(log: Log) -> None:
    message, seed = b"m", seed_of("alice")
    items = ((key_of("alice"), message, ED25519.sign(seed, message)),)
    block, execution = cast("Block", object()), cast("Execution", object())

    def script(event: Event) -> tuple[Effect, ...]:
        if isinstance(event, Started):
            soon = system_clock().monotonic_ms + 1
            return (
                persist(0),
                Send(PEER, b"late"),
                SetTimer("t", soon),
                VerifySignatures(7, items),
                ExecuteBlock(block),
            )
        return ()

    async with Rig(log, script, execute=lambda _: execution) as rig:
        rig.driver.start()
        await reached(lambda: len(rig.core.heard) == 4)
        assert TimerFired("t") in rig.core.heard
        assert SignaturesChecked(7, (True,)) in rig.core.heard
        assert BlockExecuted(execution) in rig.core.heard
        assert rig.sent() == []


async def test_answers_news_and_reads_wait_for_the_disk(log: Log) -> None:
    news = BlockFinalized(Height(1), BlockId(ZERO_HASH), ())
    done = (Submission("accepted", b"id"),)

    def script(event: Event) -> tuple[Effect, ...]:
        if isinstance(event, TransactionsSubmitted):
            writes = Persist((Write("t", b"k", b"block"),))
            return (
                writes,
                Answer(event.request, done),
                Publish(news),
                LoadFinalized(Height(1)),
                ServeArchive(PEER, b"k"),
            )
        return ()

    async with Rig(log, script) as rig:
        asking = asyncio.create_task(rig.driver.submit_transactions((b"x",)))
        await reached(lambda: rig.core.heard)
        await asyncio.sleep(0)
        assert (asking.done(), rig.published, rig.sent()) == (False, [], [])
        rig.store.let_all_through()
        assert await asking == done
        await reached(lambda: len(rig.core.heard) == 2 and rig.sent())
        assert rig.published == [news]
        assert rig.core.heard[1] == BlockLoaded(Height(1), b"block", None)
        assert rig.sent() == [b"block"]


async def test_a_failed_commit_ends_the_run_and_nothing_that_waited_leaves(log: Log) -> None:
    def script(event: Event) -> tuple[Effect, ...]:
        return (persist(0), Send(PEER, b"vote")) if isinstance(event, Started) else ()

    async with Rig(log, script) as rig:
        rig.store.fault = StorageFault("EIO")
        rig.flusher.batches = [batch_of(1)]
        rig.driver.start()
        asking = asyncio.create_task(rig.driver.submit_bundle(b"x"))
        await reached(lambda: len(rig.core.heard) == 2)
        rig.store.let_all_through()
        with pytest.raises(StorageFault, match="EIO"):
            await rig.driver.run()
        with pytest.raises(Refused, match="stopping"):
            await asking
        rig.driver.post(TimerFired("too late"))
        await rig.driver.close()
        assert rig.sent() == []
        assert rig.flusher.written == []
        assert len(rig.core.heard) == 2
        assert isinstance(rig.core.heard[1], BundleSubmitted)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (lambda _: (Send(PEER, b"fine"), Halt("two truths"), Send(PEER, b"unsafe")), Halted),
        (lambda _: 1 // 0, ZeroDivisionError),
    ],
)
async def test_a_halt_or_a_mistake_in_the_core_ends_the_run(log: Log, script: Script, error: type[Exception]) -> None:
    async with Rig(log, script) as rig:
        rig.driver.start()
        with pytest.raises(error):
            await rig.driver.run()
        assert b"unsafe" not in rig.sent()


async def test_an_execution_that_breaks_an_invariant_ends_the_run(log: Log) -> None:
    def broken(_: Block) -> Execution:
        raise InvariantViolated("money was made")

    async with Rig(log, lambda _: (ExecuteBlock(cast("Block", object())),), execute=broken) as rig:
        rig.driver.start()
        with pytest.raises(InvariantViolated, match="money"):
            await rig.driver.run()


async def test_a_timer_is_replaced_cancelled_and_never_early(log: Log) -> None:
    at = system_clock().monotonic_ms + 20
    effects: dict[str, tuple[Effect, ...]] = {
        "a": (SetTimer("one", at + 100_000), SetTimer("two", at), SetTimer("three", at)),
        "b": (SetTimer("one", at), CancelTimer("three"), CancelTimer("unknown")),
    }
    async with Rig(log, lambda event: effects.get(getattr(event, "name", ""), ())) as rig:
        rig.driver.post(TimerFired("a"))
        rig.driver.post(TimerFired("b"))
        await reached(lambda: len(rig.core.heard) == 4)
        assert {event.name for event in rig.core.heard[2:] if isinstance(event, TimerFired)} == {"one", "two"}
        assert min(instant.monotonic_ms for instant in rig.core.times[2:]) >= at


async def test_a_timer_waits_for_the_clock_that_the_core_is_told() -> None:
    now = [1000]
    fired: list[tuple[str, int]] = []

    def clock() -> Instant:
        now[0] += 1
        return Instant(now[0], Milliseconds(0))

    timers = Timers(clock, lambda name: fired.append((name, now[0])))
    timers.set("t", 1005)
    await reached(lambda: fired)
    assert fired[0][1] >= 1005


async def test_nothing_is_committed_after_a_failed_commit() -> None:
    store = GatedStore(open_gate=True)
    store.fault = StorageFault("EIO")
    faults: list[Exception] = []
    commits = CommitQueue(store, lambda ticket, seconds: None, faults.append)
    commits.submit((write(0),))
    await reached(lambda: faults)
    store.fault = None
    commits.submit((write(1),))
    await commits.close()
    assert store.durable == []


async def test_many_signatures_are_checked_in_chunks_and_answered_once_in_order(log: Log) -> None:
    count = 2 * CHUNK_SIGNATURES + 5
    bad = {0, CHUNK_SIGNATURES, count - 1}
    signature = ED25519.sign(seed_of("alice"), b"m")
    items = tuple((key_of("alice"), b"x" if n in bad else b"m", signature) for n in range(count))

    def script(event: Event) -> tuple[Effect, ...]:
        return (VerifySignatures(1, items), VerifySignatures(2, ())) if isinstance(event, Started) else ()

    async with Rig(log, script) as rig:
        rig.driver.start()
        await reached(lambda: len(rig.core.heard) == 3)
        assert SignaturesChecked(1, tuple(n not in bad for n in range(count))) in rig.core.heard
        assert SignaturesChecked(2, ()) in rig.core.heard


async def test_a_peer_that_asks_for_history_without_end_waits_for_its_answers(log: Log) -> None:
    reading, asked = threading.Event(), []

    def slow(_: object, request: bytes) -> bytes:
        reading.wait(10)
        asked.append(request)
        return request

    floods = tuple(ServeArchive(PEER, bytes([number])) for number in range(100))
    async with Rig(log, lambda _: floods, open_gate=True, answer_archive=slow) as rig:
        rig.driver.start()
        await reached(lambda: rig.core.heard)
        reading.set()
        await reached(lambda: len(rig.sent()) == MAX_REQUESTS_IN_HAND)
        rig.driver.start()
        await reached(lambda: len(rig.sent()) == 2 * MAX_REQUESTS_IN_HAND)
        assert len(asked) == 2 * MAX_REQUESTS_IN_HAND


async def test_a_peer_that_sends_more_than_is_handled_is_held_back(log: Log) -> None:
    async with Rig(log, lambda _: ()) as rig:
        await asyncio.wait_for(rig.driver.deliver(PEER, [b"x"]), 5)
        flood = asyncio.create_task(rig.driver.deliver(PEER, [bytes(2**20)] * 9))
        await asyncio.sleep(0)
        assert not flood.done()
        await asyncio.wait_for(flood, 5)
        await reached(lambda: len(rig.core.heard) == 10)
        assert all(isinstance(event, PeerSent) for event in rig.core.heard)


async def test_too_many_waiting_requests_are_told_to_come_back(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.node.driver.MAX_REQUESTS", 1)
    async with Rig(log, lambda _: ()) as rig:
        first = asyncio.create_task(rig.driver.submit_transactions((b"x",)))
        await reached(lambda: rig.core.heard)
        with pytest.raises(Refused, match="busy"):
            await rig.driver.submit_transactions((b"y",))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(rig.driver.submit_transactions((b"y",)))
        await reached(lambda: len(rig.core.heard) == 2)
        second.cancel()


async def test_a_proof_is_made_between_two_blocks_and_never_during_one(log: Log) -> None:
    """Proofs asked for while a block is executed run after it is applied and before the next one begins."""
    executing = asyncio.Event()
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()
    order: list[str] = []

    def execute(block: Block) -> Execution:
        loop.call_soon_threadsafe(executing.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        order.append(f"execute {block}")
        return cast("Execution", block)

    def script(event: Event) -> tuple[Effect, ...]:
        if isinstance(event, Started):
            return (ExecuteBlock(cast("Block", 1)),)
        if isinstance(event, BlockExecuted):
            order.append(f"apply {event.execution}")
            return (ExecuteBlock(cast("Block", 2)),) if cast("int", event.execution) == 1 else ()
        return ()

    async with Rig(log, script, execute=execute) as rig:
        rig.driver.start()
        await executing.wait()
        proof = asyncio.create_task(rig.driver.between_blocks(lambda: order.append("prove")))
        await asyncio.sleep(0)
        go_on.set()
        await proof
        await reached(lambda: len(order) == 5)
        assert order == ["execute 1", "apply 1", "prove", "execute 2", "apply 2"]
        await rig.driver.between_blocks(lambda: order.append("prove"))
        assert order[-1] == "prove"


async def test_a_question_that_fails_is_its_askers_and_a_failing_store_is_everybodys(log: Log) -> None:
    def refuse(_: object) -> None:
        raise Refused("not_found", "no such thing")

    def fail(_: object) -> None:
        raise StorageFault("corrupt record")

    async with Rig(log, lambda _: (), open_gate=True) as rig:
        with pytest.raises(Refused):
            await rig.driver.query(refuse)
        assert await rig.driver.query(lambda _: 5) == 5
        with pytest.raises(StorageFault):
            await rig.driver.query(fail)
        with pytest.raises(StorageFault):
            await rig.driver.run()
