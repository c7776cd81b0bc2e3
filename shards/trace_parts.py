"""What one shard knows of a call tree: the hops that happened on it, read from its own store.

Every hop left a receipt: the transaction at the root, each call that was consumed here, each run of a contract, each
reply that came home.
Amounts and targets come from the block and the messages themselves, and are missing where those are pruned.
`shards.traces` puts the parts of several shards together.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from consensus.block import Block
from primitives.amounts import Amount, unpack_amount
from primitives.codec import encode
from primitives.errors import InvariantViolated
from primitives.identifiers import CallId, Height, MessageId, Milliseconds, Sequence, ShardId, TransactionId
from primitives.signatures import PUBLIC_KEY_BYTES
from primitives.storage import Reader
from shards.arrivals import arrival, stored_block
from shards.bundles import Bundle
from shards.chain_store import (
    FoundReceipt,
    commitment_at,
    executed_height,
    receipts_naming,
    sent_by,
    transaction_place,
)
from shards.items import unpack_item
from shards.messages import Call, Message, Outcome, Reply, message_decoder
from shards.receipts import (
    CallReceipt,
    Receipt,
    ReplyReceipt,
    RunReceipt,
    RunState,
    SentMessage,
    TransactionReceipt,
)
from shards.stream_store import message_body
from shards.transactions import (
    ContractCall,
    Deploy,
    Operation,
    RemoteCall,
    RemoteTransfer,
    TopUp,
    Transfer,
    Upgrade,
    parse_transaction,
)

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
    RUN = "run"
    """A contract ran: the first stretches of a call, or further ones."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Money on its way to an account or contract `target` of `shard`."""

    shard: ShardId
    target: bytes
    amount: Amount


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of a contract: by a call, or by a transaction that deploys (`init`) or upgrades (`migrate`) it."""

    verb: str
    """`call`, `deploy`, `upgrade` or `top up`."""
    shard: ShardId
    contract: str
    method: str
    arguments: bytes
    """An encoded list."""
    value: Amount


@dataclass(frozen=True, slots=True)
class SentPart:
    """A message that a hop sent; `movement` and `asked` are None for a reply, and where the body is pruned."""

    message_id: MessageId
    call_id: CallId
    destination: ShardId
    sequence: Sequence
    is_reply: bool
    movement: Movement | None
    asked: Asked | None = None
    """Of a call to a contract; it then has no movement."""


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
    """Of a transaction: the contract's call that it began."""
    movements: tuple[Movement, ...] = ()
    """What a transaction moved, what a call brought; nothing for a reply."""
    asked: tuple[Asked, ...] = ()
    """What a transaction or a call asked of contracts."""
    run: RunReceipt | None = None
    reply: Reply | None = None
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
    return receipt.trace_id if isinstance(receipt, CallReceipt | ReplyReceipt | RunReceipt) else None


def asked_by(operation: Operation, shard: ShardId) -> Asked | None:
    """What an operation of a transaction on `shard` asks of a contract; None for a transfer."""
    match operation:
        case ContractCall(contract, method, arguments, amount):
            return Asked("call", shard, contract, method, arguments, unpack_amount(amount))
        case RemoteCall(destination, contract, method, arguments, amount):
            return Asked("call", destination, contract, method, arguments, unpack_amount(amount))
        case Deploy(name, _, _, arguments, amount):
            return Asked("deploy", shard, name, "init", arguments, unpack_amount(amount))
        case Upgrade(name, _, arguments):
            return Asked("upgrade", shard, name, "migrate", arguments, NOTHING)
        case TopUp(call_id):
            return Asked("top up", shard, call_id.hex(), "", b"", NOTHING)
        case _:
            return None


def _asked_of(call: Call, shard: ShardId) -> Asked | None:
    """What a message asks of a contract; None when it is to an account."""
    if len(call.target) == PUBLIC_KEY_BYTES and not call.method:
        return None
    name = call.target.decode("utf-8", "replace").partition("@")[0]
    return Asked("call", shard, name, call.method, call.arguments, unpack_amount(call.value))


