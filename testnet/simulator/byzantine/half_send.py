"""A validator that says everything to some and nothing to the others, drawn anew for every message."""

from collections.abc import Iterable
from hashlib import sha256

from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import Conduct

HALF = 500
"""In a thousand."""


class HalfSend(Conduct):
    """Who hears a message depends on the message, so that saying it again reaches nobody else."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """To one half."""
        spoken = self.hand.draws.under(sha256(raw).hexdigest()).chance(to, HALF)
        return (raw,) if spoken else ()
