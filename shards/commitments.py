"""The commitment to an executed block and its certificate: all that another shard or a light client ever needs.

Blocks carry no state roots. A validator signs the commitment of a block only after executing it final.
"""

from typing import Annotated

from msgspec import Meta

from consensus.committee import Committee
from consensus.quorum import QuorumSignatures, check_quorum
from primitives.amounts import AmountField, unpack_amount
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import (
    BlockIdField,
    ChainIdField,
    EpochField,
    Hash,
    HashField,
    HeightField,
    MillisecondsField,
    ShardIdField,
    SignatureField,
    ValidatorIndexField,
)
from primitives.signatures import SignatureScheme

MAX_CERTIFICATE_BYTES = 4096
"""A commitment (about 500 B) and the 22 to 32 signatures of the largest committee."""


class Supply(Record):
    """Where a shard's money is, in base units. The identity that `holds` states is checked at every commitment."""

    genesis: AmountField
    balances: AmountField
    bonds: AmountField
    held_fees: AmountField
    """Collected fees, and gas set aside for replies, that no account owns yet."""
    escrow: AmountField
    burnt: AmountField
    sent: AmountField
    """Over all streams and all time: value and prepaid gas that left with messages."""
    received: AmountField

    def holds(self) -> bool:
        """Balances + bonds + held fees + escrow = genesis - burnt - sent + received."""
        here = sum(map(unpack_amount, (self.balances, self.bonds, self.held_fees, self.escrow)))
        gone = unpack_amount(self.burnt) + unpack_amount(self.sent)
        return here + gone == unpack_amount(self.genesis) + unpack_amount(self.received)


class Commitment(Record):
    """What a block's execution led to."""

    version: Annotated[int, Meta(ge=1, le=1)]
    chain_id: ChainIdField
    shard: ShardIdField
    epoch: EpochField
    height: HeightField
    block_id: BlockIdField
    time_ms: MillisecondsField
    state_root: HashField
    receipt_count: Annotated[int, Meta(ge=0, le=2**31)]
    receipts_root: HashField
    outbox_root: HashField
    """RFC 9162 tree with one leaf per destination shard, in order of shard ids."""
    history_root: HashField
    """Merkle mountain range over the hashes of all earlier commitments of this shard, genesis first."""
    validator_set_hash: HashField
    next_validator_set_hash: HashField
    supply: Supply


class CommitmentCertificate(Record):
    """A commitment with a quorum of its shard's signatures."""

    commitment: Commitment
    quorum: QuorumSignatures


class CommitmentSignature(Record):
    """One validator's signature over the commitment of one height, which travels whole: two that differ are proof."""

    commitment: Commitment
    signer: ValidatorIndexField
    signature: SignatureField


certificate_decoder = Decoder(CommitmentCertificate, max_bytes=MAX_CERTIFICATE_BYTES, name="commitment certificate")


def commitment_hash(commitment: Commitment) -> Hash:
    """Name of a commitment."""
    return tagged_hash(Domain.COMMITMENT, encode(commitment))


def signing_bytes(commitment: Commitment) -> bytes:
    """What a validator signs; contains the chain id."""
    return Domain.COMMITMENT + encode(commitment)


def check_certificate(certificate: CommitmentCertificate, committee: Committee, scheme: SignatureScheme) -> None:
    """Check that this shard's committee certified this commitment.

    Raises:
        Refused: `wrong_chain`, `wrong_shard`, `wrong_epoch`, `wrong_validator_set` or `bad_certificate`.

    """
    commitment = certificate.commitment
    if commitment.chain_id != committee.chain_id:
        raise Refused("wrong_chain", "the certificate is of another chain (another genesis)")
    if commitment.shard != committee.shard:
        raise Refused("wrong_shard", f"the certificate is of shard {commitment.shard}, not {committee.shard}")
    if commitment.epoch != committee.epoch:
        raise Refused("wrong_epoch", f"the certificate is of epoch {commitment.epoch}, not {committee.epoch}")
    if commitment.validator_set_hash != committee.hash:
        raise Refused("wrong_validator_set", "the certificate names a validator set that is not this epoch's")
    check_quorum(certificate.quorum, signing_bytes(commitment), committee, scheme)
