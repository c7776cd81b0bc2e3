"""The state tree: a canonical radix-16 Merkle tree from 32-byte paths to value hashes.

Its shape, and with it the root, is a function of the content alone: neither order nor history shows. H is SHA-256;
every kind of input has a tag of its own, so a node can never pass for a bucket or a value for a path.

    path   = H(0x10 ‖ u8 namespace ‖ u16 length of contract ‖ contract ‖ key)
    value  = H(0x02 ‖ canonical bytes of the value)          a deleted key is absent, never empty
    entry  = path ‖ value                                    64 bytes
    bucket = H(0x00 ‖ entries, strictly increasing by path)  at most 32 entries
    node   = H(0x01 ‖ 16 child hashes)                       a node or a bucket for each value of the next nibble
    root   = H(0x03 ‖ u8 version ‖ hash of the root node)

The first four levels always exist and end in 2**16 *slots*, one for each value of a path's first 16 bits. Below a
slot, a bucket that would hold more than 32 entries is a node instead, recursively; a node over at most 32 entries is a
bucket instead. Whoever grinds paths into one slot thus gets a deeper tree, not a longer bucket.

One proof format shows presence and absence:

    u8 depth ‖ depth × (u16 bitmap of the non-empty siblings ‖ their hashes), deepest first ‖ entries of the bucket

The path's own bit is clear, an empty sibling is left out, and the key is present iff the bucket has its path.

Everything is in memory. The four levels are flat arrays of hashes: an update costs about four hashes of 512 bytes,
shared among the keys of a block, which is why they are wide. The store keeps the plain keys and values; at start the
tree is built again and its root compared with the certified one.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from primitives.errors import InvariantViolated, Refused, invariant
from primitives.identifiers import Hash

VERSION = 1

HASH_BYTES = 32
ENTRY_BYTES = 64
FANOUT = 16

MAX_BUCKET_ENTRIES = 32
"""A bucket hashed whole is then at most 2 kB, 0.5 us more than an empty one; fewer entries make more nodes."""
MAX_BUCKET_BYTES = MAX_BUCKET_ENTRIES * ENTRY_BYTES

SLOT_DEPTH = 4
"""Nibbles that name a slot; 2**16 slots keep 10**6 keys at 16 entries a bucket and cost 2 MB."""
SLOTS = FANOUT**SLOT_DEPTH

MAX_DEPTH = 2 * HASH_BYTES
"""Nibbles in a path."""

MAX_PROOF_BYTES = 1 + MAX_DEPTH * (2 + (FANOUT - 1) * HASH_BYTES) + MAX_BUCKET_BYTES
"""33 kB, for a path of which every prefix is shared by 33 keys; a proof among 10**6 keys takes 3 kB."""

_BUCKET = b"\x00"
_NODE = b"\x01"
_VALUE = b"\x02"
_ROOT = b"\x03" + VERSION.to_bytes(1, "big")
_PATH = b"\x10"


class _Node(NamedTuple):
    """A node below the slots; immutable, so that an undo only keeps references."""

    children: tuple["_Subtree", ...]
    hash: bytes
    size: int
    """Bytes of all entries below."""


_Subtree = bytes | _Node
"""A bucket's entries, end to end, or a node."""

EMPTY_BUCKET = Hash(sha256(_BUCKET).digest())


class Undo(NamedTuple):
    """What `revert` needs to take one `apply` back."""

    slots: dict[int, _Subtree]
    root_before: Hash
    root_after: Hash


def path_of(namespace: int, contract: bytes, key: bytes) -> bytes:
    """32-byte path of a key; namespace 0 to 255, contract up to 65535 bytes."""
    prefix = namespace.to_bytes(1, "big") + len(contract).to_bytes(2, "big")
    return sha256(_PATH + prefix + contract + key).digest()


def value_hash(value: bytes) -> bytes:
    """32-byte hash of a value's canonical bytes."""
    return sha256(_VALUE + value).digest()


def _nibble(path: bytes, depth: int) -> int:
    return path[depth >> 1] & 15 if depth & 1 else path[depth >> 1] >> 4


def _hash_of(subtree: _Subtree) -> bytes:
    return sha256(_BUCKET + subtree).digest() if isinstance(subtree, bytes) else subtree.hash


def _entries_of(subtree: _Subtree) -> bytes:
    if isinstance(subtree, bytes):
        return subtree
    return b"".join([_entries_of(child) for child in subtree.children])


def _node_of(children: tuple[_Subtree, ...], size: int) -> _Node:
    return _Node(children, sha256(_NODE + b"".join([_hash_of(child) for child in children])).digest(), size)


def _build(entries: bytes, depth: int) -> _Subtree:
    """Canonical subtree over sorted `entries`, which share their first `depth` nibbles."""
    if len(entries) <= MAX_BUCKET_BYTES:
        return entries
    children: list[_Subtree] = []
    end = 0
    for nibble in range(FANOUT):
        start = end
        while end < len(entries) and _nibble(entries[end : end + HASH_BYTES], depth) == nibble:
            end += ENTRY_BYTES
        children.append(_build(entries[start:end], depth + 1))
    return _node_of(tuple(children), len(entries))


