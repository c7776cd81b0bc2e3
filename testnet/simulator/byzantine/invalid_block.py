"""A leader whose every block is wrong, each time in another way."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from consensus.block import Block, block_id_of
from primitives.identifiers import Height, ShardId
from shards.items import ItemKind, pack_item
from testnet.simulator.byzantine.conduct import Hand
from testnet.simulator.byzantine.proposals import ChangingLeader, later, with_content

FAR_AHEAD_MS = 3_600_000
"""An hour: beyond any drift of clocks that a validator allows."""


def _with_item(item: bytes) -> Callable[[Block], Block]:
    return lambda block: with_content(block, items=(*block.items, item))


def _header(**changes: object) -> Callable[[Block], Block]:
    return lambda block: replace(block, header=replace(block.header, **changes))


def _twice(block: Block) -> Block:
    """The first item once more; in an empty block, one that is no item."""
    return with_content(block, items=(*block.items, block.items[0] if block.items else b""))


def _flipped(block: Block) -> Block:
    """One bit of the last item, which for a transaction is a bit of its signature."""
    if not block.items:
        return with_content(block, items=(pack_item(ItemKind.TRANSACTION, b"\x90"),))
    last = block.items[-1]
    return with_content(block, items=(*block.items[:-1], last[:-1] + bytes((last[-1] ^ 1,))))


def _other_anchor(block: Block) -> Block:
    """A certificate with one bit of a signature changed, or none where one has to stand."""
    anchor = block.anchor
    return with_content(block, anchor=anchor[:-1] + bytes((anchor[-1] ^ 1,)) if anchor else b"\x01")


SPOILERS: Final[tuple[tuple[str, Callable[[Block], Block]], ...]] = (
    ("an item twice", _twice),
    ("a bit of a signature flipped", _flipped),
    ("an item of no kind", _with_item(b"\x63abc")),
    ("an empty item", _with_item(b"")),
    ("a malformed transaction", _with_item(pack_item(ItemKind.TRANSACTION, bytes(100)))),
    ("a malformed bundle", _with_item(pack_item(ItemKind.BUNDLE, bytes(100)))),
    ("evidence, which no block carries yet", _with_item(pack_item(ItemKind.EVIDENCE, b"x"))),
    ("a wrong anchor", _other_anchor),
    ("items that its header does not count", lambda block: replace(block, items=(*block.items, b"\x01"))),
    ("items that its header does not commit to", _header(items_root=bytes(32), item_count=1)),
    ("an anchor that its header does not commit to", _header(anchor_hash=bytes(32))),
    ("a time long before its parent's", lambda block: later(block, -block.header.time_ms + 1)),
    ("a time far ahead", lambda block: later(block, FAR_AHEAD_MS)),
    ("a height that leaves a gap", lambda block: _header(height=Height(block.header.height + 1))(block)),
    ("an unknown parent", _header(parent=bytes(32))),
    ("another chain", _header(chain_id=bytes(32))),
    ("another shard", lambda block: _header(shard=ShardId(block.header.shard + 1))(block)),
    ("another epoch", _header(epoch=1)),
)
"""Every way in which its blocks are wrong, in the order in which it tries them."""


class InvalidBlock(ChangingLeader):
    """Goes through `SPOILERS`, one in each view that it leads, from a drawn one on."""

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand)
        self._first = hand.draws.number(0, 0, len(SPOILERS) - 1)
        self.tried: dict[str, set[bytes]] = {}
        """Spoiler -> ids of the blocks that it made."""

    def change(self, block: Block, view: int) -> Block:
        """Spoil it."""
        name, spoil = SPOILERS[(self._first + view // self.hand.committee.size) % len(SPOILERS)]
        spoilt = spoil(block)
        self.tried.setdefault(name, set()).add(block_id_of(spoilt.header))
        return spoilt
