"""A leader that says what it proposes and shows the block to nobody, or to one validator only."""

from collections.abc import Iterable

from consensus.messages import ArchiveAnswer, BlockAnswer, Proposed
from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import Conduct, read, wire


class WithholdBlocks(Conduct):
    """Sends the vote of its proposal without the block, and never serves a block that is asked for.

    In every other view all but one honest validator get the block: it becomes notarized, and that one has to find
    the block elsewhere.
    """

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Everything but blocks."""
        message = read(raw)
        if isinstance(message, BlockAnswer | ArchiveAnswer):
            return ()
        if isinstance(message, Proposed):
            generous = message.vote.statement.view // self.hand.committee.size % 2 == 0
            return (raw,) if generous and to != self.hand.honest[0] else (wire(message.vote),)
        return (raw,)
