"""Watches a cluster from outside: what honest validators send and finalize, across their restarts.

Shares no code with the replica beyond the message format; its rules are written down once more, on purpose.
"""

from typing import TYPE_CHECKING

from consensus.block import block_id_of, decode_block
from consensus.effects import Blame, Finalized
from consensus.evidence import verify_evidence
from consensus.messages import Finalize, Notarize, Nullify, Proposed, Vote, decode_message
from primitives.identifiers import BlockId

if TYPE_CHECKING:
    from tests.consensus.harness import Cluster


class Violation(AssertionError):
    """The monitor saw something that must never happen."""


class Monitor:
    """Watches honest validators from outside, across their restarts."""

    def __init__(self, cluster: "Cluster", genesis: BlockId) -> None:
        self._cluster = cluster
        self._genesis = genesis
        self._chain: dict[int, BlockId] = {}
        self._votes: dict[tuple[int, int], dict[str, object]] = {}
        self.blames: list[tuple[int, str]] = []

    def require(self, condition: bool, what: str) -> None:
        if not condition:
            raise Violation(f"{what} (seed {self._cluster.seed}, at {self._cluster.now_ms} ms)")

    def finalized(self, index: int, effect: Finalized) -> None:
        header = effect.block.header
        node = self._cluster.nodes[index]
        parent = node.finalized[-1] if node.finalized else self._genesis
        self.require(
            block_id_of(decode_block(effect.raw).header) == effect.block_id, "finalized bytes are another block"
        )
        self.require(header.height == len(node.finalized) + 1, f"node {index} finalizes {header.height} out of order")
        self.require(header.parent == parent, f"node {index}: height {header.height} does not stand on its parent")
        agreed = self._chain.setdefault(header.height, effect.block_id)
        self.require(agreed == effect.block_id, f"node {index} disagrees at height {header.height}")
        stored = node.store.get("consensus.blocks", header.height.to_bytes(8, "big"))
        self.require(stored == effect.raw, f"node {index} announces height {header.height} before it is durable")

    def restarted(self, index: int) -> None:
        """What is finalized in the store counts as announced: the application reads it from there."""
        node = self._cluster.nodes[index]
        stored = [block_id_of(decode_block(raw).header) for _, raw in node.store.scan("consensus.blocks")]
        self.require(stored[: len(node.finalized)] == node.finalized, f"node {index} lost finalized blocks")
        for height, block_id in enumerate(stored, 1):
            agreed = self._chain.setdefault(height, block_id)
            self.require(agreed == block_id, f"node {index} stored another block at height {height}")
        node.finalized = stored

    def said(self, source: int, raw: bytes) -> None:
        message = decode_message(raw)
        vote = message.vote if isinstance(message, Proposed) else message
        if isinstance(vote, Vote):
            self._voted(source, vote)

    def _voted(self, source: int, vote: Vote) -> None:
        statement = vote.statement
        said = self._votes.setdefault((source, statement.view), {})
        name = type(statement).__name__
        value: object = statement.view if isinstance(statement, Nullify) else statement.proposal
        where = f"node {source}, view {statement.view}"
        if name not in said:
            if isinstance(statement, Notarize):
                self.require("Nullify" not in said, f"{where}: notarize after nullify")
            if isinstance(statement, Finalize):
                self.require("Nullify" not in said, f"{where}: finalize and nullify")
                self.require(said.get("Notarize", value) == value, f"{where}: finalize after notarizing another")
            if isinstance(statement, Nullify):
                self.require("Finalize" not in said, f"{where}: finalize and nullify")
            said[name] = value
        self.require(said[name] == value, f"{where}: two different votes of kind {name}")
        key = statement.view.to_bytes(8, "big") + bytes([statement.kind])
        self.require(
            self._cluster.nodes[source].store.get("consensus.votes", key) is not None,
            f"{where}: a vote left before it was durable",
        )

    def blamed(self, effect: Blame) -> None:
        cluster = self._cluster
        culprit = verify_evidence(effect.evidence, cluster.committee, cluster.scheme)
        self.require(culprit == effect.culprit, "evidence against somebody else")
        self.require(culprit in cluster.faulty, f"the honest validator {culprit} is blamed for {effect.kind}")
        self.blames.append((culprit, effect.kind))
