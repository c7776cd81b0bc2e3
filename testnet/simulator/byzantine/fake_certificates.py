"""A validator that makes certificates of what it has: its own signature, what it heard from others, and junk."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from consensus.messages import Certificate, Finalize, Nullify, Statement, Vote
from consensus.quorum import QuorumSignatures
from primitives.codec import encode
from primitives.identifiers import Epoch, Signature, ValidatorIndex, View
from shards.commitments import CommitmentCertificate
from shards.validator.wire import PeerKind, pack, unpack_signature
from testnet.simulator.byzantine.conduct import JUNK_SIGNATURE, Hand, proposal_of, read, vote_in, wire
from testnet.simulator.byzantine.obliging import ObligingConduct

STATEMENTS_KEPT = 256
"""Of which it remembers the votes: those of some sixty views."""

FORGERIES: Final = (
    "too few signers",
    "one signer many times",
    "one signature under many names",
    "votes of another view",
    "votes of another kind",
    "junk under the name of others",
    "a signer that there is not",
)
"""What is wrong with its certificates, in turn."""

Signers = dict[ValidatorIndex, Signature]


class FakeCertificates(ObligingConduct):
    """Sends a forged certificate beside every vote; and a good one wherever it can make one.

    For a good one votes of a quorum are needed: those who rule a shard lack those of a few honest ones only.
    """

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand)
        self._heard: dict[bytes, tuple[Statement, Signers]] = {}
        self._forged = 0

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Add a forgery to each vote."""
        yield from super().says(to, raw)
        message = read(raw)
        if isinstance(message, Vote):
            self._forged += 1
            yield wire(self._forge(message, FORGERIES[self._forged % len(FORGERIES)]))
        elif raw[0] == PeerKind.COMMITMENT_SIGNATURE:
            vote = unpack_signature(raw[1:])
            everywhere = self._quorum_of(dict.fromkeys(self._everyone(), Signature(vote.signature)))
            yield pack(PeerKind.CERTIFICATE, encode(CommitmentCertificate(vote.commitment, everywhere)))

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        """Agree, let the accomplices have the vote, and show to its voters what has become a certificate."""
        super().hears(sender, raw)
        vote = vote_in(read(raw))
        if vote is None or vote.signer != sender:
            return
        signers = self._signers(vote.statement)
        signers[sender] = Signature(vote.signature)
        if self.hand.rules_the_shard and sender not in self.hand.accomplices:
            own = self.hand.vote(vote.statement)
            signers[self.hand.me] = Signature(own.signature)
            for accomplice in sorted(self.hand.accomplices - {self.hand.me}):
                self.hand.post(accomplice, wire(own))
        if len(signers) >= self.hand.committee.quorum:
            certificate = self.hand.certificate(vote.statement, signers)
            for voter in sorted(set(signers) - self.hand.accomplices):
                self.hand.post(voter, wire(certificate))

    def _signers(self, statement: Statement) -> Signers:
        """Signatures heard for a statement."""
        key = encode(statement)
        if key not in self._heard:
            self._heard[key] = (statement, {})
            if len(self._heard) > STATEMENTS_KEPT:
                del self._heard[next(iter(self._heard))]
        return self._heard[key][1]

    def _everyone(self) -> list[ValidatorIndex]:
        return [ValidatorIndex(index) for index in range(self.hand.committee.size)]

    def _quorum_of(self, signers: Signers) -> QuorumSignatures:
        return self.hand.certificate(Nullify(Epoch(0), View(1)), signers).quorum

    def _forge(self, vote: Vote, flaw: str) -> Certificate:
        """Make a certificate with this flaw out of the own vote and of the others' for the same statement."""
        own, statement = Signature(vote.signature), vote.statement
        heard = {**self._signers(statement), self.hand.me: own}
        proposal = proposal_of(vote)
        if flaw == "too few signers":
            return self.hand.certificate(statement, dict(list(heard.items())[-self.hand.committee.max_faulty :]))
        if flaw == "one signer many times":
            alone = self._quorum_of({self.hand.me: own})
            return Certificate(statement, replace(alone, signatures=(own,) * self.hand.committee.quorum))
        if flaw == "one signature under many names":
            return self.hand.certificate(statement, dict.fromkeys(self._everyone(), own))
        if flaw == "votes of another view":
            return self.hand.certificate(Nullify(Epoch(statement.epoch), View(statement.view + 1)), heard)
        if flaw == "votes of another kind" and proposal is not None:
            return self.hand.certificate(Finalize(proposal), heard)
        if flaw == "a signer that there is not":
            return self.hand.certificate(statement, {**heard, ValidatorIndex(self.hand.committee.size): own})
        return self.hand.certificate(statement, {**dict.fromkeys(self._everyone(), JUNK_SIGNATURE), self.hand.me: own})
