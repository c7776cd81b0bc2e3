"""One run of a contract's call: the machine executes it, and what it committed becomes state, money and messages.

A call begins with everything it brought in hand: its value is credited to the contract at its first commit, its gas is
taken as it is used. Suspended, it is a `SuspendedCall` with its gas in escrow. Whenever replies let it go on, it is run
again from its journal. It ends by completing, by failing, or, out of gas, when nobody has topped it up in time.
"""

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from contracts.gas import RESTART_GAS, START_GAS
from contracts.limits import MAX_CALL_GAS
from contracts.outcomes import Completed, Cost, Effects, Failed, Invocation, Last, Outcome, OutOfGas, Reply, Suspended
from contracts.replaying import record_of
from primitives.addresses import parse_address
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.errors import InvariantViolated, invariant
from primitives.identifiers import CallId, Hash
from primitives.marks import sometimes
from shards.calls.ending import Ending, end_call
from shards.calls.queue import clear_timer, enqueue_resumption, set_timer
from shards.calls.records import (
    SuspendedCall,
    TimerKind,
    decode_arrived_reply,
    decode_suspended,
    reply_key,
    storage_key,
    suspended_key,
)
from shards.calls.sending import Caller, send_call
from shards.calls.world import LedgerWorld
from shards.gas import GAS_PRICE
from shards.limits import RESUME_GAS, TOP_UP_MS
from shards.outcome import RunNote
from shards.receipts import MadeCall, RunCause, RunReceipt, RunState, SentMessage
from shards.state import ZERO_AMOUNT
from shards.working_state import WorkingState

_NOTHING = Effects((), (), (), ())

LEAST_GAS = START_GAS + RESTART_GAS
"""With less, no run can begin."""

STARVED_TEXT = "the call ran out of gas while it resumed, and nobody topped it up in time"


class Attempt(NamedTuple):
    """What a run is: which call, why, and the gas that the block has reserved for it."""

    call_id: CallId
    call: SuspendedCall
    cause: RunCause
    gas_limit: int
    new_code: tuple[Hash, str] | None = None
    """Code that is being deployed, and so is not in the state."""


def suspended_call(state: WorkingState, call_id: CallId) -> SuspendedCall | None:
    """A call that is under way on this shard."""
    raw = state.get(suspended_key(call_id))
    return None if raw is None else decode_suspended(raw)


def run_new(state: WorkingState, attempt: Attempt) -> RunReceipt:
    """Run a call for the first time; its value and gas are in hand."""
    return settle_new(state, attempt, execute(state, attempt, (), unpack_amount(attempt.call.value)))


def settle_new(state: WorkingState, attempt: Attempt, outcome: Outcome) -> RunReceipt:
    """Make state of what the first run of a call led to."""
    value = unpack_amount(attempt.call.value)
    if isinstance(outcome, Completed | Suspended) or outcome.journal:
        state.existing_contract(attempt.call.contract).balance += value
        value = Amount(0)
    return _conclude(state, attempt, outcome, value)


def run_at_once(state: WorkingState, attempt: Attempt, install: Callable[[], None]) -> RunReceipt:
    """Run an entry point that may not suspend: `install` its code if it completes, and undo everything if not."""
    value = unpack_amount(attempt.call.value)
    outcome = execute(state, attempt, (), value)
    if isinstance(outcome, Completed):
        install()
        state.existing_contract(attempt.call.contract).balance += value
        return _conclude(state, attempt, outcome, Amount(0))
    text = f"{attempt.call.method} must return without awaiting a call"
    failed = outcome
    if isinstance(outcome, Suspended):
        failed = Failed(outcome.cost, _NOTHING, outcome.log, (), Last((), ()), "suspended", "", text, "")
    elif outcome.journal:
        failed = Failed(outcome.cost, _NOTHING, outcome.log, (), outcome.last, "suspended", "", text, "")
    cost = Cost(outcome.cost.used, 0)
    return _conclude(state, attempt, replace(failed, cost=cost, effects=_NOTHING), value)


def resume(state: WorkingState, call_id: CallId, call: SuspendedCall, cause: RunCause, gas_limit: int) -> None:
    """Run a suspended call on, with at most so much of its gas."""
    replies = tuple(_arrived(state, call_id, arrived.number) for arrived in call.arrived)
    attempt = Attempt(call_id, call, cause, min(gas_limit, call.gas_left, MAX_CALL_GAS))
    if attempt.gas_limit < LEAST_GAS:
        _starve(state, attempt)
        return
    state.escrow -= GAS_PRICE * call.gas_left
    clear_timer(state, call.starved_until_ms, TimerKind.STARVED, call_id)
    attempt = attempt._replace(call=replace(call, starved_until_ms=0))
    _conclude(state, attempt, execute(state, attempt, replies, 0), Amount(0))


