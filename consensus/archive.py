"""Finalized history in the store: who reads it, and what a peer that asks for it gets.

Tables: `consensus.blocks` (height) holds the raw block, `consensus.heights` (block id) its height, and
`consensus.finality` (height) the finalization of a directly finalized block. A block that was finalized through a
descendant has no certificate of its own: the next one in the table, and the hash links up to it, prove it.
"""

from consensus.block import BlockHeader, decode_block
from consensus.messages import (
    ARCHIVE_CHUNK_BYTES,
    MAX_ARCHIVE_BLOCKS,
    MAX_ARCHIVE_LINKS,
    ArchiveAnswer,
    ArchiveRequest,
    BlockAnswer,
    BlockRequest,
    decode_certificate,
    decode_message,
)
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import BlockId, Height
from primitives.storage import Reader, integer_key

BLOCKS = "consensus.blocks"
FINALITY = "consensus.finality"
HEIGHTS = "consensus.heights"


def finalized_block(reader: Reader, height: Height) -> bytes | None:
    """Raw bytes of the finalized block at this height, or None (not finalized here yet, or pruned)."""
    return reader.get(BLOCKS, integer_key(height))


def finalized_height(reader: Reader) -> Height:
    """Height of the last finalized block; 0, the genesis, when there is none."""
    return next((Height(int.from_bytes(key, "big")) for key, _ in reader.scan(BLOCKS, reverse=True)), Height(0))


def height_of(reader: Reader, block_id: BlockId) -> Height | None:
    """Height of the finalized block with this id, or None."""
    key = reader.get(HEIGHTS, block_id)
    return Height(int.from_bytes(key, "big")) if key is not None else None


def finality(reader: Reader, height: Height) -> bytes | None:
    """Encoded finalization of this height, or of the nearest later directly finalized one; None when there is none."""
    return next((raw for _, raw in reader.scan(FINALITY, integer_key(height))), None)


def answer(reader: Reader, request: bytes) -> bytes | None:
    """Answer a `ServeArchive` effect: the encoded answer to a peer's request, or None when we do not have it.

    Raises:
        Refused: `unknown_message` when `request` is not one that history answers.

    """
    message = decode_message(request)
    if isinstance(message, BlockRequest):
        return _answer_block(reader, message)
    if isinstance(message, ArchiveRequest):
        return _answer_history(reader, message)
    raise Refused("unknown_message", "finalized history answers BlockRequest and ArchiveRequest only")


def _answer_block(reader: Reader, request: BlockRequest) -> bytes | None:
    height = height_of(reader, request.block_id)
    raw = finalized_block(reader, height) if height is not None else reader.get("consensus.pending", request.block_id)
    return encode(BlockAnswer(raw)) if raw is not None else None


def _answer_history(reader: Reader, request: ArchiveRequest) -> bytes | None:
    blocks: list[bytes] = []
    size = 0
    height = int(request.first)
    for key, raw in reader.scan(BLOCKS, integer_key(height)):
        if int.from_bytes(key, "big") != height or len(blocks) == MAX_ARCHIVE_BLOCKS or size >= ARCHIVE_CHUNK_BYTES:
            break
        blocks.append(raw)
        size += len(raw)
        height += 1
    certificate = next(iter(reader.scan(FINALITY, integer_key(height - 1))), None) if blocks else None
    if certificate is None:
        return None
    certified = int.from_bytes(certificate[0], "big")
    if certified - height >= MAX_ARCHIVE_LINKS:
        return None
    links = _headers(reader, height, certified + 1)
    if links is None:
        return None
    return encode(ArchiveAnswer(tuple(blocks), links, decode_certificate(certificate[1])))


def _headers(reader: Reader, first: int, end: int) -> tuple[BlockHeader, ...] | None:
    raws = [raw for _, raw in reader.scan(BLOCKS, integer_key(first), integer_key(end))]
    # A server that is catching up itself may hold the certificate before the blocks that lead to it.
    return tuple(decode_block(raw).header for raw in raws) if len(raws) == end - first else None
