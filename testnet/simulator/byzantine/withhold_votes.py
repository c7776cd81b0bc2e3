"""A validator that never votes: neither on proposals nor on results. It still proposes when it leads."""

from collections.abc import Iterable

from consensus.messages import Vote
from primitives.identifiers import ValidatorIndex
from shards.validator.wire import PeerKind
from testnet.simulator.byzantine.conduct import Conduct, read


class WithholdVotes(Conduct):
    """Drops its votes and the signatures of its commitments."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Everything else."""
        withheld = isinstance(read(raw), Vote) or raw[0] == PeerKind.COMMITMENT_SIGNATURE
        return () if withheld else (raw,)
