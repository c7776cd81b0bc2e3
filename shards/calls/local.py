"""What a block executes before its items: timers that are due, then this shard's messages to itself, in order.

Both together take at most `LOCAL_GAS` a block: each begins only if what it may use at most is left, and then counts
with what it did use. But the first one always has its turn, so nothing can be too large to ever be executed. What is
queued now waits for the next block.
"""

from primitives.identifiers import CallId, Sequence
from primitives.marks import sometimes
from shards.calls.arrivals import (
    KINDS,
    UNKNOWN,
    Consumed,
    consume_call,
    consume_reply,
    give_up,
    resuming_gas,
    value_of,
)
from shards.calls.queue import clear_timer, dequeue, due_timers, queue_of, queued
from shards.calls.records import RESUME_MARK, TimerKind
from shards.calls.runs import fail_starved, resume, suspended_call
from shards.gas import GAS_PRICE, MESSAGE_GAS, REPLY_GAS
from shards.limits import LOCAL_GAS, MAX_DUE_TIMERS
from shards.messages import Call, Outcome, message_decoder, message_id_of
from shards.receipts import RunCause
from shards.working_state import WorkingState


class Budget:
    """Gas that is left for local work in this block."""

    def __init__(self, state: WorkingState) -> None:
        self._state = state
        self._left = LOCAL_GAS
        self._fees = -1
        """Held fees before the piece of work under way: they grow by what it uses. -1 before the first."""

    def allows(self, gas: int) -> bool:
        """Whether the next piece of work, which uses at most so much, may begin; the first always may."""
        fees = self._state.held_fees
        if self._fees >= 0:
            self._left -= max((fees - self._fees) // GAS_PRICE, REPLY_GAS)
            if gas > self._left:
                return False
        self._fees = fees
        return True


def execute_local(state: WorkingState) -> None:
    """Execute what is due, then what is queued since earlier blocks."""
    budget = Budget(state)
    end = queue_of(state).end
    for due_ms, kind, call_id in list(due_timers(state, MAX_DUE_TIMERS)):
        if not budget.allows(_timer_gas(state, kind, call_id)):
            sometimes("timers left for the next block")
            return
        clear_timer(state, due_ms, kind, call_id)
        if kind is TimerKind.PATIENCE:
            give_up(state, call_id)
        else:
            _starved(state, due_ms, call_id)
    while (item := queued(state, end)) is not None:
        sequence, body = item
        if not budget.allows(_item_gas(state, body)):
            sometimes("local work left for the next block")
            return
        dequeue(state)
        _execute_item(state, sequence, body)


def _starved(state: WorkingState, due_ms: int, call_id: CallId) -> None:
    call = suspended_call(state, call_id)
    if call is not None and call.starved_until_ms == due_ms:
        fail_starved(state, call_id, call)


def _timer_gas(state: WorkingState, kind: TimerKind, call_id: CallId) -> int:
    return MESSAGE_GAS + (resuming_gas(state, call_id, UNKNOWN) if kind is TimerKind.PATIENCE else 0)


def _item_gas(state: WorkingState, body: bytes) -> int:
    if body.startswith(RESUME_MARK):
        call = suspended_call(state, CallId(body[len(RESUME_MARK) :]))
        return MESSAGE_GAS + (call.gas_left if call is not None else 0)
    message = message_decoder.decode(body)
    if isinstance(message, Call):
        return max(message.gas, MESSAGE_GAS)
    return REPLY_GAS + resuming_gas(state, CallId(message.call_id), KINDS[Outcome(message.outcome)])


def _execute_item(state: WorkingState, sequence: Sequence, body: bytes) -> None:
    if body.startswith(RESUME_MARK):
        call_id = CallId(body[len(RESUME_MARK) :])
        call = suspended_call(state, call_id)
        if call is not None and call.starved_until_ms:
            sometimes("a starved call fed")
            resume(state, call_id, call, RunCause.GAS, call.gas_left)
        return
    message = message_decoder.decode(body)
    state.escrow -= value_of(message)
    message_id = message_id_of(state.chain_id, state.shard, state.shard, sequence, body)
    consumed = Consumed(state.shard, sequence, message_id)
    if isinstance(message, Call):
        consume_call(state, consumed, message)
    else:
        consume_reply(state, consumed, message)
