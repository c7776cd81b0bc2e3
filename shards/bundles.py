"""Bundles: the certified, self-contained proof of a slice of a stream. A bundle verifies without any state.

What follows from what: the committee's quorum signs the commitment, the commitment has the outbox root, the outbox
tree has one leaf for each destination, that leaf binds the stream's head, the head has the root of the mountain range
over all messages ever sent, and that root follows from the peaks at `first`, the bodies from there on, and the
subtrees that cover the rest. Everything in a bundle is thus bound by the signatures, at about 1 kB whatever the
number of messages. Whether it is useful, and where its messages stand with respect to ours, is a question of state.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta

from primitives import mmr
from primitives.codec import Decoder, Record
from primitives.errors import Refused, invariant
from primitives.identifiers import MAX_SHARDS, Hash, HashField, SequenceField, ShardId
from primitives.identifiers import Sequence as SequenceNumber
from primitives.merkle import inclusion_proof, verify_inclusion
from primitives.mmr import NodeReader
from primitives.signatures import SignatureScheme
from shards.commitments import CommitmentCertificate, check_certificate
from shards.gas import MESSAGE_GAS, PROOF_SIGNATURE_GAS, REPLY_GAS
from shards.genesis import ChainContext
from shards.limits import MAX_BUNDLE_BYTES, MAX_BUNDLE_MESSAGES, MAX_MESSAGE_BYTES
from shards.messages import Call, message_decoder, message_id_of
from shards.streams import PeaksField, StreamHead, head_leaf

MAX_PATH_HASHES = (MAX_SHARDS - 1).bit_length()
"""Levels of the outbox tree of the largest chain."""

MAX_RIGHT_HASHES = 126
"""Subtrees that cover any [k, end) with end < 2**63: up to 63 growing ones, then up to 63 shrinking ones."""

MAX_PROOF_BYTES = 16 * 1024
"""Everything of a bundle but its bodies: a certificate (4 kB at most), a head, and at most 199 hashes."""

BODY_OVERHEAD = 5
"""Bytes of MessagePack around the longest body."""

CertificateCheck = Callable[[CommitmentCertificate], None]
"""Raises `Refused` unless the certificate is its shard's; a caller may remember those that it has checked."""


class Bundle(Record):
    """Messages [first, first + len(bodies)) of one stream, proved by one certificate.

    `peaks` are the stream's mountain peaks at size `first`; `right` covers what follows the bodies up to
    `head.end`, so that the certified root follows from what is here.
    """

    certificate: CommitmentCertificate
    head: StreamHead
    path: Annotated[tuple[HashField, ...], Meta(max_length=MAX_PATH_HASHES)]
    """RFC 9162 inclusion path of the head in the outbox tree."""
    first: SequenceField
    peaks: PeaksField
    bodies: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_MESSAGE_BYTES)], ...], Meta(max_length=MAX_BUNDLE_MESSAGES)
    ]
    right: Annotated[tuple[HashField, ...], Meta(max_length=MAX_RIGHT_HASHES)]


_decoder = Decoder(Bundle, max_bytes=MAX_BUNDLE_BYTES, name="bundle")


def decode_bundle(raw: bytes) -> Bundle:
    """Decode a bundle, length first; nothing is verified.

    Raises:
        Refused: `too_large`, `malformed` or `not_canonical`.

    """
    return _decoder.decode(raw)


