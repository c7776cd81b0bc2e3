"""What clients and relays ask a validator, answered from one snapshot of its store.

Nothing here needs the running core: these are pure functions, and a shell may run them in any thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from primitives.codec import encode
from primitives.errors import NotYet, Refused
from primitives.identifiers import CallId, Height, MessageId, Milliseconds, Sequence, ShardId, TransactionId
from primitives.storage import Reader
from shards.bundles import BODY_OVERHEAD, MAX_PROOF_BYTES, assemble_bundle, message_gas, proof_gas
from shards.call_queries import Answered, CallView, answer_to, call_view, trace_is_over
from shards.chain_store import (
    Place,
    commitment_at,
    executed_height,
    heads_at,
    latest_certificate,
    message_place,
    receipts_naming,
    sent_by,
    transaction_place,
)
from shards.commitments import CommitmentCertificate
from shards.genesis import ChainContext
from shards.limits import BLOCK_GAS, LOCAL_GAS, MAX_BUNDLE_BYTES, MAX_BUNDLE_MESSAGES
from shards.messages import Message, message_decoder
from shards.proofs import assemble_message_proof
from shards.receipts import Receipt, SentMessage, TransactionReceipt
from shards.stream_store import message_bodies, message_body, received_place, stream_nodes
from shards.streams import StreamHead
from shards.transactions import SignedTransaction


class Level(StrEnum):
    """How far a transaction has come; see architecture.md. From `FINALIZED` on it is never lost."""

    ACCEPTED = "accepted"
    FINALIZED = "finalized"
    EXECUTED = "executed"
    CERTIFIED = "certified"
    SETTLED = "settled"
    """Certified, and all its messages are answered; of a contract's call, those too that it made from this shard."""


class MessageState(StrEnum):
    """What the source knows of a message that it sent."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    """Consumed by its destination; of a call, the reply has not come home."""
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class SentStatus:
    """A message that a transaction or call sent, with its state at the source."""

    message: SentMessage
    state: MessageState
    answer: Answered | None


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """Everything one validator knows of a transaction; `place` is its item's, None while it is only accepted."""

    id: TransactionId
    level: Level
    place: Place | None
    time_ms: Milliseconds | None
    """Of the block, once it is executed."""
    receipt: TransactionReceipt | None
    sent: tuple[SentStatus, ...]
    call: CallView | None = None
    """Of a transaction that called, deployed or upgraded a contract: that call."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message as one of its two shards sees it; `receipt` is the one behind its sending or consumption there."""

    message_id: MessageId
    source: ShardId
    destination: ShardId
    sequence: Sequence
    received: bool
    """Whether this is the destination's view."""
    place: Place
    time_ms: Milliseconds
    receipt: Receipt
    message: Message | None
    """The body, at the source only; None where it is pruned."""
    status: SentStatus | None
    """At the source only."""
    provable: bool
    """Whether `message_proof` can be made here now."""


def transaction_status(
    reader: Reader, wanted: TransactionId, mempool_lookup: Callable[[TransactionId], SignedTransaction | None]
) -> TransactionStatus | None:
    """How far a transaction of this shard has come; None when nobody here has heard of it (or it is pruned)."""
    place = transaction_place(reader, wanted)
    if place is None:
        if mempool_lookup(wanted) is None:
            return None
        return TransactionStatus(wanted, Level.ACCEPTED, None, None, None, ())
    found = next(
        (
            each.receipt
            for each in receipts_naming(reader, wanted)
            if isinstance(each.receipt, TransactionReceipt) and each.receipt.transaction_id == wanted
        ),
        None,
    )
    commitment = commitment_at(reader, place.height)
    if found is None or commitment is None:
        return TransactionStatus(wanted, Level.FINALIZED, place, None, None, ())
    sent = tuple(_sent_status(reader, message) for message in found.sent)
    level = Level.EXECUTED
    certified = _certified_height(reader)
    if place.height <= certified:
        answered = all(each.answer is not None and each.answer.place.height <= certified for each in sent)
        settled = answered and (not found.call_id or trace_is_over(reader, wanted, certified))
        level = Level.SETTLED if settled else Level.CERTIFIED
    call = call_view(reader, CallId(found.call_id)) if found.call_id else None
    return TransactionStatus(wanted, level, place, commitment.time_ms, found, sent, call)


