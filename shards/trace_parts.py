"""What one shard knows of a call tree: the hops that happened on it, read from its own store.

Every hop left a receipt: the transaction at the root, each call that was consumed here, each reply that came home.
Amounts and targets come from the block and the messages themselves, and are missing where those are pruned.
`shards.traces` puts the parts of several shards together.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from consensus.archive import finalized_block
from consensus.block import Block, decode_block
from primitives.amounts import Amount, unpack_amount
from primitives.codec import encode
from primitives.errors import InvariantViolated
from primitives.identifiers import CallId, Height, MessageId, Milliseconds, Sequence, ShardId, TransactionId
from primitives.storage import Reader
from shards.bundles import Bundle, decode_bundle
from shards.chain_store import (
    FoundReceipt,
    commitment_at,
    executed_height,
    receipts_naming,
    sent_by,
    transaction_place,
)
from shards.items import ItemKind, unpack_item
from shards.messages import Call, Message, Outcome, message_decoder
from shards.receipts import CallReceipt, Receipt, ReplyReceipt, SentMessage, TransactionReceipt
from shards.stream_store import message_body
from shards.transactions import RemoteTransfer, parse_transaction

MAX_LATENCY_BLOCKS = 16
"""How far back a hop's latency is counted in blocks; a longer one is given as this many."""

MAX_DECODED_BLOCKS = 8
"""Kept while one trace is read: its hops come in the order of the chain, several to a block."""

NOTHING = Amount(0)

FINALIZED = "finalized"
"""Outcome of a transaction that is in a final block and not executed yet."""


class HopKind(StrEnum):
    """What happened."""

    TRANSACTION = "transaction"
    CALL = "call"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Movement:
    """Money on its way to an account or contract `target` of `shard`."""

    shard: ShardId
    target: bytes
    amount: Amount


@dataclass(frozen=True, slots=True)
class SentPart:
    """A message that a hop sent; `movement` is None for a reply, and where the body is pruned."""

    message_id: MessageId
    call_id: CallId
    destination: ShardId
    sequence: Sequence
    is_reply: bool
    movement: Movement | None


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a call tree, as the shard on which it happened tells it."""

    shard: ShardId
    height: Height
    index: int
    """Of its receipt in the block."""
    time_ms: Milliseconds
    kind: HopKind
    outcome: str
    """`ok`, a transaction's failure code, or `failed`, `expired`, `refused`; see `FINALIZED`."""
    detail: str
    gas: int
    sent: tuple[SentPart, ...]
    block_times_ms: tuple[Milliseconds, ...]
    """Of this block and up to `MAX_LATENCY_BLOCKS` - 1 before it, newest first."""
    sender: bytes = b""
    source: ShardId | None = None
    """Where the consumed message came from; None for a transaction."""
    message_id: MessageId | None = None
    call_id: CallId | None = None
    movements: tuple[Movement, ...] = ()
    """What a transaction moved, what a call brought; nothing for a reply."""
    returned: Amount = NOTHING
    """What a reply brought back."""
    proof_bytes: int = 0
    """Size of the proof that the message came with: its bundle without the bodies; 0 when pruned."""


@dataclass(frozen=True, slots=True)
class TracePart:
    """All hops of one trace on one shard, in the order of its chain."""

    trace_id: TransactionId
    hops: tuple[Hop, ...]


def trace_part(reader: Reader, trace_id: TransactionId) -> TracePart:
    """This shard's hops of a trace; none when it has no part in it."""
    reading = _Reading(reader)
    hops = reading.unexecuted(trace_id)
    hops += [reading.hop(each) for each in receipts_naming(reader, trace_id) if _trace_of(each.receipt) == trace_id]
    return TracePart(trace_id, tuple(hops))


def _trace_of(receipt: Receipt) -> TransactionId | None:
    if isinstance(receipt, TransactionReceipt):
        return receipt.transaction_id
    return receipt.trace_id if isinstance(receipt, CallReceipt | ReplyReceipt) else None


