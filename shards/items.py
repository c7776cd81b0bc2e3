"""Items of a block's payload: one byte of kind, then the item's own bytes."""

from enum import IntEnum

from primitives.errors import Refused


class ItemKind(IntEnum):
    """Kinds 4 and 5 have their place and are refused while validator sets are static (epoch 0)."""

    TRANSACTION = 1
    BUNDLE = 2
    EVIDENCE = 3
    EPOCH_PROOF = 4
    MEMBERSHIP = 5


def pack_item(kind: ItemKind, raw: bytes) -> bytes:
    """Item bytes as they stand in a block."""
    return bytes((kind,)) + raw


def unpack_item(item: bytes) -> tuple[ItemKind, bytes]:
    """Kind and content; an empty item or unknown kind raises `Refused("bad_item")`."""
    if not item:
        raise Refused("bad_item", "an item of a block is empty")
    try:
        return ItemKind(item[0]), item[1:]
    except ValueError:
        raise Refused("bad_item", f"an item of a block has the unknown kind {item[0]}") from None
