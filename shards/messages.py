"""What travels between shards: a Call, and for every consumed call exactly one Reply in the reverse stream.

A plain transfer is a call to an account with no method.
"""

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from primitives.amounts import AmountField
from primitives.codec import Decoder, Record
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import (
    CallId,
    CallIdField,
    ChainId,
    CountField,
    MessageId,
    MillisecondsField,
    Sequence,
    ShardId,
    TransactionId,
    TransactionIdField,
)
from primitives.merkle import leaf_hash
from shards.limits import (
    MAX_ARGUMENT_BYTES,
    MAX_DEPTH,
    MAX_ERROR_LENGTH,
    MAX_MESSAGE_BYTES,
    MAX_METHOD_LENGTH,
    MAX_PRINCIPAL_BYTES,
    MAX_RESULT_BYTES,
    MAX_TRACEBACK_LENGTH,
)

PrincipalField = Annotated[bytes, Meta(min_length=1, max_length=MAX_PRINCIPAL_BYTES)]
"""An account's 32-byte address, or a contract as `name@shard` in UTF-8."""


class Outcome(IntEnum):
    """How a call ended at its destination."""

    OK = 0
    FAILED = 1
    EXPIRED = 2
    REFUSED = 3
    LANE_FULL = 4
    """Not sent at all: too many calls are under way from here. Only the shard of the call itself says so."""
    UNDER_WAY = 5
    """Of a receipt only: the call was taken up and suspended; its reply follows."""


class Call(Record, tag=1):
    """A request. `value` and `gas` have left the source and arrive with it."""

    call_id: CallIdField
    trace_id: TransactionIdField
    """The transaction at the root of the call tree."""
    parent_call_id: Annotated[bytes, Meta(max_length=32)]
    """Empty when a transaction made the call."""
    depth: Annotated[int, Meta(ge=0, le=MAX_DEPTH)]
    sender: PrincipalField
    target: PrincipalField
    method: Annotated[str, Meta(max_length=MAX_METHOD_LENGTH)]
    arguments: Annotated[bytes, Meta(max_length=MAX_ARGUMENT_BYTES)]
    value: AmountField
    gas: CountField
    reply_gas: CountField
    deadline_ms: MillisecondsField
    """In the destination's block time; consumed later it is `expired` and its value returns."""


class Reply(Record, tag=2):
    """The one answer to a call. `returned` (unused gas and value not kept) arrives with it."""

    call_id: CallIdField
    outcome: Annotated[int, Meta(ge=0, le=int(Outcome.LANE_FULL))]
    result: Annotated[bytes, Meta(max_length=MAX_RESULT_BYTES)]
    error_type: Annotated[str, Meta(max_length=MAX_METHOD_LENGTH)]
    error_text: Annotated[str, Meta(max_length=MAX_ERROR_LENGTH)]
    traceback: Annotated[str, Meta(max_length=MAX_TRACEBACK_LENGTH)]
    returned: AmountField
    gas_used: CountField
    reply_gas: CountField
    """Echo of what the call set aside at home for consuming this."""


Message = Call | Reply

message_decoder: Decoder[Message] = Decoder(Message, max_bytes=MAX_MESSAGE_BYTES, name="message")  # type: ignore[arg-type]  # a union is a type form


def call_id_of(chain_id: ChainId, shard: ShardId, trace_id: TransactionId, ordinal: int) -> CallId:
    """Name of the call that operation `ordinal` of a transaction makes."""
    return CallId(tagged_hash(Domain.CALL_ID, chain_id, shard.to_bytes(2, "big"), trace_id, ordinal.to_bytes(4, "big")))


def child_call_id(chain_id: ChainId, shard: ShardId, destination: ShardId, sequence: Sequence) -> CallId:
    """Name of the call that a contract sends as this message: its place names it, so no two calls share a name."""
    place = shard.to_bytes(2, "big") + destination.to_bytes(2, "big") + sequence.to_bytes(8, "big")
    return CallId(tagged_hash(Domain.CHILD_CALL_ID, chain_id, place))


def message_id_of(
    chain_id: ChainId, source: ShardId, destination: ShardId, sequence: Sequence, body: bytes
) -> MessageId:
    """Leaf hash of a message in its stream: binds chain, lane, sequence number and body."""
    lane = source.to_bytes(2, "big") + destination.to_bytes(2, "big") + sequence.to_bytes(8, "big")
    return MessageId(tagged_hash(Domain.MESSAGE, chain_id, lane, leaf_hash(body)))
