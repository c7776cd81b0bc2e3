"""What faults do to the clock: the time of day is off, the time that passes is not."""

from primitives.identifiers import Milliseconds
from primitives.instant import Instant
from shards.node.clock import Clock


class SkewedClock:
    """A clock whose wall time can be set off by `offset_ms`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_ms = 0

    def __call__(self) -> Instant:
        """Both clocks, as this node sees them."""
        now = self._clock()
        if not self.offset_ms:
            return now
        return Instant(now.monotonic_ms, Milliseconds(max(0, now.wall_ms + self.offset_ms)))
