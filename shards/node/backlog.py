"""How much of one peer's mail waits to be handled."""

import asyncio

MAX_BACKLOG_BYTES = 8 * 2**20
MAX_BACKLOG_MESSAGES = 4096
"""Of one peer's messages that wait to be handled. Its socket is not read meanwhile, so TCP holds the peer back."""


class Backlog:
    """Counts what waits; `room` is set while more may come."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self._bytes = 0
        self._messages = 0

    def add(self, size: int) -> None:
        """Count a message that waits."""
        self._bytes += size
        self._messages += 1
        if self._bytes > MAX_BACKLOG_BYTES or self._messages > MAX_BACKLOG_MESSAGES:
            self.room.clear()

    def remove(self, size: int) -> None:
        """Count a message that is handled."""
        self._bytes -= size
        self._messages -= 1
        if self._bytes <= MAX_BACKLOG_BYTES and self._messages <= MAX_BACKLOG_MESSAGES:
            self.room.set()
