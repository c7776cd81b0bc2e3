"""A relay that takes bundles and delivers none."""

from testnet.simulator.draws import Draws
from testnet.simulator.post import BundlePost, Forward


class WithholdingPost(BundlePost):
    """Delivers nothing, ever."""

    def __init__(self, draws: Draws) -> None:
        """Needs no chance."""

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Keep it."""
