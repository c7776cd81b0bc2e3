"""Named timers in monotonic milliseconds, on the event loop."""

import asyncio
from collections.abc import Callable

from shards.node.clock import Clock


class Timers:
    """Calls `fire(name)` when a timer comes due, never early by the clock that the core is told."""

    def __init__(self, clock: Clock, fire: Callable[[str], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._loop = asyncio.get_running_loop()
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, at_ms: int) -> None:
        """Set a timer; one of the same name is replaced."""
        self.cancel(name)
        delay_ms = max(0, at_ms - self._clock().monotonic_ms)
        self._handles[name] = self._loop.call_later(delay_ms / 1000, self._due, name, at_ms)

    def cancel(self, name: str) -> None:
        """Forget a timer, if it is set."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()

    def clear(self) -> None:
        """Forget all timers."""
        for name in list(self._handles):
            self.cancel(name)

    def _due(self, name: str, at_ms: int) -> None:
        if self._clock().monotonic_ms < at_ms:
            self.set(name, at_ms)  # the loop's clock rounds; a core that is told an earlier time would wait for ever
            return
        del self._handles[name]
        self._fire(name)
