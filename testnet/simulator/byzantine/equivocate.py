"""A leader that proposes one block to one half and another to the other, and votes for both."""

from collections.abc import Iterable
from typing import ClassVar

from consensus.block import decode_block
from consensus.messages import Finalize, Notarize, Proposed
from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import read, wire
from testnet.simulator.byzantine.obliging import ObligingConduct
from testnet.simulator.byzantine.proposals import later, proposing


class Equivocate(ObligingConduct):
    """The second half gets a block that differs by a millisecond, which is as valid as the first."""

    agrees_to: ClassVar[frozenset[int]] = frozenset({Notarize.kind, Finalize.kind})

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Tell the second half of the other block, and that alone."""
        message = read(raw)
        if isinstance(message, Proposed) and to in self.hand.second_half and message.vote.signer == self.hand.me:
            return (wire(proposing(self.hand, message, later(decode_block(message.block), 1))),)
        return super().says(to, raw)
