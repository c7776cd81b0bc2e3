"""What validators of one shard send one another: one byte of kind, then the content.

Consensus messages are opaque here. Everything is capped before it is decoded, and nothing is re-encoded to be
passed on: transactions and bundles are gossiped as the bytes they came in.
"""

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
MAX_BATCH_BYTES = MAX_BATCH_TRANSACTIONS * (MAX_TRANSACTION_BYTES + 3) + 8
"""A batch of the largest transactions, each with its length, in one array."""


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


def pack_transactions(raws: tuple[bytes, ...]) -> bytes:
    """A gossip batch of at most `MAX_BATCH_TRANSACTIONS`."""
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
