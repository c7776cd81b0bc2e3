"""Where the chain's history stands in a validator's store, and how it is read back.

Everything here is a pure function: writes go into the core's Persist effects, reads go through a snapshot. Blocks
themselves are consensus' (`consensus.archive`). Numbers in keys are big-endian, so byte order is number order.

| table | key | value |
|---|---|---|
| ledger.commitments | height 8 | encoded `Commitment`: our own result, written before it is signed |
| ledger.certificates | height 8 | encoded `CommitmentCertificate`; heights may be skipped |
| ledger.heads | height 8 | encoded `_Heads`: those in use; an unused one is a constant |
| ledger.receipts | height 8 | encoded tuple of the block's encoded receipts |
| ledger.ids | era 4 ‖ id 16 ‖ place in the era 2 ‖ kind 1 | see below |
| ledger.sent | destination 2 ‖ first sequence 8 | encoded `Batch`: height and bodies that one block sent there |
| ledger.stream_nodes | destination 2 ‖ first sequence 8 | hashes of the MMR nodes that the batch made, in order |
| ledger.received | source 2 ‖ first sequence 8 | height 8 of the block that consumed messages from this one on |
| ledger.history_nodes | height 8 | hashes of the history MMR's nodes that appending this height's commitment made |
| ledger.boundaries | destination 2, or empty | encoded `Boundary`: peaks where pruning has cut that MMR |
| ledger.evidence | culprit 2 ‖ kind of offence | evidence against a validator of this shard, the first of a kind |
| ledger.runs | see `shards.run_store` | what is kept of each run of a contract beside its receipt |

*Batches.* A block appends to a stream in one run, and consumes one in one run, so one record for each block and lane
is enough: a message is found under the greatest key that is not above its own. Node (level, index) of an MMR is made
by appending leaf ((index + 1) << level) - 1 and is the level-th made then; the first n appends make 2n - popcount(n)
nodes. Its place in its batch is therefore computed, not stored.

Messages of the shard to itself are such batches too, under its own number, by their places in its queue. These have
gaps, so each unbroken piece is a batch of its own; no stream holds them, so there are no nodes.

*Ids.* A transaction, message, call or trace id leads to the heights whose receipts contain it; the receipts say the
rest. Kind 0 is an included transaction (value: its item's index, 4 bytes, known from finalization on), kind 1 a place
in receipts (value: empty). Ids are random, and a random key touches one page of a B-tree each; keys therefore begin
with the era (height // ERA_BLOCKS), so that a block's writes meet in the few pages of its own era.

*Pruning* deletes what is below a height, except what is not acknowledged yet and the newest certificate. It leaves the
peaks at the cut, which are exactly the left siblings that paths of kept leaves need from beyond it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from primitives.codec import Record, encode
from primitives.identifiers import (
    Height,
    HeightField,
    MessageId,
    Sequence,
    ShardId,
    ShardIdField,
    TransactionId,
    ValidatorIndex,
)
from primitives.storage import Reader, Write, integer_key
from shards.commitments import Commitment, CommitmentCertificate
from shards.items import ItemKind
from shards.lanes import unused_head
from shards.outcome import Execution, SentBody
from shards.receipts import (
    CallReceipt,
    DiscardReceipt,
    Receipt,
    ReplyReceipt,
    RunReceipt,
    SentMessage,
    TransactionReceipt,
)
from shards.run_store import RUNS, note_writes
from shards.streams import PeaksField, StreamHead
from shards.transactions import transaction_id

COMMITMENTS = "ledger.commitments"
CERTIFICATES = "ledger.certificates"
HEADS = "ledger.heads"
RECEIPTS = "ledger.receipts"
IDS = "ledger.ids"
SENT = "ledger.sent"
STREAM_NODES = "ledger.stream_nodes"
RECEIVED = "ledger.received"
HISTORY_NODES = "ledger.history_nodes"
BOUNDARIES = "ledger.boundaries"
EVIDENCE = "ledger.evidence"

TABLES = (
    COMMITMENTS, CERTIFICATES, HEADS, RECEIPTS, IDS, SENT, STREAM_NODES, RECEIVED, HISTORY_NODES, BOUNDARIES,
    EVIDENCE, RUNS,
)  # fmt: skip
"""Every table of this module, for shells that open them by name."""

ERA_BLOCKS = 1024
"""A full history has about 1,000 eras to look in, 1 us each; an era of busy blocks has a few thousand pages."""

MAX_PLACES = 256
"""Heights looked at for one id. Another shard may name any trace it likes; more than this is not worth reading."""

_ID_BYTES = 16
"""Of an id in keys: two that collide cost 2**64 hashes to find and lead to a place that then does not match."""

_TRANSACTION, _RECEIPT = b"\0", b"\1"
_TRANSACTION_TAG = 1

Consumed = CallReceipt | ReplyReceipt | DiscardReceipt
"""Receipts of messages, exactly one for each that was consumed."""


class _Heads(Record):
    """The heads in use after one height."""

    shard: ShardIdField
    shard_count: int
    used: tuple[StreamHead, ...]


class Batch(Record):
    """What one block sent to one destination."""

    height: HeightField
    bodies: tuple[bytes, ...]


class Boundary(Record):
    """Where pruning has cut an MMR: nodes made before leaf `size` are gone, except its peaks then."""

    size: int
    peaks: PeaksField


# Our own encodings, read back: decoded without the check for canonical form.
_decode_commitment = msgspec.msgpack.Decoder(Commitment).decode
_decode_certificate = msgspec.msgpack.Decoder(CommitmentCertificate).decode
_decode_heads = msgspec.msgpack.Decoder(_Heads).decode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
_decode_receipts = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode
decode_boundary = msgspec.msgpack.Decoder(Boundary).decode
decode_receipt = msgspec.msgpack.Decoder(Receipt).decode


@dataclass(frozen=True, slots=True)
class Place:
    """A height, and the index of an item of its block (of a transaction) or of one of its receipts (all others)."""

    height: Height
    index: int


class FoundReceipt(NamedTuple):
    """A receipt with its place among the receipts of its height."""

    place: Place
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """A message that this shard sent or received, and the receipt that says so."""

    place: Place
    received: bool
    source: ShardId
    destination: ShardId
    sequence: Sequence


# --- writing ----------------------------------------------------------------------------------------------------------


def execution_writes(execution: Execution) -> tuple[Write, ...]:
    """Everything that executing one block adds; durable before its commitment is signed."""
    commitment = execution.commitment
    height = commitment.height
    key = integer_key(height)
    used = tuple(head for head in execution.heads if head != unused_head(head.source, head.destination))
    heads = _Heads(commitment.shard, len(execution.heads), used)
    writes = [
        Write(COMMITMENTS, key, encode(commitment)),
        Write(HEADS, key, encode(heads)),
        Write(RECEIPTS, key, encode(execution.receipts)),
        Write(HISTORY_NODES, integer_key(height - 1), b"".join(node.hash for node in execution.history_nodes)),
    ]
    writes += _sent_writes(height, execution.sent)
    named: set[bytes] = {message.message_id for message in execution.sent}
    named.update(message.call_id for message in execution.sent)
    consumed: set[ShardId] = set()
    for raw in execution.receipts:
        receipt = _decode_named(raw)
        if receipt is None:
            continue
        if not isinstance(receipt, DiscardReceipt):
            named.update((receipt.call_id, receipt.trace_id))
        if isinstance(receipt, RunReceipt):
            named.update(call.call_id for call in receipt.calls)
            continue
        named.add(receipt.message_id)
        if receipt.source not in consumed:
            consumed.add(receipt.source)
            writes.append(Write(RECEIVED, lane_record_key(receipt.source, receipt.sequence), key))
    era, place = _era_and_place(height)
    writes += [Write(IDS, era + each[:_ID_BYTES] + place + _RECEIPT, b"") for each in sorted(named)]
    writes += note_writes(height, execution.notes)
    return tuple(writes)


def _sent_writes(height: Height, sent: tuple[SentBody, ...]) -> Iterator[Write]:
    batches: list[list[SentBody]] = []
    newest: dict[ShardId, list[SentBody]] = {}
    for message in sent:
        batch = newest.get(message.destination)
        if batch is None or batch[-1].sequence + 1 != message.sequence:
            batch = newest[message.destination] = []
            batches.append(batch)
        batch.append(message)
    for batch in batches:
        key = lane_record_key(batch[0].destination, batch[0].sequence)
        yield Write(SENT, key, encode(Batch(height, tuple(message.body for message in batch))))
        nodes = b"".join(node.hash for message in batch for node in message.nodes)
        if nodes:
            yield Write(STREAM_NODES, key, nodes)


def certificate_writes(certificate: CommitmentCertificate) -> tuple[Write, ...]:
    """Keep a certificate under its height."""
    return (Write(CERTIFICATES, integer_key(certificate.commitment.height), encode(certificate)),)


def block_index_writes(height: Height, items: Iterable[bytes]) -> tuple[Write, ...]:
    """Let the transactions of a finalized block be found by id; `items` are the block's."""
    era, place = _era_and_place(height)
    writes = [
        Write(IDS, era + transaction_id(item[1:])[:_ID_BYTES] + place + _TRANSACTION, index.to_bytes(4, "big"))
        for index, item in enumerate(items)
        if item[0] == ItemKind.TRANSACTION
    ]
    writes.sort()
    return tuple(writes)


