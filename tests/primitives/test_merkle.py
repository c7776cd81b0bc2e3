"""Merkle trees against the recursive definition of RFC 9162 and the transparency project's own test cases."""

import base64
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import InvariantViolated
from primitives.merkle import EMPTY_ROOT, inclusion_proof, leaf_hash, node_hash, tree_root, verify_inclusion

VECTORS = Path(__file__).parent.parent / "vectors"


def reference_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 §2.1.1 word for word: split at the largest power of two below n."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + reference_root(leaves[:split]) + reference_root(leaves[split:])).digest()


def reference_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 9162 §2.1.3.1 word for word."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*reference_proof(leaves[:split], index), reference_root(leaves[split:])]
    return [*reference_proof(leaves[split:], index - split), reference_root(leaves[:split])]


def some_leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"leaf %d" % number) for number in range(count)]


def test_the_transparency_projects_inclusion_cases_all_have_their_verdict() -> None:
    cases: list[dict[str, Any]] = json.loads((VECTORS / "rfc9162-inclusion.json").read_text())
    assert len(cases) == 98
    assert any(case["wantErr"] for case in cases)
    for case in cases:
        # The vectors were written by Go, where "no hashes" is null.
        proof = [base64.b64decode(each) for each in case["proof"] or ()]
        root, leaf = (base64.b64decode(case[field] or "") for field in ("root", "leafHash"))
        verdict = verify_inclusion(leaf, case["leafIdx"], case["treeSize"], proof, root)
        assert verdict is not case["wantErr"], case["name"]


def test_roots_and_proofs_are_those_of_the_definition_for_every_small_size() -> None:
    for size in range(71):
        leaves = some_leaves(size)
        root = tree_root(leaves)
        assert root == reference_root(leaves)
        for index in range(size):
            proof = inclusion_proof(leaves, index)
            assert list(proof) == reference_proof(leaves, index)
            assert verify_inclusion(leaves[index], index, size, proof, root)


def test_a_leaf_a_node_and_the_empty_tree_hash_as_the_rfc_says() -> None:
    assert tree_root([]) == EMPTY_ROOT == sha256(b"").digest()
    assert leaf_hash(b"data") == sha256(b"\x00data").digest()
    assert node_hash(bytes(32), bytes(range(32))) == sha256(b"\x01" + bytes(32) + bytes(range(32))).digest()


def test_an_odd_leaf_is_promoted_and_never_doubled() -> None:
    leaves = some_leaves(3)
    assert tree_root(leaves) != tree_root([*leaves, leaves[2]])


def test_no_index_or_size_but_the_true_one_verifies() -> None:
    for size in range(1, 20):
        leaves = some_leaves(size)
        root = tree_root(leaves)
        for index in range(size):
            proof = inclusion_proof(leaves, index)
            verified = [at for at in range(40) if verify_inclusion(leaves[index], at, size, proof, root)]
            assert verified == [index]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.data())
def test_a_proof_with_any_bit_changed_is_refused(size: int, data: st.DataObject) -> None:
    leaves = some_leaves(size)
    index = data.draw(st.integers(0, size - 1))
    parts = [bytearray(each) for each in (leaves[index], tree_root(leaves), *inclusion_proof(leaves, index))]
    part = data.draw(st.sampled_from(range(len(parts))))
    bit = data.draw(st.integers(0, 255))
    parts[part][bit >> 3] ^= 1 << (bit & 7)
    leaf, root, *proof = (bytes(each) for each in parts)
    assert not verify_inclusion(leaf, index, size, proof, root)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 200), st.data())
def test_a_proof_that_is_longer_shorter_or_reordered_is_refused(size: int, data: st.DataObject) -> None:
    leaves = some_leaves(size)
    index = data.draw(st.integers(0, size - 1))
    root, proof = tree_root(leaves), inclusion_proof(leaves, index)
    assert not verify_inclusion(leaves[index], index, size, proof[:-1], root)
    assert not verify_inclusion(leaves[index], index, size, (*proof, bytes(32)), root)
    if len(proof) > 1:
        assert not verify_inclusion(leaves[index], index, size, proof[::-1], root)


@pytest.mark.parametrize("index", [-1, 1, 2**63, 2**1000])
@pytest.mark.parametrize("size", [-1, 0, 1, 2**63, 2**1000])
def test_absurd_indexes_and_sizes_are_false_at_once(index: int, size: int) -> None:
    leaf = leaf_hash(b"leaf")
    assert not verify_inclusion(leaf, index, size, [leaf] * 63, leaf)


def test_a_missing_proof_and_hashes_of_the_wrong_length_are_false() -> None:
    leaves = some_leaves(2)
    assert not verify_inclusion(leaves[0], 0, 1, None, leaves[0])
    # The bytes of the two hashes in another cut: only the length tells.
    joined = leaves[0] + leaves[1]
    assert node_hash(joined[:33], joined[33:]) == tree_root(leaves)
    assert not verify_inclusion(joined[:33], 0, 2, [joined[33:]], tree_root(leaves))
    assert not verify_inclusion(leaves[0], 0, 2, [bytes(31)], node_hash(leaves[0], bytes(31)))
    assert not verify_inclusion(leaves[0][:31], 0, 1, [], leaves[0][:31])
    assert not verify_inclusion(b"", 0, 1, [], b"")


def test_a_node_cannot_pass_for_a_leaf() -> None:
    leaves = some_leaves(4)
    left, right = tree_root(leaves[:2]), tree_root(leaves[2:])
    assert not verify_inclusion(left, 0, 4, [right], tree_root(leaves))
    assert leaf_hash(leaves[0] + leaves[1]) != left


def test_asking_for_a_proof_of_no_leaf_is_our_own_mistake() -> None:
    with pytest.raises(InvariantViolated):
        inclusion_proof(some_leaves(3), 3)
