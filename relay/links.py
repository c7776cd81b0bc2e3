"""Which lanes a relay serves (a directed graph of shards) and which of them work, with the reason when one does not.

A lane carries in one direction; a call and its reply need both, so what people mean by "shard 2 is reachable from
shard 0" is a pair of working lanes. The graph of such pairs falls apart into *islands* when the network does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import networkx as nx

from primitives.errors import Refused
from primitives.identifiers import Height, Sequence, ShardId
from relay.lanes import Lane, ShardView
from relay.members import SILENCE_MS, ShardMembers

if TYPE_CHECKING:
    Graph = nx.DiGraph[ShardId]
else:
    Graph = nx.DiGraph

Pair = tuple[ShardId, ShardId]
"""(source, destination) of a lane."""


class Links:
    """The lanes that one relay serves: all ordered pairs of shards when `pairs` is left out.

    Raises:
        Refused: `bad_link`: a shard that does not exist, or a link from a shard to itself.

    """

    def __init__(self, shard_count: int, pairs: Iterable[tuple[int, int]] | None = None) -> None:
        self.graph: Graph = nx.DiGraph()
        self.graph.add_nodes_from(ShardId(shard) for shard in range(shard_count))
        if pairs is None:
            pairs = ((a, b) for a in range(shard_count) for b in range(shard_count) if a != b)
        for source, destination in sorted(set(pairs)):
            if not (0 <= source < shard_count and 0 <= destination < shard_count) or source == destination:
                raise Refused(
                    "bad_link",
                    f"no link can lead from shard {source} to shard {destination};"
                    f" links connect two different shards of 0 to {shard_count - 1}",
                )
            self.graph.add_edge(ShardId(source), ShardId(destination))

    def pairs(self) -> list[Pair]:
        """The lanes in order."""
        return sorted(self.graph.edges)

    def shards(self) -> list[ShardId]:
        """Shards that at least one lane leads from or to."""
        return sorted(shard for shard, degree in self.graph.degree if degree)

    def has(self, source: ShardId, destination: ShardId) -> bool:
        """Whether the lane is configured."""
        return bool(self.graph.has_edge(source, destination))


class Standing(Enum):
    """Whether a lane works, and if not, what is in the way."""

    OPEN = "open"
    NOT_CONFIGURED = "not_configured"
    NO_ENDPOINTS = "no_endpoints"
    SOURCE_SILENT = "source_silent"
    DESTINATION_SILENT = "destination_silent"
    FROZEN = "frozen"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What a relay sees of a shard. Durations in milliseconds; `silent_ms` is None while a validator answers."""

    shard: ShardId
    endpoints: int
    height: Height
    idle_ms: int
    """Since it last certified something new, as far as this relay knows."""
    silent_ms: int | None
    problems: str


@dataclass(frozen=True, slots=True)
class LaneReport:
    """What a relay knows of an ordered pair of shards; `why` is empty when the standing says it all."""

    source: ShardId
    destination: ShardId
    standing: Standing
    why: str
    sent: Sequence
    consumed: Sequence
    """Of `sent`, as the destination has certified."""
    ahead: int
    """Bundles delivered that the destination has not certified yet."""
    bundles: int
    """Delivered by this relay since it started."""
    messages: int


def report_shard(members: ShardMembers, view: ShardView | None, now: int) -> ShardReport:
    """How a shard looks from here."""
    since = members.silent_since_ms
    return ShardReport(
        shard=members.shard,
        endpoints=len(members.members),
        height=view.height if view is not None else Height(0),
        idle_ms=now - view.advanced_ms if view is not None else 0,
        silent_ms=None if since is None else now - since,
        problems=members.problems(),
    )


def report_lane(
    pair: Pair,
    lane: Lane | None,
    links: Links,
    shards: Mapping[ShardId, ShardReport],
    views: Mapping[ShardId, ShardView],
) -> LaneReport:
    """How a pair of shards stands; `lane` is None when it is not served."""
    source, destination = pair
    if lane is None:
        why = f"no link from shard {source} to shard {destination} is configured for this relay"
        return LaneReport(source, destination, Standing.NOT_CONFIGURED, why, Sequence(0), Sequence(0), 0, 0, 0)
    standing, why = _standing(lane, links, shards[source], shards[destination])
    sent = views[source].head(destination).end if source in views else Sequence(0)
    consumed = views[destination].head(source).ack_next if destination in views else Sequence(0)
    return LaneReport(source, destination, standing, why, sent, consumed, len(lane.ahead), lane.bundles, lane.messages)


def _standing(lane: Lane, links: Links, source: ShardReport, destination: ShardReport) -> tuple[Standing, str]:
    """First thing that is in the way, in the order in which someone would have to mend them."""
    for shard, standing in ((source, Standing.SOURCE_SILENT), (destination, Standing.DESTINATION_SILENT)):
        if not shard.endpoints:
            return Standing.NO_ENDPOINTS, f"no address of any validator of shard {shard.shard} is configured"
        if shard.silent_ms is not None:
            return standing, _silence(shard)
    if lane.frozen:
        why = f"shard {destination.shard} has frozen the stream from shard {source.shard}: {lane.problem}"
        return Standing.FROZEN, why
    if lane.failures:
        return Standing.STALLED, _stall(lane, destination)
    if not links.has(destination.shard, source.shard):
        return Standing.OPEN, f"replies cannot return: no link from shard {destination.shard} to {source.shard}"
    return Standing.OPEN, ""


def _silence(shard: ShardReport) -> str:
    seconds = (shard.silent_ms or 0) // 1000
    return f"no validator of shard {shard.shard} has answered for {seconds} s" + (
        f" ({shard.problems})" if shard.problems else ""
    )


def _stall(lane: Lane, destination: ShardReport) -> str:
    if destination.idle_ms >= SILENCE_MS:
        return (
            f"shard {destination.shard} has certified nothing new for {destination.idle_ms // 1000} s"
            f" (height {destination.height}); it seems to be without a quorum"
        )
    return lane.problem


def islands(lanes: Iterable[LaneReport], shard_count: int) -> list[list[ShardId]]:
    """Groups of shards that calls *and* replies can reach, as this relay sees it; one group when all is well."""
    working: Graph = nx.DiGraph()
    working.add_nodes_from(ShardId(shard) for shard in range(shard_count))
    working.add_edges_from((lane.source, lane.destination) for lane in lanes if lane.standing is Standing.OPEN)
    return sorted(sorted(group) for group in nx.connected_components(working.to_undirected(reciprocal=True)))
