"""Messages as they came: the block that consumed a message holds its bundle, and so its body and its proof."""

from consensus.archive import finalized_block
from consensus.block import Block, decode_block
from primitives.identifiers import Height, Sequence, ShardId
from primitives.storage import Reader
from shards.bundles import Bundle, decode_bundle
from shards.items import ItemKind, unpack_item
from shards.messages import Message, message_decoder


def stored_block(reader: Reader, height: Height) -> Block | None:
    """Finalized block of a height, or None."""
    raw = finalized_block(reader, height)
    return decode_block(raw) if raw is not None else None


def arrival(block: Block | None, source: ShardId, sequence: Sequence) -> tuple[Bundle | None, Message | None]:
    """The bundle of a block that a message came in, and the message; nothing where the block is not kept."""
    for item in block.items if block is not None else ():
        kind, raw = unpack_item(item)
        if kind is not ItemKind.BUNDLE:
            continue
        bundle = decode_bundle(raw)
        if bundle.head.source == source and bundle.first <= sequence < bundle.first + len(bundle.bodies):
            return bundle, message_decoder.decode(bundle.bodies[sequence - bundle.first])
    return None, None
