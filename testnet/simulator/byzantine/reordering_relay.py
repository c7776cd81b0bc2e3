"""A relay that holds bundles back and delivers each after the one that follows it."""

from testnet.simulator.draws import Draws
from testnet.simulator.post import BundlePost, Forward


class ReorderingPost(BundlePost):
    """Keeps one bundle in its sleeve; it reaches whichever validator, of whichever shard, the next one is meant for."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._carried = 0
        self._kept: tuple[bytes, Forward] | None = None

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forward this one, then the one before: to its own destination, or to this one's."""
        self._carried += 1
        kept, self._kept = self._kept, (raw, forward)
        if kept is not None:
            forward(kept[0]) if self._draws.chance(self._carried, 200) else kept[1](kept[0])
            if self._draws.chance(self._carried, 500):
                forward(raw)
