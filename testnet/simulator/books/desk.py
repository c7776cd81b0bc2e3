"""What is on the table while one block is booked: its receipts, notes and sent messages, taken off in order."""

from collections import deque
from typing import TYPE_CHECKING

import msgpack

from consensus.block import Block
from shards.outcome import Execution, RunNote
from testnet.simulator.books.records import (
    PATIENCE,
    REPLY_RECEIPT,
    RUN_RECEIPT,
    Fields,
    Queued,
    ShardBooks,
    Timer,
    number,
    value_of,
)
from testnet.simulator.faults import Name
from testnet.simulator.findings import Findings

if TYPE_CHECKING:
    from testnet.simulator.books.books import Books

_CALLS, _TIMERS = b"\x0a\0\0", b"\x0c\0\0"
"""What the raw keys of calls under way and of timers begin with."""


class Desk:
    """One block of one shard, as whoever executes it first has it."""

    def __init__(
        self, books: "Books", findings: Findings, shard: ShardBooks, node: Name, block: Block, execution: Execution
    ) -> None:
        self.all = books
        self.books = shard
        self.block = block
        self.execution = execution
        self.height = block.header.height
        self.time_ms = block.header.time_ms
        self.receipts: deque[Fields] = deque(msgpack.unpackb(raw) for raw in execution.receipts)
        self.notes: deque[RunNote] = deque(execution.notes)
        self.patience: dict[bytes, int] = {}
        """Call id -> when its patience ends, of the timers that this block set: no receipt tells them."""
        self._timers: dict[Timer, bool] = {}
        """What the block did with timers: whether each was set, or cleared."""
        for key, value in execution.changes.items():
            if key.startswith(_TIMERS):
                due_ms, kind, call_id = number(key[3:11]), key[11], key[12:]
                self._timers[due_ms, kind, call_id] = value is not None
                if value is not None and kind == PATIENCE:
                    self.patience[call_id] = due_ms
        self._timers_before = frozenset(shard.timers)
        self._sent = deque(execution.sent)
        self._findings = findings
        self._node = node

    def check(self, condition: bool, invariant: str, detail: str) -> None:  # noqa: FBT001 - reads like assert
        """Note a violation unless the condition holds."""
        self._findings.check(condition, invariant, self._node, self.height, detail)

    def fail(self, invariant: str, detail: str) -> None:
        """Note a violation."""
        self.check(condition=False, invariant=invariant, detail=detail)

    def count(self, what: str) -> None:
        """Count an outcome."""
        self.all.outcomes[what] += 1

    def pay(self, account: bytes, amount: int) -> None:
        """Add to an account, or take from it."""
        balance = self.books.balances.get(account, 0) + amount
        self.check(balance >= 0, "V1", "an account pays more than it has")
        self.books.balances[account] = balance

    def next_receipt(self, tag: int) -> Fields | None:
        """Take the next receipt off if it is of this kind."""
        if self.receipts and self.receipts[0][0] == tag:
            return self.receipts.popleft()
        return None

    def was_cleared(self, timer: Timer) -> bool:
        """Whether this block took a timer away."""
        return self._timers.get(timer) is False

    def runs_next(self, call_id: bytes) -> bool:
        """Whether the next receipt is of a run of this call."""
        return bool(self.receipts) and self.receipts[0][:2] == [RUN_RECEIPT, call_id]

    def settles_next(self, call_id: bytes) -> bool:
        """Whether the next receipt is of a reply to this call, so that nobody ran because of it."""
        return bool(self.receipts) and [self.receipts[0][0], self.receipts[0][4]] == [REPLY_RECEIPT, call_id]

    def next_sent(self, destination: int) -> Fields | None:
        """Take the next message that the block sent, which has to go there, and append it where it belongs."""
        if not self._sent or self._sent[0].destination != destination:
            return None
        message = self._sent.popleft()
        if destination == self.books.shard:
            self.check(message.sequence == self.books.queued, "X1", "a queued message leaves a gap in the queue")
            self.enqueue(message.body)
        else:
            stream = self.all.streams[self.books.shard, destination]
            self.check(message.sequence == len(stream.bodies), "X1", "a sent message leaves a gap in its stream")
            stream.bodies.append(message.body)
            stream.value_sent += value_of(message.body)
            self.books.sent += value_of(message.body)
        fields: Fields = msgpack.unpackb(message.body)
        self.check(message.call_id == fields[1], "X4", "a message is sent under another call's name")
        return fields

    def enqueue(self, body: bytes, resumes: bytes = b"") -> None:
        """Put something into this shard's queue."""
        self.books.queue.append(Queued(self.height, body, resumes))
        self.books.queued += 1

    def close(self) -> None:
        """Nothing may be left; what calls wait for now is as the state says."""
        for key, value in self.execution.changes.items():
            call = self.books.running.get(key[3:]) if key.startswith(_CALLS) else None
            if call is not None and value is not None:
                call.waits = msgpack.unpackb(value)[18]
        after = self.books.timers
        wrong = [timer for timer in self._timers_before ^ after if self._timers.get(timer) is not (timer in after)]
        wrong += [timer for timer, is_set in self._timers.items() if is_set is not (timer in after)]
        self.check(not wrong, "X4", f"timers are set or cleared that should not be, or the other way round: {wrong}")
        self.check(not self.receipts, "S2", "there are more receipts than the block accounts for")
        self.check(not self.notes, "S2", "there are more runs than the block accounts for")
        self.check(not self._sent, "X2", "a message was sent that nothing in the block accounts for")
