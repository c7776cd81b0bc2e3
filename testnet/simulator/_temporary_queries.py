"""Stand-in until shards.queries exists."""

from itertools import islice

from primitives.codec import encode
from shards import chain_store, stream_store
from shards.bundles import assemble_bundle


def bundle_for(reader, context, shard, destination, first):
    certificate = chain_store.latest_certificate(reader)
    if certificate is None:
        return None
    heads = chain_store.heads_at(reader, certificate.commitment.height)
    if heads is None or first > heads[destination].end:
        return None
    head = heads[destination]
    bodies = tuple(islice(stream_store.message_bodies(reader, destination, first), min(512, head.end - first)))
    return encode(
        assemble_bundle(certificate, heads, destination, first, bodies, stream_store.stream_nodes(reader, destination))
    )
