"""Filling a block's room with waiting transactions: what fits, and what may be included now."""

from primitives.identifiers import ShardId
from shards.gas import OPERATION_GAS, TRANSACTION_GAS
from shards.sender_queues import Entry
from shards.transactions import SignedTransaction, destination_of

MAX_MISFITS = 16
"""Transactions too large for what is left of a block before it counts as full."""


class Selection:
    """A block's room while it is being filled."""

    def __init__(self, max_gas: int, max_bytes: int, max_items: int, time_ms: int, blocked: frozenset[ShardId]) -> None:
        self.chosen: list[SignedTransaction] = []
        self._gas = max_gas
        self._bytes = max_bytes
        self._items = max_items
        self._time_ms = time_ms
        self._blocked = blocked
        self._misfits = 0

    def is_full(self) -> bool:
        """Whether not even the smallest transaction fits any more, or too many did not to go on looking."""
        return (
            len(self.chosen) >= self._items
            or self._gas < TRANSACTION_GAS + OPERATION_GAS
            or self._bytes <= 0
            or self._misfits >= MAX_MISFITS
        )

    def take(self, entry: Entry | None) -> bool:
        """Choose it if there is one, and it fits and may be included."""
        if entry is None or self.is_full():
            return False
        if entry.gas > self._gas or entry.size > self._bytes:
            self._misfits += 1
            return False
        body = entry.transaction.body
        if body.valid_until_ms < self._time_ms:
            return False
        if self._blocked and any(destination_of(operation) in self._blocked for operation in body.operations):
            return False
        self._gas -= entry.gas
        self._bytes -= entry.size
        self.chosen.append(entry.transaction)
        return True
