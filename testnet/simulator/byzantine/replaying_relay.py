"""A relay that delivers everything it ever carried again and again, oldest first."""

from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.draws import Draws
from testnet.simulator.heap import Heap
from testnet.simulator.post import Forward

MEMORY = 32
"""Bundles kept to be replayed."""


class ReplayingPost(LyingPost):
    """Delivers the right bundle, and with it some that were delivered long ago."""

    def __init__(self, draws: Draws, heap: Heap) -> None:
        super().__init__(draws, heap)
        self._kept: list[bytes] = []

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forward the bundle three times, and old ones (also of other lanes) before and after it."""
        self._kept = [*self._kept[-MEMORY:], raw]
        forward(self.draws.choice(len(raw), self._kept))
        for _ in range(3):
            forward(raw)
        forward(self._kept[0])