class _Reading:
    """One snapshot, with the blocks that were decoded."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._block = lru_cache(maxsize=MAX_DECODED_BLOCKS)(lambda height: stored_block(reader, height))

    def hop(self, found: FoundReceipt) -> Hop:
        """What a receipt tells, with what the block adds to it."""
        receipt = found.receipt
        if isinstance(receipt, TransactionReceipt):
            return self._transaction(found, receipt)
        if isinstance(receipt, CallReceipt | ReplyReceipt):
            return self._consumed(found, receipt)
        if isinstance(receipt, RunReceipt):
            return self._run(found, receipt)
        raise InvariantViolated("hops are transactions, calls, replies and runs")

    def unexecuted(self, trace_id: TransactionId) -> list[Hop]:
        """The transaction itself, if it is final and not executed yet."""
        place = transaction_place(self._reader, trace_id)
        if place is None or place.height <= executed_height(self._reader):
            return []
        block = self._block(place.height)
        if block is None:
            return []
        sender, operations = self._content(place.height, block, trace_id)
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
            movements=_movements(operations, header.shard),
            asked=_all_asked(operations, header.shard),
        )
        return [hop]

    def _transaction(self, found: FoundReceipt, receipt: TransactionReceipt) -> Hop:
        height = found.place.height
        sender, operations = self._content(height, self._block(height), receipt.transaction_id)
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
            call_id=CallId(receipt.call_id) if receipt.call_id else None,
            movements=_movements(operations, shard),
            asked=_all_asked(operations, shard),
        )

    def _run(self, found: FoundReceipt, receipt: RunReceipt) -> Hop:
        shard, times = self._times(found.place.height)
        return Hop(
            shard=shard,
            height=found.place.height,
            index=found.place.index,
            time_ms=times[0],
            kind=HopKind.RUN,
            outcome=RunState(receipt.state).name.lower(),
            detail=receipt.error_text,
            gas=receipt.gas_used,
            sent=self._sent(receipt),
            block_times_ms=times,
            call_id=receipt.call_id,
            run=receipt,
        )

    def _consumed(self, found: FoundReceipt, receipt: CallReceipt | ReplyReceipt) -> Hop:
        height = found.place.height
        shard, times = self._times(height)
        bundle, message = self._arrival(height, receipt, shard)
        call = message if isinstance(message, Call) else None
        asked = _asked_of(call, shard) if call else None
        return Hop(
            shard=shard,
            height=height,
            index=found.place.index,
            time_ms=times[0],
            kind=HopKind.REPLY if isinstance(receipt, ReplyReceipt) else HopKind.CALL,
            outcome=Outcome(receipt.outcome).name.lower(),
            detail=receipt.detail,
            gas=_gas_of(receipt, message),
            sent=self._sent(receipt),
            block_times_ms=times,
            sender=call.sender if call else b"",
            source=receipt.source,
            message_id=receipt.message_id,
            call_id=receipt.call_id,
            movements=(Movement(shard, call.target, unpack_amount(call.value)),) if call and not asked else (),
            asked=(asked,) if asked else (),
            returned=unpack_amount(receipt.returned) if isinstance(receipt, ReplyReceipt) else NOTHING,
            proof_bytes=len(encode(bundle)) - sum(map(len, bundle.bodies)) if bundle else 0,
            reply=message if isinstance(message, Reply) else None,
        )

    def _sent(self, receipt: Receipt) -> tuple[SentPart, ...]:
        reply = receipt.reply if isinstance(receipt, CallReceipt | RunReceipt) else None
        return tuple(self._sent_part(sent, is_reply=sent == reply) for sent in sent_by(receipt))

    def _sent_part(self, sent: SentMessage, *, is_reply: bool) -> SentPart:
        body = None if is_reply else message_body(self._reader, sent.destination, sent.sequence)
        message = message_decoder.decode(body) if body is not None else None
        call = message if isinstance(message, Call) else None
        asked = _asked_of(call, sent.destination) if call else None
        return SentPart(
            message_id=sent.message_id,
            call_id=sent.call_id,
            destination=sent.destination,
            sequence=sent.sequence,
            is_reply=is_reply,
            movement=Movement(sent.destination, call.target, unpack_amount(call.value)) if call and not asked else None,
            asked=asked,
        )

    def _times(self, height: Height) -> tuple[ShardId, tuple[Milliseconds, ...]]:
        """The shard, and the times of this and earlier blocks."""
        commitments = (
            commitment_at(self._reader, Height(each)) for each in range(height, max(0, height - MAX_LATENCY_BLOCKS), -1)
        )
        kept = [each for each in commitments if each is not None]
        return kept[0].shard, tuple(each.time_ms for each in kept)

    def _content(
        self, height: Height, block: Block | None, wanted: TransactionId
    ) -> tuple[bytes, tuple[Operation, ...]]:
        """Sender and operations of a transaction in a block."""
        place = transaction_place(self._reader, wanted)
        if block is None or place is None or place.height != height:
            return b"", ()
        body = parse_transaction(unpack_item(block.items[place.index])[1]).body
        return body.sender, body.operations

    def _arrival(
        self, height: Height, receipt: CallReceipt | ReplyReceipt, shard: ShardId
    ) -> tuple[Bundle | None, Message | None]:
        """The bundle of a block that a message came in, and the message; no bundle where a shard wrote to itself."""
        if receipt.source != shard:
            return arrival(self._block(height), receipt.source, receipt.sequence)
        body = message_body(self._reader, shard, receipt.sequence)
        return None, None if body is None else message_decoder.decode(body)


def _movements(operations: tuple[Operation, ...], shard: ShardId) -> tuple[Movement, ...]:
    return tuple(
        Movement(
            operation.destination if isinstance(operation, RemoteTransfer) else shard,
            operation.to,
            unpack_amount(operation.amount),
        )
        for operation in operations
        if isinstance(operation, Transfer | RemoteTransfer)
    )


def _all_asked(operations: tuple[Operation, ...], shard: ShardId) -> tuple[Asked, ...]:
    return tuple(asked for operation in operations if (asked := asked_by(operation, shard)) is not None)


def _gas_of(receipt: CallReceipt | ReplyReceipt, message: Message | None) -> int:
    if isinstance(receipt, CallReceipt):
        return receipt.gas_used
    return message.reply_gas if message is not None else 0
