"""Contracts, their calls and their values, as the API shows them."""

from typing import Any, Literal

from contracts.outcomes import Completed, Failed, Outcome, OutgoingCall, OutOfGas, Suspended
from contracts.values import BadValue, Value, read
from primitives.addresses import format_address
from primitives.amounts import unpack_amount
from primitives.codec import encode
from primitives.identifiers import PublicKey, ShardId
from shards.call_queries import CallView, ChildCall, PlacedRun
from shards.calls.records import Contract
from shards.node import api_contracts as api
from shards.node.api_types import BegunCall
from shards.node.json_values import to_json
from shards.node.view_desk import Deployed
from shards.node.views import amount_text, sent_view
from shards.receipts import RunCause, RunReceipt, RunState


def value_json(raw: bytes) -> Any:
    """An encoded value in JSON; null for nothing, and for what contracts of other shards made up."""
    return to_json(decoded(raw))


def decoded(raw: bytes) -> Value:
    """An encoded value; None for nothing, and for what cannot be read."""
    try:
        return read(raw) if raw else None
    except BadValue:
        return None


def contract_view(contract: Deployed, shard: ShardId, height: int, *, source: bool) -> api.ContractView:
    """A contract, with its source if it is asked for."""
    record: Contract = contract.record
    return api.ContractView(
        name=contract.name,
        shard=shard,
        height=height,
        code_hash=record.code_hash.hex(),
        owner=format_address(PublicKey(record.owner)) if record.owner else None,
        balance=amount_text(record.balance),
        open_calls=record.open_calls,
        deployed=record.deployed,
        upgrades=record.upgrades,
        methods=[
            api.MethodView(name=each.name, view=each.view, parameters=each.parameters, summary=each.summary)
            for each in contract.code.methods
        ],
        source=contract.code.source if source else None,
    )


def failure_view(outcome: Outcome) -> api.FailureView | None:
    """Why a run failed; None when it did not."""
    if isinstance(outcome, Failed):
        return api.FailureView(outcome.kind, outcome.error, outcome.message, outcome.traceback)
    if isinstance(outcome, OutOfGas):
        text = f"it took all of its {outcome.cost.used} gas"
        return api.FailureView("out_of_gas", "", text, "")
    return None


def result_of(outcome: Outcome) -> bytes:
    """Encoded result of a run that completed."""
    return outcome.result if isinstance(outcome, Completed) else b""


def state_of(outcome: Outcome) -> Literal["completed", "suspended", "failed"]:
    """How a run ended, in the API's words."""
    if isinstance(outcome, Suspended):
        return "suspended"
    return "completed" if isinstance(outcome, Completed) else "failed"


def planned_call(call: OutgoingCall) -> api.PlannedCall:
    """A call that an estimate met."""
    return api.PlannedCall(
        shard=call.shard,
        contract=call.contract,
        method=call.method,
        arguments=value_json(call.arguments),
        value=amount_text(call.value),
        gas=call.gas,
    )


def call_answer(view: CallView) -> api.CallAnswer:
    """A contract's call."""
    first, last = view.runs[0].receipt, view.last
    failed = last.state == RunState.FAILED
    return api.CallAnswer(
        call_id=view.call_id.hex(),
        trace_id=last.trace_id.hex(),
        parent_call_id=last.parent_call_id.hex() or None,
        shard=view.shard,
        contract=last.contract,
        method=last.method,
        code_hash=last.code_hash.hex(),
        sender=last.sender,
        value=amount_text(first.value),
        state=view.state.value,
        waits_for=[call.made.number for call in view.waits_for],
        gas_used=sum(run.receipt.gas_used for run in view.runs),
        gas_left=last.gas_left,
        result=value_json(last.result),
        encoded=last.result.hex(),
        failure=api.FailureView(last.kind, last.error_type, last.error_text, last.traceback) if failed else None,
        runs=[_run_view(run) for run in view.runs],
        calls=[_child_view(call) for call in view.calls],
    )


def begun_call(view: CallView) -> BegunCall:
    """A contract's call in short, for the transaction that began it."""
    last = view.last
    told = ": ".join(filter(None, (last.error_type or last.kind, last.error_text)))
    return BegunCall(
        call_id=view.call_id.hex(),
        state=view.state.value,
        last_height=view.runs[-1].place.height,
        failure=told if last.state == RunState.FAILED else "",
    )


def _run_view(run: PlacedRun) -> api.RunView:
    receipt: RunReceipt = run.receipt
    return api.RunView(
        run=receipt.run,
        height=run.place.height,
        time_ms=run.time_ms,
        cause=RunCause(receipt.cause).name.lower(),
        state=RunState(receipt.state).name.lower(),
        gas_used=receipt.gas_used,
        gas_left=receipt.gas_left,
        log=list(run.note.log) if run.note is not None else [],
        events=[api.EventView(event.name, value_json(event.data)) for event in receipt.events],
        transfers=[api.PaymentView(each.to, str(unpack_amount(each.amount))) for each in receipt.transfers],
    )


def _child_view(call: ChildCall) -> api.ChildView:
    made, answer = call.made, call.answer
    return api.ChildView(
        number=made.number,
        call_id=made.call_id.hex(),
        shard=made.shard,
        contract=made.target,
        method=made.method,
        value=amount_text(made.value),
        gas=made.gas,
        message=None if made.sent is None else sent_view(made.sent),
        outcome=None if answer is None else answer.outcome.name.lower(),
        detail="" if answer is None else answer.detail,
    )


def record_answer(view: CallView, source: str) -> api.RecordAnswer:
    """Everything that repeats a call."""
    return api.RecordAnswer(
        call_id=view.call_id.hex(),
        contract=view.last.contract,
        shard=view.shard,
        source=source,
        runs=[
            api.RecordedRun(
                run=run.receipt.run,
                height=run.place.height,
                record=encode(run.note.record).hex(),
                receipt=encode(run.receipt).hex(),
                log=list(run.note.log),
            )
            for run in view.runs
            if run.note is not None
        ],
    )
