"""How a guilty leader puts another block into its own proposal."""

from collections.abc import Iterable
from hashlib import sha256

from msgspec.structs import replace

from consensus.block import Block, block_id_of, decode_block, items_root
from consensus.messages import Notarize, Proposed
from primitives.codec import encode
from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import Conduct, Hand, proposal_of, read, vote_in, wire


def proposing(hand: Hand, proposed: Proposed, block: Block) -> Proposed:
    """Make the same proposal with another block, signed anew."""
    proposal = proposal_of(proposed.vote)
    if proposal is None:
        return proposed
    statement = Notarize(replace(proposal, block_id=block_id_of(block.header)))
    return Proposed(hand.vote(statement), proposed.justification, encode(block))


def with_content(block: Block, *, items: tuple[bytes, ...] | None = None, anchor: bytes | None = None) -> Block:
    """Make a block with another content, to which its header commits."""
    items = block.items if items is None else items
    anchor = block.anchor if anchor is None else anchor
    header = replace(
        block.header, anchor_hash=sha256(anchor).digest(), item_count=len(items), items_root=items_root(items)
    )
    return Block(header, anchor, items)


def later(block: Block, by_ms: int) -> Block:
    """Make a block that says another time."""
    return replace(block, header=replace(block.header, time_ms=block.header.time_ms + by_ms))


class ChangingLeader(Conduct):
    """A leader whose blocks are not those that its core built. Its core's votes for those are not sent."""

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand)
        self._hidden: set[bytes] = set()
        """Blocks that the core voted for and nobody is to hear of."""
        self.proposed: set[bytes] = set()
        """Blocks proposed in their place."""

    def change(self, block: Block, view: int) -> Block:
        """The block to propose instead."""
        raise NotImplementedError

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Propose the changed block to everybody."""
        message = read(raw)
        vote = vote_in(message)
        proposal = None if vote is None else proposal_of(vote)
        if vote is None or proposal is None or vote.signer != self.hand.me:
            return (raw,)
        if isinstance(message, Proposed):
            block = decode_block(message.block)
            changed = self.change(block, proposal.view)
            if changed != block:
                self.proposed.add(block_id_of(changed.header))
                self._hidden |= {proposal.block_id} - self.proposed
                return (wire(proposing(self.hand, message, changed)),)
        return () if proposal.block_id in self._hidden else (raw,)
