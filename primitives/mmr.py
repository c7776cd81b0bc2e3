"""A Merkle mountain range: an append-only list whose root binds its count and whose proofs need O(log n) stored nodes.

The list of `size` leaves is cut into perfect binary trees, the *mountains*, one for each set bit of `size`, the
largest first. Their roots are the *peaks*, and

    root = H(tag ‖ size as 8 big-endian bytes ‖ peaks, largest first)        node = H(0x01 ‖ left ‖ right)

so that no two lists of different length share a root. Leaves are hashes, tagged by whoever makes them.

A node is named (level, index): it is the root over leaves [index << level, (index + 1) << level) and never changes
once it exists. Whoever keeps every `Node` that `append` returns can make any proof for any earlier size:

- *inclusion*: the path inside the leaf's mountain, and all peaks;
- *range* [first, k) of a list of `end` leaves: the peaks at `first`, the leaves (each appended), and the roots of the
  maximal aligned subtrees that cover [k, end), left to right. `extend` appends those, and the root at `end` must
  come out. One root thus proves any backlog, with at most 63 + 126 hashes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from primitives.errors import NotYet, Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import MAX_INTEGER, Hash
from primitives.merkle import HASH_BYTES, node_hash

NodeReader = Callable[[int, int], Hash | None]
"""(level, index) -> the node's hash, None when the store does not have it."""


class Node(NamedTuple):
    """A node of the range; level 0 is a leaf."""

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on a node
    hash: Hash


class Peaks(NamedTuple):
    """All there is to know to append: the count and the roots of the mountains, largest first."""

    size: int
    hashes: tuple[Hash, ...]

    def root(self) -> Hash:
        """Root that binds the count and every leaf."""
        return tagged_hash(Domain.MMR_ROOT, self.size.to_bytes(8, "big"), *self.hashes)


EMPTY = Peaks(0, ())


def check_peaks(peaks: Peaks) -> None:
    """Check the shape of peaks that somebody sent.

    Raises:
        Refused: `bad_peaks`: one 32-byte hash is needed for each set bit of a size from 0 to 2**63-1.

    """
    size, hashes = peaks
    if not 0 <= size <= MAX_INTEGER:
        raise Refused("bad_peaks", "the size must be 0 to 2**63-1")
    if len(hashes) != size.bit_count():
        raise Refused("bad_peaks", f"size {size} has {size.bit_count()} peaks, got {len(hashes)}")
    if any(len(peak) != HASH_BYTES for peak in hashes):
        raise Refused("bad_peaks", "every peak must be a 32-byte hash")


def append(peaks: Peaks, leaf: Hash) -> tuple[Peaks, tuple[Node, ...]]:
    """Append a leaf; also return every node this made, the leaf first (the store keeps them for proofs)."""
    size, hashes = peaks
    if size >= MAX_INTEGER:
        raise Refused("list_full", "a list holds at most 2**63-1 leaves")
    made = [Node(0, size, leaf)]
    stack = list(hashes)
    level, node = 0, leaf
    while size >> level & 1:
        node = node_hash(stack.pop(), node)
        level += 1
        made.append(Node(level, size >> level, node))
    stack.append(node)
    return Peaks(size + 1, tuple(stack)), tuple(made)


def _subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """(level, index) of the maximal aligned subtrees that cover [start, end), in order; at most 126.

    For start = 0 these are the mountains of a list of `end` leaves.
    """
    cover = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        cover.append((level, start >> level))
        start += 1 << level
    return cover


def _must_read(read: NodeReader, level: int, index: int) -> Hash:
    node = read(level, index)
    if node is None:
        raise NotYet(f"node {index} at level {level} of the mountain range is not in the store")
    return node


def peaks_at(size: int, read: NodeReader) -> Peaks:
    """Peaks of the list when it had `size` leaves.

    Raises:
        NotYet: the store lacks one of its nodes.

    """
    _check_range(0, size)
    return Peaks(size, tuple(_must_read(read, level, index) for level, index in _subtrees(0, size)))


def right_hashes(k: int, end: int, read: NodeReader) -> tuple[Hash, ...]:
    """Roots of the maximal aligned subtrees over leaves [k, end), in order: what `extend` takes.

    Raises:
        NotYet: the store lacks one of its nodes.
        Refused: `bad_range`.

    """
    _check_range(k, end)
    return tuple(_must_read(read, level, index) for level, index in _subtrees(k, end))


def extend(peaks: Peaks, hashes: Sequence[Hash], end: int) -> Peaks:
    """Append the subtrees over [peaks.size, end) whose roots are `hashes`; all of it may come from a peer.

    Raises:
        Refused: `bad_peaks`, `bad_range` or, for a wrong number or length of hashes, `bad_proof`.

    """
    check_peaks(peaks)
    _check_range(peaks.size, end)
    cover = _subtrees(peaks.size, end)
    if len(hashes) != len(cover):
        raise Refused("bad_proof", f"leaves {peaks.size} to {end} are {len(cover)} subtrees, got {len(hashes)} hashes")
    if any(len(each) != HASH_BYTES for each in hashes):
        raise Refused("bad_proof", "every subtree root must be a 32-byte hash")
    stack = list(peaks.hashes)
    for (_, index), node in zip(cover, hashes, strict=True):
        # `index` counts subtrees of this level to the left; an odd one has its left sibling on the stack.
        while index & 1:
            node = node_hash(stack.pop(), node)
            index >>= 1
        stack.append(node)
    return Peaks(end, tuple(stack))


def inclusion_path(index: int, size: int, read: NodeReader) -> tuple[Hash, ...]:
    """Sibling hashes of leaf `index`, up to the peak of its mountain in the list of `size` leaves.

    Raises:
        NotYet: the store lacks one of its nodes.
        Refused: `bad_range`: there is no such leaf.

    """
    if not 0 <= index < size <= MAX_INTEGER:
        raise Refused("bad_range", "the leaf's index must be below the size, and the size below 2**63")
    _, height = _mountain_of(index, size)
    return tuple(_must_read(read, level, (index >> level) ^ 1) for level in range(height))


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], peaks: Sequence[bytes], root: bytes
) -> bool:
    """Whether `leaf` is leaf `index` of the list of exactly `size` leaves with this root.

    Everything may come from a peer; a False, never an error, and at most 64 hashes are computed.
    """
    if not 0 <= index < size <= MAX_INTEGER:
        return False
    which, height = _mountain_of(index, size)
    if len(path) != height or len(peaks) != size.bit_count():
        return False
    if any(len(each) != HASH_BYTES for each in (leaf, *path, *peaks)):
        return False
    node = leaf
    for level, sibling in enumerate(path):
        node = node_hash(sibling, node) if index >> level & 1 else node_hash(node, sibling)
    return node == peaks[which] and Peaks(size, tuple(Hash(peak) for peak in peaks)).root() == root


def _mountain_of(index: int, size: int) -> tuple[int, int]:
    """(which peak, height) of the mountain that leaf `index` < `size` is in.

    The highest bit in which they differ is set in `size`: the mountains before it hold the bits above, in common.
    """
    height = (index ^ size).bit_length() - 1
    return (size >> height >> 1).bit_count(), height


def _check_range(start: int, end: int) -> None:
    if not 0 <= start <= end <= MAX_INTEGER:
        raise Refused("bad_range", "a range must have 0 <= start <= end < 2**63")