def evidence_writes(culprit: ValidatorIndex, kind: str, evidence: bytes) -> tuple[Write, ...]:
    """Keep evidence; with one record for each validator and kind of offence there are never more than a few hundred."""
    return (Write(EVIDENCE, culprit.to_bytes(2, "big") + kind.encode(), evidence),)


def offences(reader: Reader) -> tuple[tuple[ValidatorIndex, str], ...]:
    """Who is known to have done what, by culprit: the keys of the evidence that is kept."""
    return tuple((ValidatorIndex(number_of(key[:2])), key[2:].decode()) for key, _ in reader.scan(EVIDENCE))


# --- heights ----------------------------------------------------------------------------------------------------------


def executed_height(reader: Reader) -> Height:
    """Height of the last block whose execution is stored; 0, the genesis, when there is none."""
    return next((Height(number_of(key)) for key, _ in reader.scan(COMMITMENTS, reverse=True)), Height(0))


def commitment_at(reader: Reader, height: Height) -> Commitment | None:
    """Own commitment of an executed height; None when there is none (not executed yet, pruned, or the genesis)."""
    raw = reader.get(COMMITMENTS, integer_key(height))
    return _decode_commitment(raw) if raw is not None else None


def certificate_at(reader: Reader, height: Height) -> CommitmentCertificate | None:
    """Certificate of exactly this height, or None: heights are skipped when a later one was certified first."""
    raw = reader.get(CERTIFICATES, integer_key(height))
    return _decode_certificate(raw) if raw is not None else None


