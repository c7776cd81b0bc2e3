"""A validator's data folder: one process at a time, one validator for ever.

    NEW      there until the first start: nothing was ever signed with this key on this chain
    LOCK     held (flock) while a process uses the folder; holds its pid
    chain/   LMDB: journal, blocks, receipts, messages; every commit durable
    state/   LMDB: the flat state, flushed in batches
    log.jsonl and its rotated predecessors

Two processes with one journal would sign two votes for one view, so the lock is taken before anything is read.
The kernel drops it when the process dies, however that happens. The identity (format version, chain, shard,
index, key) is recorded in both stores: a folder of another chain or another validator is refused, not adopted.

Whoever makes the chain marks the folders of its validators as new. A folder without a journal that is not marked has
lost it, with the votes that were in it: its validator signs nothing until it cannot contradict them (protocol.md
section 2). Emptying a folder is therefore always safe, and never makes a validator that might vote twice.
"""

import fcntl
import os
from pathlib import Path
from typing import Annotated, Self

from msgspec import Meta

from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.identifiers import ChainIdField, PublicKeyField, ShardIdField, ValidatorIndexField
from shards.node.faults import BadConfiguration

FORMAT_VERSION = 1
"""Of the stores' layout. A folder of another version is refused; there is no migration yet."""


NEW = "NEW"
"""Name of the mark."""


def mark_new(home: Path) -> None:
    """Make the data folder of a validator that has never signed anything; durable on return.

    For whoever makes the chain, once, before the first start; never to mend a validator that has lost its folder.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / NEW).touch(mode=0o600)
    sync_folder(home)
    sync_folder(home.parent)


def is_new(home: Path) -> bool:
    """Whether the folder is marked as one whose validator has never signed."""
    return (home / NEW).exists()


def remove_mark(home: Path) -> None:
    """Take the mark away, if it is there: the journal exists and speaks for itself."""
    if is_new(home):
        (home / NEW).unlink()
        sync_folder(home)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a new file can vanish in a power cut though its content was fsynced."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Identity(Record):
    """Whose data a folder holds."""

    format_version: Annotated[int, Meta(ge=1, le=2**31)]
    chain_id: ChainIdField
    shard: ShardIdField
    index: ValidatorIndexField
    public_key: PublicKeyField


_decoder = Decoder(Identity, max_bytes=256, name="identity of a data folder")


def check_identity(folder: Path, recorded: bytes, mine: Identity) -> None:
    """Refuse a folder that belongs to somebody else.

    Raises:
        BadConfiguration: saying what differs.

    """
    try:
        found = _decoder.decode(recorded)
    except Refused as refused:
        raise BadConfiguration(f"{folder} was written by an unknown version of Ostraka ({refused})") from None
    if found.format_version != mine.format_version:
        versions = f"format {found.format_version}, this version reads format {mine.format_version}"
        raise BadConfiguration(f"{folder} has {versions}; use the version that wrote it, or an empty folder")
    if found.chain_id != mine.chain_id:
        chains = f"chain {found.chain_id.hex()[:16]}…, not to {mine.chain_id.hex()[:16]}…"
        raise BadConfiguration(f"{folder} belongs to {chains} (another genesis); use another folder")
    if (found.shard, found.index) != (mine.shard, mine.index):
        wanted = f"this is validator {mine.index} of shard {mine.shard}"
        raise BadConfiguration(f"{folder} belongs to validator {found.index} of shard {found.shard}; {wanted}")
    if found.public_key != mine.public_key:
        raise BadConfiguration(f"{folder} belongs to a validator with another key; use the key it was made with")


def encode_identity(identity: Identity) -> bytes:
    """Bytes that the stores record."""
    return encode(identity)


class FolderLock:
    """Exclusive use of a data folder, for as long as the `with` block lasts."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock; `BadConfiguration` names the process that holds it."""
        path = self._home / "LOCK"
        try:
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadConfiguration(f"cannot use {self._home} as a data folder: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            self._close()
            raise BadConfiguration(f"data folder {self._home} is in use by pid {holder}; stop it first") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        """Release it. The file stays: removing it would let two processes lock two files of one name."""
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
