"""Merkle trees over lists, exactly as RFC 9162 (Certificate Transparency 2.0) §2.1 has them.

A leaf is H(0x00 ‖ data), a node H(0x01 ‖ left ‖ right), the empty tree H(""); an odd node is promoted to the next
level, never paired with itself. A root says nothing about how many leaves it has: whoever commits to a root commits
to the count beside it, and `verify_inclusion` takes that count.
"""

from collections.abc import Sequence
from hashlib import sha256

from primitives.errors import invariant
from primitives.identifiers import MAX_INTEGER, Hash

HASH_BYTES = 32
EMPTY_ROOT = Hash(sha256(b"").digest())

_LEAF = b"\x00"
_NODE = b"\x01"


def leaf_hash(data: bytes) -> Hash:
    """Hash of one list entry."""
    return Hash(sha256(_LEAF + data).digest())


def node_hash(left: bytes, right: bytes) -> Hash:
    """Hash of an inner node over two 32-byte hashes."""
    return Hash(sha256(_NODE + left + right).digest())


def _parents(level: Sequence[bytes]) -> list[bytes]:
    """Next level up: pairs hashed, an odd last node promoted."""
    above = [sha256(_NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    if len(level) & 1:
        above.append(level[-1])
    return above


def tree_root(leaf_hashes: Sequence[bytes]) -> Hash:
    """Root over 32-byte leaf hashes, O(n); `EMPTY_ROOT` over none."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = leaf_hashes
    while len(level) > 1:
        level = _parents(level)
    return Hash(level[0])


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> tuple[Hash, ...]:
    """Sibling hashes from leaf to root (RFC 9162 §2.1.3.1); at most ceil(log2(n)) of them."""
    invariant(0 <= index < len(leaf_hashes), "a proof is for one of the leaves")
    proof: list[Hash] = []
    level = leaf_hashes
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(Hash(level[sibling]))
        level = _parents(level)
        index >>= 1
    return tuple(proof)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes] | None, root: bytes) -> bool:
    """Whether `leaf_hash` is leaf `index` of the `size` leaves under `root` (RFC 9162 §2.1.3.2).

    Everything may come from a peer: a wrong length, count, or a missing proof (None) is a False, never an error, and
    no more than 63 hashes are computed.
    """
    if proof is None or not 0 <= index < size <= MAX_INTEGER:
        return False
    # Levels where the path is not yet the right edge, then one sibling for each level where it is a right child.
    last = size - 1
    inner = (index ^ last).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        return False
    if any(len(each) != HASH_BYTES for each in (leaf_hash, *proof)):
        return False
    node = leaf_hash
    for level, sibling in enumerate(proof):
        is_right = level >= inner or index >> level & 1
        node = node_hash(sibling, node) if is_right else node_hash(node, sibling)
    return node == root
