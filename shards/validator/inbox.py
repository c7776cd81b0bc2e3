"""Verified bundles that wait to be proposed, by source shard. Bounded, and never blocks anything."""

from collections.abc import Callable
from dataclasses import dataclass

from primitives.identifiers import Sequence, ShardId
from shards.bundles import Bundle

MAX_WAITING_PER_SOURCE = 16
"""Bundles of 512 messages each: twice the window of a stream."""


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
    """Waiting bundles of every source."""

    def __init__(self) -> None:
        self._waiting: dict[ShardId, list[WaitingBundle]] = {}
        self.changes = 0
        """Counts additions: whoever remembers it knows whether anything new has come."""

    def add(self, waiting: WaitingBundle) -> bool:
        """Keep a bundle; when its source's list is full the one that reaches least far goes. False if that is it."""
        bundles = self._waiting.setdefault(waiting.bundle.head.source, [])
        bundles.append(waiting)
        self.changes += 1
        bundles.sort(key=lambda each: (each.end, each.bundle.head.ack_next), reverse=True)
        del bundles[MAX_WAITING_PER_SOURCE:]
        return waiting in bundles

    def prune(self, source: ShardId, position: Position) -> None:
        """Forget what cannot advance the chain any more."""
        if source in self._waiting:
            self._waiting[source] = [each for each in self._waiting[source] if advances(each.bundle, position)]

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

    def has_work(self, position_of: Callable[[ShardId], Position]) -> bool:
        """Whether any waiting bundle could be included now."""
        return any(
            not (position := position_of(source)).frozen and any(fits(each.bundle, position) for each in bundles)
            for source, bundles in self._waiting.items()
        )

    def raws(self) -> tuple[bytes, ...]:
        """All waiting bundles, for repeating to peers that may have missed them."""
        return tuple(each.raw for source in self.sources() for each in self._waiting[source])

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))