class _Reading:
    """One snapshot, with the blocks that were decoded."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._block = lru_cache(maxsize=MAX_DECODED_BLOCKS)(self._decode_block)

    def hop(self, found: FoundReceipt) -> Hop:
        """What a receipt tells, with what the block adds to it."""
        receipt = found.receipt
        if isinstance(receipt, TransactionReceipt):
            return self._transaction(found, receipt)
        if isinstance(receipt, CallReceipt | ReplyReceipt):
            return self._consumed(found, receipt)
        raise InvariantViolated("hops are transactions, calls and replies")

    def unexecuted(self, trace_id: TransactionId) -> list[Hop]:
        """The transaction itself, if it is final and not executed yet."""
        place = transaction_place(self._reader, trace_id)
        if place is None or place.height <= executed_height(self._reader):
            return []
        block = self._block(place.height)
        if block is None:
            return []
        sender, movements = self._content(place.height, block, trace_id)
        header = block.header
        hop = Hop(
            shard=header.shard,
            height=header.height,
            index=place.index,
            time_ms=header.time_ms,
            kind=HopKind.TRANSACTION,
            outcome=FINALIZED,
            detail="",
            gas=0,
            sent=(),
            block_times_ms=(header.time_ms,),
            sender=sender,
            movements=movements,
        )
        return [hop]

    def _transaction(self, found: FoundReceipt, receipt: TransactionReceipt) -> Hop:
        height = found.place.height
        sender, movements = self._content(height, self._block(height), receipt.transaction_id)
        shard, times = self._times(height)
        return Hop(
            shard=shard,
            height=height,
            index=found.place.index,
            time_ms=times[0],
            kind=HopKind.TRANSACTION,
            outcome=receipt.failure or "ok",
            detail=receipt.detail,
            gas=receipt.gas_used,
            sent=self._sent(receipt),
            block_times_ms=times,
            sender=sender,
            movements=movements,
        )

    def _consumed(self, found: FoundReceipt, receipt: CallReceipt | ReplyReceipt) -> Hop:
        height = found.place.height
        bundle, message = self._arrival(height, receipt.source, receipt.sequence)
        shard, times = self._times(height)
        call = message if isinstance(message, Call) else None
        return Hop(
            shard=shard,
            height=height,
            index=found.place.index,
            time_ms=times[0],
            kind=HopKind.REPLY if isinstance(receipt, ReplyReceipt) else HopKind.CALL,
            outcome=Outcome(receipt.outcome).name.lower(),
            detail=receipt.detail,
            gas=(message.reply_gas if message else 0) if isinstance(receipt, ReplyReceipt) else receipt.gas_used,
            sent=self._sent(receipt),
            block_times_ms=times,
            sender=call.sender if call else b"",
            source=receipt.source,
            message_id=receipt.message_id,
            call_id=receipt.call_id,
            movements=(Movement(shard, call.target, unpack_amount(call.value)),) if call else (),
            returned=unpack_amount(receipt.returned) if isinstance(receipt, ReplyReceipt) else NOTHING,
            proof_bytes=len(encode(bundle)) - sum(map(len, bundle.bodies)) if bundle else 0,
        )

    def _sent(self, receipt: Receipt) -> tuple[SentPart, ...]:
        is_reply = isinstance(receipt, CallReceipt)
        return tuple(
            SentPart(
                message_id=sent.message_id,
                call_id=sent.call_id,
                destination=sent.destination,
                sequence=sent.sequence,
                is_reply=is_reply,
                movement=None if is_reply else self._movement(sent),
            )
            for sent in sent_by(receipt)
        )

    def _movement(self, sent: SentMessage) -> Movement | None:
        body = message_body(self._reader, sent.destination, sent.sequence)
        message = message_decoder.decode(body) if body is not None else None
        if not isinstance(message, Call):
            return None
        return Movement(sent.destination, message.target, unpack_amount(message.value))

    def _times(self, height: Height) -> tuple[ShardId, tuple[Milliseconds, ...]]:
        """The shard, and the times of this and earlier blocks."""
        commitments = (
            commitment_at(self._reader, Height(each)) for each in range(height, max(0, height - MAX_LATENCY_BLOCKS), -1)
        )
        kept = [each for each in commitments if each is not None]
        return kept[0].shard, tuple(each.time_ms for each in kept)

    def _decode_block(self, height: Height) -> Block | None:
        raw = finalized_block(self._reader, height)
        return decode_block(raw) if raw is not None else None

    def _content(
        self, height: Height, block: Block | None, wanted: TransactionId
    ) -> tuple[bytes, tuple[Movement, ...]]:
        """Sender and movements of a transaction in a block."""
        place = transaction_place(self._reader, wanted)
        if block is None or place is None or place.height != height:
            return b"", ()
        body = parse_transaction(unpack_item(block.items[place.index])[1]).body
        movements = tuple(
            Movement(
                operation.destination if isinstance(operation, RemoteTransfer) else body.shard,
                operation.to,
                unpack_amount(operation.amount),
            )
            for operation in body.operations
        )
        return body.sender, movements

    def _arrival(self, height: Height, source: ShardId, sequence: Sequence) -> tuple[Bundle | None, Message | None]:
        """The bundle of a block that a message came in, and the message."""
        block = self._block(height)
        for item in block.items if block is not None else ():
            kind, raw = unpack_item(item)
            if kind is not ItemKind.BUNDLE:
                continue
            bundle = decode_bundle(raw)
            if bundle.head.source == source and bundle.first <= sequence < bundle.first + len(bundle.bodies):
                return bundle, message_decoder.decode(bundle.bodies[sequence - bundle.first])
        return None, None
