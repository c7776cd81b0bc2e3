"""The thread that commits: whatever waits is merged into one transaction, in order (group commit).

A fsync takes 0.2 to 5 ms whatever its size, so under load one fsync serves many Persist effects. The event loop
never waits for it; it is told which ticket is the last durable one.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from primitives.storage import Write

MAX_GROUP_BYTES = 8 * 2**20
"""Of values in one transaction: two of the largest blocks with their receipts; beyond that latency only suffers."""


class Committer(Protocol):
    """What makes writes durable, or raises."""

    def commit(self, writes: list[Write]) -> None:
        """Return once all of `writes` are durable."""
        ...


class CommitQueue:
    """Commits in order, on one thread. `on_durable(ticket, seconds)` and `on_fault(error)` run on the loop.

    Tickets count from 1; a durable ticket means that all before it are durable too.
    """

    def __init__(
        self,
        store: Committer,
        on_durable: Callable[[int, float], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._on_durable = on_durable
        self._on_fault = on_fault
        self._waiting: deque[tuple[int, tuple[Write, ...]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self.last_ticket = 0
        self._thread = threading.Thread(target=self._run, name="commits", daemon=True)
        self._thread.start()

    def submit(self, writes: tuple[Write, ...]) -> int:
        """Queue one atomic set of writes; returns its ticket."""
        with self._changed:
            self.last_ticket += 1
            self._waiting.append((self.last_ticket, writes))
            self._changed.notify()
        return self.last_ticket

    async def close(self) -> None:
        """Commit what waits, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _take(self) -> tuple[int, list[Write]] | None:
        """Next group and its last ticket; None when the queue is closed and empty."""
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            group: list[Write] = []
            ticket = size = 0
            while self._waiting and size < MAX_GROUP_BYTES:
                ticket, writes = self._waiting.popleft()
                group.extend(writes)
                size += sum(len(write.value or b"") for write in writes)
            return ticket, group

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            ticket, group = taken
            began = time.perf_counter()
            try:
                self._store.commit(group)
            except Exception as error:  # noqa: BLE001 - whatever it is: a thread that ended silently would hang us
                self._tell(self._on_fault, error)
                return  # nothing after a failed commit may be committed
            self._tell(self._on_durable, ticket, time.perf_counter() - began)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop was closed without waiting for this thread
            self._loop.call_soon_threadsafe(callback, *arguments)
