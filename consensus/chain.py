"""The blocks that are not finalized yet, and the way from any of them down to the last finalized one."""

from collections.abc import Iterable
from typing import NamedTuple

from consensus.block import Block
from consensus.journal import Tip
from primitives.identifiers import BlockId, Height, Milliseconds

MAX_GAP_BY_ID = 4
"""Blocks missing below one that is held: so few are fetched one by one, more come in archive chunks."""


class HeldBlock:
    """A block in memory; `saved` once it is in the journal."""

    __slots__ = ("block", "block_id", "raw", "saved")

    def __init__(self, block_id: BlockId, block: Block, raw: bytes, *, saved: bool) -> None:
        self.block_id = block_id
        self.block = block
        self.raw = raw
        self.saved = saved


class Path(NamedTuple):
    """The way from a block to the tip: complete, broken by a missing block, or leading past the tip."""

    blocks: tuple[HeldBlock, ...]
    """Oldest first; all that is held above what is missing."""
    missing: BlockId | None
    """The block that is not held; None when the way is complete, or when it can never be."""
    conflicts: bool = False
    """The way passes the tip's height beside the tip: the block can never be finalized here."""

    @property
    def is_complete(self) -> bool:
        """Whether every block down to the tip is held."""
        return self.missing is None and not self.conflicts


class Chain:
    """A tree of held blocks rooted in the tip. Bounded by its users: one proposal a view, and what was asked for."""

    def __init__(self, tip: Tip) -> None:
        self.tip = tip
        self._blocks: dict[BlockId, HeldBlock] = {}
        self._evicted: dict[BlockId, Height] = {}
        """Blocks in the journal that are not in memory: their record goes when their height is finalized."""

    def get(self, block_id: BlockId) -> HeldBlock | None:
        """Return the block with this id, when it is held."""
        return self._blocks.get(block_id)

    def add(self, block_id: BlockId, block: Block, raw: bytes, *, saved: bool = False) -> None:
        """Hold a block above the tip; one that is at or below it is not needed any more."""
        height = block.header.height
        if height > self.tip.height and block_id not in self._blocks:
            self._blocks[block_id] = HeldBlock(block_id, block, raw, saved=saved or block_id in self._evicted)
            self._evicted.pop(block_id, None)
        elif saved and height <= self.tip.height:
            self._evicted[block_id] = height

    def path(self, block_id: BlockId) -> Path:
        """Find the way from a block to the tip."""
        blocks: list[HeldBlock] = []
        above = None
        while block_id != self.tip.block_id:
            held = self._blocks.get(block_id)
            if held is None:
                at_or_below = above is not None and above.block.header.height <= self.tip.height + 1
                missing = None if at_or_below else block_id
                return Path(tuple(reversed(blocks)), missing, conflicts=at_or_below)
            blocks.append(held)
            above, block_id = held, held.block.header.parent
        return Path(tuple(reversed(blocks)), None)

    def is_far(self, blocks: tuple[HeldBlock, ...]) -> bool:
        """Whether the oldest of these blocks is too far above the tip to fetch its ancestors one by one."""
        return bool(blocks) and blocks[0].block.header.height - self.tip.height > MAX_GAP_BY_ID + 1

    def place(self, block_id: BlockId) -> tuple[Height, Milliseconds] | None:
        """Height and time of a held block or of the tip."""
        if block_id == self.tip.block_id:
            return self.tip.height, self.tip.time_ms
        held = self._blocks.get(block_id)
        return (held.block.header.height, held.block.header.time_ms) if held is not None else None

    def __len__(self) -> int:
        return len(self._blocks)

    def drop(self, block_id: BlockId) -> None:
        """Hold a block in memory no longer; it can be fetched again."""
        held = self._blocks.pop(block_id, None)
        if held is not None and held.saved:
            self._evicted[block_id] = held.block.header.height

    def keep_only(self, heads: Iterable[BlockId]) -> None:
        """Drop from memory what leads to none of `heads` (which are blocks above the tip)."""
        kept: set[BlockId] = set()
        for head in heads:
            block_id, held = head, self._blocks.get(head)
            while held is not None and block_id not in kept:
                kept.add(block_id)
                block_id = held.block.header.parent
                held = self._blocks.get(block_id)
        for key in [key for key in self._blocks if key not in kept]:
            self.drop(key)

    def advance(self, tip: Tip) -> list[BlockId]:
        """Move the tip up; returns the journaled blocks that are of no use any more, the finalized ones among them."""
        self.tip = tip
        gone = {key for key, held in self._blocks.items() if held.block.header.height <= tip.height}
        gone.update(key for key in self._blocks if key not in gone and self.path(key).conflicts)
        for key in [key for key in self._blocks if key in gone]:
            self.drop(key)
        # A block on a dead branch may stand above the tip, and is forgotten when the tip has passed it.
        useless = [key for key, height in self._evicted.items() if height <= tip.height]
        for key in useless:
            del self._evicted[key]
        return useless
