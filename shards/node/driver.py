"""The loop that owns a validator core: events in, `handle`, effects out, in their order.

    event queue -> core.handle(event, now) -> effects
                                                |- Persist: to the commit thread, which gives it a ticket
                                                |- inward (timers, signatures, execution): at once
                                                '- outward (sends, answers, news, reads): held until every ticket
                                                   given before is durable, then released in order

So nothing leaves the process before what it rests on is on disk, while the loop never waits for a fsync: further
events are handled meanwhile and their outward effects queue up behind. One fsync serves all commits that wait.

Whatever goes wrong on our side (an exception in the core, a failed commit, a corrupt record, `Halt`) ends the run
at once: nothing that is still held leaves, and `run` raises.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from consensus.block import Block
from consensus.effects import Broadcast, CancelTimer, Note, Persist, Send, SetTimer
from primitives.errors import Refused, invariant
from primitives.identifiers import Height, ValidatorIndex
from primitives.storage import Reader, Write
from shards.node.archive_desk import ArchiveDesk
from shards.node.backlog import Backlog
from shards.node.commits import CommitQueue
from shards.node.faults import Halted
from shards.node.flusher import FLUSH_DELAY_S, Batch
from shards.node.logs import LOUD_NOTES
from shards.node.parts import Parts
from shards.node.timers import Timers
from shards.node.workers import SignedItem, Workers
from shards.outcome import Execution
from shards.validator.effects import (
    Answer,
    BlockApplied,
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
    BundleSubmitted,
    Event,
    PeerSent,
    SignaturesChecked,
    Started,
    TimerFired,
    TransactionsSubmitted,
)

T = TypeVar("T")

TURN_MS = 5
"""How long events are handled before the loop looks at its sockets again."""

MAX_REQUESTS = 1024
"""Clients' requests that wait for an answer; more are told to come back."""


