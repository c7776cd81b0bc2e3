"""This shard's messages to itself, in a queue of its own, and the timers of its calls.

A message to itself means what one between shards means; it needs no proof, because the state that sends it is the
state that consumes it. It has its turn in the next block at the earliest. Its value is in escrow meanwhile.
"""

from collections.abc import Iterator

from primitives.codec import encode
from primitives.errors import InvariantViolated
from primitives.identifiers import CallId, Sequence, TransactionId
from shards.calls.records import (
    EMPTY_QUEUE,
    QUEUE_KEY,
    RESUME_MARK,
    TIMER_SET,
    TIMERS,
    Queue,
    TimerKind,
    decode_queue,
    queue_key,
    read_timer,
    timer_key,
)
from shards.messages import Message, message_id_of
from shards.outcome import SentBody
from shards.receipts import SentMessage
from shards.working_state import WorkingState


def queue_of(state: WorkingState) -> Queue:
    """Where the queue stands."""
    raw = state.get(QUEUE_KEY)
    return EMPTY_QUEUE if raw is None else decode_queue(raw)


def enqueue_message(state: WorkingState, message: Message, trace_id: TransactionId, value: int) -> SentMessage:
    """Queue a message of this shard to itself; `value`, gas included, has been taken from someone."""
    body = encode(message)
    sequence = _enqueue(state, body)
    state.escrow += value
    call_id = CallId(message.call_id)
    return state.note_sent(
        SentBody(
            destination=state.shard,
            sequence=sequence,
            message_id=message_id_of(state.chain_id, state.shard, state.shard, sequence, body),
            call_id=call_id,
            trace_id=trace_id,
            body=body,
            nodes=(),
        )
    )


def enqueue_resumption(state: WorkingState, call_id: CallId) -> None:
    """Have a call resumed, with all the gas that it has left."""
    _enqueue(state, RESUME_MARK + call_id)


def queued(state: WorkingState, end: Sequence) -> tuple[Sequence, bytes] | None:
    """The first item before `end` with its place, or None."""
    first = queue_of(state).first
    if first >= end:
        return None
    body = state.get(queue_key(first))
    if body is None:
        raise InvariantViolated("what is queued is in the state")
    return first, body


def dequeue(state: WorkingState) -> None:
    """Take the first item off."""
    queue = queue_of(state)
    state.put(queue_key(queue.first), None)
    state.put(QUEUE_KEY, encode(Queue(first=Sequence(queue.first + 1), end=queue.end)))


def set_timer(state: WorkingState, due_ms: int, kind: TimerKind, call_id: CallId) -> None:
    """Have something happen in the first block at or after a time."""
    state.put(timer_key(due_ms, kind, call_id), TIMER_SET)


def clear_timer(state: WorkingState, due_ms: int, kind: TimerKind, call_id: CallId) -> None:
    """Forget a timer; nothing happens when there is none or `due_ms` is 0."""
    if due_ms:
        state.put(timer_key(due_ms, kind, call_id), None)


def due_timers(state: WorkingState, limit: int) -> Iterator[tuple[int, TimerKind, CallId]]:
    """Timers due by now, by time and kind, at most `limit`."""
    bound = TIMERS + (state.time_ms + 1).to_bytes(8, "big")
    return map(read_timer, state.keys_between(TIMERS, bound, limit))


def _enqueue(state: WorkingState, body: bytes) -> Sequence:
    queue = queue_of(state)
    state.put(queue_key(queue.end), body)
    state.put(QUEUE_KEY, encode(Queue(first=queue.first, end=Sequence(queue.end + 1))))
    return queue.end
