"""Exported proofs: that a shard sent one message, shown to someone who knows the genesis and nothing else.

What follows from what is as in a bundle (`shards.bundles`), for a single message: the committee's quorum signs the
commitment, the commitment has the outbox root, the outbox tree has the stream's head, the head has the root of the
mountain range over all messages ever sent, and that range has the message's leaf, which binds chain, lane, sequence
number and body. The proof says that the message was sent; what became of it, the reply's own proof says.

    file = encoded `MessageProof`; anything after it, any other version, and any changed field is refused

A proof stays good when the message is long settled and pruned from state: it is made from the newest certificate,
whose mountain range holds every message there ever was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from primitives import mmr
from primitives.codec import Decoder, Record
from primitives.errors import Refused, invariant
from primitives.identifiers import Hash, HashField, Height, MessageId, Milliseconds, SequenceField, ShardId
from primitives.identifiers import Sequence as SequenceNumber
from primitives.merkle import inclusion_proof, verify_inclusion
from primitives.mmr import NodeReader
from primitives.signatures import SignatureScheme
from shards.bundles import MAX_PATH_HASHES, MAX_PROOF_BYTES
from shards.commitments import CommitmentCertificate, check_certificate
from shards.genesis import ChainContext
from shards.limits import MAX_MESSAGE_BYTES
from shards.messages import Message, message_decoder, message_id_of
from shards.streams import PeaksField, StreamHead, head_leaf

MAX_MESSAGE_PROOF_BYTES = MAX_PROOF_BYTES + MAX_MESSAGE_BYTES
"""The largest message with a certificate, a head and three paths; a transfer's proof is about 1.5 kB."""


class MessageProof(Record):
    """The exported proof of message `sequence` of the stream that `head` commits to."""

    version: Annotated[int, Meta(ge=1, le=1)]
    certificate: CommitmentCertificate
    head: StreamHead
    path: Annotated[tuple[HashField, ...], Meta(max_length=MAX_PATH_HASHES)]
    """RFC 9162 inclusion path of the head in the outbox tree."""
    sequence: SequenceField
    body: Annotated[bytes, Meta(max_length=MAX_MESSAGE_BYTES)]
    leaf_path: PeaksField
    """From the message's leaf to the peak of its mountain."""
    peaks: PeaksField
    """All peaks of the stream at `head.end`."""


_decoder = Decoder(MessageProof, max_bytes=MAX_MESSAGE_PROOF_BYTES, name="message proof")


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """What a verified proof shows: `source` sent this message to `destination`, at the latest in block `height`."""

    message_id: MessageId
    source: ShardId
    destination: ShardId
    sequence: SequenceNumber
    message: Message
    height: Height
    """Of the commitment that shows it."""
    time_ms: Milliseconds
    signers: int
    """Validators of the source that signed, of `committee_size`."""
    committee_size: int


def decode_message_proof(raw: bytes) -> MessageProof:
    """Decode a proof, length first; nothing is verified.

    Raises:
        Refused: `too_large`, `malformed` or `not_canonical`.

    """
    return _decoder.decode(raw)


def verify_message_proof(raw: bytes, context: ChainContext, scheme: SignatureScheme) -> VerifiedMessage:
    """Verify an exported proof against the genesis in `context`.

    Raises:
        Refused: as `decode_message_proof`; `unknown_shard`, `same_shard`, `wrong_shard`, `bad_range`; what
            `shards.commitments.check_certificate` refuses; `not_in_outbox` or `not_in_stream`.

    """
    proof = decode_message_proof(raw)
    head, commitment = proof.head, proof.certificate.commitment
    committee = context.committee(head.source)
    context.committee(head.destination)
    if head.source == head.destination:
        raise Refused("same_shard", "a shard sends no messages to itself")
    if proof.sequence >= head.end:
        raise Refused("bad_range", f"message {proof.sequence} of a stream that ends at {head.end}")
    message = message_decoder.decode(proof.body)
    check_certificate(proof.certificate, committee, scheme)
    leaf = head_leaf(context.chain_id, head)
    if not verify_inclusion(leaf, head.destination, context.shard_count, proof.path, commitment.outbox_root):
        raise Refused("not_in_outbox", "the path does not lead from the stream's head to the certified outbox root")
    message_id = message_id_of(context.chain_id, head.source, head.destination, proof.sequence, proof.body)
    if not mmr.verify_inclusion(message_id, proof.sequence, head.end, proof.leaf_path, proof.peaks, head.mmr_root):
        raise Refused("not_in_stream", "the message does not lead to the certified root of its stream")
    return VerifiedMessage(
        message_id=message_id,
        source=head.source,
        destination=head.destination,
        sequence=proof.sequence,
        message=message,
        height=commitment.height,
        time_ms=commitment.time_ms,
        signers=len(proof.certificate.quorum.signatures),
        committee_size=committee.size,
    )


def assemble_message_proof(
    certificate: CommitmentCertificate,
    heads: Sequence[StreamHead],
    destination: ShardId,
    sequence: SequenceNumber,
    body: bytes,
    read: NodeReader,
) -> MessageProof:
    """Make the proof of a message that the certified head covers.

    `heads` are those of the certified height, one for each shard; `read` gives the stream's mountain-range nodes.

    Raises:
        NotYet: the store lacks a node.

    """
    head = heads[destination]
    invariant(sequence < head.end, "a proof is for a message that the certificate covers")
    leaves: list[Hash] = [head_leaf(certificate.commitment.chain_id, each) for each in heads]
    return MessageProof(
        version=1,
        certificate=certificate,
        head=head,
        path=inclusion_proof(leaves, destination),
        sequence=sequence,
        body=body,
        leaf_path=mmr.inclusion_path(sequence, head.end, read),
        peaks=mmr.peaks_at(head.end, read).hashes,
    )
