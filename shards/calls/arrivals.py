"""Messages arrive, from another shard or from this one: a call is taken up and answered, a reply settles its call.

Nothing that a captured committee puts into a message stops execution or speaks for anyone but that committee's shard:
accounts of another shard are shown with it (`osk1...@2`), a contract's name must end in it.
"""

from typing import NamedTuple

import msgspec

from contracts.limits import MAX_CALL_GAS
from contracts.outcomes import Reply as ContractReply
from contracts.outcomes import is_contract_name, is_worth_resuming
from contracts.values import encode as encode_value
from primitives.addresses import format_address
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.identifiers import CallId, Hash, MessageId, PublicKey, Sequence, ShardId, TransactionId
from primitives.marks import sometimes
from primitives.signatures import PUBLIC_KEY_BYTES
from shards.calls.ending import Ending, clipped, send_reply
from shards.calls.queue import clear_timer
from shards.calls.records import Arrived, Origin, SuspendedCall, TimerKind, reply_key
from shards.calls.runs import Attempt, feed, resume, run_new, store, suspended_call
from shards.gas import GAS_PRICE, MESSAGE_GAS, REPLY_GAS
from shards.limits import MAX_OPERATIONS
from shards.messages import Call, Outcome, Reply, call_id_of, child_call_id
from shards.receipts import CallReceipt, ReplyReceipt, RunCause, RunState, SentMessage
from shards.state import ZERO_AMOUNT, OpenCall, open_call_key
from shards.working_state import WorkingState

MAX_DETAIL = 256
"""Characters of explanation that a receipt keeps."""

RESERVED_METHODS = frozenset({"init", "migrate"})
"""Run by deploying and upgrading, and by nothing else."""

KINDS = {
    Outcome.OK: "ok",
    Outcome.FAILED: "failed",
    Outcome.EXPIRED: "expired",
    Outcome.REFUSED: "refused",
    Outcome.LANE_FULL: "lane_full",
}
"""What a contract knows an outcome as."""

NO_RESULT = encode_value(None)
"""What an account answers."""

UNKNOWN = "unknown"
"""The reply of which patience ran out."""


class Consumed(NamedTuple):
    """A message that is consumed now: where it came from, and its place there. Its value has been received."""

    source: ShardId
    sequence: Sequence
    message_id: MessageId


class Refusal(NamedTuple):
    """Why a call is not taken up."""

    outcome: Outcome
    text: str


class Taken(NamedTuple):
    """What became of a call where it arrived."""

    outcome: Outcome
    text: str
    gas_used: int
    reply: SentMessage | None
    """None where a contract ran: the run that ends the call has the reply."""


def value_of(message: Call | Reply) -> int:
    """Base units that arrive with a message, prepaid gas included."""
    if isinstance(message, Call):
        return unpack_amount(message.value) + GAS_PRICE * message.gas
    return unpack_amount(message.returned)


def principal_text(shard: ShardId, source: ShardId, principal: bytes) -> str | None:
    """A principal of `source` as `shard` shows it; None when it is not one that `source` can speak for."""
    if len(principal) == PUBLIC_KEY_BYTES:
        address = format_address(PublicKey(principal))
        return address if source == shard else f"{address}@{source}"
    name = principal.removesuffix(f"@{source}".encode())
    if len(name) == len(principal) or not name.isascii() or not is_contract_name(name.decode()):
        return None
    return principal.decode()


def consume_call(state: WorkingState, consumed: Consumed, call: Call) -> None:
    """Take a call up, or give everything but the used gas back; answer either way."""
    used = min(call.gas, MESSAGE_GAS)
    state.held_fees += GAS_PRICE * used
    sender = principal_text(state.shard, consumed.source, call.sender)
    refusal = _refusal(state, consumed, sender, call)
    if refusal is None and call.method:
        taken = _run(state, consumed, call, sender or "", used)
    else:
        taken = _answer(state, consumed, call, refusal, used)
    state.add_receipt(
        CallReceipt(
            source=consumed.source,
            sequence=consumed.sequence,
            message_id=consumed.message_id,
            call_id=call.call_id,
            trace_id=call.trace_id,
            outcome=taken.outcome,
            detail=taken.text[:MAX_DETAIL],
            gas_used=taken.gas_used,
            reply=taken.reply,
        )
    )


def _answer(state: WorkingState, consumed: Consumed, call: Call, refusal: Refusal | None, used: int) -> Taken:
    """Give an account what was sent to it, or everything back; the answer leaves at once."""
    returned = GAS_PRICE * (call.gas - used)
    outcome, text = refusal or (Outcome.OK, "")
    if refusal is None:
        state.account(PublicKey(call.target)).balance += unpack_amount(call.value)
    else:
        returned += unpack_amount(call.value)
    reply = Reply(
        call_id=call.call_id,
        outcome=outcome,
        result=b"",
        error_type="" if outcome is Outcome.OK else outcome.name.lower(),
        error_text=text,
        traceback="",
        returned=pack_amount(Amount(returned)),
        gas_used=used,
        reply_gas=call.reply_gas,
    )
    return Taken(outcome, text, used, send_reply(state, consumed.source, reply, TransactionId(call.trace_id)))


