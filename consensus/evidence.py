"""Proof that a validator signed two statements no honest one signs in the same view.

- `conflicting_notarize`: notarize P and notarize P' != P.
- `conflicting_finalize`: finalize P and finalize P' != P.
- `nullify_finalize`: nullify the view and finalize P in it.
- `notarize_finalize`: notarize P' and finalize P != P'.

Notarize and nullify in one view is legal. What is compared are the signed statements, never the signatures: an
honest validator may sign one statement twice. Evidence carries both votes whole; anyone who knows the committee
checks it alone.
"""

from consensus.committee import Committee
from consensus.messages import Finalize, Notarize, Nullify, Statement, Vote, signed_bytes
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.identifiers import ValidatorIndex
from primitives.signatures import SignatureScheme

MAX_EVIDENCE_BYTES = 512
"""Two votes of at most 256 bytes."""


class Evidence(Record):
    """Two conflicting votes of one signer, the lesser encoding first: one pair has one form."""

    first: Vote
    second: Vote


_decoder = Decoder(Evidence, max_bytes=MAX_EVIDENCE_BYTES, name="evidence")


def conflict(one: Statement, other: Statement) -> str | None:
    """Name the offence of signing both, or None when an honest validator may."""
    if one.view != other.view or one.epoch != other.epoch:
        return None
    if isinstance(one, Nullify) or isinstance(other, Nullify):
        return "nullify_finalize" if isinstance(one, Finalize) or isinstance(other, Finalize) else None
    if one.proposal == other.proposal:
        return None
    if isinstance(one, Notarize) and isinstance(other, Notarize):
        return "conflicting_notarize"
    if isinstance(one, Finalize) and isinstance(other, Finalize):
        return "conflicting_finalize"
    return "notarize_finalize"


def make_evidence(one: Vote, other: Vote) -> Evidence:
    """Put two conflicting votes into the one canonical order."""
    return Evidence(one, other) if encode(one) < encode(other) else Evidence(other, one)


def verify_evidence(evidence: bytes, committee: Committee, scheme: SignatureScheme) -> ValidatorIndex:
    """Check evidence in full and return the culprit; nobody may be punished before.

    Raises:
        Refused: `bad_evidence`, or what decoding refuses it for.

    """
    pair = _decoder.decode(evidence)
    first, second = pair.first, pair.second
    if first.signer != second.signer or first.signer >= committee.size:
        raise Refused("bad_evidence", f"signers {first.signer} and {second.signer} of {committee.size} validators")
    if first.statement.epoch != committee.epoch:
        raise Refused("bad_evidence", f"epoch {first.statement.epoch}, these validators are of {committee.epoch}")
    if conflict(first.statement, second.statement) is None:
        raise Refused("bad_evidence", "an honest validator may sign both statements")
    if make_evidence(first, second) != pair:
        raise Refused("bad_evidence", "the votes are not in canonical order")
    key = committee.keys[first.signer]
    items = [(key, signed_bytes(vote.statement, committee), vote.signature) for vote in (first, second)]
    if not all(scheme.verify_many(items)):
        raise Refused("bad_evidence", "a signature does not verify")
    return first.signer
