"""Actors that lie, one behaviour per file; production code cannot import them."""

from collections.abc import Callable, Mapping
from typing import Final

from testnet.simulator.byzantine.forging_relay import ForgingPost
from testnet.simulator.byzantine.reordering_relay import ReorderingPost
from testnet.simulator.byzantine.replaying_relay import ReplayingPost
from testnet.simulator.byzantine.withholding_relay import WithholdingPost
from testnet.simulator.draws import Draws
from testnet.simulator.post import BundlePost

BYZANTINE_RELAYS: Final[Mapping[str, Callable[[Draws], BundlePost]]] = {
    "forging": ForgingPost,
    "reordering": ReorderingPost,
    "replaying": ReplayingPost,
    "withholding": WithholdingPost,
}
"""Every relay that lies, by name."""
