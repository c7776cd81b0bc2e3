"""What a shard knows of a contract's call: its runs, what it made and what it waits for, from one snapshot."""

from dataclasses import dataclass
from enum import StrEnum

from primitives.amounts import Amount, unpack_amount
from primitives.identifiers import CallId, Height, Milliseconds, ShardId, TransactionId
from primitives.storage import Reader
from shards.arrivals import arrival, stored_block
from shards.chain_store import Place, call_places, commitment_at, receipts_naming, sent_by
from shards.messages import Message, Outcome, Reply, message_decoder
from shards.outcome import RunNote
from shards.receipts import CallReceipt, MadeCall, ReplyReceipt, RunReceipt, RunState
from shards.run_store import run_note
from shards.stream_store import message_body


class CallState(StrEnum):
    """Where a contract's call stands."""

    UNDER_WAY = "under_way"
    """It awaits replies."""
    STARVED = "starved"
    """It ran out of gas while it resumed, and waits for more."""
    COMPLETED = "completed"
    FAILED = "failed"


STATES = {
    RunState.COMPLETED: CallState.COMPLETED,
    RunState.SUSPENDED: CallState.UNDER_WAY,
    RunState.FAILED: CallState.FAILED,
    RunState.STARVED: CallState.STARVED,
}


@dataclass(frozen=True, slots=True)
class Answered:
    """The reply to a call, as it came home; `reply` is None where the block is pruned."""

    outcome: Outcome
    detail: str
    returned: Amount
    place: Place
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class PlacedRun:
    """One run with where and when it was; `note` is None where it is pruned."""

    place: Place
    time_ms: Milliseconds
    receipt: RunReceipt
    note: RunNote | None


@dataclass(frozen=True, slots=True)
class ChildCall:
    """A call that the call made; `answer` is None while nothing came back."""

    made: MadeCall
    answer: Answered | None


@dataclass(frozen=True, slots=True)
class CallView:
    """A contract's call on this shard, as its runs so far tell it."""

    call_id: CallId
    state: CallState
    runs: tuple[PlacedRun, ...]
    calls: tuple[ChildCall, ...]
    shard: ShardId

    @property
    def last(self) -> RunReceipt:
        """Receipt of the newest run."""
        return self.runs[-1].receipt

    @property
    def ended(self) -> bool:
        """Whether nothing more will run."""
        return self.state in (CallState.COMPLETED, CallState.FAILED)

    @property
    def waits_for(self) -> tuple[ChildCall, ...]:
        """Calls without an answer, of a call that has not ended."""
        return () if self.ended else tuple(call for call in self.calls if call.answer is None)


def call_view(reader: Reader, call_id: CallId) -> CallView | None:
    """A contract's call that ran on this shard; None for any other."""
    found = [each for each in receipts_naming(reader, call_id) if _runs(each.receipt, call_id)]
    runs: list[PlacedRun] = []
    shard = ShardId(0)
    for place, receipt in found:
        commitment = commitment_at(reader, place.height)
        if commitment is not None and isinstance(receipt, RunReceipt):
            shard = commitment.shard
            note = run_note(reader, place.height, call_id, receipt.run)
            runs.append(PlacedRun(place, commitment.time_ms, receipt, note))
    if not runs:
        return None
    calls = tuple(
        # What was not sent is answered from this shard itself.
        ChildCall(made, answer_to(reader, made.call_id, made.sent.destination if made.sent is not None else shard))
        for run in runs
        for made in run.receipt.calls
    )
    return CallView(call_id, STATES[RunState(runs[-1].receipt.state)], tuple(runs), calls, shard)


def _runs(receipt: object, call_id: CallId) -> bool:
    return isinstance(receipt, RunReceipt) and receipt.call_id == call_id


def run_notes(reader: Reader, call_id: CallId) -> tuple[RunNote, ...]:
    """What is kept of each run of a call, in order; the last one holds everything that is needed to repeat the call."""
    view = call_view(reader, call_id)
    return () if view is None else tuple(run.note for run in view.runs if run.note is not None)


def answer_to(reader: Reader, call_id: CallId, destination: ShardId) -> Answered | None:
    """The reply to a call that this shard sent there."""
    for place, receipt in call_places(reader, call_id):
        if isinstance(receipt, ReplyReceipt) and receipt.call_id == call_id and receipt.source == destination:
            message = consumed_message(reader, place.height, receipt)
            reply = message if isinstance(message, Reply) else None
            outcome = Outcome(receipt.outcome)
            return Answered(outcome, receipt.detail, unpack_amount(receipt.returned), place, reply)
    return None


def consumed_message(reader: Reader, height: Height, receipt: CallReceipt | ReplyReceipt) -> Message | None:
    """The message behind a receipt: from the block's bundle, or, where the shard wrote to itself, from its queue."""
    commitment = commitment_at(reader, height)
    if commitment is not None and commitment.shard == receipt.source:
        body = message_body(reader, receipt.source, receipt.sequence)
        return None if body is None else message_decoder.decode(body)
    return arrival(stored_block(reader, height), receipt.source, receipt.sequence)[1]


def trace_is_over(reader: Reader, trace_id: TransactionId, certified: Height) -> bool:
    """Whether, by a certified height, every run of a trace on this shard has ended and every call of it is answered."""
    ended: dict[bytes, bool] = {}
    called: dict[bytes, None] = {}
    answered: set[bytes] = set()
    for place, receipt in receipts_naming(reader, trace_id):
        is_certified = place.height <= certified
        if isinstance(receipt, RunReceipt) and receipt.trace_id == trace_id:
            over = STATES[RunState(receipt.state)] in (CallState.COMPLETED, CallState.FAILED)
            ended[receipt.call_id] = over and is_certified
            reply = receipt.reply.message_id if receipt.reply is not None else None
            called.update((sent.call_id, None) for sent in sent_by(receipt) if sent.message_id != reply)
        elif isinstance(receipt, ReplyReceipt) and is_certified:
            answered.add(receipt.call_id)
    return all(ended.values()) and answered >= called.keys()
