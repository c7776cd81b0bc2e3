"""Verified bundles that wait to be proposed, by source shard. Bounded, and never blocks anything.

Bundles overlap, repeat one another and may come before those that they follow (couriers carry several at once). What
connects to the executed stream is always kept before what does not, and of what connects the one that reaches
furthest: whatever anybody delivers, the next bundle that a block needs has its place. A bundle that another one
contains is of no use.
"""

from collections.abc import Callable
from dataclasses import dataclass

from primitives.identifiers import Sequence, ShardId
from primitives.marks import sometimes
from shards.bundles import Bundle

MAX_WAITING_PER_SOURCE = 16
"""Bundles of 512 messages each: twice the window of a stream, and twice what a courier carries at once."""


@dataclass(frozen=True, slots=True)
class WaitingBundle:
    """A verified bundle and the bytes it came in."""

    raw: bytes
    bundle: Bundle
    gas: int

    @property
    def end(self) -> int:
        """One past its last message."""
        return self.bundle.first + len(self.bundle.bodies)

    def contains(self, other: "WaitingBundle") -> bool:
        """Whether this bundle brings everything that the other one does."""
        mine, its = self.bundle, other.bundle
        return mine.first <= its.first and self.end >= other.end and mine.head.ack_next >= its.head.ack_next


@dataclass(frozen=True, slots=True)
class Position:
    """How far a chain of blocks has come with the stream from one source."""

    received: Sequence
    """One past the last message included."""
    acknowledged: Sequence
    """How many of our messages the source's included heads acknowledge."""
    frozen: bool = False


def advances(bundle: Bundle, position: Position) -> bool:
    """Whether including the bundle at this position brings new messages or, having none, a new acknowledgement."""
    if bundle.bodies:
        return bundle.first + len(bundle.bodies) > position.received
    return bundle.head.ack_next > position.acknowledged


def fits(bundle: Bundle, position: Position) -> bool:
    """Whether the bundle connects to what the chain includes and advances it: the rule for including one."""
    return bundle.first <= position.received and advances(bundle, position)


class Inbox:
    """Waiting bundles of every source, in the order in which they are of use."""

    def __init__(self) -> None:
        self._waiting: dict[ShardId, list[WaitingBundle]] = {}
        self.changes = 0
        """Counts additions: whoever remembers it knows whether anything new has come."""

    def add(self, waiting: WaitingBundle, position: Position) -> bool:
        """Keep a bundle; `position` is the executed one. False if what waits here is of more use or brings the same."""
        source = waiting.bundle.head.source
        bundles = self._waiting.get(source, [])
        if any(each.contains(waiting) for each in bundles):
            sometimes("a bundle that another one contains")
            return False
        kept = [each for each in bundles if not waiting.contains(each)]
        kept.append(waiting)
        self._keep(source, kept, position)
        if waiting not in self._waiting[source]:
            return False
        self.changes += 1
        return True

    def settle(self, source: ShardId, position: Position) -> None:
        """Forget what cannot advance the stream any more, now that execution has come to this position."""
        bundles = self._waiting.get(source, [])
        if bundles:
            left = [] if position.frozen else [each for each in bundles if advances(each.bundle, position)]
            self._keep(source, left, position)

    def sources(self) -> tuple[ShardId, ...]:
        """Shards that something waits from, ascending."""
        return tuple(sorted(source for source, bundles in self._waiting.items() if bundles))

    def next_for(self, source: ShardId, position: Position, max_gas: int, max_bytes: int) -> WaitingBundle | None:
        """Pick the bundle that fits at this position and reaches furthest within the room that is left."""
        if position.frozen:
            return None
        for each in self._waiting.get(source, ()):
            if fits(each.bundle, position) and each.gas <= max_gas and len(each.raw) <= max_bytes:
                return each
        return None

    def fitting(self, position_of: Callable[[ShardId], Position]) -> tuple[WaitingBundle, ...]:
        """Whatever could be included now, by source."""
        found: list[WaitingBundle] = []
        for source in self.sources():
            position = position_of(source)
            if not position.frozen:
                found += [each for each in self._waiting[source] if fits(each.bundle, position)]
        return tuple(found)

    def _keep(self, source: ShardId, bundles: list[WaitingBundle], position: Position) -> None:
        def order(each: WaitingBundle) -> tuple[int, int, int]:
            connects = each.bundle.first <= position.received
            return 0 if connects else each.bundle.first, -each.end, -each.bundle.head.ack_next

        # A bundle that is ahead begins after `received`, hence after 0: what connects comes first.
        self._waiting[source] = sorted(bundles, key=order)[:MAX_WAITING_PER_SOURCE]

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))
