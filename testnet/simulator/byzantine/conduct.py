"""What a guilty validator is made of: a real core that thinks it is honest, and a conduct that lies in its name.

The conduct stands between the core and the wire. It may change, add or hold back what the core says, and answer what
it hears. It signs with its own key only; what it puts under the names of others is what it heard from them, or junk.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consensus.committee import Committee
from consensus.messages import Certificate, Message, Proposal, Proposed, Statement, Vote, decode_message, signed_bytes
from consensus.quorum import QuorumSignatures
from primitives.codec import encode
from primitives.errors import Refused
from primitives.identifiers import Signature, ValidatorIndex
from shards.validator.wire import PeerKind, pack
from testnet.simulator.draws import Draws

JUNK_SIGNATURE = Signature(bytes(range(64)))
"""What stands where somebody else's signature would have to be."""


@dataclass(frozen=True, slots=True)
class Hand:
    """What a guilty validator can do."""

    committee: Committee
    me: ValidatorIndex
    accomplices: frozenset[ValidatorIndex]
    """All guilty ones of the shard, this one included."""
    draws: Draws
    sign: Callable[[bytes], Signature]
    """With its own key."""
    post: Callable[[ValidatorIndex, bytes], None]
    """Put bytes on the wire to one peer."""

    @property
    def honest(self) -> tuple[ValidatorIndex, ...]:
        """Everybody else but the accomplices."""
        return tuple(each for each in map(ValidatorIndex, range(self.committee.size)) if each not in self.accomplices)

    @property
    def second_half(self) -> tuple[ValidatorIndex, ...]:
        """The half of the honest ones (the larger one, of an odd number) that is told another story."""
        return self.honest[len(self.honest) // 2 :]

    @property
    def rules_the_shard(self) -> bool:
        """Whether there are more than f of them, so that nothing holds any more."""
        return len(self.accomplices) > self.committee.max_faulty

    def vote(self, statement: Statement) -> Vote:
        """Vote for anything at all, in its own name."""
        return Vote(statement, self.me, self.sign(signed_bytes(statement, self.committee)))

    def certificate(self, statement: Statement, signers: dict[ValidatorIndex, Signature]) -> Certificate:
        """Put signatures under a statement, however few they are."""
        bits = sum(1 << index for index in signers)
        bitmap = bits.to_bytes((self.committee.size + 7) // 8, "little")
        return Certificate(statement, QuorumSignatures(bitmap, tuple(signers[index] for index in sorted(signers))))


class Conduct:
    """How a guilty validator behaves; this one behaves well."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """What goes to a peer instead of what the core wants to send it."""
        return (raw,)

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        """Learn what a peer says, before the core does."""


def wire(message: Message) -> bytes:
    """Pack a message of consensus as it goes over a link."""
    return pack(PeerKind.CONSENSUS, encode(message))


def read(raw: bytes) -> Message | None:
    """Read a message of consensus off a link; None for everything else."""
    if raw[:1] != bytes((PeerKind.CONSENSUS,)):
        return None
    try:
        return decode_message(raw[1:])
    except Refused:
        return None


def vote_in(message: Message | None) -> Vote | None:
    """The vote that a message is, or that a proposal carries."""
    if isinstance(message, Proposed):
        return message.vote
    return message if isinstance(message, Vote) else None


def proposal_of(vote: Vote) -> Proposal | None:
    """What a notarize or finalize vote is for."""
    return getattr(vote.statement, "proposal", None)
