"""A simulated disk: what survives a crash, and nothing else.

Writes are staged, then synced. A crash keeps a prefix of the staged batches, each whole or not at all: a commit is
atomic. A reader sees synced batches only, as a reader of LMDB does.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from primitives.storage import Write


class _Table:
    """Byte keys in order."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []

    def copy(self) -> "_Table":
        twin = _Table()
        twin.values, twin.keys = self.values.copy(), self.keys.copy()
        return twin

    def put(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self.values.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]
            return
        if key not in self.values:
            if not self.keys or self.keys[-1] < key:
                self.keys.append(key)
            else:
                insort(self.keys, key)
        self.values[key] = value


class SimulatedDisk:
    """Named tables behind `primitives.storage.Reader`, with an fsync that can be missed."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._staged: list[tuple[Write, ...]] = []
        self.lost_batches = 0

    def stage(self, writes: Iterable[Write]) -> None:
        """Hand over one batch; it is neither durable nor visible before `sync`."""
        self._staged.append(tuple(writes))

    def sync(self) -> None:
        """Make every staged batch durable."""
        for batch in self._staged:
            for table, key, value in batch:
                found = self._tables.get(table)
                if found is None:
                    found = self._tables[table] = _Table()
                found.put(key, value)
        self._staged.clear()

    def crash(self, *, keep: int) -> None:
        """Lose all but the first `keep` of the staged batches."""
        lost = self._staged[keep:]
        self.lost_batches += len(lost)
        del self._staged[keep:]
        self.sync()

    def copy(self) -> "SimulatedDisk":
        """A backup of what is durable."""
        twin = SimulatedDisk()
        twin._tables = {name: table.copy() for name, table in self._tables.items()}
        return twin

    def get(self, table: str, key: bytes) -> bytes | None:
        """Value under `key`, or None."""
        found = self._tables.get(table)
        return None if found is None else found.values.get(key)

    def scan(
        self, table: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end, in key order or reversed; the table must not change meanwhile."""
        found = self._tables.get(table)
        if found is None:
            return
        first = bisect_left(found.keys, start)
        last = len(found.keys) if end is None else bisect_left(found.keys, end)
        places = range(last - 1, first - 1, -1) if reverse else range(first, last)
        for place in places:
            key = found.keys[place]
            yield key, found.values[key]
