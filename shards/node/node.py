"""What the HTTP API sees of a validator."""

from dataclasses import dataclass

from consensus.committee import Committee
from primitives.identifiers import ShardId, ValidatorIndex
from shards.genesis import ChainContext
from shards.node.driver import Driver
from shards.node.links import Links
from shards.node.logs import Log
from shards.node.metrics import NodeMetrics
from shards.node.news import NewsDesk
from shards.node.snapshots import Snapshots
from shards.node.view_desk import ViewDesk
from shards.validator.core import ValidatorCore

CAUGHT_UP_BLOCKS = 3
"""Executing may be so far behind finalizing in a validator that is called caught up."""


@dataclass(frozen=True)
class Node:
    """One running validator."""

    context: ChainContext
    shard: ShardId
    index: ValidatorIndex
    core: ValidatorCore
    driver: Driver
    links: Links
    desk: NewsDesk
    metrics: NodeMetrics
    log: Log
    snapshots: Snapshots
    views: ViewDesk

    @property
    def committee(self) -> Committee:
        """The validators of this shard."""
        return self.context.committee(self.shard)

    def not_ready(self) -> str:
        """Why this validator should not be given work now; empty when it may."""
        status = self.core.status()
        if status.halted:
            return f"halted: {status.halted}"
        reachable = len(self.links.connected()) + 1
        if reachable < self.committee.quorum:
            return (
                f"connected to {reachable} of {self.committee.size} validators, the quorum is {self.committee.quorum}"
            )
        if status.finalized_height - status.executed_height > CAUGHT_UP_BLOCKS:
            return f"executing block {status.executed_height} of {status.finalized_height}"
        return ""
