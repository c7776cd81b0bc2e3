"""A guilty validator in the simulation: the production core like everybody's, and a conduct between it and the wire.

The judge believes nothing that it says or does: what others make of it is what is judged.
"""

from consensus.block import Block
from contracts.port import Machine
from primitives.identifiers import Height, SecretSeed, ShardId, ValidatorIndex
from primitives.signatures import SignatureScheme
from shards.commitments import Commitment
from shards.genesis import ChainContext
from shards.outcome import Execution
from shards.validator.effects import BlockApplied, BlockFinalized, HeightCertified
from shards.validator.events import Event, PeerSent
from testnet.simulator.byzantine import BYZANTINE_VALIDATORS
from testnet.simulator.byzantine.conduct import Hand
from testnet.simulator.byzantine.twins import Twins
from testnet.simulator.draws import Draws
from testnet.simulator.faults import Name, place_of, validator_name
from testnet.simulator.heap import Heap
from testnet.simulator.network import Network
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.trace import Trace
from testnet.simulator.validators import SimulatedValidator
from testnet.simulator.watcher import Watcher

TWIN_SKEW_MS = 3
"""The second twin's clock is off by so much, so that no two blocks of theirs are the same."""

Outside = tuple[Heap, Network, Trace, Watcher]
MadeOf = tuple[
    SimulationSettings,
    ChainContext,
    tuple[ShardId, ValidatorIndex],
    tuple[SecretSeed, SignatureScheme],
    Outside,
    Machine,
]
"""What a validator is made of, in the order in which it takes it."""


class Unwatched:
    """The `Watcher` of the guilty: whatever they do proves nothing."""

    def on_sign(self, node: Name, message: bytes) -> None:
        """See `Watcher`."""

    def on_wire(self, node: Name, raw: bytes) -> None:
        """See `Watcher`."""

    def on_executed(self, node: Name, block: Block, execution: Execution) -> None:
        """See `Watcher`."""

    def on_news(self, node: Name, news: BlockFinalized | BlockApplied | HeightCertified) -> None:
        """See `Watcher`."""

    def on_blame(self, node: Name, detail: str) -> None:
        """See `Watcher`."""

    def on_failure(self, node: Name, why: str) -> None:
        """See `Watcher`."""

    def on_restart(self, node: Name, finalized: Height, commitment: Commitment) -> None:
        """See `Watcher`."""

    def on_loss(self, node: Name) -> None:
        """See `Watcher`."""


class ByzantineValidator(SimulatedValidator):
    """A validator that behaves as `settings.byzantine_validators` says."""

    def __init__(
        self,
        settings: SimulationSettings,
        context: ChainContext,
        place: tuple[ShardId, ValidatorIndex],
        keys: tuple[SecretSeed, SignatureScheme],
        outside: Outside,
        machine: Machine,
    ) -> None:
        heap, network, trace, _ = outside
        super().__init__(settings, context, place, keys, (heap, network, trace, Unwatched()), machine)
        seed, scheme = keys
        hand = Hand(
            context.committee(self.shard),
            self.index,
            frozenset(index for shard, index in map(place_of, settings.byzantine_validators) if shard == self.shard),
            Draws(settings.seed, f"byzantine/{self.name}"),
            lambda message: scheme.sign(seed, message),
            super()._send,
        )
        self.conduct = BYZANTINE_VALIDATORS[settings.byzantine_validators[self.name]](hand)
        self.lies = 0
        """How often it said something else than its core wanted to."""
        self.lying = True
        """Whether it does now; or else it says what its core says."""

    def hear(self, event: Event) -> None:
        """Listen to what others say, and hand it to the core."""
        if isinstance(event, PeerSent) and self.core is not None and not self.paused and self.lying:
            self.conduct.hears(event.peer, event.raw)
        super().hear(event)

    def _send(self, to: ValidatorIndex, raw: bytes) -> None:
        said = tuple(self.conduct.says(to, raw)) if self.lying else (raw,)
        self.lies += said != (raw,)
        for each in said:
            super()._send(to, each)


class TwinValidator(ByzantineValidator):
    """The first of two twins, and whoever keeps the second: they start, die and pause together."""

    def __init__(self, *made_of: *MadeOf) -> None:
        super().__init__(*made_of)
        self.second = ByzantineValidator(*made_of)
        if isinstance(self.second.conduct, Twins):
            self.second.conduct.is_second = True
        self.second.skew_ms = TWIN_SKEW_MS

    def start(self) -> None:
        """Start both."""
        super().start()
        self.second.peers = self.peers
        if not self.second.alive:
            self.second.start()

    def crash(self) -> None:
        """Kill both."""
        super().crash()
        self.second.crash()

    def hear(self, event: Event) -> None:
        """Let a twin hear its half; accomplices are heard by both, everything else by the first alone."""
        if isinstance(event, PeerSent):
            if self._hears(self.second, event.peer):
                self.second.hear(event)
            if not self._hears(self, event.peer):
                return
        super().hear(event)

    def _hears(self, twin: ByzantineValidator, peer: ValidatorIndex) -> bool:
        return isinstance(twin.conduct, Twins) and twin.conduct.speaks_with(peer)


def make_validator(*made_of: *MadeOf) -> SimulatedValidator:
    """Make the validator of a place: an honest one, unless the settings name it."""
    settings, _, place, *_ = made_of
    behaviour = settings.byzantine_validators.get(validator_name(*place))
    kind: type[SimulatedValidator] = SimulatedValidator
    if behaviour is not None:
        kind = TwinValidator if behaviour == "twins" else ByzantineValidator
    return kind(*made_of)
