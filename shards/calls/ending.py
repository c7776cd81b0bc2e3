"""A call ends: whoever made it hears of it, and what it has left goes back."""

from typing import NamedTuple

from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.identifiers import CallId, PublicKey, ShardId, TransactionId
from shards.calls.queue import enqueue_message
from shards.calls.records import Origin, SuspendedCall
from shards.gas import GAS_PRICE
from shards.limits import MAX_ERROR_LENGTH, MAX_METHOD_LENGTH, MAX_TRACEBACK_LENGTH
from shards.messages import Outcome, Reply
from shards.receipts import SentMessage
from shards.working_state import WorkingState

REFUSALS = frozenset({"no_contract", "no_method", "bad_arguments", "not_callable"})
"""Failures of calls that never began: their reply says `refused`."""


class Ending(NamedTuple):
    """How a call ended: with a result, or with the kind of its failure and what it says."""

    result: bytes = b""
    kind: str = ""
    error_type: str = ""
    error_text: str = ""
    traceback: str = ""

    @property
    def outcome(self) -> Outcome:
        """As the reply says it."""
        if not self.kind:
            return Outcome.OK
        return Outcome.REFUSED if self.kind in REFUSALS else Outcome.FAILED


def end_call(
    state: WorkingState, call_id: CallId, call: SuspendedCall, ending: Ending, value_back: int
) -> SentMessage | None:
    """Give back `value_back` and the call's unused gas, both in hand, and send the reply if a message made the call."""
    returned = Amount(value_back + GAS_PRICE * call.gas_left)
    if call.origin == Origin.TRANSACTION:
        state.account(PublicKey(call.payer)).balance += returned
        return None
    reply = Reply(
        call_id=call_id,
        outcome=ending.outcome,
        result=ending.result,
        error_type=clipped(ending.error_type or ending.kind, MAX_METHOD_LENGTH),
        error_text=clipped(ending.error_text, MAX_ERROR_LENGTH),
        traceback=clipped(ending.traceback, MAX_TRACEBACK_LENGTH),
        returned=pack_amount(returned),
        gas_used=max(0, call.gas - call.gas_left),
        reply_gas=call.reply_gas,
    )
    return send_reply(state, ShardId(call.reply_to), reply, call.trace_id)


def send_reply(state: WorkingState, caller: ShardId, reply: Reply, trace_id: TransactionId) -> SentMessage:
    """Send a reply with what it returns, which is in hand, to the shard of the call."""
    value = unpack_amount(reply.returned)
    if caller == state.shard:
        return enqueue_message(state, reply, trace_id, value)
    return state.send(caller, reply, CallId(reply.call_id), trace_id, value)


def clipped(text: str, max_bytes: int) -> str:
    """The beginning of a text that fits into so many bytes of UTF-8."""
    return text if len(text) * 4 <= max_bytes else text.encode(errors="replace")[:max_bytes].decode(errors="ignore")
