"""A relay that takes bundles and delivers none."""

from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.post import Forward


class WithholdingPost(LyingPost):
    """Delivers nothing, ever."""

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Keep it."""
