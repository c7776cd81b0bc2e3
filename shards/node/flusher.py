"""Brings the state to disk in batches, never ahead of the chain.

A restart executes again what came after the flushed height. So a flush may happen only once everything that was
written for its height (receipts, messages, commitments) is durable in the chain store; the driver's order sees to it.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from shards.ledger import Ledger
from shards.node.state_store import Applied, StateStore

FLUSH_BLOCKS = 20
"""One flush of 20 blocks costs a third of 20 flushes; a restart replays at most this many, and those in the works."""

FLUSH_DELAY_S = 5.0
"""After this long without reaching FLUSH_BLOCKS the state is flushed anyway."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that changed since the last flush, and the block it leads to."""

    applied: Applied
    changes: Mapping[bytes, bytes | None]


class Flusher:
    """Counts applied blocks, says when a flush is due and writes it on a thread of its own."""

    def __init__(self, ledger: Ledger, store: StateStore) -> None:
        self._ledger = ledger
        self._store = store
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._blocks = 0

    def applied(self) -> bool:
        """Count one applied block; True when a flush is due."""
        self._blocks += 1
        return self._blocks >= FLUSH_BLOCKS

    def take(self) -> Batch | None:
        """Take what changed, on the loop's thread; None when nothing did."""
        self._blocks = 0
        flush = self._ledger.take_flush()
        if flush is None:
            return None
        applied = Applied(
            height=flush.height, block_id=self._ledger.block_id, state_root=self._ledger.commitment.state_root
        )
        return Batch(applied, flush.changes)

    def write(self, batch: Batch) -> "Future[None]":
        """Make a batch durable on the thread; batches are written in the order in which they come."""
        return self._thread.submit(self._store.flush, batch.applied, batch.changes)

    def close(self) -> None:
        """End the thread after what it is doing."""
        self._thread.shutdown(wait=True)