def consume_reply(state: WorkingState, consumed: Consumed, reply: Reply) -> None:
    """Settle the call that a reply answers. Only the shard that was called may answer."""
    value = unpack_amount(reply.returned)
    open_call = state.open_call(CallId(reply.call_id))
    if open_call is None or open_call.destination != consumed.source:
        sometimes("a reply to no call")
        state.escrow += value
        trace_id, detail = TransactionId(bytes(32)), "answers no call that was made there; its value is in escrow"
    else:
        trace_id, detail = open_call.trace_id, reply.error_text[:MAX_DETAIL]
        state.put(open_call_key(CallId(reply.call_id)), None)
        if open_call.destination != state.shard:
            state.lane(open_call.destination).open_calls -= 1
        if open_call.parent_call_id:
            clear_timer(state, open_call.patience_until_ms, TimerKind.PATIENCE, CallId(reply.call_id))
            _settle(state, open_call, reply)
        else:
            sender = state.account(PublicKey(open_call.sender))
            sender.balance += value
            sender.open_calls -= 1
    state.add_receipt(
        ReplyReceipt(
            source=consumed.source,
            sequence=consumed.sequence,
            message_id=consumed.message_id,
            call_id=reply.call_id,
            trace_id=trace_id,
            outcome=reply.outcome,
            detail=detail,
            returned=reply.returned,
        )
    )


def give_up(state: WorkingState, call_id: CallId) -> None:
    """A caller's patience is over: it is told that the outcome of this call is unknown. The call goes on."""
    open_call = state.open_call(call_id)
    if open_call is None:
        return
    gone = msgspec.structs.replace(open_call, patience_until_ms=0, given_up=True)
    state.put_open_call(call_id, gone)
    caller_id = CallId(open_call.parent_call_id)
    caller = suspended_call(state, caller_id)
    if caller is None:
        return
    sometimes("patience ran out")
    text = "no reply came within the call's patience; it may still happen"
    reply = ContractReply(open_call.number, UNKNOWN, b"", "", text, "", ZERO_AMOUNT)
    _deliver(state, caller_id, caller, reply, RunCause.PATIENCE, open_call.resume_gas)


def resuming_gas(state: WorkingState, call_id: CallId, kind: str) -> int:
    """Gas that telling a caller of the end of this call may take: none when it would not go on."""
    open_call = state.open_call(call_id)
    if open_call is None or open_call.given_up:
        return 0
    caller = suspended_call(state, CallId(open_call.parent_call_id))
    return open_call.resume_gas if caller is not None and _goes_on(caller, open_call.number, kind) else 0


def _refusal(state: WorkingState, consumed: Consumed, sender: str | None, call: Call) -> Refusal | None:
    """Why a call is not taken up, or None."""
    if state.time_ms > call.deadline_ms:
        sometimes("a call expired on arrival")
        text = f"consumed at {state.time_ms} ms, after its deadline {call.deadline_ms} ms"
        return Refusal(Outcome.EXPIRED, text)
    if sender is None:
        return Refusal(Outcome.REFUSED, "its sender is none that the shard it came from can speak for")
    if len(call.target) == PUBLIC_KEY_BYTES:
        if call.method:
            return Refusal(Outcome.REFUSED, "an account has no methods; send to it without one")
        return None
    name = _own_contract(state, call.target)
    if name is None or state.contract(name) is None:
        sometimes("a call for a contract that is not there")
        shown = clipped(call.target.decode(errors="replace"), MAX_DETAIL)
        return Refusal(Outcome.REFUSED, f"there is no contract {shown} on shard {state.shard}")
    if not _may_have_id(state, consumed, call):
        return Refusal(Outcome.REFUSED, "its id is not one that the shard it came from gives to this call")
    if suspended_call(state, CallId(call.call_id)) is not None:
        return Refusal(Outcome.REFUSED, "a call of this id is under way; no honest shard uses an id twice")
    if not call.method:
        return Refusal(Outcome.REFUSED, "a contract takes money only with a call of one of its methods")
    if call.method in RESERVED_METHODS or call.method.startswith("_"):
        return Refusal(Outcome.REFUSED, f"{call.method!r} cannot be called")
    return None