class Driver:
    """Runs one core. Make it, and everything it drives, inside the running event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._workers = Workers(parts.scheme, parts.metrics, self.fail)
        self._commits = CommitQueue(parts.store, self._on_durable, self.fail)
        self._archive = ArchiveDesk(parts.answer_archive, self._read_soon, self._send, parts.log)
        self._timers = Timers(parts.clock, lambda name: self.post(TimerFired(name)))
        self._events: deque[Event] = deque()
        self._turn_scheduled = False
        self._held: deque[tuple[int, Effect | Batch]] = deque()
        self._durable = 0
        self._requests: dict[int, asyncio.Future[tuple[Submission, ...]]] = {}
        self._last_request = 0
        self._backlogs: dict[ValidatorIndex, Backlog] = {}
        self._executing = False
        self._proofs: deque[Callable[[], None]] = deque()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flushes: set[asyncio.Future[None]] = set()
        self._ended = False
        self._failed = False
        self._late_fault: BaseException | None = None
        """What went wrong after the run was over: in the last commits or the last flush."""
        self._outcome: asyncio.Future[None] = self._loop.create_future()

    # Events in

    def start(self) -> None:
        """Tell the core that the process is up."""
        self.post(Started())

    def post(self, event: Event) -> None:
        """Queue an event; nothing is handled before the present loop turn is over."""
        self._events.append(event)
        if not self._turn_scheduled and not self._ended:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    async def deliver(self, peer: ValidatorIndex, messages: list[bytes]) -> None:
        """Queue what a peer sent; returns when there is room for more from it."""
        backlog = self._backlogs.setdefault(peer, Backlog())
        for raw in messages:
            backlog.add(len(raw))
            self.post(PeerSent(peer, raw))
        await backlog.room.wait()

    async def submit_transactions(self, raws: tuple[bytes, ...]) -> tuple[Submission, ...]:
        """Hand transactions to the core and wait for its answer; `Refused("busy")` when too many wait already."""
        return await self._ask(lambda request: TransactionsSubmitted(request, raws))

    async def submit_bundle(self, raw: bytes) -> Submission:
        """Hand a bundle to the core and wait for its answer; `Refused("busy")` when too many wait already."""
        return (await self._ask(lambda request: BundleSubmitted(request, raw)))[0]

    async def _ask(self, event: Callable[[int], Event]) -> tuple[Submission, ...]:
        self._refuse_when_ended()
        if len(self._requests) >= MAX_REQUESTS:
            raise Refused("busy", f"{MAX_REQUESTS} requests wait for an answer already; try again in a second")
        self._last_request += 1
        request = self._last_request
        future: asyncio.Future[tuple[Submission, ...]] = self._loop.create_future()
        self._requests[request] = future
        try:
            self.post(event(request))
            return await future
        finally:
            del self._requests[request]

    def _refuse_when_ended(self) -> None:
        if self._ended:
            raise _stopping()

    # Reads

    async def query(self, question: Callable[[Reader], T]) -> T:
        """Ask the chain store something on a reading thread; raises what `question` raises."""
        self._refuse_when_ended()
        answer: asyncio.Future[T] = self._loop.create_future()
        self._workers.read(
            lambda: self._read(question),
            lambda value: _resolve(answer, value),
            lambda error: _reject(answer, error),
        )
        return await answer

    def _read(self, question: Callable[[Reader], T]) -> T:
        with self._parts.store.reader() as reader:
            return question(reader)

    def _read_soon(self, question: Callable[[Reader], T], answer: Callable[[T], None]) -> None:
        self._workers.read(lambda: self._read(question), answer)

    async def between_blocks(self, job: Callable[[], T]) -> T:
        """Run a job on the executing thread while what is executed is exactly what is applied (state proofs)."""
        self._refuse_when_ended()
        answer: asyncio.Future[T] = self._loop.create_future()

        def start() -> None:
            self._workers.execute(job, lambda value: _resolve(answer, value), lambda error: _reject(answer, error))

        if self._executing:
            self._proofs.append(start)
        else:
            start()
        return await answer

    # The turn

    def _turn(self) -> None:
        self._turn_scheduled = False
        until_ms = self._parts.clock().monotonic_ms + TURN_MS
        while self._events and not self._ended:
            event = self._events.popleft()
            if isinstance(event, PeerSent):
                self._backlogs[event.peer].remove(len(event.raw))
            elif isinstance(event, BlockExecuted):
                self._executing = False
            at = self._parts.clock()
            try:
                self._take(self._parts.core.handle(event, at))
            except Exception as error:  # noqa: BLE001 - whatever it is, the core's state can no longer be trusted
                self.fail(error)
            if not self._executing:
                self._start_proofs()
            if at.monotonic_ms >= until_ms:
                break
        if self._events and not self._ended:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _take(self, effects: tuple[Effect, ...]) -> None:
        """Start what stays inside, hold or release what leaves."""
        for effect in effects:
            match effect:
                case Persist(writes):
                    if writes:
                        self._commits.submit(writes)
                case SetTimer(name, at_ms):
                    self._timers.set(name, at_ms)
                case CancelTimer(name):
                    self._timers.cancel(name)
                case VerifySignatures(batch, items):
                    self._verify(batch, items)
                case ExecuteBlock(block):
                    self._execute(block)
                case Note(name, detail):
                    self._note(name, detail)
                case Halt(reason):
                    self.fail(Halted(reason))
                    return
                case _:
                    self._hold(effect)
                    if isinstance(effect, Publish) and isinstance(effect.news, BlockApplied):
                        self._count_applied()

    def _hold(self, effect: "Effect | Batch") -> None:
        if self._durable == self._commits.last_ticket:
            self._release(effect)
        else:
            self._held.append((self._commits.last_ticket, effect))

    def _on_durable(self, ticket: int, seconds: float) -> None:
        self._parts.metrics.commit_seconds.observe(seconds)
        self._durable = ticket
        try:
            while self._held and self._held[0][0] <= ticket and not self._ended:
                self._release(self._held.popleft()[1])
        except Exception as error:  # noqa: BLE001 - what should have left after it would be lost without a word
            self.fail(error)

    def _release(self, effect: "Effect | Batch") -> None:
        match effect:
            case Send(to, raw):
                self._send(to, raw)
            case Broadcast(raw):
                self._parts.outlet.broadcast(raw)
            case Answer(request, results):
                _resolve(self._requests.get(request), results)
            case Publish(news):
                self._parts.publish(news)
            case LoadFinalized(height):
                self._read_soon(lambda reader: self._parts.load_finalized(reader, height), self.post)
            case ServeArchive(peer, request):
                self._archive.serve(peer, request)
            case Batch():
                self._write_state(effect)
            case _:
                invariant(condition=False, why=f"{type(effect).__name__} is not an outward effect")

    def _send(self, to: ValidatorIndex, raw: bytes) -> None:
        if not self._ended:
            self._parts.outlet.send(to, raw)

    # Effects

    def _verify(self, batch: int, items: tuple[SignedItem, ...]) -> None:
        self._workers.verify(items, lambda verdicts: self.post(SignaturesChecked(batch, verdicts)))

    def _execute(self, block: Block) -> None:
        self._start_proofs()
        self._executing = True
        self._workers.execute(
            lambda: self._timed_execution(block), lambda execution: self.post(BlockExecuted(execution))
        )

    def _timed_execution(self, block: Block) -> Execution:
        began = time.perf_counter()
        execution = self._parts.execute(block)
        self._parts.metrics.execute_seconds.observe(time.perf_counter() - began)
        return execution

    def _start_proofs(self) -> None:
        while self._proofs:
            self._proofs.popleft()()

    def _note(self, name: str, detail: str) -> None:
        self._parts.metrics.notes.labels(name).inc()
        say = self._parts.log.error if name in LOUD_NOTES else self._parts.log.debug
        say("note", name=name, detail=detail)

    # The durable state

    def _count_applied(self) -> None:
        if self._parts.flusher.applied():
            self._flush()
        elif self._flush_timer is None:
            self._flush_timer = self._loop.call_later(FLUSH_DELAY_S, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        batch = None if self._ended else self._parts.flusher.take()
        if batch is not None:
            self._hold(batch)

    def _write_state(self, batch: Batch) -> None:
        future = asyncio.wrap_future(self._parts.flusher.write(batch))
        self._flushes.add(future)
        future.add_done_callback(lambda done: self._flushed(done, batch))

    def _flushed(self, done: "asyncio.Future[None]", batch: Batch) -> None:
        self._flushes.discard(done)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self.fail(error)
        else:
            self._parts.metrics.flushed_height.set(batch.applied.height)
            self._prune(batch.applied.height)

    def _prune(self, flushed: Height) -> None:
        """Forget a piece of the history that is older than the store keeps; nothing waits for it."""
        if flushed <= self._parts.history_blocks or self._ended:
            return
        below = Height(flushed - self._parts.history_blocks)
        self._read_soon(lambda reader: self._parts.pruning_writes(reader, below), self._commit_pruning)

    def _commit_pruning(self, writes: tuple[Write, ...]) -> None:
        if writes and not self._ended:
            self._commits.submit(writes)

    # The end

    def fail(self, error: BaseException) -> None:
        """End the run at once; nothing that is held leaves. The first error is the one that `run` raises."""
        if not self._outcome.done():
            self._outcome.set_exception(error)
        elif self._late_fault is None:
            self._late_fault = error
        self._failed = True
        self._end()

    def stop(self) -> None:
        """End the run cleanly: handle nothing more, keep what was done."""
        if not self._outcome.done():
            self._outcome.set_result(None)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._timers.clear()
        for future in self._requests.values():
            if not future.done():
                future.set_exception(_stopping())
        for backlog in self._backlogs.values():
            backlog.room.set()

    async def run(self) -> None:
        """Wait for the end; raises what went wrong. Call `close` afterwards in either case."""
        await asyncio.shield(self._outcome)

    async def close(self) -> None:
        """Commit what waits and, after a clean stop, flush the state; then end the threads.

        Raises:
            StorageFault: the last commits or the flush failed.

        """
        self.stop()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        await self._commits.close()
        await asyncio.sleep(0)  # what the commit thread said last is heard in this turn
        if not self._failed:
            batches = [effect for _, effect in self._held if isinstance(effect, Batch)]
            last = self._parts.flusher.take()
            for batch in (*batches, last) if last is not None else batches:
                self._write_state(batch)
        while self._flushes:
            await asyncio.wait(self._flushes)
            await asyncio.sleep(0)  # their callbacks take them out
        await asyncio.to_thread(self._workers.close)
        await asyncio.to_thread(self._parts.flusher.close)
        late, self._late_fault = self._late_fault, None
        if late is not None and self._outcome.exception() is None:
            raise late


def _resolve(future: "asyncio.Future[T] | None", value: T) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def _reject(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _stopping() -> Refused:
    return Refused("stopping", "this validator is stopping; use another one of the shard")
