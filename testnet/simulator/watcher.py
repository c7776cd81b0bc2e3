"""What can be observed of a validator from outside."""

from typing import Protocol

from consensus.block import Block
from primitives.identifiers import Height
from shards.commitments import Commitment
from shards.outcome import Execution
from shards.validator.effects import BlockApplied, BlockFinalized, HeightCertified
from testnet.simulator.faults import Name


class Watcher(Protocol):
    """Whoever observes validators from outside: the checkers."""

    def on_sign(self, node: Name, message: bytes) -> None:
        """Hear of a signature made."""

    def on_wire(self, node: Name, raw: bytes) -> None:
        """Hear of bytes sent to a peer."""

    def on_executed(self, node: Name, block: Block, execution: Execution) -> None:
        """Hear of a block executed."""

    def on_news(self, node: Name, news: BlockFinalized | BlockApplied | HeightCertified) -> None:
        """Hear what subscribers hear."""

    def on_blame(self, node: Name, detail: str) -> None:
        """Hear of an accusation."""

    def on_failure(self, node: Name, why: str) -> None:
        """Hear that it halted or raised."""

    def on_restart(self, node: Name, finalized: Height, commitment: Commitment) -> None:
        """Hear how far it remembers, and what its stored state is."""

    def on_loss(self, node: Name) -> None:
        """Hear that what was durable is not there any more."""
