"""Finalization, in height order, and everything that brings missing blocks: by id over short gaps, in chunks over long.

A finalization names a block; its hash links make all ancestors final. What is missing is fetched: the certified
block itself by id first (its height tells how far behind we are), then its ancestors by id, or, when the gap is
long, the archive from our tip upwards. An archive chunk is believed only as far as its hash links reach from our tip
to a block with a finalization.
"""

from itertools import pairwise

from consensus.block import Block, BlockHeader, block_id_of, decode_block
from consensus.chain import HeldBlock
from consensus.context import Context
from consensus.effects import Finalized
from consensus.journal import Tip, finality_write, finalized_writes, pending_delete
from consensus.messages import (
    ArchiveAnswer,
    ArchiveRequest,
    BlockAnswer,
    BlockRequest,
    Certificate,
    Finalize,
    certified_proposal,
    signed_bytes,
)
from consensus.quorum import check_quorum
from primitives.errors import Refused
from primitives.identifiers import Height, ValidatorIndex
from primitives.marks import sometimes


class CatchUp:
    """Delivers finalized blocks, and fetches those that finality is ahead of."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._source = ValidatorIndex(0)
        """Who last sent a good chunk of history."""
        self._has_conflict = False
        self.known_height = context.chain.tip.height
        """Height of the highest block known to be final, whether held or not."""

    def deliver(self) -> bool:
        """Hand over all finalized blocks whose ancestry is held, else say what is missing."""
        context = self._context
        finality = context.views.finality
        if finality is None:
            return False
        block_id = certified_proposal(finality).block_id
        place = context.chain.place(block_id)
        if place is not None:
            self.known_height = max(self.known_height, place[0])
        path = context.chain.path(block_id)
        if path.conflicts:
            if not self._has_conflict:
                context.outbox.note("conflicting_certificates", "a finalization stands beside our finalized chain")
            self._has_conflict = True
            return False
        if path.missing is not None:
            self._want(path.blocks, BlockRequest(path.missing), finality)
            return False
        if not path.blocks:
            return False
        for held in path.blocks:
            self._hand_over(held)
        last = path.blocks[-1].block.header
        context.outbox.write(finality_write(last.height, finality))
        context.consider_signing(finality, last.time_ms)
        context.forget_blocks()
        return True

    def hear_block(self, sender: ValidatorIndex, answer: BlockAnswer) -> None:
        """Take a block that we asked for.

        Raises:
            Refused: `unasked`, or what decoding refuses it for.

        """
        context = self._context
        if not context.fetcher.was_asked(sender, BlockRequest):
            raise Refused("unasked", "a block that nobody asked for")
        block = decode_block(answer.block)
        block_id = block_id_of(block.header)
        if context.fetcher.wants(BlockRequest(block_id)):
            context.chain.add(block_id, block, answer.block)

    def hear_archive(self, sender: ValidatorIndex, answer: ArchiveAnswer) -> None:
        """Check a chunk of history link by link up to its finalization, then hand it over.

        Raises:
            Refused: `unasked`, `bad_archive`, or what decoding or the certificate is refused for.

        """
        context = self._context
        if not context.fetcher.was_asked(sender, ArchiveRequest):
            raise Refused("unasked", "history that nobody asked for")
        try:
            blocks = self._check_chunk(answer)
        except Refused:
            sometimes("history that is refused")
            context.fetcher.ask_next(sender, ArchiveRequest, context.now.monotonic_ms)
            raise
        sometimes("history caught up in a chunk")
        self._source = sender
        headers = [*(block.header for block, _ in blocks), *answer.links]
        for block, raw in blocks:
            held = HeldBlock(block_id_of(block.header), block, raw, saved=False)
            if block.header.height > context.chain.tip.height:
                self._hand_over(held)
        self.known_height = max(self.known_height, headers[-1].height)
        context.outbox.write(finality_write(headers[-1].height, answer.finality))
        if answer.finality.statement.view > context.views.finalized:
            context.accept(answer.finality)
        context.consider_signing(answer.finality, headers[-1].time_ms)
        context.forget_blocks()

    def _check_chunk(self, answer: ArchiveAnswer) -> list[tuple[Block, bytes]]:
        context = self._context
        committee, tip = context.committee, context.chain.tip
        blocks = [(decode_block(raw), raw) for raw in answer.blocks]
        headers = [*(block.header for block, _ in blocks), *answer.links]
        first = headers[0]
        if first.height > tip.height + 1 or headers[-1].height <= tip.height:
            raise Refused("bad_archive", f"heights {first.height} to {headers[-1].height} do not continue {tip.height}")
        if any(
            (h.chain_id, h.shard, h.epoch) != (committee.chain_id, committee.shard, committee.epoch) for h in headers
        ):
            raise Refused("bad_archive", "a block of another chain, shard or epoch")
        if not all(_follows(child, parent) for parent, child in pairwise(headers)):
            raise Refused("bad_archive", "the hash links are broken")
        joints = [header for header in headers if header.height == tip.height + 1]
        if not joints or joints[0].parent != tip.block_id:
            raise Refused("bad_archive", f"its block at height {tip.height + 1} does not stand on our tip")
        finality = answer.finality
        if not isinstance(finality.statement, Finalize) or finality.statement.epoch != committee.epoch:
            raise Refused("bad_archive", "the certificate is no finalization of this epoch")
        if certified_proposal(finality).block_id != block_id_of(headers[-1]):
            raise Refused("bad_archive", "the finalization is for another block")
        held = context.views.finality
        if held is None or held.statement != finality.statement:
            check_quorum(finality.quorum, signed_bytes(finality.statement, committee), committee, context.scheme)
        return blocks

    def _hand_over(self, held: HeldBlock) -> None:
        context = self._context
        header = held.block.header
        context.outbox.write(*finalized_writes(header.height, held.block_id, held.raw))
        for useless in context.chain.advance(Tip(header.height, held.block_id, header.time_ms)):
            context.outbox.write(pending_delete(useless))
        self.known_height = max(self.known_height, header.height)
        context.outbox.emit(Finalized(held.block_id, held.block, held.raw))

    def _want(self, held: tuple[HeldBlock, ...], by_id: BlockRequest, finality: Certificate) -> None:
        context = self._context
        if context.chain.is_far(held):
            context.want(ArchiveRequest(Height(context.chain.tip.height + 1)), self._source)
        else:
            context.want(by_id, context.committee.leader(finality.statement.view))


def _follows(child: BlockHeader, parent: BlockHeader) -> bool:
    return child.height == parent.height + 1 and child.parent == block_id_of(parent)
