"""What validators of one shard send one another: one byte of kind, then the content.

Consensus messages are opaque here. Everything is capped before it is decoded, and nothing is re-encoded to be
passed on: transactions and bundles are gossiped as the bytes they came in.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from consensus.messages import MAX_MESSAGE_BYTES
from primitives.codec import Decoder, encode
from primitives.errors import Refused
from shards.commitments import CommitmentCertificate, CommitmentSignature, certificate_decoder
from shards.limits import MAX_TRANSACTION_BYTES

MAX_PEER_MESSAGE_BYTES = MAX_MESSAGE_BYTES + 1
"""The largest message of consensus (a chunk of history) with its byte of kind; nothing else is larger."""

MAX_COMMITMENT_SIGNATURE_BYTES = 1024
"""A commitment (about 600 B), a signature and a signer."""

MAX_BATCH_TRANSACTIONS = 256
MAX_BATCH_BYTES = 256 * 1024
"""Of gossip: the largest transaction, or some 1,000 transfers, and never more than a link sends in one frame."""

_BATCH_OVERHEAD = 3
_LENGTH_OVERHEAD = 5
"""MessagePack's headers of an array and of the longest transaction."""


class PeerKind(IntEnum):
    """First byte of everything that one validator sends another."""

    CONSENSUS = 1
    TRANSACTIONS = 2
    COMMITMENT_SIGNATURE = 3
    CERTIFICATE = 4
    BUNDLE = 5


TransactionBatch = Annotated[
    tuple[Annotated[bytes, Meta(max_length=MAX_TRANSACTION_BYTES)], ...],
    Meta(min_length=1, max_length=MAX_BATCH_TRANSACTIONS),
]

_batches: Decoder[tuple[bytes, ...]] = Decoder(TransactionBatch, max_bytes=MAX_BATCH_BYTES, name="transaction batch")
_signatures = Decoder(CommitmentSignature, max_bytes=MAX_COMMITMENT_SIGNATURE_BYTES, name="commitment signature")


def pack(kind: PeerKind, content: bytes) -> bytes:
    """Bytes for a peer."""
    return bytes((kind,)) + content


def first_batch(raws: Sequence[bytes]) -> int:
    """How many of the transactions, from the first on, fit into one gossip batch; at least one when there are any."""
    room = MAX_BATCH_BYTES - _BATCH_OVERHEAD
    for count, raw in enumerate(raws[:MAX_BATCH_TRANSACTIONS]):
        room -= len(raw) + _LENGTH_OVERHEAD
        if room < 0:
            return count
    return min(len(raws), MAX_BATCH_TRANSACTIONS)


def pack_transactions(raws: tuple[bytes, ...]) -> bytes:
    """A gossip batch of as many as `first_batch` says, or fewer."""
    return pack(PeerKind.TRANSACTIONS, encode(raws))


def unpack(raw: bytes) -> tuple[PeerKind, bytes]:
    """Kind and content of what a peer sent.

    Raises:
        Refused: `too_large` or `malformed`.

    """
    if len(raw) > MAX_PEER_MESSAGE_BYTES:
        raise Refused("too_large", f"peer message: {len(raw)} bytes, limit {MAX_PEER_MESSAGE_BYTES}")
    if not raw:
        raise Refused("malformed", "peer message: empty")
    try:
        return PeerKind(raw[0]), raw[1:]
    except ValueError:
        raise Refused("malformed", f"peer message: unknown kind {raw[0]}") from None


def unpack_transactions(content: bytes) -> tuple[bytes, ...]:
    """Signed transactions of a gossip batch, not parsed."""
    return _batches.decode(content)


def unpack_signature(content: bytes) -> CommitmentSignature:
    """One validator's commitment signature, not verified."""
    return _signatures.decode(content)


def unpack_certificate(content: bytes) -> CommitmentCertificate:
    """A commitment certificate, not verified."""
    return certificate_decoder.decode(content)
