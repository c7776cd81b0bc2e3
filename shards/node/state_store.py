"""The durable copy of the flat state: key -> value, and in the same transaction how far it has been applied.

The state lives in memory; this copy is written in batches and may lag behind the chain. Start-up loads it and
executes the finalized blocks after it again.
"""

from collections.abc import Mapping
from pathlib import Path

from primitives.codec import Decoder, Record, encode
from primitives.identifiers import BlockIdField, HashField, HeightField
from primitives.storage import Write
from shards.node.faults import StorageFault
from shards.node.storage import DEFAULT_MAP_BYTES, LmdbStore

ENTRIES = "state.entries"
META = "state.meta"

_APPLIED = b"applied"
_IDENTITY = b"identity"


class Applied(Record):
    """The block that the stored state is the result of, and the state's root."""

    height: HeightField
    block_id: BlockIdField
    state_root: HashField


_applied_decoder = Decoder(Applied, max_bytes=256, name="applied mark")


class StateStore:
    """An LMDB environment of its own: its large, lazy commits never wait for or hold up the chain's small ones."""

    def __init__(self, path: Path, *, map_bytes: int = DEFAULT_MAP_BYTES) -> None:
        self.store = LmdbStore(path, tables=(ENTRIES, META), map_bytes=map_bytes)

    def identity(self) -> bytes | None:
        """What `write_identity` wrote, or None in a new store."""
        with self.store.reader() as reader:
            return reader.get(META, _IDENTITY)

    def write_identity(self, identity: bytes) -> None:
        """Say whose state this is."""
        self.store.commit([Write(META, _IDENTITY, identity)])

    def load(self) -> tuple[Applied, list[tuple[bytes, bytes]]] | None:
        """Read everything back, or None when no state was ever flushed; corruption raises `StorageFault`."""
        with self.store.reader() as reader:
            raw = reader.get(META, _APPLIED)
            if raw is None:
                return None
            entries = list(reader.scan(ENTRIES))
            if len(entries) != reader.count(ENTRIES):
                raise StorageFault(f"{self.store.file}: {reader.count(ENTRIES)} entries expected, {len(entries)} found")
        return _applied_decoder.decode(raw), entries

    def flush(self, applied: Applied, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply `changes` (None deletes) and move the mark, atomically. Sorted, as LMDB likes it."""
        writes = [Write(ENTRIES, key, changes[key]) for key in sorted(changes)]
        self.store.commit([*writes, Write(META, _APPLIED, encode(applied))])

    def close(self) -> None:
        """Close the file."""
        self.store.close()
