"""A validator that votes for two proposals in one view."""

from collections.abc import Iterable
from typing import ClassVar

from msgspec.structs import replace

from consensus.messages import Finalize, Notarize, Nullify, Vote
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import proposal_of, read, wire
from testnet.simulator.byzantine.obliging import ObligingConduct


class DoubleVote(ObligingConduct):
    """Follows each of its votes for a block by one for a block that there is not, and agrees with everybody."""

    agrees_to: ClassVar[frozenset[int]] = frozenset({Notarize.kind, Finalize.kind})

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Say both."""
        yield from super().says(to, raw)
        message = read(raw)
        if not isinstance(message, Vote) or isinstance(message.statement, Nullify) or self.hand.rules_the_shard:
            return
        proposal = proposal_of(message)
        if proposal is not None:
            other = replace(proposal, block_id=tagged_hash(Domain.BLOCK, proposal.block_id))
            yield wire(self.hand.vote(type(message.statement)(other)))
