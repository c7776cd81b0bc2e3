"""The blocks that are not finalized yet, and the way from any of them down to the last finalized one."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from consensus.block import Block
from consensus.journal import Tip
from primitives.identifiers import BlockId, Height, Milliseconds

MAX_GAP_BY_ID = 4
"""Blocks missing below one that is held: so few are fetched one by one, more come in archive chunks."""

MAX_WAYS = 4
"""Ways that are remembered: from the newest notarized block, the parent of the proposal, and the last finalized one."""

K = TypeVar("K")


class HeldBlock:
    """A block in memory; `saved` once it is in the journal."""

    __slots__ = ("block", "block_id", "is_on_way", "number", "raw", "saved")

    def __init__(self, block_id: BlockId, block: Block, raw: bytes, *, saved: bool, number: int = 0) -> None:
        self.block_id = block_id
        self.block = block
        self.raw = raw
        self.saved = saved
        self.number = number
        """Its place in the order in which blocks came to be held."""
        self.is_on_way = False
        """Whether a path that the chain remembers may lead over it."""


@dataclass(frozen=True)
class Path:
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

    @cached_property
    def contents(self) -> tuple[Block, ...]:
        """The blocks as the application knows them, oldest first."""
        return tuple(held.block for held in self.blocks)


class Chain:
    """A tree of held blocks rooted in the tip. Bounded by its users: one proposal a view, and what was asked for.

    While nothing is finalized for long the tree is thousands of blocks high, and every event asks for the way down
    from its top: the last ways are remembered, and the way from a block is that from its parent and one step. They hold
    until a block on one of them goes, the missing block comes, or the tip moves.
    """

    def __init__(self, tip: Tip) -> None:
        self.tip = tip
        self._blocks: dict[BlockId, HeldBlock] = {}
        self._added = 0
        self._at_height: dict[Height, dict[BlockId, None]] = {}
        """Ids of the held blocks by height, all above the tip's."""
        self._children: dict[BlockId, dict[BlockId, None]] = {}
        """Ids of the held blocks by parent, whether that is held or not."""
        self._ways: dict[BlockId, Path] = {}
        self._evicted: dict[BlockId, Height] = {}
        """Blocks in the journal that are not in memory: their record goes when their height is finalized."""

    def get(self, block_id: BlockId) -> HeldBlock | None:
        """Return the block with this id, when it is held."""
        return self._blocks.get(block_id)

    def add(self, block_id: BlockId, block: Block, raw: bytes, *, saved: bool = False) -> None:
        """Hold a block above the tip; one that is at or below it is not needed any more."""
        header = block.header
        if header.height > self.tip.height and block_id not in self._blocks:
            self._added += 1
            saved = saved or block_id in self._evicted
            self._blocks[block_id] = HeldBlock(block_id, block, raw, saved=saved, number=self._added)
            self._at_height.setdefault(header.height, {})[block_id] = None
            self._children.setdefault(header.parent, {})[block_id] = None
            self._ways = {top: way for top, way in self._ways.items() if way.is_complete}
            self._evicted.pop(block_id, None)
        elif saved and header.height <= self.tip.height:
            self._evicted[block_id] = header.height

    def path(self, block_id: BlockId) -> Path:
        """Find the way from a block to the tip."""
        way = self._ways.get(block_id)
        if way is None:
            way = self._find_way(block_id)
            if way.blocks:
                if len(self._ways) >= MAX_WAYS:
                    del self._ways[next(iter(self._ways))]
                self._ways[block_id] = way
        return way

    def _find_way(self, block_id: BlockId) -> Path:
        """Walk down until the tip, the end of what is held, or a way that is remembered."""
        walked: list[HeldBlock] = []
        lower = Path((), None)
        while block_id != self.tip.block_id:
            known, held = self._ways.get(block_id), self._blocks.get(block_id)
            if known is not None:
                lower = known
                break
            if held is None:
                at_or_below = bool(walked) and walked[-1].block.header.height <= self.tip.height + 1
                lower = Path((), None if at_or_below else block_id, conflicts=at_or_below)
                break
            held.is_on_way = True
            walked.append(held)
            block_id = held.block.header.parent
        return Path((*lower.blocks, *reversed(walked)), lower.missing, lower.conflicts)

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
        if held is None:
            return
        header = held.block.header
        _discard(self._at_height, header.height, block_id)
        _discard(self._children, header.parent, block_id)
        if held.is_on_way:
            self._ways.clear()
        if held.saved:
            self._evicted[block_id] = header.height

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
        passed = range(self.tip.height + 1, tip.height + 1)
        self.tip = tip
        self._ways.clear()
        gone = {key for height in passed for key in self._at_height.get(Height(height), ())}
        gone.update(self._beside(range(passed.start, passed.stop + 1)))
        for held in sorted((self._blocks[key] for key in gone), key=lambda held: held.number):
            self.drop(held.block_id)
        # A block on a dead branch may stand above the tip, and is forgotten when the tip has passed it.
        useless = [key for key, height in self._evicted.items() if height <= tip.height]
        for key in useless:
            del self._evicted[key]
        return useless

    def _beside(self, heights: range) -> list[BlockId]:
        """Find all blocks whose way ends at one of these heights beside the tip."""
        found = [
            key
            for height in heights
            for key in self._at_height.get(Height(height), ())
            if key != self.tip.block_id
            and (parent := self._blocks[key].block.header.parent) != self.tip.block_id
            and parent not in self._blocks
        ]
        for key in found:  # and what stands on them, which the list grows by
            found += self._children.get(key, ())
        return found


def _discard(index: dict[K, dict[BlockId, None]], key: K, block_id: BlockId) -> None:
    """Take a block out of an index, and an entry that is empty then."""
    del index[key][block_id]
    if not index[key]:
        del index[key]
