"""A leader that proposes whatever a test tells it to, once, and what the honest ones said of it."""

from collections.abc import Callable

from consensus.block import Block, block_id_of
from consensus.effects import BuildBlock
from consensus.messages import Notarize, Vote, decode_message
from primitives.errors import Refused
from primitives.identifiers import BlockId, Milliseconds, ValidatorIndex
from shards.validator import wire
from tests.support.core_pump import Node, Pump

Make = Callable[[BuildBlock, Milliseconds, Node], Block]


class BadLeader:
    """Validator 1 of shard 0, which leads view 1 and every fourth view after it."""

    def __init__(self, pump: Pump, make: Make) -> None:
        self.pump = pump
        self.node = pump.nodes[0][1]
        self.block_id: BlockId | None = None
        self.votes: list[ValidatorIndex] = []
        """Honest validators that voted for its block."""
        build = self.node.core._voting.build

        def once(request: BuildBlock, wall_ms: Milliseconds) -> Block | None:
            if self.block_id is not None:
                return build(request, wall_ms)
            block = make(request, wall_ms, self.node)
            self.block_id = block_id_of(block.header)
            return block

        self.node.core._voting.build = once  # type: ignore[method-assign]
        pump.lost = self._watch

    def _watch(self, sender: Node, receiver: int, raw: bytes) -> bool:
        if raw[0] == wire.PeerKind.CONSENSUS and sender is not self.node:
            try:
                message = decode_message(raw[1:])
            except Refused:
                return False
            statement = message.statement if isinstance(message, Vote) else None
            if isinstance(statement, Notarize) and statement.proposal.block_id == self.block_id:
                self.votes.append(sender.index)
        return False

    def verdicts(self) -> set[str]:
        """Why the honest validators found a proposal invalid."""
        return {
            note.detail.partition(": ")[2]
            for node in self.pump.nodes[0]
            if node is not self.node
            for note in node.notes
            if note.name == "invalid_proposal"
        }
