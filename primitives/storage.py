"""What the core says to a store and what it may read from one, whatever the store is (LMDB, memory in a simulation).

A store is a set of named tables of byte keys in order. The core emits `Write`s inside Persist effects; one Persist
is one atomic, durable commit. A `Reader` is a snapshot handed to pure functions (recovery, answering a peer).
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Write(NamedTuple):
    """Put `value` under `key`, or delete the key when `value` is None."""

    table: str
    key: bytes
    value: bytes | None


class Reader(Protocol):
    """A consistent snapshot of a store."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """Value under `key`, or None."""
        ...

    def scan(
        self, table: str, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < end (to the table's end when None), in key order or reversed."""
        ...


def integer_key(number: int) -> bytes:
    """Eight big-endian bytes: byte order is number order."""
    return number.to_bytes(8, "big")
