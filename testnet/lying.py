"""Validators of a real testnet that lie: the conducts of the simulator, between the core of a process and its links."""

from typing import TYPE_CHECKING

from primitives.errors import Refused
from primitives.identifiers import SecretSeed, ShardId, ValidatorIndex
from primitives.signatures import ED25519
from shards.genesis import ChainContext
from testnet.simulator.byzantine import BYZANTINE_VALIDATORS
from testnet.simulator.byzantine.conduct import Hand
from testnet.simulator.byzantine.twins import Twins
from testnet.simulator.draws import Draws

if TYPE_CHECKING:  # names of behaviours are asked for where there are no processes
    from shards.node.injection.mouth import MakeMouth, Mouth, Post

BEHAVIOURS = tuple(name for name, conduct in sorted(BYZANTINE_VALIDATORS.items()) if conduct is not Twins)
"""All but twins: those are two processes with one key, and a testnet has one for each place."""


def check_behaviour(name: str) -> str:
    """Refuse what is no behaviour.

    Raises:
        Refused: `unknown_behaviour`, with all that there are.

    """
    if name not in BEHAVIOURS:
        raise Refused("unknown_behaviour", f"{name[:40]!r} is no behaviour; there are {', '.join(BEHAVIOURS)}")
    return name


def mouth_of(
    behaviour: str, context: ChainContext, place: tuple[ShardId, ValidatorIndex], seed: SecretSeed
) -> "MakeMouth":
    """What makes a validator behave like that; it signs with its own key only."""
    shard, index = place
    conduct = BYZANTINE_VALIDATORS[check_behaviour(behaviour)]

    def make(post: "Post") -> "Mouth":
        return conduct(
            Hand(
                committee=context.committee(shard),
                me=index,
                accomplices=frozenset({index}),
                draws=Draws(0, f"byzantine/s{shard}v{index}"),
                sign=lambda message: ED25519.sign(seed, message),
                post=post,
            )
        )

    return make
