"""A validator that speaks in the names of others, whose keys it does not have."""

from collections.abc import Iterable

from msgspec.structs import replace

from consensus.messages import Proposed, Vote
from primitives.codec import encode
from primitives.identifiers import Signature, ValidatorIndex
from shards.validator.wire import PeerKind, pack, unpack_signature
from testnet.simulator.byzantine.conduct import JUNK_SIGNATURE, Conduct, Hand, read, vote_in, wire


class Impersonator(Conduct):
    """Repeats its own votes, proposals and results under each other name: with its own signature, or with junk.

    It also passes on the true votes of others, as if they came from itself.
    """

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand)
        self._overheard: bytes | None = None

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Say it in its own name, and in those of all others."""
        yield raw
        if self._overheard is not None:
            yield self._overheard
        message = read(raw)
        for other in self.hand.honest:
            if isinstance(message, Vote):
                yield wire(self._posing(message, other))
            elif isinstance(message, Proposed):
                yield wire(replace(message, vote=self._posing(message.vote, other)))
            elif raw[0] == PeerKind.COMMITMENT_SIGNATURE:
                posing = replace(unpack_signature(raw[1:]), signer=other)
                yield pack(PeerKind.COMMITMENT_SIGNATURE, encode(posing))

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        """Keep the last vote of somebody else."""
        vote = vote_in(read(raw))
        if vote is not None and vote.signer == sender:
            self._overheard = wire(vote)

    def _posing(self, vote: Vote, other: ValidatorIndex) -> Vote:
        signature = Signature(vote.signature) if vote.statement.view % 2 else JUNK_SIGNATURE
        return replace(vote, signer=other, signature=signature)
