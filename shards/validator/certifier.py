"""From own and peers' commitment signatures to commitment certificates.

Signatures may come before this validator has executed the height itself; they wait, bounded, and are verified only
against the commitment that it computed. A signature over another commitment for that height is kept as the
*dispute* it is: either its signer or this validator is wrong.
"""

from collections.abc import Mapping

from consensus.committee import Committee
from consensus.quorum import assemble_quorum
from primitives.identifiers import Hash, Height, Signature, ValidatorIndex
from primitives.signatures import SignatureScheme
from shards.commitments import Commitment, CommitmentCertificate, CommitmentSignature, commitment_hash, signing_bytes

WINDOW = 64
"""Heights above and below the own tip for which signatures are kept: eight times what execution may lag."""


class _Tally:
    """Signatures for one height, verified or waiting."""

    __slots__ = ("commitment", "hash", "heard", "verified", "waiting")

    def __init__(self) -> None:
        self.commitment: Commitment | None = None
        self.hash: Hash | None = None
        self.verified: dict[ValidatorIndex, Signature] = {}
        self.waiting: dict[ValidatorIndex, CommitmentSignature] = {}
        self.heard: set[ValidatorIndex] = set()


class Certifier:
    """Collects signatures per height until a quorum stands behind the commitment computed here."""

    def __init__(self, committee: Committee, scheme: SignatureScheme, executed: Height) -> None:
        self._committee = committee
        self._scheme = scheme
        self._executed = executed
        self._tallies: dict[Height, _Tally] = {}
        self.newest: CommitmentCertificate | None = None
        """The certificate of the greatest height seen, own or received."""
        self.disputes: dict[tuple[Height, ValidatorIndex], CommitmentSignature] = {}

    def executed(
        self, commitment: Commitment, own: tuple[ValidatorIndex, Signature] | None
    ) -> CommitmentCertificate | None:
        """Note the commitment computed here, with the own signature if we sign; a quorum may already be waiting."""
        self._executed = commitment.height
        tally = self._tallies.setdefault(commitment.height, _Tally())
        tally.commitment, tally.hash = commitment, commitment_hash(commitment)
        if own is not None:
            tally.verified[own[0]] = own[1]
        self._forget_old()
        return self._settle(tally)

    def add(self, vote: CommitmentSignature) -> CommitmentCertificate | None:
        """Take in a peer's signature; returns the certificate if it completes one."""
        if (
            vote.signer >= self._committee.size
            or abs(vote.height - self._executed) > WINDOW
            or self.certified(vote.height)
        ):
            return None
        tally = self._tallies.setdefault(Height(vote.height), _Tally())
        if vote.signer in tally.verified or vote.signer in tally.waiting:
            return None
        tally.waiting[ValidatorIndex(vote.signer)] = vote
        return self._settle(tally)

    def heard(self, vote: CommitmentSignature) -> bool:
        """Whether this signer has spoken of this height before: it repeats itself, so it lacks the certificate."""
        tally = self._tallies.get(Height(vote.height))
        return tally is None or vote.signer in tally.heard

    def certified(self, height: int) -> bool:
        """Whether the newest certificate is of this height or a later one, which proves all before it too."""
        return self.newest is not None and self.newest.commitment.height >= height

    def accept(self, certificate: CommitmentCertificate) -> bool:
        """Take in a verified certificate; True if it is the newest."""
        if self.certified(certificate.commitment.height):
            return False
        self.newest = certificate
        return True

    def own_hash(self, height: int) -> Hash | None:
        """Hash of the commitment computed here for a recent height."""
        tally = self._tallies.get(Height(height))
        return None if tally is None else tally.hash

    def _settle(self, tally: _Tally) -> CommitmentCertificate | None:
        if tally.commitment is None or self.certified(tally.commitment.height):
            return None
        agreeing = {signer: vote for signer, vote in tally.waiting.items() if vote.commitment_hash == tally.hash}
        for signer, vote in tally.waiting.items():
            if signer not in agreeing and len(self.disputes) < WINDOW:
                self.disputes[Height(vote.height), signer] = vote
        if len(tally.verified) + len(agreeing) < self._committee.quorum:
            return None  # verify nothing before it can make a quorum
        tally.waiting.clear()
        tally.verified.update(self._verified(agreeing, signing_bytes(tally.commitment)))
        if len(tally.verified) < self._committee.quorum:
            return None
        certificate = CommitmentCertificate(tally.commitment, assemble_quorum(tally.verified, self._committee))
        self.newest = certificate
        return certificate

    def _verified(
        self, votes: Mapping[ValidatorIndex, CommitmentSignature], message: bytes
    ) -> dict[ValidatorIndex, Signature]:
        signatures = {signer: Signature(vote.signature) for signer, vote in votes.items()}
        items = [(self._committee.keys[signer], message, signature) for signer, signature in signatures.items()]
        verdicts = self._scheme.verify_many(items)
        return {
            signer: signature for (signer, signature), good in zip(signatures.items(), verdicts, strict=True) if good
        }

    def _forget_old(self) -> None:
        for height in [height for height in self._tallies if height < self._executed - WINDOW]:
            del self._tallies[height]
        for place in [place for place in self.disputes if place[0] < self._executed - WINDOW]:
            del self.disputes[place]
