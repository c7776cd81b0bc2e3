"""Stand-ins for what a driver is made of."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from consensus.block import Block
from primitives.identifiers import Height, ValidatorIndex
from primitives.instant import Instant
from primitives.signatures import ED25519
from primitives.storage import Reader, Write
from shards.node.clock import system_clock
from shards.node.faults import StorageFault
from shards.node.flusher import Batch
from shards.node.logs import Log, open_log
from shards.node.metrics import NodeMetrics
from shards.node.parts import News, Parts
from shards.outcome import Execution
from shards.validator.effects import Effect
from shards.validator.events import BlockLoaded, Event


class ScriptedCore:
    """Answers every event with what `script` says, and remembers what it heard."""

    def __init__(self, script: Callable[[Event], tuple[Effect, ...]]) -> None:
        self.script = script
        self.heard: list[Event] = []
        self.times: list[Instant] = []

    def handle(self, event: Event, at: Instant) -> tuple[Effect, ...]:
        self.heard.append(event)
        self.times.append(at)
        return self.script(event)


class GatedStore:
    """A store whose commits wait for `let_through`, and which can be made to fail."""

    def __init__(self, *, open_gate: bool = False) -> None:
        self.durable: list[Write] = []
        self.groups: list[int] = []
        self.fault: Exception | None = None
        self._permits = threading.Semaphore(0)
        self._open = open_gate

    def let_through(self, commits: int = 1) -> None:
        self._permits.release(commits)

    def let_all_through(self) -> None:
        self._open = True
        self._permits.release()

    def commit(self, writes: Iterable[Write]) -> None:
        if not self._open:
            self._permits.acquire()
        if self.fault is not None:
            raise self.fault
        writes = list(writes)
        self.durable.extend(writes)
        self.groups.append(len(writes))

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        yield cast("Reader", {write.key: write.value for write in self.durable})


class Outlet:
    """Remembers what left, and how much was durable by then."""

    def __init__(self, store: GatedStore) -> None:
        self.store = store
        self.left: list[tuple[bytes, int]] = []

    def send(self, to: ValidatorIndex, raw: bytes) -> None:
        self.left.append((raw, len(self.store.durable)))

    def broadcast(self, raw: bytes) -> None:
        self.left.append((raw, len(self.store.durable)))


class FakeFlusher:
    """Gives out prepared batches; `written` says which were written, and how much was durable by then."""

    def __init__(self, store: GatedStore) -> None:
        self.store = store
        self.due = False
        self.batches: list[Batch] = []
        self.written: list[tuple[Batch, int]] = []
        self.closed = False

    def applied(self) -> bool:
        return self.due

    def take(self) -> Batch | None:
        return self.batches.pop(0) if self.batches else None

    def write(self, batch: Batch) -> "Future[None]":
        self.written.append((batch, len(self.store.durable)))
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def close(self) -> None:
        self.closed = True


def no_execution(_block: Block) -> Execution:
    raise StorageFault("this test executes nothing")


def make_parts(core: ScriptedCore, store: GatedStore, published: list[News], log: Log) -> Parts:
    return Parts(
        core=core,
        execute=no_execution,
        load_finalized=lambda reader, height: BlockLoaded(
            Height(height), cast("dict[bytes, bytes]", reader).get(b"k"), None
        ),
        answer_archive=lambda reader, request: cast("dict[bytes, bytes]", reader).get(request),
        pruning_writes=lambda _reader, below: (Write("t", b"pruned", below.to_bytes(2, "big")),),
        history_blocks=100,
        scheme=ED25519,
        store=store,
        flusher=FakeFlusher(store),
        outlet=Outlet(store),
        publish=published.append,
        clock=system_clock,
        metrics=NodeMetrics(),
        log=log,
    )


@contextmanager
def a_log(folder: Path) -> Iterator[Log]:
    with open_log(folder / "log.jsonl", "debug") as log:
        yield log