def latest_certificate(reader: Reader) -> CommitmentCertificate | None:
    """Newest certificate, which also certifies everything below it."""
    return next((_decode_certificate(raw) for _, raw in reader.scan(CERTIFICATES, reverse=True)), None)


def heads_at(reader: Reader, height: Height) -> tuple[StreamHead, ...] | None:
    """All heads after a height, in order of destinations: the leaves under its outbox root; None when not stored."""
    raw = reader.get(HEADS, integer_key(height))
    if raw is None:
        return None
    stored = _decode_heads(raw)
    used = {head.destination: head for head in stored.used}
    shards = map(ShardId, range(stored.shard_count))
    return tuple(used.get(shard) or unused_head(stored.shard, shard) for shard in shards)


def receipts_at(reader: Reader, height: Height) -> tuple[bytes, ...]:
    """Encoded receipts of an executed height, in block order; none when it is not stored."""
    raw = reader.get(RECEIPTS, integer_key(height))
    return _decode_receipts(raw) if raw is not None else ()


# --- ids --------------------------------------------------------------------------------------------------------------


def transaction_place(reader: Reader, wanted: TransactionId) -> Place | None:
    """Height and item index of a finalized transaction, or None."""
    for height, value in _entries(reader, wanted, _TRANSACTION):
        return Place(height, number_of(value))
    return None


