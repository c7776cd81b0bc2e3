"""Receipts: exactly one for each included transaction and one for each consumed message, in block order.

Beside those, one where a lane is frozen.
"""

from typing import Annotated

from msgspec import Meta

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
from shards.limits import MAX_OPERATIONS

MAX_RECEIPT_BYTES = 4096


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
    gas_used: CountField
    sent: Annotated[tuple[SentMessage, ...], Meta(max_length=MAX_OPERATIONS)]


class CallReceipt(Record, tag=2):
    """A call from another shard was consumed here and answered."""

    source: ShardIdField
    sequence: SequenceField
    message_id: MessageIdField
    call_id: CallIdField
    trace_id: TransactionIdField
    outcome: Annotated[int, Meta(ge=0, le=3)]
    detail: Annotated[str, Meta(max_length=256)]
    gas_used: CountField
    reply: SentMessage


class ReplyReceipt(Record, tag=3):
    """A reply came home and settled its call."""

    source: ShardIdField
    sequence: SequenceField
    message_id: MessageIdField
    call_id: CallIdField
    trace_id: TransactionIdField
    outcome: Annotated[int, Meta(ge=0, le=3)]
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


Receipt = TransactionReceipt | CallReceipt | ReplyReceipt | DiscardReceipt | FreezeReceipt

receipt_decoder: Decoder[Receipt] = Decoder(Receipt, max_bytes=MAX_RECEIPT_BYTES, name="receipt")  # type: ignore[arg-type]  # a union is a type form
