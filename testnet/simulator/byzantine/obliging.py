"""Validators that agree with everybody: the part that those who vote twice have in common.

Alone it is an offence and no more. When more than f do it, each half of the honest ones finds a quorum for what it
believes, and the chain forks if the halves cannot hear one another.
"""

from collections.abc import Iterable
from typing import ClassVar

from consensus.messages import Certificate, Certificates, Finalize, Notarize, Nullify, Vote
from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import Conduct, read, vote_in, wire


class ObligingConduct(Conduct):
    """Gives every honest validator its vote for whatever that one votes for."""

    agrees_to: ClassVar[frozenset[int]] = frozenset({Notarize.kind, Nullify.kind, Finalize.kind})
    """Kinds of votes it gives away."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Those who rule the shard let no honest one know what they themselves think, or others have decided."""
        if not self.hand.rules_the_shard or to in self.hand.accomplices:
            return (raw,)
        return () if isinstance(read(raw), Vote | Certificate | Certificates) else (raw,)

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        """Agree."""
        vote = vote_in(read(raw))
        if vote is None or vote.signer != sender or sender in self.hand.accomplices:
            return
        if vote.statement.kind in self.agrees_to:
            self.hand.post(sender, wire(self.hand.vote(vote.statement)))
