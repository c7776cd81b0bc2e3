"""What a validator may forget: history older than `HISTORY_BLOCKS`, a bounded piece at a time.

Kept whatever its age: messages that their destination has not acknowledged, everything from the newest certificate on,
and for every mountain range the peaks at the cut. Proofs of what is kept are thus made as before (see
`shards.chain_store` for the layout).
"""

from collections.abc import Iterator
from itertools import islice, pairwise

from primitives import mmr
from primitives.codec import encode
from primitives.identifiers import Height, Sequence, ShardId
from primitives.storage import Reader, Write, integer_key
from shards.chain_store import (
    BOUNDARIES,
    CERTIFICATES,
    COMMITMENTS,
    ERA_BLOCKS,
    HEADS,
    HISTORY_NODES,
    IDS,
    RECEIPTS,
    RECEIVED,
    SENT,
    STREAM_NODES,
    Boundary,
    decode_batch,
    heads_at,
    latest_certificate,
)
from shards.run_store import RUNS
from shards.stream_store import boundary_of, history_nodes, lane_end, sent_height, stream_nodes
from shards.streams import StreamHead

MAX_PRUNED_BLOCKS = 64
"""Heights in one piece: about what a validator adds between two pieces, and 10 ms of deleting."""

MAX_PRUNED_RECORDS = 16_384
"""Ids, or records of one lane, in one piece."""


def pruning_writes(reader: Reader, below: Height) -> tuple[Write, ...]:
    """Deletes of the oldest stored piece of what is below a height; empty when there is nothing left to delete."""
    certificate = latest_certificate(reader)
    if certificate is None:
        return ()
    oldest = next((int.from_bytes(key, "big") for key, _ in reader.scan(COMMITMENTS)), below)
    end = Height(min(below, certificate.commitment.height, oldest + MAX_PRUNED_BLOCKS))
    heads = heads_at(reader, Height(certificate.commitment.height)) or ()
    writes = [
        Write(table, key, None)
        for table in (COMMITMENTS, CERTIFICATES, HEADS, RECEIPTS, RUNS)
        for key, _ in reader.scan(table, integer_key(0), integer_key(end))
    ]
    writes += _old_ids(reader, end)
    for head in heads:
        if head.source == head.destination:
            writes += _old_queue(reader, head.source, end)
        else:
            writes += _old_messages(reader, head, end)
        writes += _old_arrivals(reader, head.destination, end)
    writes += _old_history(reader, end)
    return tuple(writes)


def _old_ids(reader: Reader, end: Height) -> Iterator[Write]:
    first_kept = (end // ERA_BLOCKS).to_bytes(4, "big")
    for count, (key, _) in enumerate(reader.scan(IDS, b"", first_kept)):
        if count == MAX_PRUNED_RECORDS:
            return
        yield Write(IDS, key, None)


def _old_messages(reader: Reader, head: StreamHead, end: Height) -> Iterator[Write]:
    """Of the batches sent on a lane, forget those that are acknowledged whole."""
    lane = head.destination.to_bytes(2, "big")
    after = (head.destination + 1).to_bytes(2, "big")
    # A batch is known to be over where the next one begins, so the last one always stays.
    keys = [key for key, _ in islice(reader.scan(SENT, lane, after), MAX_PRUNED_RECORDS + 1)]
    cut = None
    for key, following in pairwise(keys):
        height = sent_height(reader, head.destination, Sequence(int.from_bytes(key[2:], "big")))
        if height is None or height >= end or int.from_bytes(following[2:], "big") > head.begin:
            break
        cut = int.from_bytes(following[2:], "big")
        yield Write(SENT, key, None)
        yield Write(STREAM_NODES, key, None)
    if cut is not None:
        peaks = mmr.peaks_at(cut, stream_nodes(reader, head.destination)).hashes
        yield Write(BOUNDARIES, lane, encode(Boundary(cut, peaks)))


def _old_queue(reader: Reader, shard: ShardId, end: Height) -> Iterator[Write]:
    """Messages of the shard to itself: the state holds what waits, so age alone decides."""
    for count, (key, raw) in enumerate(reader.scan(SENT, shard.to_bytes(2, "big"), lane_end(shard))):
        if count == MAX_PRUNED_RECORDS or decode_batch(raw).height >= end:
            return
        yield Write(SENT, key, None)


def _old_arrivals(reader: Reader, source: ShardId, end: Height) -> Iterator[Write]:
    """Where messages of a shard were consumed."""
    for count, (key, height_key) in enumerate(reader.scan(RECEIVED, source.to_bytes(2, "big"), lane_end(source))):
        if height_key >= integer_key(end) or count == MAX_PRUNED_RECORDS:
            return
        yield Write(RECEIVED, key, None)


def _old_history(reader: Reader, end: Height) -> Iterator[Write]:
    """Leaf h of the history is the commitment of height h; those below `end` go, the peaks there stay."""
    if boundary_of(reader, b"").size >= end:
        return
    peaks = mmr.peaks_at(end, history_nodes(reader)).hashes
    for key, _ in reader.scan(HISTORY_NODES, integer_key(0), integer_key(end)):
        yield Write(HISTORY_NODES, key, None)
    yield Write(BOUNDARIES, b"", encode(Boundary(end, peaks)))