def verify_bundle(
    bundle: Bundle,
    context: ChainContext,
    destination: ShardId,
    scheme: SignatureScheme,
    check_certificate: CertificateCheck | None = None,
) -> None:
    """Check all that can be checked without a state, the cheapest first.

    Costs a quorum of signatures (41 us each; not those when `check_certificate` knows better), then at most 10 hashes
    for the path and about four for each body.

    Raises:
        Refused: `unknown_shard`, `same_shard`, `wrong_destination`, `wrong_shard`, `bad_range`, `bad_peaks`; what
            `shards.commitments.check_certificate` refuses; `not_in_outbox`, `bad_proof` or `not_in_stream`.

    """
    head = bundle.head
    if head.destination != destination:
        raise Refused("wrong_destination", f"the bundle is for shard {head.destination}, this is {destination}")
    if head.source == destination:
        raise Refused("same_shard", "a shard sends no bundles to itself")
    committee = context.committee(head.source)
    if bundle.certificate.commitment.shard != head.source:
        raise Refused("wrong_shard", "the certificate is not one of the shard that the stream comes from")
    after = bundle.first + len(bundle.bodies)
    if not head.begin <= head.end or after > head.end:
        raise Refused("bad_range", f"messages {bundle.first} to {after} of a stream that ends at {head.end}")
    mmr.check_peaks(mmr.Peaks(bundle.first, bundle.peaks))
    if check_certificate is None:
        _check_certificate(bundle.certificate, committee, scheme)
    else:
        check_certificate(bundle.certificate)
    outbox_root = bundle.certificate.commitment.outbox_root
    leaf = head_leaf(context.chain_id, head)
    if not verify_inclusion(leaf, destination, context.shard_count, bundle.path, outbox_root):
        raise Refused("not_in_outbox", "the path does not lead from the stream's head to the certified outbox root")
    _check_stream(bundle, context)


_check_certificate = check_certificate


def _check_stream(bundle: Bundle, context: ChainContext) -> None:
    """Check that peaks, bodies and right-hand subtrees are the stream whose root is in the head."""
    head = bundle.head
    peaks = mmr.Peaks(bundle.first, bundle.peaks)
    for sequence, body in enumerate(bundle.bodies, start=bundle.first):
        leaf = message_id_of(context.chain_id, head.source, head.destination, SequenceNumber(sequence), body)
        peaks, _ = mmr.append(peaks, Hash(leaf))
    if mmr.extend(peaks, bundle.right, head.end).root() != head.mmr_root:
        raise Refused("not_in_stream", "the messages do not lead to the certified root of their stream")


def message_gas(body: bytes) -> int:
    """Gas that consuming a message takes from a block: what a call has attached, what a reply echoes.

    Never less than consuming costs, whatever a captured shard's messages say.
    """
    try:
        message = message_decoder.decode(body)
    except Refused:
        return MESSAGE_GAS
    return max(message.gas, MESSAGE_GAS) if isinstance(message, Call) else max(message.reply_gas, REPLY_GAS)


def proof_gas(certificate: CommitmentCertificate) -> int:
    """Gas that verifying a bundle takes from a block, messages or not."""
    return PROOF_SIGNATURE_GAS * len(certificate.quorum.signatures)


def bundle_gas(bundle: Bundle) -> int:
    """Gas that including the bundle takes from a block: its proof's and its messages'."""
    return proof_gas(bundle.certificate) + sum(map(message_gas, bundle.bodies))


def assemble_bundle(
    certificate: CommitmentCertificate,
    heads: Sequence[StreamHead],
    destination: ShardId,
    first: SequenceNumber,
    bodies: Sequence[bytes],
    read: NodeReader,
) -> Bundle:
    """Make a bundle of as many of `bodies` (messages from `first` on) as the certified head and the limits allow.

    `heads` are those of the certified height, one for each shard; `read` gives the stream's mountain-range nodes.

    Raises:
        NotYet: the store lacks a node.
        Refused: `bad_range`: `first` is beyond the head.

    """
    head = heads[destination]
    if first > head.end:
        raise Refused("bad_range", f"message {first} of a stream that ends at {head.end}")
    invariant(len(bodies) <= head.end - first, "bodies are of the certified part of the stream")
    leaves = [head_leaf(certificate.commitment.chain_id, each) for each in heads]
    fitting = _fitting(bodies)
    return Bundle(
        certificate=certificate,
        head=head,
        path=inclusion_proof(leaves, destination),
        first=first,
        peaks=mmr.peaks_at(first, read).hashes,
        bodies=tuple(bodies[:fitting]),
        right=mmr.right_hashes(first + fitting, head.end, read),
    )


def _fitting(bodies: Sequence[bytes]) -> int:
    """How many of the bodies, from the first on, fit into one bundle."""
    room = MAX_BUNDLE_BYTES - MAX_PROOF_BYTES
    for count, body in enumerate(bodies[:MAX_BUNDLE_MESSAGES]):
        room -= len(body) + BODY_OVERHEAD
        if room < 0:
            return count
    return min(len(bodies), MAX_BUNDLE_MESSAGES)