def fail_starved(state: WorkingState, call_id: CallId, call: SuspendedCall) -> None:
    """End a call that nobody gave more gas in time."""
    sometimes("a starved call ended")
    state.escrow -= GAS_PRICE * call.gas_left
    _forget(state, call_id, call)
    ending = Ending(kind="out_of_gas", error_type="OutOfGas", error_text=STARVED_TEXT)
    reply = end_call(state, call_id, call, ending, value_back=0)
    attempt = Attempt(call_id, replace(call, runs=call.runs + 1), RunCause.STARVED, 0)
    _add_receipt(state, attempt, RunState.FAILED, 0, call.gas_left, ending=ending, reply=reply)


def store(state: WorkingState, call_id: CallId, call: SuspendedCall) -> None:
    """Keep a call under way; its gas is in escrow already."""
    state.put(suspended_key(call_id), encode(call))


def feed(state: WorkingState, call_id: CallId, call: SuspendedCall) -> None:
    """Have a starved call tried in the next block, where it may use all that it has, if that is enough to begin."""
    if call.starved_until_ms and call.gas_left >= LEAST_GAS:
        enqueue_resumption(state, call_id)


def execute(state: WorkingState, attempt: Attempt, replies: tuple[Reply, ...], in_hand: int) -> Outcome:
    """Have the machine run a call."""
    invocation = invocation_of(state, attempt, replies)
    outcomes: list[Outcome] = []
    world = LedgerWorld(state, in_hand, attempt.new_code)
    state.machine.run([invocation], world, lambda _index, outcome: outcomes.append(outcome))
    note_run(state, attempt, invocation, outcomes[0])
    return outcomes[0]


def invocation_of(state: WorkingState, attempt: Attempt, replies: tuple[Reply, ...] = ()) -> Invocation:
    """What the machine is told of a run."""
    call = attempt.call
    return Invocation(
        code_hash=call.code_hash,
        contract=call.contract,
        shard=state.shard,
        method=call.method,
        arguments=call.arguments,
        sender=call.sender,
        value=call.value,
        trace_id=call.trace_id,
        call_id=attempt.call_id,
        height=state.height,
        time_ms=state.time_ms,
        gas=attempt.gas_limit,
        purse=min(call.gas_left, MAX_CALL_GAS) - attempt.gas_limit,
        journal=call.journal,
        replies=replies,
    )


def note_run(state: WorkingState, attempt: Attempt, invocation: Invocation, outcome: Outcome) -> None:
    """Keep what repeats the run."""
    state.notes.append(RunNote(run=attempt.call.runs, record=record_of(invocation, outcome), log=outcome.log))


def _conclude(state: WorkingState, attempt: Attempt, outcome: Outcome, in_hand: int) -> RunReceipt:
    """Apply what a run committed, and keep the call or end it; `in_hand` is value that was never credited."""
    call, cost = attempt.call, outcome.cost
    state.held_fees += GAS_PRICE * cost.used
    gas_left = call.gas_left - cost.used - cost.sent
    invariant(gas_left >= 0, "a run takes no more gas than it was given")
    used = call.gas_used + cost.used
    waits_on = isinstance(outcome, Suspended) or (isinstance(outcome, OutOfGas) and bool(outcome.journal))
    resume_gas = min(gas_left, RESUME_GAS + 2 * used, MAX_CALL_GAS) if waits_on else 0
    made = _apply(state, attempt, outcome.effects, resume_gas)
    consumed = not isinstance(outcome, OutOfGas) or len(outcome.journal) > len(call.journal)
    call = replace(call, gas_left=gas_left, gas_used=used, runs=call.runs + 1)
    if consumed:
        call = _delivered(state, attempt.call_id, call)
    attempt = attempt._replace(call=call)
    match outcome:
        case Completed():
            return _end(state, attempt, outcome, made, Ending(result=outcome.result), 0)
        case Suspended():
            _keep(state, attempt.call_id, replace(call, journal=outcome.journal, waits=outcome.waits))
            return _add_receipt(state, attempt, RunState.SUSPENDED, cost.used, gas_left, outcome.effects, made)
        case Failed():
            ending = Ending(
                kind=outcome.kind,
                error_type=outcome.error,
                error_text=outcome.message,
                traceback=outcome.traceback,
            )
            return _end(state, attempt, outcome, made, ending, in_hand)
        case OutOfGas() if not outcome.journal:
            text = f"the call had {call.gas} gas and needs more; send it with a higher gas limit"
            ending = Ending(kind="out_of_gas", error_type="OutOfGas", error_text=text)
            return _end(state, attempt, outcome, made, ending, in_hand)
        case OutOfGas():
            sometimes("a call starved in its run")
            call = replace(call, journal=outcome.journal, starved_until_ms=state.time_ms + TOP_UP_MS)
            _keep(state, attempt.call_id, call)
            set_timer(state, call.starved_until_ms, TimerKind.STARVED, attempt.call_id)
            feed(state, attempt.call_id, call)
            return _add_receipt(state, attempt, RunState.STARVED, cost.used, gas_left, outcome.effects, made)


