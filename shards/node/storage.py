"""Durable tables on LMDB: one commit is one atomic, fsynced transaction, or the validator stops.

LMDB is copy-on-write with two meta pages, so a crash or a power cut at any instant leaves the last commit whole.
That holds only with `sync=True` and without `writemap`; neither is ever changed here. Further rules:

- A write transaction begins and ends on one thread, inside `commit`.
- A commit that fails in any other way than a full map is never retried. After a failed fsync the kernel may have
  dropped the pages and a second fsync would report success ("fsyncgate"): the store refuses all further work.
- A full map is grown (doubled) and the commit done again; growing needs that no transaction is open, so readers are
  counted, are short, and are never held across an await.
- Every record is sealed with a checksum (`records`). LMDB itself checks nothing: `check` walks the file's structure
  and all records, so that even a lost key or an older meta page is found before anything trusts the file.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb
from lmdb.verify import VerifyError
from lmdb.verify import verify as verify_structure

from primitives.errors import invariant
from primitives.storage import Write
from shards.node.faults import StorageFault
from shards.node.folder import sync_folder
from shards.node.records import Sealer

DEFAULT_MAP_BYTES = 2**30
"""Address space at first; it doubles when the data reaches it. The file has only the size of its data."""

MAX_KEY_BYTES = 511
"""LMDB's own limit."""

MAX_CHECKED_BYTES = 256 * 2**20
"""Files up to this size are walked whole at start-up (about 1 s for 256 MB); the records of larger ones are
checked when they are read."""

_PAGE_BYTES = 4096
_META_TXNID_OFFSET = 16 + 24 + 2 * 48 + 8
"""Page header, magic to map size, two database records, last page number (LMDB 0.9, 64 bits)."""


