"""A quorum of signatures over one message: signer bitmap and Ed25519 signatures in index order.

Used for every certificate there is (notarization, nullification, finalization, commitment). It is not canonical:
different quorums sign the same message, so nothing may be derived from its bytes.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from consensus.committee import Committee
from primitives.codec import Record
from primitives.errors import Refused
from primitives.identifiers import MAX_VALIDATORS, Signature, SignatureField, ValidatorIndex
from primitives.signatures import SignatureScheme


class QuorumSignatures(Record):
    """`signers` has one bit per validator, lowest index first within each byte; exactly ceil(n / 8) bytes."""

    signers: Annotated[bytes, Meta(min_length=1, max_length=MAX_VALIDATORS // 8)]
    signatures: Annotated[tuple[SignatureField, ...], Meta(min_length=1, max_length=MAX_VALIDATORS)]

    def indices(self) -> tuple[ValidatorIndex, ...]:
        """Who signed, in ascending order."""
        bits = int.from_bytes(self.signers, "little")
        return tuple(ValidatorIndex(index) for index in range(len(self.signers) * 8) if bits >> index & 1)


def assemble_quorum(votes: Mapping[ValidatorIndex, Signature], committee: Committee) -> QuorumSignatures:
    """Certificate of exactly `committee.quorum` of the given votes (at least that many), lowest indices first."""
    chosen = sorted(votes)[: committee.quorum]
    bits = sum(1 << index for index in chosen)
    return QuorumSignatures(
        signers=bits.to_bytes((committee.size + 7) // 8, "little"),
        signatures=tuple(votes[index] for index in chosen),
    )


def check_quorum(certificate: QuorumSignatures, message: bytes, committee: Committee, scheme: SignatureScheme) -> None:
    """Check the shape first, then every signature over `message` (domain tag included).

    Raises:
        Refused: `bad_certificate`, saying what is wrong with it.

    """
    if len(certificate.signers) != (committee.size + 7) // 8:
        raise Refused("bad_certificate", f"a bitmap for {committee.size} validators has another length")
    signers = certificate.indices()
    if signers and signers[-1] >= committee.size:
        raise Refused("bad_certificate", f"signer {signers[-1]} is not one of {committee.size} validators")
    if len(signers) != len(certificate.signatures):
        raise Refused("bad_certificate", f"{len(signers)} signers, {len(certificate.signatures)} signatures")
    if len(signers) < committee.quorum:
        raise Refused("bad_certificate", f"{len(signers)} signers, the quorum is {committee.quorum}")
    verdicts = scheme.verify_many(
        [
            (committee.keys[index], message, signature)
            for index, signature in zip(signers, certificate.signatures, strict=True)
        ]
    )
    if not all(verdicts):
        raise Refused("bad_certificate", f"the signature of validator {signers[verdicts.index(False)]} does not verify")