def _apply(state: WorkingState, attempt: Attempt, effects: Effects, resume_gas: int) -> tuple[MadeCall, ...]:
    """Do what the run committed."""
    name = attempt.call.contract
    for write in effects.writes:
        state.put(storage_key(name, write.key), write.value)
    for transfer in effects.transfers:
        amount = unpack_amount(transfer.amount)
        state.existing_contract(name).balance -= amount
        state.account(parse_address(transfer.to)).balance += amount
    caller = Caller(name, attempt.call_id, attempt.call.trace_id, attempt.call.depth)
    return tuple(send_call(state, caller, outgoing, resume_gas) for outgoing in effects.calls)


def _end(
    state: WorkingState, attempt: Attempt, outcome: Outcome, made: tuple[MadeCall, ...], ending: Ending, value_back: int
) -> RunReceipt:
    call = attempt.call
    if call.runs > 1:
        _forget(state, attempt.call_id, call)
    reply = end_call(state, attempt.call_id, call, ending, value_back)
    stands = RunState.FAILED if ending.kind else RunState.COMPLETED
    return _add_receipt(
        state,
        attempt,
        stands,
        outcome.cost.used,
        call.gas_left,
        outcome.effects,
        made,
        ending=ending,
        reply=reply,
        returned=value_back,
    )


def _starve(state: WorkingState, attempt: Attempt) -> None:
    """There is not even the gas to begin: wait for more, or for the queue's turn with all of it."""
    call = attempt.call
    if call.starved_until_ms:
        store(state, attempt.call_id, call)
        feed(state, attempt.call_id, call)
        return
    sometimes("a call starved before its run")
    call = replace(call, starved_until_ms=state.time_ms + TOP_UP_MS, runs=call.runs + 1)
    store(state, attempt.call_id, call)
    set_timer(state, call.starved_until_ms, TimerKind.STARVED, attempt.call_id)
    feed(state, attempt.call_id, call)
    _add_receipt(state, attempt._replace(call=call), RunState.STARVED, 0, call.gas_left)


def _keep(state: WorkingState, call_id: CallId, call: SuspendedCall) -> None:
    state.escrow += GAS_PRICE * call.gas_left
    store(state, call_id, call)


def _forget(state: WorkingState, call_id: CallId, call: SuspendedCall) -> None:
    clear_timer(state, call.starved_until_ms, TimerKind.STARVED, call_id)
    for arrived in call.arrived:
        state.put(reply_key(call_id, arrived.number), None)
    state.put(suspended_key(call_id), None)


def _arrived(state: WorkingState, call_id: CallId, number: int) -> Reply:
    raw = state.get(reply_key(call_id, number))
    if raw is None:
        raise InvariantViolated("a reply that has arrived is in the state")
    return decode_arrived_reply(raw)


def _delivered(state: WorkingState, call_id: CallId, call: SuspendedCall) -> SuspendedCall:
    for arrived in call.arrived:
        state.put(reply_key(call_id, arrived.number), None)
    return replace(call, arrived=())


def _add_receipt(
    state: WorkingState,
    attempt: Attempt,
    stands: RunState,
    gas_used: int,
    gas_left: int,
    effects: Effects = _NOTHING,
    made: tuple[MadeCall, ...] = (),
    *,
    ending: Ending = Ending(),  # noqa: B008 - immutable
    reply: SentMessage | None = None,
    returned: int = 0,
) -> RunReceipt:
    call = attempt.call
    receipt = RunReceipt(
        call_id=attempt.call_id,
        trace_id=call.trace_id,
        parent_call_id=call.parent_call_id,
        depth=call.depth,
        contract=call.contract,
        code_hash=call.code_hash,
        method=call.method,
        sender=call.sender,
        value=call.value if call.runs <= 1 else ZERO_AMOUNT,
        run=max(call.runs - 1, 0),
        cause=attempt.cause,
        state=stands,
        gas_used=gas_used,
        gas_left=gas_left,
        kind=ending.kind,
        error_type=ending.error_type,
        error_text=ending.error_text,
        traceback=ending.traceback,
        result=ending.result,
        returned=pack_amount(Amount(returned)),
        events=effects.events,
        calls=made,
        transfers=effects.transfers,
        reply=reply,
    )
    state.add_receipt(receipt)
    return receipt