class LmdbReader:
    """A snapshot of an `LmdbStore`; implements `primitives.storage.Reader`."""

    def __init__(self, store: "LmdbStore", transaction: "lmdb.Transaction[bytes]") -> None:
        self._store = store
        self._transaction = transaction

    def get(self, table: str, key: bytes) -> bytes | None:
        """Value under `key`, or None; a corrupt record raises `StorageFault`."""
        database, sealer = self._store.table(table)
        try:
            sealed = self._transaction.get(key, db=database) if key else None
        except lmdb.BadValsizeError:
            return None  # longer than any key can be
        except lmdb.Error as error:
            raise self._store.failed("reading", error) from error
        return None if sealed is None else sealer.open(key, sealed)

    def scan(
        self, table: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end, in key order or reversed; only while the snapshot is open."""
        database, sealer = self._store.table(table)
        try:
            with self._transaction.cursor(db=database) as cursor:
                pairs = _backwards(cursor, start, end) if reverse else _forwards(cursor, start, end)
                for key, sealed in pairs:
                    yield key, sealer.open(key, sealed)
        except lmdb.Error as error:
            raise self._store.failed("reading", error) from error

    def count(self, table: str) -> int:
        """How many records a table says it has."""
        return self._transaction.stat(self._store.table(table)[0])["entries"]


def _forwards(cursor: "lmdb.Cursor[bytes]", start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    found = cursor.set_range(start) if start else cursor.first()
    while found and (end is None or cursor.key() < end):
        yield cursor.item()
        found = cursor.next()


def _backwards(cursor: "lmdb.Cursor[bytes]", start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    # set_range finds the first key >= end, which is one too far; when there is none, the last key is the one.
    found = cursor.prev() if end and cursor.set_range(end) else end != b"" and cursor.last()
    while found and cursor.key() >= start:
        yield cursor.item()
        found = cursor.prev()


class LmdbStore:
    """Named tables in one LMDB environment at `path` (a folder, made if need be)."""

    def __init__(self, path: Path, *, tables: Sequence[str], map_bytes: int = DEFAULT_MAP_BYTES) -> None:
        invariant(len(set(tables)) == len(tables), "every table is named once")
        self.path = path
        self.file = path / "data.mdb"
        self._fault: StorageFault | None = None
        self._commit_lock = threading.Lock()
        self._gate = threading.Condition()
        self._readers = 0
        self._resizing = False
        self.disturb: Callable[[], None] | None = None
        """Faults on purpose: called in every commit; what it raises is what the system would have raised."""
        fresh = not self.file.exists()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not fresh:
                _check_meta_pages(self.file)
            self._environment: Final = lmdb.open(
                str(path), map_size=map_bytes, max_dbs=len(tables), sync=True, writemap=False, mode=0o600
            )
            self._tables = {
                name: (self._environment.open_db(name.encode(), create=True), Sealer(name)) for name in tables
            }
            if fresh:
                sync_folder(path)
                sync_folder(path.parent)
        except (lmdb.Error, OSError) as error:
            raise StorageFault(f"cannot open the store {path}: {error}") from error

    def table(self, name: str) -> "tuple[lmdb._Database, Sealer]":
        """Handle and sealer of a table; an unknown one is a mistake in our code."""
        found = self._tables.get(name)
        invariant(found is not None, f"the store has no table {name!r}")
        return found  # type: ignore[return-value]  # the invariant says so

    @property
    def map_bytes(self) -> int:
        """Present ceiling of the file."""
        return self._environment.info()["map_size"]

    def size_bytes(self) -> int:
        """Present size of the file."""
        return self.file.stat().st_size

    @contextmanager
    def reader(self) -> Iterator[LmdbReader]:
        """Open a snapshot. Keep it short, one at a time in a thread, and never across an await.

        It pins pages and holds up growth, and growth holds up the next snapshot: a second one would wait for the first.
        """
        with self._gate:
            while self._resizing:
                self._gate.wait()
            self._readers += 1
        try:
            try:
                transaction = self._environment.begin(write=False)
            except lmdb.Error as error:
                raise self.failed("opening a snapshot", error) from error
            try:
                yield LmdbReader(self, transaction)
            finally:
                transaction.abort()
        finally:
            with self._gate:
                self._readers -= 1
                self._gate.notify_all()

    def commit(self, writes: Iterable[Write]) -> None:
        """Make all of `writes` durable together, in order; returns after the fsync.

        Raises:
            StorageFault: the disk is full, failed, or failed before; nothing may be acknowledged any more.

        """
        sealed = [(*self.table(table), key, value) for table, key, value in writes]
        for _, _, key, _ in sealed:
            invariant(0 < len(key) <= MAX_KEY_BYTES, f"a key has 1 to {MAX_KEY_BYTES} bytes")
        with self._commit_lock:
            while True:
                if self._fault is not None:
                    raise StorageFault(f"the store failed before and takes nothing more: {self._fault}")
                try:
                    self._write(sealed)
                except lmdb.MapFullError:
                    self._grow()
                except (lmdb.Error, OSError) as error:
                    raise self.failed("committing", error) from error
                else:
                    return

    def _write(self, sealed: "list[tuple[lmdb._Database, Sealer, bytes, bytes | None]]") -> None:
        if self.disturb is not None:
            self.disturb()
        with self._environment.begin(write=True) as transaction:
            for database, sealer, key, value in sealed:
                if value is None:
                    transaction.delete(key, db=database)
                elif not transaction.put(key, sealer.seal(key, value), db=database):
                    raise self.failed("committing", OSError(f"LMDB did not take key {key.hex()}"))

    def _grow(self) -> None:
        """Double the map once no snapshot is open; new ones wait until it is done."""
        with self._gate:
            self._resizing = True
            while self._readers:
                self._gate.wait()
        try:
            self._environment.set_mapsize(2 * self.map_bytes)
        except lmdb.Error as error:
            raise self.failed("growing the map", error) from error
        finally:
            with self._gate:
                self._resizing = False
                self._gate.notify_all()

    def failed(self, doing: str, error: Exception) -> StorageFault:
        """Remember the first failure, after which nothing is committed, and return it."""
        fault = StorageFault(f"{self.path}: {doing} failed: {error}")
        if self._fault is None:
            self._fault = fault
        return fault

    def check(self) -> bool:
        """Walk the file's structure and open every record; False when the file is too large to be walked now.

        Raises:
            StorageFault: something in the file is not as it was written.

        """
        if self.size_bytes() > MAX_CHECKED_BYTES:
            return False
        try:
            problems = verify_structure(str(self.file))  # type: ignore[no-untyped-call]  # py-lmdb has no types here
        except VerifyError as error:
            problems = [str(error)]
        if problems:
            raise StorageFault(f"{self.file} is damaged: {problems[0]} ({len(problems)} findings)")
        with self.reader() as reader:
            for name in self._tables:
                found = sum(1 for _ in reader.scan(name))
                if found != reader.count(name):
                    raise StorageFault(f"{self.file}: table {name} should have {reader.count(name)}, has {found}")
        return True

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._commit_lock:
            self._fault = self._fault or StorageFault("the store is closed")
            with self._gate:
                while self._readers:
                    self._gate.wait()
            self._environment.close()


def _check_meta_pages(file: Path) -> None:
    """See that the two meta pages hold consecutive transactions.

    LMDB opens the one with the higher number, so a single flipped bit there would silently take back the last
    commit: a validator that forgot its vote. Transaction t is always in page t mod 2, next to t - 1 or (new) 0.
    """
    with file.open("rb") as opened:
        pages = [opened.read(_PAGE_BYTES) for _ in range(2)]
    numbers = [int.from_bytes(page[_META_TXNID_OFFSET : _META_TXNID_OFFSET + 8], "little") for page in pages]
    if any(len(page) < _PAGE_BYTES for page in pages):
        raise StorageFault(f"{file} is damaged: it is shorter than its two meta pages")
    newest = max(numbers)
    if newest and (abs(numbers[0] - numbers[1]) != 1 or numbers[newest % 2] != newest):
        raise StorageFault(f"{file} is damaged: its meta pages are of transactions {numbers[0]} and {numbers[1]}")
