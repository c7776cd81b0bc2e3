"""Calls by transactions that follow each other in a block go to the machine together; asking it costs more than a call.

They are settled one after the other, and each sees what the ones before it did. What is taken from their senders is
taken when they are added: no run can take anything from an account, so whoever can pay then can pay in turn as well.
"""

from collections.abc import Callable
from typing import Final

from contracts.outcomes import Outcome
from primitives.amounts import unpack_amount
from shards.calls.runs import Attempt, invocation_of, note_run, settle_new
from shards.calls.world import LedgerWorld
from shards.receipts import RunReceipt
from shards.working_state import WorkingState

MAX_BATCH = 256
"""Calls handed over at once: a few megabytes with the longest arguments."""

Done = Callable[[RunReceipt], None]


class CallBatch:
    """First runs of calls, in order. Whatever else touches the state flushes before it."""

    def __init__(self, state: WorkingState) -> None:
        self._state: Final = state
        self._waiting: list[tuple[Attempt, Done]] = []

    def __bool__(self) -> bool:
        """Whether any call waits."""
        return bool(self._waiting)

    def add(self, attempt: Attempt, done: Done) -> None:
        """Add a call whose value and gas are in hand; `done` is told its run."""
        self._waiting.append((attempt, done))
        if len(self._waiting) == MAX_BATCH:
            self.flush()

    def flush(self) -> None:
        """Run what waits."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        state = self._state
        values = [int(unpack_amount(attempt.call.value)) for attempt, _ in batch]
        invocations = [invocation_of(state, attempt) for attempt, _ in batch]
        world = LedgerWorld(state, values[0])

        def settle(index: int, outcome: Outcome) -> None:
            attempt, done = batch[index]
            note_run(state, attempt, invocations[index], outcome)
            done(settle_new(state, attempt, outcome))
            world.in_hand = values[index + 1] if index + 1 < len(values) else 0

        state.machine.run(invocations, world, settle)
