"""Actors that lie, one behaviour per file; production code cannot import them."""

from collections.abc import Callable, Mapping
from typing import Final

from testnet.simulator.byzantine.censoring_leader import CensoringLeader
from testnet.simulator.byzantine.conduct import Conduct, Hand
from testnet.simulator.byzantine.double_vote import DoubleVote
from testnet.simulator.byzantine.equivocate import Equivocate
from testnet.simulator.byzantine.fake_certificates import FakeCertificates
from testnet.simulator.byzantine.flooding_relay import FloodingPost
from testnet.simulator.byzantine.forging_relay import ForgingPost
from testnet.simulator.byzantine.future_flood import FutureFlood
from testnet.simulator.byzantine.half_send import HalfSend
from testnet.simulator.byzantine.impersonator import Impersonator
from testnet.simulator.byzantine.invalid_block import InvalidBlock
from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.byzantine.malicious_sync_peer import MaliciousSyncPeer
from testnet.simulator.byzantine.misrouting_relay import MisroutingPost
from testnet.simulator.byzantine.nullify_and_finalize import NullifyAndFinalize
from testnet.simulator.byzantine.racing_relay import RacingPost
from testnet.simulator.byzantine.reordering_relay import ReorderingPost
from testnet.simulator.byzantine.replaying_relay import ReplayingPost
from testnet.simulator.byzantine.stale_flood import StaleFlood
from testnet.simulator.byzantine.stale_set_relay import StaleSetPost
from testnet.simulator.byzantine.twins import Twins
from testnet.simulator.byzantine.withhold_blocks import WithholdBlocks
from testnet.simulator.byzantine.withhold_certificates import WithholdCertificates
from testnet.simulator.byzantine.withhold_votes import WithholdVotes
from testnet.simulator.byzantine.withholding_relay import WithholdingPost
from testnet.simulator.byzantine.wrong_commitment import WrongCommitment
from testnet.simulator.draws import Draws
from testnet.simulator.heap import Heap

BYZANTINE_RELAYS: Final[Mapping[str, Callable[[Draws, Heap], LyingPost]]] = {
    "flooding": FloodingPost,
    "forging": ForgingPost,
    "misrouting": MisroutingPost,
    "racing": RacingPost,
    "reordering": ReorderingPost,
    "replaying": ReplayingPost,
    "stale-set": StaleSetPost,
    "withholding": WithholdingPost,
}
"""Every relay that lies, by name."""

BYZANTINE_VALIDATORS: Final[Mapping[str, Callable[[Hand], Conduct]]] = {
    "censoring-leader": CensoringLeader,
    "double-vote": DoubleVote,
    "equivocate": Equivocate,
    "fake-certificates": FakeCertificates,
    "future-flood": FutureFlood,
    "half-send": HalfSend,
    "impersonator": Impersonator,
    "invalid-block": InvalidBlock,
    "malicious-sync-peer": MaliciousSyncPeer,
    "nullify-and-finalize": NullifyAndFinalize,
    "stale-flood": StaleFlood,
    "twins": Twins,
    "withhold-blocks": WithholdBlocks,
    "withhold-certificates": WithholdCertificates,
    "withhold-votes": WithholdVotes,
    "wrong-commitment": WrongCommitment,
}
"""Every validator that lies, by name."""
