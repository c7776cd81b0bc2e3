"""Consistent reads of the ledger's state from other threads, while blocks are executed and applied.

A `Snapshot` is the state after one block, for as long as somebody holds it. The loop's thread opens it, and before a
block is applied (on the same thread) every open snapshot keeps the old value of each key that is about to change. A
reader reads the flat state first and then what is kept: if the value was replaced meanwhile, it is kept by now.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from contracts.outcomes import is_contract_name
from primitives.errors import invariant
from primitives.identifiers import Hash
from primitives.instant import Instant
from shards.calls.records import code_key, contract_key, decode_code, decode_contract, storage_key
from shards.ledger import Ledger
from shards.node.parts import Core
from shards.state import Namespace
from shards.validator.effects import Effect
from shards.validator.events import BlockExecuted, Event

READ_S = 10.0
"""For the loop to list keys for another thread; it takes a fraction of a millisecond."""


class Snapshot:
    """The state after the block `height`. Opened and closed on the loop; read from anywhere."""

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        self.height: Final = ledger.height
        self.time_ms: Final = ledger.time_ms
        self._ledger: Final = ledger
        self._loop: Final = loop
        self._kept: Final[dict[bytes, bytes | None]] = {}

    def keep(self, keys: Iterable[bytes]) -> None:
        """Before these keys change; on the loop."""
        for key in keys:
            if key not in self._kept:
                self._kept[key] = self._ledger.get(key)

    def get(self, key: bytes) -> bytes | None:
        """Value of a raw key."""
        now = self._ledger.get(key)
        return self._kept.get(key, now)

    def keys_between(self, low: bytes, high: bytes, limit: int) -> list[bytes]:
        """Raw keys k with low < k < high in an ordered namespace, at most `limit`; not on the loop."""
        found: Future[list[bytes]] = Future()

        def read() -> None:
            try:
                found.set_result(self.keys_between_here(low, high, limit))
            except Exception as error:  # noqa: BLE001 - whoever waits hears of it
                found.set_exception(error)

        self._loop.call_soon_threadsafe(read)
        return found.result(READ_S)

    def keys_between_here(self, low: bytes, high: bytes, limit: int) -> list[bytes]:
        """The same, on the loop."""
        kept = {key: value for key, value in self._kept.items() if low < key < high}
        now = self._ledger.keys_between(low, high, limit + len(kept))
        found = {key for key in now if key not in kept}
        found |= {key for key, value in kept.items() if value is not None}
        return sorted(found)[:limit]


class SnapshotWorld:
    """A snapshot as the contract machine reads it (`contracts.port.World`); remembers what was read."""

    def __init__(self, snapshot: Snapshot, contract: str, in_hand: int = 0) -> None:
        self._snapshot: Final = snapshot
        self._contract: Final = contract
        self._in_hand: Final = in_hand
        self.keys_read: Final[dict[bytes, None]] = {}
        """Raw keys, in the order in which they were first read."""
        self.has_listed = False

    def get(self, key: bytes) -> bytes | None:
        """Value of a raw key, remembered as read."""
        self.keys_read[key] = None
        return self._snapshot.get(key)

    def source(self, code_hash: Hash) -> str:
        """See `World`."""
        raw = self.get(code_key(code_hash))
        invariant(raw is not None, "code that runs is in the state")
        return decode_code(raw or b"").source

    def read(self, contract: str, key: bytes) -> bytes | None:
        """See `World`."""
        return self.get(storage_key(contract, key))

    def keys(self, contract: str, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """See `World`."""
        self.has_listed = True
        whole = storage_key(contract, b"")
        found = [prefix] if prefix > after and self._snapshot.get(whole + prefix) is not None else []
        low, high = whole + max(prefix, after), end_of(whole + prefix)
        return [*found, *(key[len(whole) :] for key in self._snapshot.keys_between(low, high, limit))][:limit]

    def balance(self, contract: str) -> int:
        """See `World`."""
        raw = self.get(contract_key(contract))
        held = int.from_bytes(decode_contract(raw).balance, "big") if raw is not None else 0
        return held + self._in_hand


class Snapshots:
    """The snapshots that are open, and the names of all contracts. For the loop alone."""

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._loop = loop
        self._open: list[Snapshot] = []
        named = contract_key("")[:1]
        self._contracts = sorted(_name_in(key) for key, _ in ledger.entries() if key[:1] == named)

    def contracts_after(self, name: str, limit: int) -> list[str]:
        """Names of contracts of this shard that come after this one, in order, at most `limit`."""
        first = bisect_right(self._contracts, name)
        return self._contracts[first : first + limit]

    @property
    def contract_count(self) -> int:
        """How many contracts there are."""
        return len(self._contracts)

    def before_apply(self, keys: Iterable[bytes]) -> None:
        """Hear which keys the next block changes; contracts are never removed."""
        changed = list(keys)
        for key in changed:
            if key[0] == Namespace.CONTRACT:
                self._learn(_name_in(key))
        for snapshot in self._open:
            snapshot.keep(changed)

    def _learn(self, name: str) -> None:
        place = bisect_left(self._contracts, name)
        if self._contracts[place : place + 1] != [name]:
            self._contracts.insert(place, name)

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        """The state as it is now."""
        snapshot = Snapshot(self._ledger, self._loop)
        self._open.append(snapshot)
        try:
            yield snapshot
        finally:
            self._open.remove(snapshot)


def _name_in(key: bytes) -> str:
    """Name of the contract whose record has this raw key."""
    name = key[3 : 3 + int.from_bytes(key[1:3], "big")].decode()
    invariant(is_contract_name(name), "contracts in the state have proper names")
    return name


def end_of(prefix: bytes) -> bytes:
    """The least bytes above everything that begins with `prefix`, whose first byte is a namespace."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,))


class WatchedCore:
    """A core of which open snapshots hear before it applies a block."""

    def __init__(self, core: Core, snapshots: Snapshots) -> None:
        self._core = core
        self._snapshots = snapshots

    def handle(self, event: Event, at: Instant) -> tuple[Effect, ...]:
        """Take in one event."""
        if isinstance(event, BlockExecuted):
            self._snapshots.before_apply(event.execution.changes)
        return self._core.handle(event, at)
