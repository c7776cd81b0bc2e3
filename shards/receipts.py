"""Receipts: exactly one for each included transaction and one for each consumed message, in block order.

Beside those, one for each run of a contract, before that of the transaction or message that caused it; one for each
timer that changed something without a run; and one where a lane is frozen.
"""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from contracts.outcomes import Event, NameField, Transfer
from primitives.amounts import AmountField
from primitives.codec import Decoder, Record
from primitives.identifiers import (
    CallIdField,
    CountField,
    HashField,
    MessageIdField,
    SequenceField,
    ShardIdField,
    TransactionIdField,
)
from shards.limits import (
    MAX_ERROR_LENGTH,
    MAX_METHOD_LENGTH,
    MAX_OPERATIONS,
    MAX_PRINCIPAL_BYTES,
    MAX_RESULT_BYTES,
    MAX_TRACEBACK_LENGTH,
)
from shards.messages import Outcome

MAX_RECEIPT_BYTES = 2 * 1024 * 1024
"""A run may go through many stretches, but every byte of its events, calls and transfers costs at least one gas of the
1.5 million that a run has at most; beside them the longest result and traceback."""


class SentMessage(Record):
    """A message that this execution appended to a stream."""

    destination: ShardIdField
    sequence: SequenceField
    message_id: MessageIdField
    call_id: CallIdField


class TransactionReceipt(Record, tag=1):
    """What became of an included transaction. `failure` is empty, or the code of why nothing but the fee happened."""

    transaction_id: TransactionIdField
    failure: Annotated[str, Meta(max_length=64)]
    detail: Annotated[str, Meta(max_length=256)]
    fee: AmountField
    """What the sender paid; what a call under way has left of it comes back at the call's end."""
    gas_used: CountField
    call_id: Annotated[bytes, Meta(max_length=32)]
    """Of a contract's call or deployment: names its runs. Empty otherwise."""
    sent: Annotated[tuple[SentMessage, ...], Meta(max_length=MAX_OPERATIONS)]


class CallReceipt(Record, tag=2):
    """A call was consumed here; it is answered, or under way. `source` is this shard where it called itself."""

    source: ShardIdField
    sequence: SequenceField
    message_id: MessageIdField
    call_id: CallIdField
    trace_id: TransactionIdField
    outcome: Annotated[int, Meta(ge=0, le=int(Outcome.UNDER_WAY))]
    detail: Annotated[str, Meta(max_length=256)]
    gas_used: CountField
    reply: SentMessage | None
    """None where a contract ran: the run that ends the call has the reply."""


class ReplyReceipt(Record, tag=3):
    """A reply came home and settled its call."""

    source: ShardIdField
    sequence: SequenceField
    message_id: MessageIdField
    call_id: CallIdField
    trace_id: TransactionIdField
    outcome: Annotated[int, Meta(ge=0, le=int(Outcome.LANE_FULL))]
    detail: Annotated[str, Meta(max_length=256)]
    returned: AmountField


class DiscardReceipt(Record, tag=4):
    """A certified message that cannot be read was consumed without effect; its source's committee is faulty."""

    source: ShardIdField
    sequence: SequenceField
    message_id: MessageIdField
    detail: Annotated[str, Meta(max_length=256)]


class FreezeReceipt(Record, tag=5):
    """The lane with `source` is frozen from here on: its committee certified what cannot be."""

    source: ShardIdField
    reason: Annotated[str, Meta(max_length=64)]
    detail: Annotated[str, Meta(max_length=256)]
    commitment_hash: HashField
    """The contradictory commitment; the state keeps its certificate."""


class RunCause(IntEnum):
    """Why a contract ran."""

    TRANSACTION = 0
    MESSAGE = 1
    REPLY = 2
    PATIENCE = 3
    """A call's patience ran out."""
    GAS = 4
    """There is more gas than at the last attempt: topped up, or the block before had not reserved enough."""
    STARVED = 5
    """Nobody topped it up in time: the call ends without running."""
    DEPLOY = 6
    UPGRADE = 7


class RunState(IntEnum):
    """Where a call stands after a run."""

    COMPLETED = 0
    SUSPENDED = 1
    FAILED = 2
    STARVED = 3
    """It ran out of gas while it resumed, and waits for more."""


class MadeCall(Record):
    """A call that a run made."""

    number: CountField
    call_id: CallIdField
    shard: ShardIdField
    target: Annotated[str, Meta(max_length=MAX_PRINCIPAL_BYTES)]
    """A contract's name, or an account's address."""
    method: Annotated[str, Meta(max_length=MAX_METHOD_LENGTH)]
    value: AmountField
    gas: CountField
    sent: SentMessage | None
    """None when it was not sent at all: the reply that follows says why."""


class RunReceipt(Record, tag=6):
    """One run of a contract's call: what it committed, and how it stands now."""

    call_id: CallIdField
    trace_id: TransactionIdField
    parent_call_id: Annotated[bytes, Meta(max_length=32)]
    depth: CountField
    contract: NameField
    code_hash: HashField
    method: NameField
    sender: Annotated[str, Meta(max_length=MAX_PRINCIPAL_BYTES)]
    value: AmountField
    """What came with the call, at its first run; later 0."""
    run: CountField
    """0 for the first."""
    cause: Annotated[int, Meta(ge=0, le=int(RunCause.UPGRADE))]
    state: Annotated[int, Meta(ge=0, le=int(RunState.STARVED))]
    gas_used: CountField
    gas_left: CountField
    """Of the call, after the run; at its end this is given back."""
    kind: Annotated[str, Meta(max_length=MAX_METHOD_LENGTH)]
    """Of a failure: `raised`, `out_of_gas`, or what else the machine says; empty otherwise."""
    error_type: Annotated[str, Meta(max_length=MAX_METHOD_LENGTH)]
    error_text: Annotated[str, Meta(max_length=MAX_ERROR_LENGTH)]
    traceback: Annotated[str, Meta(max_length=MAX_TRACEBACK_LENGTH)]
    result: Annotated[bytes, Meta(max_length=MAX_RESULT_BYTES)]
    returned: AmountField
    """Of a failed call: the value that goes back."""
    events: tuple[Event, ...]
    calls: tuple[MadeCall, ...]
    transfers: tuple[Transfer, ...]
    reply: SentMessage | None
    """At the end of a message's call."""


Receipt = TransactionReceipt | CallReceipt | ReplyReceipt | DiscardReceipt | FreezeReceipt | RunReceipt

receipt_decoder: Decoder[Receipt] = Decoder(Receipt, max_bytes=MAX_RECEIPT_BYTES, name="receipt")  # type: ignore[arg-type]  # a union is a type form
