"""Virtual time: one heap of (microseconds, tie-break counter, what happens then), and nothing else that moves."""

from collections.abc import Callable
from heapq import heappop, heappush

MICROSECONDS_PER_MS = 1000
"""Virtual time runs in microseconds, so that an fsync and a hop on the loopback have a length; cores see ms."""

Action = Callable[[], None]


class Heap:
    """What is still to happen, in order of time and, at the same time, in the order in which it was planned."""

    def __init__(self) -> None:
        self.now_us = 0
        self.happened = 0
        self._planned: list[tuple[int, int, Action]] = []
        self._counter = 0

    def after(self, delay_us: int, action: Action) -> None:
        """Let `action` happen `delay_us` from now; what is planned for the past happens next."""
        self._counter += 1
        heappush(self._planned, (self.now_us + max(0, delay_us), self._counter, action))

    def at_ms(self, time_ms: int, action: Action) -> None:
        """Let `action` happen at this virtual time."""
        self.after(time_ms * MICROSECONDS_PER_MS - self.now_us, action)

    def run_until(self, end_ms: int, stop: Callable[[], bool]) -> None:
        """Let everything up to `end_ms` happen, or until `stop()` is true after one of them."""
        planned = self._planned
        end_us = end_ms * MICROSECONDS_PER_MS
        while planned and planned[0][0] <= end_us and not stop():
            self.now_us, _, action = heappop(planned)
            self.happened += 1
            action()
        if not stop():
            self.now_us = max(self.now_us, end_us)

    @property
    def next_ms(self) -> int | None:
        """Whole milliseconds at which the next thing will have happened; None when nothing is planned."""
        return -(-self._planned[0][0] // MICROSECONDS_PER_MS) if self._planned else None

    @property
    def now_ms(self) -> int:
        """Whole milliseconds since the start."""
        return self.now_us // MICROSECONDS_PER_MS
