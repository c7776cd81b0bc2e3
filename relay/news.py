"""Checking what a validator says its shard has certified, before anything is derived from it."""

from primitives.errors import Refused
from primitives.identifiers import ShardId
from primitives.merkle import tree_root
from primitives.signatures import SignatureScheme
from shards.commitments import CommitmentCertificate, check_certificate
from shards.genesis import ChainContext
from shards.streams import StreamHead, head_leaf


def check_news(
    certificate: CommitmentCertificate,
    heads: tuple[StreamHead, ...],
    shard: ShardId,
    context: ChainContext,
    scheme: SignatureScheme,
) -> None:
    """Check that a quorum of `shard` signed a commitment to exactly these heads; the cheapest checks first.

    Raises:
        Refused: `bad_heads`, or what `check_certificate` raises.

    """
    if len(heads) != context.shard_count:
        raise Refused("bad_heads", f"{len(heads)} heads; a shard has one for each of {context.shard_count}")
    for index, head in enumerate(heads):
        if head.source != shard or head.destination != index:
            raise Refused("bad_heads", f"head {index} is of the stream {head.source} -> {head.destination}")
    if tree_root([head_leaf(context.chain_id, head) for head in heads]) != certificate.commitment.outbox_root:
        raise Refused("bad_heads", "the heads are not the ones that the certificate commits to")
    check_certificate(certificate, context.committee(shard), scheme)