def _may_have_id(state: WorkingState, consumed: Consumed, call: Call) -> bool:
    """Whether a call's id is the one for its place, or its transaction's: so none can pass for a call made elsewhere.

    What answers a call's own calls finds it by its id.
    """
    source = consumed.source
    if call.parent_call_id:
        return call.call_id == child_call_id(state.chain_id, source, state.shard, consumed.sequence)
    trace_id = TransactionId(call.trace_id)
    return any(
        call.call_id == call_id_of(state.chain_id, source, trace_id, ordinal) for ordinal in range(MAX_OPERATIONS)
    )


def _own_contract(state: WorkingState, target: bytes) -> str | None:
    name = target.removesuffix(f"@{state.shard}".encode())
    if len(name) == len(target) or not name.isascii():
        return None
    text = name.decode()
    return text if is_contract_name(text) else None


def _run(state: WorkingState, consumed: Consumed, call: Call, sender: str, used: int) -> Taken:
    """Run the first stretch of a contract's method."""
    name = _own_contract(state, call.target) or ""
    contract = state.existing_contract(name)
    record = SuspendedCall(
        contract=name,
        code_hash=Hash(contract.record.code_hash),
        method=call.method,
        arguments=call.arguments,
        sender=sender,
        value=call.value,
        trace_id=call.trace_id,
        parent_call_id=call.parent_call_id,
        depth=call.depth,
        origin=Origin.MESSAGE,
        payer=b"",
        reply_to=consumed.source,
        reply_gas=call.reply_gas,
        gas=call.gas,
        gas_left=call.gas - used,
        gas_used=0,
        runs=0,
        journal=(),
        waits=(),
        arrived=(),
        starved_until_ms=0,
    )
    gas_limit = min(record.gas_left, MAX_CALL_GAS)
    run = run_new(state, Attempt(CallId(call.call_id), record, RunCause.MESSAGE, gas_limit))
    if run.state == RunState.COMPLETED:
        outcome = Outcome.OK
    elif run.state == RunState.FAILED:
        outcome = Ending(kind=run.kind).outcome
    else:
        outcome = Outcome.UNDER_WAY
    return Taken(outcome, run.error_text, used + run.gas_used, None)


def _settle(state: WorkingState, open_call: OpenCall, reply: Reply) -> None:
    """Credit what came back with a reply, and deliver it to the call that waits for it."""
    value = unpack_amount(reply.returned)
    refund = min(value, GAS_PRICE * max(open_call.gas - reply.gas_used, 0))
    contract = state.existing_contract(open_call.sender.decode())
    contract.open_calls -= 1
    contract.balance += value - refund
    caller_id = CallId(open_call.parent_call_id)
    caller = suspended_call(state, caller_id)
    if caller is None:
        sometimes("a reply after its caller has ended")
        # Its caller has ended: the contract keeps what is left of the gas.
        contract.balance += refund
        return
    state.escrow += refund
    caller = msgspec.structs.replace(caller, gas_left=caller.gas_left + refund // GAS_PRICE)
    if open_call.given_up:
        sometimes("a reply after patience ran out")
        store(state, caller_id, caller)
        feed(state, caller_id, caller)
        return
    outcome = Outcome(reply.outcome)
    if outcome is Outcome.LANE_FULL and open_call.destination != state.shard:
        outcome = Outcome.REFUSED  # that it was never sent is not for another shard to say
    delivered = ContractReply(
        number=open_call.number,
        kind=KINDS[outcome],
        result=reply.result or NO_RESULT,
        error="" if reply.error_type == KINDS[outcome] else reply.error_type,  # the kind is told once
        message=reply.error_text,
        traceback=reply.traceback,
        returned=pack_amount(Amount(value - refund)),
    )
    # The block has reserved what the reply says; an honest shard echoes what the call set aside.
    reserved = min(open_call.resume_gas, max(reply.reply_gas - REPLY_GAS, 0))
    _deliver(state, caller_id, caller, delivered, RunCause.REPLY, reserved)


def _deliver(
    state: WorkingState, caller_id: CallId, caller: SuspendedCall, reply: ContractReply, cause: RunCause, gas_limit: int
) -> None:
    """Keep a reply for the caller, and resume it if it can go on, with at most so much gas."""
    state.put(reply_key(caller_id, reply.number), encode(reply))
    goes_on = _goes_on(caller, reply.number, reply.kind)
    caller = msgspec.structs.replace(caller, arrived=(*caller.arrived, Arrived(reply.number, reply.kind)))
    if goes_on:
        resume(state, caller_id, caller, cause, gas_limit)
    else:
        store(state, caller_id, caller)


def _goes_on(caller: SuspendedCall, number: int, kind: str) -> bool:
    kinds = {arrived.number: arrived.kind for arrived in caller.arrived} | {number: kind}
    return bool(caller.starved_until_ms) or is_worth_resuming(caller.waits, kinds)
