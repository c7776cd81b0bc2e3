"""A store in memory: tables of byte keys in order, with the same atomic commits that a real one has."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from primitives.storage import Write


class MemoryStore:
    """Implements `primitives.storage.Reader`; `commit` takes what a Persist holds."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[bytes, bytes]] = {}
        self._keys: dict[str, list[bytes]] = {}

    def commit(self, writes: Iterable[Write]) -> None:
        for table, key, value in writes:
            rows, keys = self._tables.setdefault(table, {}), self._keys.setdefault(table, [])
            if value is None:
                if rows.pop(key, None) is not None:
                    keys.pop(bisect_left(keys, key))
            else:
                if key not in rows:
                    insort(keys, key)
                rows[key] = value

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._tables.get(table, {}).get(key)

    def scan(
        self, table: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        keys = self._keys.get(table, [])
        chosen = keys[bisect_left(keys, start) : len(keys) if end is None else bisect_left(keys, end)]
        rows = self._tables.get(table, {})
        for key in reversed(chosen) if reverse else chosen:
            yield key, rows[key]

    def size(self, table: str) -> int:
        return len(self._tables.get(table, {}))
