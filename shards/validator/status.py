"""Where a validator stands and how much it holds, for people, metrics and checkers."""

from dataclasses import dataclass
from typing import NamedTuple

from primitives.identifiers import Height, Milliseconds, ShardId, ValidatorIndex, View


@dataclass(frozen=True, slots=True)
class CoreStatus:
    """Where a validator stands, for people and metrics."""

    shard: ShardId
    me: ValidatorIndex | None
    view: View
    leader: ValidatorIndex
    finalized_height: Height
    executed_height: Height
    certified_height: Height
    time_ms: Milliseconds
    mempool_transactions: int
    inbox_bundles: int
    blamed: tuple[ValidatorIndex, ...]
    halted: str


class Held(NamedTuple):
    """How much of what peers and clients send is in memory. All of it is bounded, whatever they do."""

    views: int
    """Above the last finalized one and `retention_views` below it."""
    blocks: int
    """That are not final."""
    heights: int
    """For which commitment signatures are kept."""
    bundles: int
    transactions: int
    transaction_bytes: int