def message_view(reader: Reader, message_id: MessageId) -> MessageView | None:
    """A message that this shard sent or consumed; None for any other."""
    place = message_place(reader, message_id)
    if place is None:
        return None
    found = [each.receipt for each in receipts_naming(reader, message_id) if each.place == place.place]
    commitment = commitment_at(reader, place.place.height)
    if not found or commitment is None:
        return None
    message, status, provable = None, None, False
    if not place.received:
        body = message_body(reader, place.destination, place.sequence)
        message = message_decoder.decode(body) if body is not None else None
        sent = next(each for each in sent_by(found[0]) if each.message_id == message_id)
        status = _sent_status(reader, sent)
        provable = (
            body is not None and place.destination != place.source and place.place.height <= _certified_height(reader)
        )
    return MessageView(
        message_id=message_id,
        source=place.source,
        destination=place.destination,
        sequence=place.sequence,
        received=place.received,
        place=place.place,
        time_ms=commitment.time_ms,
        receipt=found[0],
        message=message,
        status=status,
        provable=provable,
    )


def bundle_for(
    reader: Reader,
    context: ChainContext,
    shard: ShardId,
    destination: ShardId,
    first: Sequence,
    *,
    max_bytes: int = MAX_BUNDLE_BYTES,
    ack_only: bool = True,
) -> bytes | None:
    """Encode the largest bundle of this shard's messages from `first` on, proved by its newest certificate.

    It stays within `max_bytes`, and within the gas that a block has for it, unless a single message does not. Where
    nothing is new, it is a bundle without messages (all that acknowledgements need) if `ack_only`, else None; None too
    while nothing, or not so much, is certified.

    Raises:
        Refused: `unknown_shard`, `same_shard`, or `pruned`: `first` is acknowledged since long.
        NotYet: the store lacks what it is about to have.

    """
    context.committee(destination)
    if destination == shard:
        raise Refused("same_shard", f"shard {shard} sends no bundles to itself")
    newest = _newest(reader)
    if newest is None:
        return None
    certificate, heads = newest
    end = heads[destination].end
    if first > end or (first == end and not ack_only):
        return None
    bodies: list[bytes] = []
    room = min(max_bytes, MAX_BUNDLE_BYTES) - MAX_PROOF_BYTES
    gas = BLOCK_GAS - LOCAL_GAS - proof_gas(certificate)
    for body in islice(message_bodies(reader, destination, first), min(MAX_BUNDLE_MESSAGES, end - first)):
        room -= len(body) + BODY_OVERHEAD
        gas -= message_gas(body)
        if min(room, gas) < 0 and bodies:
            break
        bodies.append(body)
    if not bodies and first < end:
        raise Refused("pruned", f"message {first} to shard {destination} is acknowledged and no longer kept")
    nodes = stream_nodes(reader, destination)
    return encode(assemble_bundle(certificate, heads, destination, first, bodies, nodes))


def message_proof(reader: Reader, message_id: MessageId) -> bytes:
    """Encode the proof that this shard sent a message, however long ago it was settled (see `shards.proofs`).

    Raises:
        Refused: `unknown_message`, `wrong_shard` (its source can prove it) or `pruned`.
        NotYet: the block that sent it is not certified.

    """
    place = message_place(reader, message_id)
    if place is None:
        raise Refused("unknown_message", "this shard neither sent nor consumed such a message")
    if place.received:
        raise Refused("wrong_shard", f"shard {place.source} sent this message; ask it for the proof")
    if place.destination == place.source:
        raise Refused("not_provable", "the shard sent this message to itself, so no stream holds it; see its trace")
    newest = _newest(reader)
    if newest is None or newest[0].commitment.height < place.place.height:
        raise NotYet(f"block {place.place.height}, which sent the message, is not certified")
    body = message_body(reader, place.destination, place.sequence)
    if body is None:
        raise Refused("pruned", "the message is older than the history that is kept here")
    certificate, heads = newest
    nodes = stream_nodes(reader, place.destination)
    return encode(assemble_message_proof(certificate, heads, place.destination, place.sequence, body, nodes))


def _newest(reader: Reader) -> tuple[CommitmentCertificate, tuple[StreamHead, ...]] | None:
    """The newest certificate with the heads it covers."""
    certificate = latest_certificate(reader)
    heads = heads_at(reader, certificate.commitment.height) if certificate is not None else None
    return (certificate, heads) if certificate is not None and heads is not None else None


def _certified_height(reader: Reader) -> Height:
    certificate = latest_certificate(reader)
    return certificate.commitment.height if certificate is not None else Height(0)


def _sent_status(reader: Reader, message: SentMessage) -> SentStatus:
    answer = answer_to(reader, message.call_id, message.destination)
    if answer is not None:
        return SentStatus(message, MessageState.ANSWERED, answer)
    heads = heads_at(reader, executed_height(reader)) or ()
    head = heads[message.destination] if heads else None
    if head is not None and head.source == head.destination:
        acknowledged = received_place(reader, message.destination, message.sequence) is not None
    else:
        acknowledged = head is not None and head.begin > message.sequence
    return SentStatus(message, MessageState.ACKNOWLEDGED if acknowledged else MessageState.PENDING, None)
