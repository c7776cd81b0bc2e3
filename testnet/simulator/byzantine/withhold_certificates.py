"""A validator that keeps every certificate to itself, its own proposals' justifications excepted."""

from collections.abc import Iterable

from consensus.messages import ArchiveAnswer, Certificate, Certificates
from primitives.identifiers import ValidatorIndex
from shards.validator.wire import PeerKind
from testnet.simulator.byzantine.conduct import Conduct, read


class WithholdCertificates(Conduct):
    """Passes on no certificate of any kind and answers no question for one."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Everything else."""
        withheld = isinstance(read(raw), Certificate | Certificates | ArchiveAnswer) or raw[0] == PeerKind.CERTIFICATE
        return () if withheld else (raw,)
