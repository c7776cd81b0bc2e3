"""What a relay that lies is made of: chance, and the time."""

from testnet.simulator.draws import Draws
from testnet.simulator.heap import Heap
from testnet.simulator.post import BundlePost


class LyingPost(BundlePost):
    """A post that may hand on anything, at any time; this one is honest."""

    def __init__(self, draws: Draws, heap: Heap) -> None:
        self.draws = draws
        self.heap = heap
        self.carried = 0
        """Bundles given to it so far: the counter of its draws."""
