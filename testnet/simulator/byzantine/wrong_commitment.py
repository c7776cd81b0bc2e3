"""A validator that signs another result of each block than it computed, and then the right one."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from primitives.codec import encode
from primitives.hashing import Domain
from primitives.identifiers import ValidatorIndex
from shards.commitments import Commitment, CommitmentSignature
from shards.validator.wire import PeerKind, pack, unpack_signature
from testnet.simulator.byzantine.conduct import Conduct

_WRONG: Final = bytes(31) + b"\x01"
FIELDS: Final = ("state_root", "receipts_root", "outbox_root", "history_root", "block_id", "next_validator_set_hash")
"""What it lies about, in turn by height; also the supply."""


class WrongCommitment(Conduct):
    """Every other height it signs the wrong result only."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Lie, and take it back for even heights."""
        if raw[0] != PeerKind.COMMITMENT_SIGNATURE:
            return (raw,)
        commitment = unpack_signature(raw[1:]).commitment
        wrong = self._wrong(commitment)
        signature = self.hand.sign(Domain.COMMITMENT + encode(wrong))
        lie = pack(PeerKind.COMMITMENT_SIGNATURE, encode(CommitmentSignature(wrong, self.hand.me, signature)))
        return (lie, raw) if commitment.height % 2 == 0 else (lie,)

    def _wrong(self, commitment: Commitment) -> Commitment:
        which = commitment.height // 2 % (len(FIELDS) + 1)
        if which == len(FIELDS):
            supply = commitment.supply
            return replace(commitment, supply=replace(supply, balances=supply.genesis, sent=supply.received))
        return replace(commitment, **{FIELDS[which]: _WRONG})
