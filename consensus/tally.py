"""The votes of one view: one slot per kind and signer, signatures checked only when a quorum needs them.

A vote arrives on its signer's own authenticated link, so an unchecked one can only fill its sender's own slot.
Signatures are checked when a quorum of equal statements is there (and then only as many as are missing), or when
two votes of one signer conflict, before anyone is blamed.
"""

from collections import Counter
from typing import NamedTuple

from consensus.committee import Committee
from consensus.evidence import Evidence, conflict, make_evidence
from consensus.messages import Certificate, Statement, Vote, signed_bytes
from consensus.quorum import assemble_quorum
from primitives.identifiers import ValidatorIndex
from primitives.signatures import SignatureScheme

MAX_FORGERIES = 2
"""Votes of one kind that their sender did not sign; after these, what it sends unchecked is not looked at."""

_KINDS = (1, 2, 3)


class Offence(NamedTuple):
    """What a validator did wrong, and the proof."""

    culprit: ValidatorIndex
    kind: str
    evidence: Evidence


class Added(NamedTuple):
    """What became of a vote: `fresh` when it is the first of its kind by its signer."""

    fresh: bool
    offences: tuple[Offence, ...]


class Tally:
    """Bounded by three votes per validator. Not for votes of other views: the caller keeps one tally per view."""

    def __init__(self, committee: Committee, scheme: SignatureScheme) -> None:
        self._committee = committee
        self._scheme = scheme
        self._votes: dict[tuple[int, ValidatorIndex], Vote] = {}
        self._verified: set[tuple[int, ValidatorIndex]] = set()
        self._signers: dict[Statement, list[ValidatorIndex]] = {}
        self._blamed: set[tuple[str, ValidatorIndex]] = set()
        self._forgeries: Counter[tuple[int, ValidatorIndex]] = Counter()

    def has(self, kind: int, signer: ValidatorIndex) -> bool:
        """Whether a vote of this kind by this signer is held, checked or not."""
        return (kind, signer) in self._votes

    def support(self, statement: Statement) -> int:
        """Count the validators whose vote for a statement is held, checked or not."""
        return len(self._signers.get(statement, ()))

    def add(self, vote: Vote, *, verified: bool) -> Added:
        """Count a vote once; a second, conflicting one is proof against its signer and is not counted."""
        slot = (vote.statement.kind, vote.signer)
        held = self._votes.get(slot)
        if held is not None and held.statement == vote.statement:
            if verified and slot not in self._verified:
                self._votes[slot] = vote
                self._verified.add(slot)
            return Added(fresh=False, offences=())
        if not verified and self._forgeries[slot] >= MAX_FORGERIES:
            return Added(fresh=False, offences=())
        offences, sound = self._compare(vote, verified=verified)
        if not sound or slot in self._votes:
            return Added(fresh=False, offences=offences)
        self._votes[slot] = vote
        self._signers.setdefault(vote.statement, []).append(vote.signer)
        if verified or offences:
            self._verified.add(slot)
        return Added(fresh=True, offences=offences)

    def certificate(self, statement: Statement) -> Certificate | None:
        """Make the certificate of a statement once a quorum of good votes for it is held."""
        signers = self._signers.get(statement, [])
        quorum = self._committee.quorum
        while len(signers) >= quorum:
            good = [signer for signer in signers if (statement.kind, signer) in self._verified]
            if len(good) >= quorum:
                signatures = {signer: self._votes[statement.kind, signer].signature for signer in good}
                return Certificate(statement=statement, quorum=assemble_quorum(signatures, self._committee))
            unchecked = [signer for signer in signers if (statement.kind, signer) not in self._verified]
            self._verify([self._votes[statement.kind, signer] for signer in unchecked[: quorum - len(good)]])
        return None

    def _compare(self, vote: Vote, *, verified: bool) -> tuple[tuple[Offence, ...], bool]:
        """Look for offences among the signer's other votes; the flag says whether `vote` itself is sound so far."""
        offences: list[Offence] = []
        for kind in _KINDS:
            other = self._votes.get((kind, vote.signer))
            name = conflict(other.statement, vote.statement) if other is not None else None
            if other is None or name is None or (name, vote.signer) in self._blamed:
                continue
            if not verified and not self._is_signed([vote])[0]:
                self._forgeries[vote.statement.kind, vote.signer] += 1
                return tuple(offences), False
            verified = True
            self._verify([other])
            if (kind, vote.signer) not in self._votes:
                continue
            self._blamed.add((name, vote.signer))
            offences.append(Offence(vote.signer, name, make_evidence(other, vote)))
        return tuple(offences), True

    def _verify(self, votes: list[Vote]) -> None:
        """Check the signatures of held votes that nobody checked yet; forget those that are bad."""
        votes = [vote for vote in votes if (vote.statement.kind, vote.signer) not in self._verified]
        for vote, good in zip(votes, self._is_signed(votes), strict=True):
            slot = (vote.statement.kind, vote.signer)
            if good:
                self._verified.add(slot)
            else:
                self._forgeries[slot] += 1
                del self._votes[slot]
                self._signers[vote.statement].remove(vote.signer)

    def _is_signed(self, votes: list[Vote]) -> list[bool]:
        keys = self._committee.keys
        messages: dict[Statement, bytes] = {}
        for vote in votes:
            if vote.statement not in messages:
                messages[vote.statement] = signed_bytes(vote.statement, self._committee)
        return self._scheme.verify_many(
            [(keys[vote.signer], messages[vote.statement], vote.signature) for vote in votes]
        )
