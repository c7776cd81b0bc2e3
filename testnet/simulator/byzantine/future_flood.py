"""A validator that votes and proposes in views that are far ahead, and signs results of blocks that there are not."""

from collections.abc import Iterable

from msgspec.structs import replace

from consensus.messages import Finalize, Notarize, Nullify, Proposed, TipRequest, Vote
from primitives.codec import encode
from primitives.hashing import Domain
from primitives.identifiers import Epoch, Height, ValidatorIndex, View
from shards.commitments import CommitmentSignature
from shards.validator.wire import PeerKind, pack, unpack_signature
from testnet.simulator.byzantine.conduct import Conduct, proposal_of, read, vote_in, wire

STEPS = (2, 7, 100, 1_000_000, 2**40)
"""How far ahead: from what may come soon to what never does."""


class FutureFlood(Conduct):
    """Says beside everything true the same of the future."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Say it, and what is to come."""
        yield raw
        message = read(raw)
        vote = vote_in(message)
        if vote is not None:
            for step in STEPS:
                yield from map(wire, self._ahead(message, vote, step))
        elif raw[0] == PeerKind.COMMITMENT_SIGNATURE:
            commitment = unpack_signature(raw[1:]).commitment
            for step in STEPS:
                ahead = replace(commitment, height=Height(commitment.height + step))
                signature = self.hand.sign(Domain.COMMITMENT + encode(ahead))
                yield pack(PeerKind.COMMITMENT_SIGNATURE, encode(CommitmentSignature(ahead, self.hand.me, signature)))

    def _ahead(self, message: object, vote: Vote, step: int) -> Iterable[Vote | Proposed | TipRequest]:
        epoch, view = Epoch(vote.statement.epoch), View(vote.statement.view + step)
        yield TipRequest(view, view)
        proposal = proposal_of(vote)
        if proposal is None:
            yield self.hand.vote(Nullify(epoch, view))
            return
        ahead = replace(proposal, view=view)
        if isinstance(message, Proposed):
            yield replace(message, vote=self.hand.vote(Notarize(ahead)))
        elif isinstance(vote.statement, Finalize):
            yield self.hand.vote(Finalize(ahead))