def receipts_naming(reader: Reader, wanted: bytes) -> tuple[FoundReceipt, ...]:
    """Receipts of this shard that contain a transaction, message, call or trace id, in the order of the chain."""
    heights = {height for height, _ in _entries(reader, wanted, _TRANSACTION + _RECEIPT)}
    return tuple(
        FoundReceipt(Place(height, index), decode_receipt(raw))
        for height in sorted(heights)[:MAX_PLACES]
        for index, raw in enumerate(receipts_at(reader, height))
        if wanted in raw
    )


def call_places(reader: Reader, call_id: bytes) -> tuple[FoundReceipt, ...]:
    """Where this shard sent a call, consumed it, or consumed its reply, in the order of the chain."""
    return tuple(found for found in receipts_naming(reader, call_id) if call_id in _call_ids(found.receipt))


def message_place(reader: Reader, message_id: MessageId) -> MessagePlace | None:
    """Where this shard sent or consumed a message, or None."""
    commitment = next((_decode_commitment(raw) for _, raw in reader.scan(COMMITMENTS, reverse=True)), None)
    if commitment is None:
        return None
    shard = commitment.shard
    for place, receipt in receipts_naming(reader, message_id):
        if isinstance(receipt, Consumed) and receipt.message_id == message_id:
            return MessagePlace(place, True, receipt.source, shard, receipt.sequence)
        for sent in sent_by(receipt):
            if sent.message_id == message_id:
                return MessagePlace(place, False, shard, sent.destination, sent.sequence)
    return None


def sent_by(receipt: Receipt) -> tuple[SentMessage, ...]:
    """Messages that the execution behind a receipt appended to streams."""
    if isinstance(receipt, TransactionReceipt):
        return receipt.sent
    reply = (receipt.reply,) if isinstance(receipt, CallReceipt | RunReceipt) and receipt.reply is not None else ()
    if isinstance(receipt, RunReceipt):
        return tuple(call.sent for call in receipt.calls if call.sent is not None) + reply
    return reply


def decode_consumed(raw: bytes) -> Consumed | None:
    """A message's receipt; None for any other."""
    receipt = _decode_named(raw)
    return receipt if isinstance(receipt, Consumed) else None


def _decode_named(raw: bytes) -> Consumed | RunReceipt | None:
    """A receipt that names calls or messages. The second byte is a short one's tag: most are of transactions."""
    if raw[1] == _TRANSACTION_TAG:
        return None
    receipt = decode_receipt(raw)
    return receipt if isinstance(receipt, Consumed | RunReceipt) else None


def _call_ids(receipt: Receipt) -> set[bytes]:
    own = {receipt.call_id} if isinstance(receipt, CallReceipt | ReplyReceipt | RunReceipt) else set()
    return own | {message.call_id for message in sent_by(receipt)}


def _entries(reader: Reader, wanted: bytes, kinds: bytes) -> Iterator[tuple[Height, bytes]]:
    """Heights at which an id occurs with the values there, newest era first."""
    oldest = next((number_of(key[:4]) for key, _ in reader.scan(IDS)), 0)
    newest = next((number_of(key[:4]) for key, _ in reader.scan(IDS, reverse=True)), -1)
    for era in range(newest, oldest - 1, -1):
        start = era.to_bytes(4, "big") + wanted[:_ID_BYTES]
        for key, value in reader.scan(IDS, start, start + b"\xff\xff\xff"):
            if key[-1:] in kinds:
                yield Height(era * ERA_BLOCKS + number_of(key[-3:-1])), value


# --- keys -------------------------------------------------------------------------------------------------------------


def number_of(raw: bytes) -> int:
    """The number in a part of a key or value."""
    return int.from_bytes(raw, "big")


def lane_record_key(peer: ShardId, sequence: Sequence) -> bytes:
    """Key of what one block sent to or received from a peer, from this sequence number on."""
    return peer.to_bytes(2, "big") + integer_key(sequence)


def _era_and_place(height: Height) -> tuple[bytes, bytes]:
    """What stands before and behind the id in keys of a height."""
    era, place = divmod(height, ERA_BLOCKS)
    return era.to_bytes(4, "big"), place.to_bytes(2, "big")
