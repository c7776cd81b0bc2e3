"""A relay that hands every bundle to a shard that it is not for."""

from shards.bundles import decode_bundle
from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.draws import Draws
from testnet.simulator.heap import Heap
from testnet.simulator.post import Forward


class MisroutingPost(LyingPost):
    """Remembers a way to each shard, and takes that of another one."""

    def __init__(self, draws: Draws, heap: Heap) -> None:
        super().__init__(draws, heap)
        self._ways: dict[int, Forward] = {}

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forward it to everybody else; to nobody, as long as no other way is known."""
        destination = decode_bundle(raw).head.destination
        self._ways[destination] = forward
        for other, way in self._ways.items():
            if other != destination:
                way(raw)