def _find(entries: bytes, path: bytes) -> int:
    """Offset of the path's entry, -1 when there is none."""
    offset = entries.find(path)
    while offset > 0 and offset % ENTRY_BYTES:
        # The bytes occur across two entries or in a value hash: look on.
        offset = entries.find(path, offset + 1)
    return offset


def _put_in_bucket(entries: bytes, path: bytes, value: bytes | None) -> bytes:
    """Insert, replace or (None) remove one entry; the result may exceed a bucket."""
    offset = _find(entries, path)
    if offset >= 0:
        replacement = path + value if value is not None else b""
        return entries[:offset] + replacement + entries[offset + ENTRY_BYTES :]
    if value is None:
        return entries
    offset = 0
    while offset < len(entries) and entries[offset : offset + HASH_BYTES] < path:
        offset += ENTRY_BYTES
    return entries[:offset] + path + value + entries[offset:]


def _put(subtree: _Subtree, depth: int, path: bytes, value: bytes | None) -> _Subtree:
    """Canonical subtree after one update; splits and merges where the number of entries asks for it."""
    if isinstance(subtree, bytes):
        entries = _put_in_bucket(subtree, path, value)
        return entries if len(entries) <= MAX_BUCKET_BYTES else _build(entries, depth)
    nibble = _nibble(path, depth)
    old = subtree.children[nibble]
    new = _put(old, depth + 1, path, value)
    children = (*subtree.children[:nibble], new, *subtree.children[nibble + 1 :])
    size = subtree.size + _size_of(new) - _size_of(old)
    if size <= MAX_BUCKET_BYTES:
        return b"".join([_entries_of(child) for child in children])
    return _node_of(children, size)


def _size_of(subtree: _Subtree) -> int:
    return len(subtree) if isinstance(subtree, bytes) else subtree.size


@lru_cache(maxsize=1)
def _empty_levels() -> tuple[tuple[bytes, ...], Hash]:
    """Hashes of an empty tree: one array per level, slots first, and the root. 2 MB, shared by all trees to copy."""
    levels = []
    node = bytes(EMPTY_BUCKET)
    for depth in range(SLOT_DEPTH, 0, -1):
        levels.append(node * FANOUT**depth)
        node = sha256(_NODE + node * FANOUT).digest()
    return tuple(levels), Hash(sha256(_ROOT + node).digest())


def _pack_siblings(hashes: list[bytes], own: int) -> bytes:
    """Bitmap and hashes of the non-empty siblings of child `own`."""
    bitmap = 0
    kept = []
    for position, sibling in enumerate(hashes):
        if position != own and sibling != EMPTY_BUCKET:
            bitmap |= 1 << position
            kept.append(sibling)
    return bitmap.to_bytes(2, "big") + b"".join(kept)


