"""The calls that a run made leave: to another shard's stream, to this shard's queue, or straight back to the caller.

A call that cannot be sent (its stream is full or frozen, there is no such shard, the chain of calls is too deep) is
answered here, by a reply in this shard's queue that brings everything back. So a caller hears of every call in one way.

With each call goes what the block that consumes its reply has to reserve for resuming the caller: `RESUME_GAS` and
twice what the caller's runs have taken, because a resumption repeats them, but never more than it has left. A
resumption that needs more is tried again from the queue with all that is left.
"""

from typing import NamedTuple

from contracts.outcomes import OutgoingCall
from primitives.addresses import parse_address
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.errors import Refused
from primitives.identifiers import CallId, Sequence, ShardId, TransactionId
from primitives.marks import sometimes
from shards.calls.queue import enqueue_message, queue_of, set_timer
from shards.calls.records import TimerKind
from shards.gas import GAS_PRICE, REPLY_GAS
from shards.lanes import room
from shards.limits import MAX_DEPTH, MAX_OPEN_CALLS_PER_ACCOUNT, MAX_QUEUED
from shards.messages import Call, Outcome, Reply, child_call_id
from shards.receipts import MadeCall, SentMessage
from shards.state import OpenCall
from shards.working_state import ContractDraft, WorkingState


class Caller(NamedTuple):
    """The call that calls."""

    contract: str
    call_id: CallId
    trace_id: TransactionId
    depth: int


class Obstacle(NamedTuple):
    """Why a call is not sent."""

    outcome: Outcome
    text: str


def send_call(state: WorkingState, caller: Caller, outgoing: OutgoingCall, resume_gas: int) -> MadeCall:
    """Send one call of a contract, or answer it; its gas was taken from the run."""
    contract = state.existing_contract(caller.contract)
    obstacle = _obstacle(state, contract, caller, outgoing)
    destination = state.shard if obstacle is not None else ShardId(outgoing.shard)
    sequence = queue_of(state).end if destination == state.shard else Sequence(state.lane(destination).sent.size)
    call_id = child_call_id(state.chain_id, state.shard, destination, sequence)
    value = Amount(unpack_amount(outgoing.value))
    carried = Amount(value + GAS_PRICE * outgoing.gas)
    contract.balance -= value
    contract.open_calls += 1
    sent: SentMessage | None = None
    if obstacle is not None:
        enqueue_message(state, _refusal(call_id, outgoing, obstacle, carried, resume_gas), caller.trace_id, carried)
    else:
        call = _message(caller, call_id, outgoing, resume_gas, state.shard)
        if destination == state.shard:
            sent = enqueue_message(state, call, caller.trace_id, carried)
        else:
            sent = state.send(destination, call, call_id, caller.trace_id, carried)
    patience = state.time_ms + outgoing.patience_ms if outgoing.patience_ms else 0
    if patience:
        set_timer(state, patience, TimerKind.PATIENCE, call_id)
    state.put_open_call(
        call_id,
        OpenCall(
            sender=caller.contract.encode(),
            parent_call_id=caller.call_id,
            number=outgoing.number,
            destination=destination,
            sequence=sequence,
            value=outgoing.value,
            gas=outgoing.gas,
            deadline_ms=outgoing.deadline_ms,
            resume_gas=resume_gas,
            patience_until_ms=patience,
            given_up=False,
            trace_id=caller.trace_id,
        ),
    )
    return MadeCall(
        number=outgoing.number,
        call_id=call_id,
        shard=outgoing.shard,
        target=outgoing.contract,
        method=outgoing.method,
        value=outgoing.value,
        gas=outgoing.gas,
        sent=sent,
    )


def _obstacle(state: WorkingState, contract: ContractDraft, caller: Caller, outgoing: OutgoingCall) -> Obstacle | None:
    if outgoing.shard >= state.context.shard_count:
        shards = f"this chain has shards 0 to {state.context.shard_count - 1}"
        return Obstacle(Outcome.REFUSED, f"there is no shard {outgoing.shard}; {shards}")
    if caller.depth >= MAX_DEPTH:
        sometimes("calls nested too deep")
        return Obstacle(Outcome.REFUSED, f"calls that make calls are at most {MAX_DEPTH} deep")
    if contract.open_calls >= MAX_OPEN_CALLS_PER_ACCOUNT:
        sometimes("a contract with too many open calls")
        return Obstacle(Outcome.LANE_FULL, f"a contract has at most {MAX_OPEN_CALLS_PER_ACCOUNT} unanswered calls")
    if outgoing.shard == state.shard:
        queue = queue_of(state)
        full = queue.end - queue.first >= MAX_QUEUED
    else:
        lane = state.lane(ShardId(outgoing.shard))
        if lane.frozen:
            sometimes("a frozen lane met by a contract")
            text = f"the streams with shard {outgoing.shard} are frozen: its validators contradicted themselves"
            return Obstacle(Outcome.REFUSED, text)
        full = room(lane) <= 0
    if full:
        sometimes("a full lane met by a contract")
        return Obstacle(Outcome.LANE_FULL, f"too many calls to shard {outgoing.shard} are under way; try again later")
    return None


def _message(caller: Caller, call_id: CallId, outgoing: OutgoingCall, resume_gas: int, shard: ShardId) -> Call:
    return Call(
        call_id=call_id,
        trace_id=caller.trace_id,
        parent_call_id=caller.call_id,
        depth=caller.depth + 1,
        sender=f"{caller.contract}@{shard}".encode(),
        target=target_of(outgoing),
        method=outgoing.method,
        arguments=outgoing.arguments,
        value=outgoing.value,
        gas=outgoing.gas,
        reply_gas=REPLY_GAS + resume_gas,
        deadline_ms=outgoing.deadline_ms,
    )


def target_of(outgoing: OutgoingCall) -> bytes:
    """Principal that a call is for: an account when it has no method, as for a plain transfer, else a contract."""
    if outgoing.method:
        return f"{outgoing.contract}@{outgoing.shard}".encode()
    try:
        return parse_address(outgoing.contract)
    except Refused:
        # The machine checks addresses; what is none reaches nobody and comes back.
        return outgoing.contract.encode()


def _refusal(call_id: CallId, outgoing: OutgoingCall, obstacle: Obstacle, carried: Amount, resume_gas: int) -> Reply:
    return Reply(
        call_id=call_id,
        outcome=obstacle.outcome,
        result=b"",
        error_type="",
        error_text=obstacle.text,
        traceback="",
        returned=pack_amount(carried),
        gas_used=0,
        reply_gas=REPLY_GAS + resume_gas,
    )
