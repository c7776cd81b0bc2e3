"""A simulated disk: what survives a crash, and nothing else.

Writes are staged, then synced. A crash keeps a prefix of the staged batches, each whole or not at all: a commit is
atomic. A reader sees synced batches only, as a reader of LMDB does. Faults can break each of these promises; damage is
found when it is read and by `check`, which walks all there is.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from primitives.storage import Write
from shards.node.faults import StorageFault


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
        self.tables: dict[str, _Table] = {}
        self._staged: list[tuple[Write, ...]] = []
        self.lost_batches = 0
        self.torn = False
        """Whether a part of a batch is on it."""
        self.spoilt: set[tuple[str, bytes]] = set()
        """Records of which a bit has flipped."""
        self._durable: SimulatedDisk | None = None
        """What is really on it, while it says of syncs that it does not do that they are done."""

    def stage(self, writes: Iterable[Write]) -> None:
        """Hand over one batch; it is neither durable nor visible before `sync`."""
        self._staged.append(tuple(writes))

    def sync(self) -> None:
        """Make every staged batch durable."""
        for batch in self._staged:
            self._write(batch)
        self._staged.clear()

    def _write(self, batch: Iterable[Write]) -> None:
        for table, key, value in batch:
            found = self.tables.get(table)
            if found is None:
                found = self.tables[table] = _Table()
            found.put(key, value)
            self.spoilt.discard((table, key))

    def crash(self, *, keep: int) -> bool:
        """Lose all but the first `keep` of the staged batches; True when more is lost, because the disk has lied."""
        lost = self._staged[keep:]
        self.lost_batches += len(lost)
        del self._staged[keep:]
        self.sync()
        if self._durable is None:
            return False
        self.restore(self._durable)
        return True

    def copy(self) -> "SimulatedDisk":
        """A backup of what is durable."""
        twin = SimulatedDisk()
        twin.restore(self)
        return twin

    # What disks do that they should not

    def restore(self, backup: "SimulatedDisk") -> None:
        """Hold what a backup holds, and nothing else."""
        self.tables = {name: table.copy() for name, table in backup.tables.items()}
        self._staged.clear()
        self.spoilt = backup.spoilt.copy()
        self.torn = backup.torn

    def tear(self) -> None:
        """Write the first half of what is staged, and lose the rest."""
        writes = [write for batch in self._staged for write in batch]
        self._staged.clear()
        self._write(writes[: len(writes) // 2])
        self.torn = True

    def flip(self, number: int) -> None:
        """Flip a bit in one of the records, which `number` chooses, counting around."""
        records = [(name, key) for name in sorted(self.tables) for key in self.tables[name].keys]
        if records:
            self.spoilt.add(records[number % len(records)])

    def lie(self) -> None:
        """From now on do nothing for a sync; what there is survives a crash, what comes does not."""
        self._durable = self.copy()

    def end_lie(self) -> None:
        """Do again what a sync asks for, beginning with all that is not done yet."""
        self._durable = None

    @property
    def is_damaged(self) -> bool:
        """Whether anything on it is not as it was written."""
        return self.torn or bool(self.spoilt)

    def check(self) -> None:
        """Walk all there is.

        Raises:
            StorageFault: a record or the structure is damaged.

        """
        if self.is_damaged:
            raise StorageFault("the store is damaged: restore it from a backup or start from an empty folder")

    # Reading

    def peek(self, table: str, key: bytes) -> bytes | None:
        """Value under `key` as it was written, for whoever observes from outside."""
        found = self.tables.get(table)
        return None if found is None else found.values.get(key)

    def _sound(self, table: str, key: bytes) -> None:
        if (table, key) in self.spoilt:
            raise StorageFault(f"corrupt record in table {table} under key {key[:40].hex()}: the checksum differs")

    def get(self, table: str, key: bytes) -> bytes | None:
        """Value under `key`, or None; a record of which a bit has flipped raises `StorageFault`."""
        found = self.tables.get(table)
        if found is None or key not in found.values:
            return None
        self._sound(table, key)
        return found.values[key]

    def scan(
        self, table: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end, in key order or reversed; the table must not change meanwhile."""
        found = self.tables.get(table)
        if found is None:
            return
        first = bisect_left(found.keys, start)
        last = len(found.keys) if end is None else bisect_left(found.keys, end)
        places = range(last - 1, first - 1, -1) if reverse else range(first, last)
        for place in places:
            key = found.keys[place]
            self._sound(table, key)
            yield key, found.values[key]