class StateTree:
    """The tree of one shard. `root` is the versioned root of the current content."""

    root: Hash

    def __init__(self) -> None:
        levels, self.root = _empty_levels()
        self._slots: list[_Subtree] = [b""] * SLOTS
        self._levels = [bytearray(level) for level in levels]

    def apply(self, updates: Mapping[bytes, bytes | None]) -> Undo:
        """Set (or, with None, remove) value hashes by path; cost is 2 to 5 us for each path.

        The returned undo takes exactly this call back, and only while it is the last one not yet taken back.
        """
        slots = self._slots
        undone: dict[int, _Subtree] = {}
        for path, value in updates.items():
            if len(path) != HASH_BYTES or (value is not None and len(value) != HASH_BYTES):
                raise InvariantViolated("paths and value hashes are 32 bytes")
            slot = path[0] << 8 | path[1]
            old = slots[slot]
            if slot not in undone:
                undone[slot] = old
            slots[slot] = _put(old, SLOT_DEPTH, path, value)
        before = self.root
        self._rehash(undone)
        return Undo(undone, before, self.root)

    def revert(self, undo: Undo) -> None:
        """Take back the last `apply`; several are taken back last first."""
        invariant(self.root == undo.root_after, "applied updates are taken back last first")
        for slot, old in undo.slots.items():
            self._slots[slot] = old
        self._rehash(undo.slots)
        invariant(self.root == undo.root_before, "an undo restores the root")

    def load(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Fill an empty tree from (path, value hash) pairs in increasing order of path; about 1 us each."""
        invariant(self.root == _empty_levels()[1], "only an empty tree is loaded")
        buckets: dict[int, list[bytes]] = {}
        previous = b""
        for path, value in entries:
            invariant(previous < path and len(path) == len(value) == HASH_BYTES, "loaded entries are in order of path")
            buckets.setdefault(path[0] << 8 | path[1], []).append(path + value)
            previous = path
        for slot, bucket in buckets.items():
            self._slots[slot] = _build(b"".join(bucket), SLOT_DEPTH)
        self._rehash(buckets)

    def _rehash(self, touched: Iterable[int]) -> None:
        """Bring the levels above the touched slots up to date, each node once."""
        hash_function, slots, level = sha256, self._slots, self._levels[0]
        for slot in touched:
            subtree = slots[slot]
            start = slot * HASH_BYTES
            level[start : start + HASH_BYTES] = (
                hash_function(_BUCKET + subtree).digest() if isinstance(subtree, bytes) else subtree.hash
            )
        node_bytes = FANOUT * HASH_BYTES
        for above in self._levels[1:]:
            # Each index writes its own 32 bytes, so the order of this set shows nowhere.
            touched = {index // FANOUT for index in touched}
            for index in touched:
                start = index * node_bytes
                above[index * HASH_BYTES : (index + 1) * HASH_BYTES] = hash_function(
                    _NODE + level[start : start + node_bytes]
                ).digest()
            level = above
        self.root = Hash(sha256(_ROOT + sha256(_NODE + level).digest()).digest())

    def prove(self, path: bytes) -> bytes:
        """Proof that `path` has its value hash under `root`, or none; 2 to 3 kB."""
        slot = path[0] << 8 | path[1]
        below: list[bytes] = []
        subtree, depth = self._slots[slot], SLOT_DEPTH
        while not isinstance(subtree, bytes):
            nibble = _nibble(path, depth)
            below.append(_pack_siblings([_hash_of(child) for child in subtree.children], nibble))
            subtree, depth = subtree.children[nibble], depth + 1
        packed = below[::-1]
        index = slot
        for level in self._levels:
            first = index // FANOUT * FANOUT
            offsets = range(first * HASH_BYTES, (first + FANOUT) * HASH_BYTES, HASH_BYTES)
            packed.append(_pack_siblings([bytes(level[at : at + HASH_BYTES]) for at in offsets], index % FANOUT))
            index //= FANOUT
        return bytes([depth]) + b"".join(packed) + subtree


def verify_proof(root: Hash, path: bytes, proof: bytes) -> bytes | None:
    """Value hash that `path` has under `root`, None when the proof shows that it has none.

    Costs at most 65 hashes. The caller knows from a certificate that `root` is the root of the height it asks about.

    Raises:
        Refused: `bad_proof`: not a canonical proof, or not one for this path and root.

    """
    if len(path) != HASH_BYTES or len(proof) > MAX_PROOF_BYTES:
        raise Refused("bad_proof", f"a path is 32 bytes and a proof at most {MAX_PROOF_BYTES}")
    if not proof or not SLOT_DEPTH <= proof[0] <= MAX_DEPTH:
        raise Refused("bad_proof", f"the depth must be {SLOT_DEPTH} to {MAX_DEPTH}")
    depth = proof[0]
    siblings: list[tuple[int, bytes]] = []
    offset = 1
    for _ in range(depth):
        bitmap = int.from_bytes(proof[offset : offset + 2], "big")
        end = offset + 2 + bitmap.bit_count() * HASH_BYTES
        if end > len(proof):
            raise Refused("bad_proof", "the proof is cut short")
        siblings.append((bitmap, proof[offset + 2 : end]))
        offset = end
    bucket = proof[offset:]
    value = _look_up(bucket, path, depth)
    node = sha256(_BUCKET + bucket).digest()
    for above, (bitmap, hashes) in enumerate(siblings, start=1):
        node = _fold(node, _nibble(path, depth - above), bitmap, hashes)
    if sha256(_ROOT + node).digest() != root:
        raise Refused("bad_proof", "the proof does not lead to this root")
    return value


def _look_up(bucket: bytes, path: bytes, depth: int) -> bytes | None:
    """The path's value hash in a proof's bucket, after checking that the bucket is canonical and in the right place."""
    if len(bucket) % ENTRY_BYTES or len(bucket) > MAX_BUCKET_BYTES:
        raise Refused("bad_proof", f"a bucket is at most {MAX_BUCKET_ENTRIES} entries of {ENTRY_BYTES} bytes")
    prefix = path.hex()[:depth]
    value = None
    previous = b""
    for offset in range(0, len(bucket), ENTRY_BYTES):
        entry = bucket[offset : offset + HASH_BYTES]
        if entry <= previous:
            raise Refused("bad_proof", "the entries of the bucket are out of order")
        if entry.hex()[:depth] != prefix:
            raise Refused("bad_proof", "the bucket holds an entry that belongs elsewhere")
        if entry == path:
            value = bucket[offset + HASH_BYTES : offset + ENTRY_BYTES]
        previous = entry
    return value


def _fold(node: bytes, own: int, bitmap: int, hashes: bytes) -> bytes:
    """Hash of the parent of child `own` from the packed siblings."""
    if bitmap >> own & 1:
        raise Refused("bad_proof", "the path's own position is marked as a sibling")
    children = []
    offset = 0
    for position in range(FANOUT):
        if position == own:
            children.append(node)
        elif bitmap >> position & 1:
            sibling = hashes[offset : offset + HASH_BYTES]
            if sibling == EMPTY_BUCKET:
                raise Refused("bad_proof", "an empty sibling is written out")
            children.append(sibling)
            offset += HASH_BYTES
        else:
            children.append(bytes(EMPTY_BUCKET))
    return sha256(_NODE + b"".join(children)).digest()
