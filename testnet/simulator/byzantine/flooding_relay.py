"""A relay that delivers everything many times over, beside bytes that are no bundle."""

from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.post import Forward

COPIES = 24
JUNK_BYTES = 300 * 1024
"""More than any bundle has."""


class FloodingPost(LyingPost):
    """Each bundle in many copies, one that is cut off, and a great one of nothing."""

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forward it, and all the rest."""
        for _ in range(COPIES):
            forward(raw)
        forward(raw[: len(raw) // 2])
        forward(bytes(JUNK_BYTES))
