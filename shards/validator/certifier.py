"""From own and peers' commitment signatures to commitment certificates, and to evidence against double signers.

A signature travels with the whole commitment that it signs. So a quorum makes a certificate even where this validator
has not executed the height yet (or has come to another result, which then is seen), and whoever signs two commitments
for one height hands out the proof.

Every signature comes from its signer's own link: one slot for each signer and height, and one that is not valid takes
nobody's place but its sender's. Signatures are verified only when they can make a quorum, or when two of one signer
contradict each other; either happens at most once for each slot.
"""

from collections.abc import Callable
from typing import NamedTuple

from consensus.committee import Committee
from consensus.effects import Blame
from consensus.quorum import assemble_quorum
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.identifiers import Hash, Height, PublicKey, Signature, ValidatorIndex
from primitives.signatures import SignatureScheme
from shards.commitments import Commitment, CommitmentCertificate, CommitmentSignature, commitment_hash, signing_bytes

WINDOW = 64
"""Heights above and below the own tip for which signatures are kept: eight times what execution may lag."""

MAX_EVIDENCE_BYTES = 2048
"""Two commitments with a signature each."""


class DoubleSigning(Record):
    """Two commitments for one height, signed by one validator; the lesser encoding first: one pair has one form."""

    first: CommitmentSignature
    second: CommitmentSignature


evidence_decoder = Decoder(DoubleSigning, max_bytes=MAX_EVIDENCE_BYTES, name="evidence of double signing")


def verify_double_signing(evidence: bytes, committee: Committee, scheme: SignatureScheme) -> ValidatorIndex:
    """Check evidence in full and return the culprit; nobody may be punished before.

    Raises:
        Refused: `bad_evidence`, or what decoding and `check_signature_form` refuse.

    """
    pair = evidence_decoder.decode(evidence)
    first, second = pair.first, pair.second
    for each in (first, second):
        check_signature_form(each, committee)
    if first.signer != second.signer or first.commitment.height != second.commitment.height:
        raise Refused("bad_evidence", "the signatures are of two validators or for two heights")
    if first.commitment == second.commitment or encode(first) > encode(second):
        raise Refused(
            "bad_evidence", "an honest validator may sign one commitment twice; the lesser signature is first"
        )
    if not all(scheme.verify_many([_item(each, committee) for each in (first, second)])):
        raise Refused("bad_evidence", "a signature does not verify")
    return ValidatorIndex(first.signer)


def check_signature_form(vote: CommitmentSignature, committee: Committee) -> None:
    """Check that a signature, if it is good, is one of this committee over a commitment of its shard.

    Raises:
        Refused: `bad_commitment_signature`.

    """
    commitment = vote.commitment
    of = (commitment.chain_id, commitment.shard, commitment.epoch, commitment.validator_set_hash)
    if of != (committee.chain_id, committee.shard, committee.epoch, committee.hash) or commitment.height == 0:
        raise Refused("bad_commitment_signature", "the commitment is not one that this committee signs")
    if vote.signer >= committee.size:
        raise Refused("bad_commitment_signature", f"signer {vote.signer} of {committee.size} validators")


class _Slot(NamedTuple):
    """What one validator signed for one height."""

    vote: CommitmentSignature
    hash: Hash


class _Tally:
    """Signatures for one height."""

    __slots__ = ("alarmed", "heard", "judged", "own", "rejected", "slots", "verified")

    def __init__(self) -> None:
        self.own: Hash | None = None
        self.alarmed = False
        self.heard: set[ValidatorIndex] = set()
        """Who has sent a signature itself; the others' are known from a certificate."""
        self.slots: dict[ValidatorIndex, _Slot] = {}
        self.verified: set[ValidatorIndex] = set()
        self.rejected: set[ValidatorIndex] = set()
        """Whose signature did not verify; nothing more of theirs is looked at."""
        self.judged: set[ValidatorIndex] = set()
        """Whose contradicting signatures were verified."""


