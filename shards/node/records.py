"""Sealed records: every value on disk carries a checksum that is bound to its table and key.

Layout: `checksum(8) ‖ value`, where the checksum is BLAKE2b-64 keyed with the table's name over
`u16 length of key ‖ key ‖ value`. A flipped bit is seen, and so is a write that landed under another key or in
another table (both would carry a checksum of their own place).
"""

from hashlib import blake2b

from shards.node.faults import StorageFault

CHECKSUM_BYTES = 8
"""An undetected corruption every 2**64 corrupt reads; 32 bits would let one in four billion through."""


class Sealer:
    """Seals and opens the records of one table. About 1 µs and 1 ns a byte for either."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._keyed = blake2b(digest_size=CHECKSUM_BYTES, key=table.encode())

    def seal(self, key: bytes, value: bytes) -> bytes:
        """Put the checksum in front of `value`."""
        return self._checksum(key, value) + value

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """Value of a sealed record.

        Raises:
            StorageFault: the record is not what was written under this key of this table.

        """
        value = sealed[CHECKSUM_BYTES:]
        if sealed[:CHECKSUM_BYTES] != self._checksum(key, value):
            raise StorageFault(
                f"corrupt record in table {self.table} under key {key[:40].hex()}: the checksum of its"
                f" {len(value)} bytes differs; restore this data folder from a backup or start from an empty one"
            )
        return value

    def _checksum(self, key: bytes, value: bytes) -> bytes:
        state = self._keyed.copy()
        state.update(len(key).to_bytes(2, "big"))
        state.update(key)
        state.update(value)
        return state.digest()
