"""What a driver is made of, as interfaces: the real parts stand behind them, and so do the stand-ins of tests."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from consensus.block import Block
from primitives.identifiers import Height, ValidatorIndex
from primitives.instant import Instant
from primitives.signatures import SignatureScheme
from primitives.storage import Reader, Write
from shards.node.clock import Clock
from shards.node.flusher import Batch
from shards.node.logs import Log
from shards.node.metrics import NodeMetrics
from shards.outcome import Execution
from shards.validator.effects import BlockApplied, BlockFinalized, Effect, HeightCertified
from shards.validator.events import BlockLoaded, Event

News = BlockFinalized | BlockApplied | HeightCertified


class Core(Protocol):
    """What is driven: `ValidatorCore`, or a test's stand-in."""

    def handle(self, event: Event, at: Instant) -> tuple[Effect, ...]:
        """Take in one event."""
        ...


class Store(Protocol):
    """Where things become durable: `LmdbStore`, or a test's stand-in."""

    def commit(self, writes: Iterable[Write]) -> None:
        """Return once all of `writes` are durable; called on one thread."""
        ...

    def reader(self) -> AbstractContextManager[Reader]:
        """Open a snapshot."""
        ...


class StateKeeper(Protocol):
    """What brings the state to disk: `Flusher`, or a test's stand-in."""

    def applied(self) -> bool:
        """Count one applied block; True when a flush is due."""
        ...

    def take(self) -> Batch | None:
        """What changed since it was last taken."""
        ...

    def write(self, batch: Batch) -> "Future[None]":
        """Begin to make it durable."""
        ...

    def close(self) -> None:
        """Wait for what was begun."""
        ...


class Outlet(Protocol):
    """The links to the other validators of the shard."""

    def send(self, to: ValidatorIndex, raw: bytes) -> None:
        """Send to one peer; may be lost."""
        ...

    def broadcast(self, raw: bytes) -> None:
        """Send to every peer; may be lost."""
        ...


@dataclass(frozen=True)
class Parts:
    """What a driver drives and is served by."""

    core: Core
    execute: Callable[[Block], Execution]
    """`Ledger.execute`; called on one thread, never twice at a time."""
    load_finalized: Callable[[Reader, Height], BlockLoaded]
    answer_archive: Callable[[Reader, bytes], bytes | None]
    pruning_writes: Callable[[Reader, Height], tuple[Write, ...]]
    """Deletes of a bounded piece of the ledger's history below a height."""
    history_blocks: int
    """How many blocks' receipts and messages are kept. The blocks themselves stay: newcomers replay them."""
    scheme: SignatureScheme
    store: Store
    flusher: StateKeeper
    outlet: Outlet
    publish: Callable[[News], None]
    clock: Clock
    metrics: NodeMetrics
    log: Log
