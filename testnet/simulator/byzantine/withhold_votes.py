"""A validator that never votes: neither on proposals nor on results. It still proposes when it leads."""

from collections.abc import Iterable

from consensus.messages import Certificate, Certificates, Vote
from consensus.quorum import QuorumSignatures
from primitives.identifiers import ValidatorIndex
from shards.validator.wire import PeerKind, unpack_certificate
from testnet.simulator.byzantine.conduct import Conduct, read


class WithholdVotes(Conduct):
    """Drops its votes, the signatures of its commitments, and every certificate that has one of them in it."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Everything else."""
        if raw[0] == PeerKind.COMMITMENT_SIGNATURE or isinstance(read(raw), Vote):
            return ()
        return () if any(self.hand.me in quorum.indices() for quorum in _quorums(raw)) else (raw,)


def _quorums(raw: bytes) -> Iterable[QuorumSignatures]:
    """Signatures of the certificates that a message is made of."""
    message = read(raw)
    if raw[0] == PeerKind.CERTIFICATE:
        return (unpack_certificate(raw[1:]).quorum,)
    if isinstance(message, Certificate):
        return (message.quorum,)
    return tuple(each.quorum for each in message.certificates) if isinstance(message, Certificates) else ()