class Certifier:
    """Collects signatures per height until a quorum stands behind one commitment."""

    def __init__(
        self, committee: Committee, scheme: SignatureScheme, executed: Height, blame: Callable[[Blame], None]
    ) -> None:
        self._committee = committee
        self._scheme = scheme
        self._executed = executed
        self._blame = blame
        self._tallies: dict[Height, _Tally] = {}
        self.newest: CommitmentCertificate | None = None
        """The certificate of the greatest height seen, own or received."""

    def __len__(self) -> int:
        return len(self._tallies)

    def executed(self, commitment: Commitment, own: CommitmentSignature | None) -> CommitmentCertificate | None:
        """Note the commitment computed here, with the own signature if we sign; it may complete a certificate."""
        self._executed = commitment.height
        tally = self._tallies.setdefault(commitment.height, _Tally())
        tally.own = commitment_hash(commitment)
        for height in [height for height in self._tallies if height < self._executed - WINDOW]:
            del self._tallies[height]
        if own is None:
            return None
        tally.slots[own.signer] = _Slot(own, tally.own)
        tally.verified.add(own.signer)
        return self._settle(tally, tally.own)

    def add(self, vote: CommitmentSignature) -> CommitmentCertificate | None:
        """Take in a peer's signature, from its own link; returns the certificate if it completes one.

        Raises:
            Refused: what `check_signature_form` raises.

        """
        check_signature_form(vote, self._committee)
        if abs(vote.commitment.height - self._executed) > WINDOW:
            return None
        tally = self._tallies.setdefault(vote.commitment.height, _Tally())
        signer = ValidatorIndex(vote.signer)
        tally.heard.add(signer)
        held = tally.slots.get(signer)
        new = _Slot(vote, commitment_hash(vote.commitment))
        if held is not None:
            if held.hash != new.hash:
                self._judge(tally, held.vote, vote)
            return None
        if signer in tally.rejected:
            return None
        tally.slots[signer] = new
        return self._settle(tally, new.hash)

    def has_heard(self, vote: CommitmentSignature) -> bool:
        """Whether the signer has said this before: it repeats itself, so it lacks the certificate."""
        if vote.commitment.height < self._executed - WINDOW:
            return True
        tally = self._tallies.get(vote.commitment.height)
        return tally is not None and vote.signer in tally.heard

    def certified(self, height: int) -> bool:
        """Whether the newest certificate is of this height or a later one, which proves all before it too."""
        return self.newest is not None and self.newest.commitment.height >= height

    def accept(self, certificate: CommitmentCertificate) -> bool:
        """Take in a verified certificate; True if it is the newest."""
        self._count_signers(certificate)
        if self.certified(certificate.commitment.height):
            return False
        self.newest = certificate
        return True

    def own_hash(self, height: int) -> Hash | None:
        """Hash of the commitment computed here for a recent height."""
        tally = self._tallies.get(Height(height))
        return None if tally is None else tally.own

    def dissent(self, height: int) -> tuple[ValidatorIndex, ...]:
        """Who signed another result than ours for a recent height; said once, and only when one of them is honest.

        Then either this machine is wrong, or honest validators disagree and the height may never be certified.
        Nothing is verified: what is not signed came on its sender's own link all the same.
        """
        tally = self._tallies.get(Height(height))
        if tally is None or tally.own is None or tally.alarmed:
            return ()
        others = tuple(sorted(signer for signer, slot in tally.slots.items() if slot.hash != tally.own))
        tally.alarmed = len(others) > self._committee.max_faulty
        return others if tally.alarmed else ()

    def _settle(self, tally: _Tally, wanted: Hash) -> CommitmentCertificate | None:
        """Certificate over this commitment, if a quorum of signatures is there and good."""
        agreeing = {signer: slot.vote for signer, slot in tally.slots.items() if slot.hash == wanted}
        quorum = self._committee.quorum
        if len(agreeing) < quorum:
            return None  # verify nothing before it can make a quorum
        commitment = next(iter(agreeing.values())).commitment
        if self.certified(commitment.height):
            return None
        unverified = [signer for signer in agreeing if signer not in tally.verified]
        verdicts = self._scheme.verify_many([_item(agreeing[signer], self._committee) for signer in unverified])
        for signer, good in zip(unverified, verdicts, strict=True):
            if good:
                tally.verified.add(signer)
            else:
                tally.rejected.add(signer)
                del tally.slots[signer], agreeing[signer]
        if len(agreeing) < quorum:
            return None
        signatures = {signer: Signature(vote.signature) for signer, vote in agreeing.items()}
        return CommitmentCertificate(commitment, assemble_quorum(signatures, self._committee))

    def _count_signers(self, certificate: CommitmentCertificate) -> None:
        """Look at a certificate's signatures one by one: they may contradict others of the same signers."""
        commitment, quorum = certificate.commitment, certificate.quorum
        if abs(commitment.height - self._executed) > WINDOW:
            return
        tally = self._tallies.setdefault(commitment.height, _Tally())
        name = commitment_hash(commitment)
        for signer, signature in zip(quorum.indices(), quorum.signatures, strict=True):
            signed = _Slot(CommitmentSignature(commitment, signer, signature), name)
            held = tally.slots.setdefault(signer, signed)
            if held is signed:
                tally.verified.add(signer)
            elif held.hash != name:
                self._judge(tally, held.vote, signed.vote)

    def _judge(self, tally: _Tally, one: CommitmentSignature, other: CommitmentSignature) -> None:
        """Blame whoever really signed two commitments for one height."""
        signer = ValidatorIndex(one.signer)
        if signer in tally.judged:
            return
        tally.judged.add(signer)
        if all(self._scheme.verify_many([_item(each, self._committee) for each in (one, other)])):
            pair = DoubleSigning(*sorted((one, other), key=encode))
            self._blame(Blame(signer, "conflicting_commitments", encode(pair)))


def _item(vote: CommitmentSignature, committee: Committee) -> tuple[PublicKey, bytes, Signature]:
    return committee.keys[vote.signer], signing_bytes(vote.commitment), Signature(vote.signature)
