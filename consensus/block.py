"""Blocks as consensus sees them: a header, an opaque anchor and a list of opaque items.

The block id covers shard, epoch, height, parent, time, anchor and items, never view or justification, so that
the same block can be proposed again in a later view under one id (protocol.md section 2).
"""

from hashlib import sha256
from typing import Annotated

from msgspec import Meta

from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import (
    ZERO_HASH,
    BlockId,
    BlockIdField,
    ChainIdField,
    CountField,
    EpochField,
    Hash,
    HashField,
    HeightField,
    MillisecondsField,
    ShardIdField,
)
from primitives.merkle import leaf_hash, tree_root

MAX_BLOCK_BYTES = 2 * 1024 * 1024
"""A block crosses the wire whole, n - 1 times; at 2 MiB a full one still takes well under a view timeout."""

MAX_BLOCK_ITEMS = 4096
"""About ten times what two cores execute in a block interval; bounds the Merkle work before a vote."""

MAX_ANCHOR_BYTES = 4096
"""A commitment (about 600 B) with the 32 signatures of the largest committee (2.1 kB)."""


class BlockHeader(Record):
    """What the block id hashes. `time_ms` is Unix time, strictly later than the parent's."""

    version: Annotated[int, Meta(ge=1, le=1)]
    chain_id: ChainIdField
    shard: ShardIdField
    epoch: EpochField
    height: HeightField
    parent: BlockIdField
    time_ms: MillisecondsField
    anchor_hash: HashField
    """SHA-256 of the anchor's bytes."""
    item_count: CountField
    items_root: HashField
    """RFC 9162 tree over the items' bytes; ZERO_HASH when there are none."""


class Block(Record):
    """A header with the content that it commits to. Build with `make_block`, receive with `decode_block`."""

    header: BlockHeader
    anchor: Annotated[bytes, Meta(max_length=MAX_ANCHOR_BYTES)]
    items: Annotated[tuple[bytes, ...], Meta(max_length=MAX_BLOCK_ITEMS)]


_decoder = Decoder(Block, max_bytes=MAX_BLOCK_BYTES, name="block")


def block_id_of(header: BlockHeader) -> BlockId:
    """Name of the block with this header."""
    return BlockId(tagged_hash(Domain.BLOCK, encode(header)))


def items_root(items: tuple[bytes, ...]) -> Hash:
    """Root of the RFC 9162 tree over the items; ZERO_HASH for none."""
    return tree_root([leaf_hash(item) for item in items]) if items else ZERO_HASH


def decode_block(raw: bytes) -> Block:
    """Decode a block and check that its header commits to its content.

    Raises:
        Refused: `too_large`, `malformed`, `not_canonical` or `content_mismatch`.

    """
    block = _decoder.decode(raw)
    header = block.header
    if header.item_count != len(block.items):
        raise Refused(
            "content_mismatch", f"block: header counts {header.item_count} items, there are {len(block.items)}"
        )
    if header.anchor_hash != sha256(block.anchor).digest():
        raise Refused("content_mismatch", "block: the anchor is not the one its header commits to")
    if header.items_root != items_root(block.items):
        raise Refused("content_mismatch", "block: the items are not the ones its header commits to")
    return block
