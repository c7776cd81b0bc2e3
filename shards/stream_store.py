"""Streams in the store: sent bodies, what was received where, and the nodes of the mountain ranges over both.

The layout and the reasons for it are in `shards.chain_store`.
"""

from collections.abc import Iterator

from primitives.identifiers import Hash, Height, Sequence, ShardId
from primitives.merkle import HASH_BYTES
from primitives.mmr import NodeReader
from primitives.storage import Reader, integer_key
from shards.chain_store import (
    BOUNDARIES,
    HISTORY_NODES,
    RECEIVED,
    SENT,
    STREAM_NODES,
    Boundary,
    FoundReceipt,
    Place,
    decode_batch,
    decode_boundary,
    decode_consumed,
    lane_record_key,
    number_of,
    receipts_at,
)


def message_body(reader: Reader, destination: ShardId, sequence: Sequence) -> bytes | None:
    """Body of a message that this shard sent, or None."""
    batch = _floor(reader, SENT, destination, sequence)
    bodies = () if batch is None else decode_batch(batch[1]).bodies[sequence - number_of(batch[0][2:]) :]
    return bodies[0] if bodies else None


def message_bodies(reader: Reader, destination: ShardId, first: Sequence) -> Iterator[bytes]:
    """Bodies of the sent messages from `first` on, in order; none when `first` is pruned or not sent yet."""
    batch = _floor(reader, SENT, destination, first)
    if batch is None:
        return
    start = number_of(batch[0][2:])
    for key, raw in reader.scan(SENT, lane_record_key(destination, Sequence(start)), lane_end(destination)):
        yield from decode_batch(raw).bodies[max(0, first - number_of(key[2:])) :]


def sent_height(reader: Reader, destination: ShardId, sequence: Sequence) -> Height | None:
    """Height whose execution sent this message, or None."""
    found = _floor(reader, SENT, destination, sequence)
    if found is None:
        return None
    batch = decode_batch(found[1])
    return batch.height if sequence < number_of(found[0][2:]) + len(batch.bodies) else None


def received_place(reader: Reader, source: ShardId, sequence: Sequence) -> FoundReceipt | None:
    """The receipt of the message that this shard consumed under this number, or None."""
    found = _floor(reader, RECEIVED, source, sequence)
    if found is None:
        return None
    height = Height(number_of(found[1]))
    for index, raw in enumerate(receipts_at(reader, height)):
        receipt = decode_consumed(raw)
        if receipt is not None and (receipt.source, receipt.sequence) == (source, sequence):
            return FoundReceipt(Place(height, index), receipt)
    return None


def stream_nodes(reader: Reader, destination: ShardId) -> NodeReader:
    """Nodes of the MMR over everything sent to `destination`, from the boundary of pruning on."""
    boundary = boundary_of(reader, destination.to_bytes(2, "big"))

    def read(level: int, index: int) -> Hash | None:
        leaf = ((index + 1) << level) - 1
        if leaf < boundary.size:
            return _peak_at(boundary, level, index)
        found = _floor(reader, STREAM_NODES, destination, Sequence(leaf))
        if found is None:
            return None
        first = number_of(found[0][2:])
        place = (2 * leaf - leaf.bit_count()) - (2 * first - first.bit_count()) + level
        return _hash_at(found[1], place)

    return read


def history_nodes(reader: Reader) -> NodeReader:
    """Nodes of the MMR over this shard's commitments, from the boundary of pruning on; leaf h is height h's."""
    boundary = boundary_of(reader, b"")

    def read(level: int, index: int) -> Hash | None:
        leaf = ((index + 1) << level) - 1
        if leaf < boundary.size:
            return _peak_at(boundary, level, index)
        made = reader.get(HISTORY_NODES, integer_key(leaf))
        return _hash_at(made, level) if made is not None else None

    return read


def boundary_of(reader: Reader, name: bytes) -> Boundary:
    """Where pruning has cut the MMR of this name (see the table), (0, no peaks) where it has not."""
    raw = reader.get(BOUNDARIES, name)
    return decode_boundary(raw) if raw is not None else Boundary(0, ())


def _peak_at(boundary: Boundary, level: int, index: int) -> Hash | None:
    """The node, if it is one of the mountains of the list as it was at the boundary."""
    is_mountain = boundary.size >> level & 1 and index == (boundary.size >> level) - 1
    return boundary.peaks[(boundary.size >> level >> 1).bit_count()] if is_mountain else None


def _hash_at(hashes: bytes, place: int) -> Hash | None:
    found = hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]
    return Hash(found) if found else None


def _floor(reader: Reader, table: str, peer: ShardId, sequence: Sequence) -> tuple[bytes, bytes] | None:
    """The lane's record with the greatest sequence that is not above `sequence`."""
    start, end = peer.to_bytes(2, "big"), lane_record_key(peer, Sequence(sequence + 1))
    return next(iter(reader.scan(table, start, end, reverse=True)), None)


def lane_end(peer: ShardId) -> bytes:
    """Where the keys of the next peer begin."""
    return (peer + 1).to_bytes(2, "big")
