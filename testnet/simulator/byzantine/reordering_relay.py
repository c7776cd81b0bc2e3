"""A relay that holds bundles back and delivers each after the one that follows it."""

from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.draws import Draws
from testnet.simulator.heap import Heap
from testnet.simulator.post import Forward


class ReorderingPost(LyingPost):
    """Keeps one bundle in its sleeve; it reaches whichever validator, of whichever shard, the next one is meant for."""

    def __init__(self, draws: Draws, heap: Heap) -> None:
        super().__init__(draws, heap)
        self._kept: tuple[bytes, Forward] | None = None

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forward this one, then the one before: to its own destination, or to this one's."""
        self.carried += 1
        kept, self._kept = self._kept, (raw, forward)
        if kept is not None:
            forward(kept[0]) if self.draws.chance(self.carried, 200) else kept[1](kept[0])
            if self.draws.chance(self.carried, 500):
                forward(raw)
