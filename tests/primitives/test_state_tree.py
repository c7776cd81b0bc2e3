"""The state tree is a function of its content; its proofs say only what is so."""

from collections.abc import Mapping
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import InvariantViolated, Refused
from primitives.identifiers import Hash
from primitives.state_tree import (
    EMPTY_BUCKET,
    ENTRY_BYTES,
    MAX_BUCKET_ENTRIES,
    MAX_DEPTH,
    MAX_PROOF_BYTES,
    StateTree,
    path_of,
    value_hash,
    verify_proof,
)

Content = dict[bytes, bytes]


def hashed(data: bytes) -> bytes:
    return sha256(data).digest()


EMPTY_AT = [hashed(b"\x00")]
for _ in range(4):
    EMPTY_AT.append(hashed(b"\x01" + EMPTY_AT[-1] * 16))


def reference_node(content: Mapping[bytes, bytes], prefix: str) -> bytes:
    """Hash of the subtree of paths that begin with `prefix` (hex), by definition and from scratch."""
    below = sorted(path for path in content if path.hex().startswith(prefix))
    if not below and len(prefix) <= 4:
        return EMPTY_AT[4 - len(prefix)]
    if len(prefix) >= 4 and len(below) <= 32:
        return hashed(b"\x00" + b"".join(path + content[path] for path in below))
    inner = {path: content[path] for path in below}
    return hashed(b"\x01" + b"".join(reference_node(inner, prefix + digit) for digit in "0123456789abcdef"))


def reference_root(content: Mapping[bytes, bytes]) -> bytes:
    return hashed(b"\x03\x01" + reference_node(content, ""))


def loaded(content: Mapping[bytes, bytes]) -> StateTree:
    tree = StateTree()
    tree.load(sorted(content.items()))
    return tree


def crowded(count: int, shared: bytes, seed: int = 0) -> Content:
    """Content whose paths all begin with `shared`: they land in one slot and force splits."""
    random = Random(seed)
    return {shared + random.randbytes(32 - len(shared)): random.randbytes(32) for _ in range(count)}


def verified_or_refused(root: Hash, path: bytes, proof: bytes) -> bytes | None:
    """Value hash that a proof shows, the refusal's code when it shows nothing; any other exception fails the test."""
    try:
        return verify_proof(root, path, proof)
    except Refused as refusal:
        return refusal.code.encode()


def test_paths_and_value_hashes_are_tagged_and_length_prefixed() -> None:
    assert path_of(7, b"coin", b"key") == hashed(b"\x10\x07\x00\x04coinkey")
    assert value_hash(b"value") == hashed(b"\x02value")
    assert path_of(1, b"ab", b"c") != path_of(1, b"a", b"bc")
    assert path_of(1, b"", b"k") != path_of(2, b"", b"k")


def test_an_empty_tree_has_the_root_of_the_definition_and_proves_absence() -> None:
    tree = StateTree()
    assert tree.root == reference_root({})
    assert verify_proof(tree.root, bytes(32), tree.prove(bytes(32))) is None


@pytest.mark.parametrize("shared", [b"", b"\xab", b"\xab\xcd", b"\x00\x00\x00", b"\x01\x02\x03\x04\x05", bytes(30)])
def test_the_root_is_that_of_the_definition(shared: bytes) -> None:
    for count in (1, 31, 32, 33, 34, 150):
        content = crowded(count, shared)
        expected = reference_root(content)
        assert loaded(content).root == expected
        tree = StateTree()
        tree.apply(content)
        assert tree.root == expected


@pytest.mark.parametrize("shared", [b"", b"\xab", b"\xab\xcd", bytes(3), b"\x01\x02\x03\x04"])
def test_applied_updates_give_the_root_of_a_tree_built_again(shared: bytes) -> None:
    random = Random(f"history {shared.hex()}")
    tree, content = StateTree(), Content()
    for step in range(25):
        updates: dict[bytes, bytes | None] = {}
        for _ in range(random.choice((1, 5, 60))):
            if content and random.random() < 0.5:
                known = random.choice(list(content))
                updates[known] = None if random.random() < 0.55 else random.randbytes(32)
            else:
                updates[shared + random.randbytes(32 - len(shared))] = random.randbytes(32)
        updates[random.randbytes(32)] = None
        before = tree.root
        undo = tree.apply(updates)
        if step % 3 == 0:
            tree.revert(undo)
            assert tree.root == before == loaded(content).root
            tree.apply(updates)
        for path, value in updates.items():
            if value is None:
                content.pop(path, None)
            else:
                content[path] = value
        assert tree.root == loaded(content).root
        for path in (*list(content)[:3], shared + random.randbytes(32 - len(shared))):
            assert verify_proof(tree.root, path, tree.prove(path)) == content.get(path)


# Few distinct paths close to each other, so that random updates meet, split and merge.
near_paths = st.tuples(st.integers(0, 3), st.integers(0, 60)).map(
    lambda drawn: b"\xaa\xbb" + bytes([drawn[0] << 4 | drawn[1] >> 4, drawn[1] << 4 & 0xFF]) + bytes(28)
)
values = st.binary(min_size=32, max_size=32)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.dictionaries(near_paths, st.one_of(st.none(), values), max_size=80), max_size=6))
def test_the_root_depends_on_the_content_only(history: list[dict[bytes, bytes | None]]) -> None:
    tree, merged = StateTree(), dict[bytes, bytes | None]()
    undos = []
    for updates in history:
        undos.append((tree.root, tree.apply(updates)))
        merged.update(updates)
    content = {path: value for path, value in merged.items() if value is not None}
    assert tree.root == loaded(content).root
    for path in merged:
        assert verify_proof(tree.root, path, tree.prove(path)) == content.get(path)
    for root, undo in reversed(undos):
        tree.revert(undo)
        assert tree.root == root
    assert tree.root == StateTree().root


@settings(deadline=None, max_examples=20)
@given(st.randoms(use_true_random=False))
def test_the_order_of_updates_does_not_show(random: Random) -> None:
    content = crowded(80, b"\x12\x34")
    shuffled = list(content.items())
    random.shuffle(shuffled)
    one_by_one = StateTree()
    for path, value in shuffled:
        one_by_one.apply({path: value})
    assert one_by_one.root == loaded(content).root


def test_a_bucket_splits_above_its_limit_and_merges_again_at_it() -> None:
    content = crowded(MAX_BUCKET_ENTRIES, b"\xab\xcd")
    tree = loaded(content)
    full = tree.root
    extra = crowded(1, b"\xab\xcd", seed=1)
    (path,) = extra
    assert tree.prove(path)[0] == 4
    undo = tree.apply(extra)
    assert tree.prove(path)[0] > 4
    tree.apply({path: None})
    assert (tree.root, tree.prove(path)[0]) == (full, 4)
    tree.apply(extra)
    tree.revert(undo)
    assert (tree.root, tree.prove(path)[0]) == (full, 4)


def test_paths_that_differ_in_their_last_nibble_only_go_as_deep_as_a_path_is_long() -> None:
    content = {
        bytes(30) + high.to_bytes(1, "big") + low.to_bytes(1, "big"): hashed(b"v")
        for high in (0, 1)
        for low in range(40)
    }
    tree = loaded(content)
    assert tree.root == reference_root(content)
    for path in (*content, bytes(31) + b"\xff"):
        assert verify_proof(tree.root, path, tree.prove(path)) == content.get(path)
    assert tree.prove(bytes(32))[0] == MAX_DEPTH - 1


def test_a_path_is_found_although_its_bytes_occur_across_two_entries_before_it() -> None:
    # A value hash and the start of the next path, or two, that together spell the path looked for.
    path = b"\xab\xcd" + b"\xab\xcd" * 15
    decoy = b"\xab\xcd" + bytes(30)
    content = {decoy: path, path: hashed(b"true")}
    tree = loaded(content)
    tree.apply({path: hashed(b"new")})
    assert tree.root == reference_root({decoy: path, path: hashed(b"new")})
    tree.apply({path: None})
    assert tree.root == reference_root({decoy: path})
    tree.apply({path: None})
    assert tree.root == reference_root({decoy: path})


def test_setting_the_value_that_is_there_or_removing_what_is_not_changes_nothing() -> None:
    content = crowded(50, b"\x77\x77")
    tree = loaded(content)
    root = tree.root
    path, value = next(iter(content.items()))
    tree.apply({path: value, bytes(32): None})
    tree.apply({})
    assert tree.root == root


@pytest.mark.parametrize("shared", [b"", b"\xab\xcd", bytes(8)])
def test_a_proof_with_any_bit_changed_is_refused(shared: bytes) -> None:
    random = Random(f"bits {shared.hex()}")
    content = crowded(120, shared)
    tree = loaded(content)
    for path in (*list(content)[:2], shared + random.randbytes(32 - len(shared))):
        proof = tree.prove(path)
        # All bits of the framing of the first level, and bits all over the rest.
        bits = [*range(24), *random.sample(range(8 * len(proof)), 200)]
        for bit in bits:
            changed = bytearray(proof)
            changed[bit >> 3] ^= 1 << (bit & 7)
            assert verified_or_refused(tree.root, path, bytes(changed)) == b"bad_proof"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_proof_cut_extended_or_spliced_is_refused(data: st.DataObject) -> None:
    content = crowded(60, b"\xab\xcd")
    tree = loaded(content)
    path = data.draw(st.sampled_from(sorted(content)))
    proof = tree.prove(path)
    start = data.draw(st.integers(0, len(proof) - 1))
    length = data.draw(st.integers(1, 64))
    for changed in (proof[:start], proof[:start] + proof[start + length :], proof + proof[start : start + length]):
        if changed != proof:
            assert verified_or_refused(tree.root, path, changed) == b"bad_proof"


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=600), values, values)
def test_arbitrary_bytes_prove_nothing(proof: bytes, root: bytes, path: bytes) -> None:
    assert verified_or_refused(Hash(root), path, proof) == b"bad_proof"


def test_a_proof_for_one_path_shows_nothing_of_a_path_in_another_bucket() -> None:
    content = {bytes([first]) + bytes(31): hashed(b"v") for first in range(20)}
    tree = loaded(content)
    proof = tree.prove(bytes(32))
    assert verified_or_refused(tree.root, b"\x01" + bytes(31), proof) == b"bad_proof"
    # In the same bucket one proof serves all: the bucket is shown whole.
    assert verify_proof(tree.root, bytes(31) + b"\x01", proof) is None


def test_presence_cannot_be_shown_as_absence_under_another_depth() -> None:
    content = crowded(40, b"\xab\xcd")
    tree = loaded(content)
    path = next(iter(content))
    proof = tree.prove(path)
    for depth in range(256):
        if depth != proof[0]:
            assert verified_or_refused(tree.root, path, bytes([depth]) + proof[1:]) == b"bad_proof"


def fold_upwards(path: bytes, depth: int, bucket: bytes) -> tuple[Hash, bytes]:
    """Root and proof of a tree that is empty but for one bucket at `depth`: what a forger can make up."""
    node = hashed(b"\x00" + bucket)
    for level in range(depth - 1, -1, -1):
        children = [hashed(b"\x00") if level >= 3 else EMPTY_AT[3 - level]] * 16
        children[int(path.hex()[level], 16)] = node
        node = hashed(b"\x01" + b"".join(children))
    siblings = [b"\x00\x00"] * max(0, depth - 3)
    for level in range(min(depth, 3) - 1, -1, -1):
        own = int(path.hex()[level], 16)
        siblings.append((0xFFFF ^ 1 << own).to_bytes(2, "big") + EMPTY_AT[3 - level] * 15)
    return Hash(hashed(b"\x03\x01" + node)), bytes([depth]) + b"".join(siblings) + bucket


def test_a_hand_made_proof_verifies_when_it_is_canonical() -> None:
    path = bytes(range(32))
    for depth in (4, 5, 63, 64):
        root, proof = fold_upwards(path, depth, path + bytes(32))
        assert verify_proof(root, path, proof) == bytes(32)
    assert fold_upwards(path, 4, path + bytes(32))[0] == loaded({path: bytes(32)}).root


def test_buckets_that_are_not_canonical_are_refused_even_when_their_hash_fits() -> None:
    path = bytes(range(32))
    later = path[:31] + b"\xff"
    entry, second = path + bytes(32), later + bytes(32)
    many = b"".join(path[:30] + number.to_bytes(2, "big") + bytes(32) for number in range(33))
    not_canonical = {
        "out of order": (4, second + entry),
        "twice": (4, entry + entry),
        "elsewhere": (4, entry + b"\xff" * 32 + bytes(32)),
        "elsewhere by one nibble": (63, path[:31] + b"\x0f" + bytes(32) + later + bytes(32)),
        "too many": (4, many),
        "not whole": (4, entry + second[:63]),
    }
    for what, (depth, bucket) in not_canonical.items():
        root, proof = fold_upwards(path, depth, bucket)
        assert verified_or_refused(root, path, proof) == b"bad_proof", what
    for depth in (0, 3):
        root, proof = fold_upwards(path, depth, entry)
        assert verified_or_refused(root, path, proof) == b"bad_proof"


def test_an_empty_sibling_written_out_and_an_own_bit_set_are_refused() -> None:
    path = bytes(32)
    root, proof = fold_upwards(path, 4, path + bytes(32))
    assert verify_proof(root, path, proof) == bytes(32)
    written_out = proof[:1] + b"\x00\x02" + EMPTY_BUCKET + proof[3:]
    with pytest.raises(Refused, match="an empty sibling"):
        verify_proof(root, path, written_out)
    own_bit = proof[:1] + b"\x00\x01" + EMPTY_BUCKET + proof[3:]
    with pytest.raises(Refused, match="own position"):
        verify_proof(root, path, own_bit)


def test_a_proof_does_not_go_on_in_zeros_after_its_end() -> None:
    node = hashed(b"\x00")
    for _ in range(4):
        node = hashed(b"\x01" + node + EMPTY_BUCKET * 15)
    root, proof = Hash(hashed(b"\x03\x01" + node)), b"\x04" + bytes(8)
    assert verify_proof(root, bytes(32), proof) is None
    for length in range(len(proof)):
        assert verified_or_refused(root, bytes(32), proof[:length]) == b"bad_proof"


@pytest.mark.parametrize("depth", [65, 66, 255])
def test_a_proof_deeper_than_a_path_is_long_is_refused(depth: int) -> None:
    proof = bytes([depth]) + bytes(2 * depth)
    assert verified_or_refused(StateTree().root, bytes(32), proof) == b"bad_proof"


def test_oversized_proofs_and_paths_of_another_length_are_refused_at_once() -> None:
    root = StateTree().root
    for path, proof in ((bytes(32), bytes(MAX_PROOF_BYTES + 1)), (bytes(31), b"\x04"), (bytes(32), b"")):
        assert verified_or_refused(root, path, proof) == b"bad_proof"


def test_the_largest_proof_fits_its_limit() -> None:
    # 33 paths under every prefix of one path, on 15 other branches each: the worst that can be ground.
    target = bytes(32)
    content = {target[:30] + number.to_bytes(2, "big"): hashed(b"v") for number in range(64)}
    digits = target.hex()
    for depth in range(64):
        for other in range(1, 16):
            content[bytes.fromhex(digits[:depth] + f"{other:x}" + digits[depth + 1 :])] = hashed(b"v")
    tree = loaded(content)
    proof = tree.prove(target)
    assert proof[0] >= MAX_DEPTH - 2
    assert 25_000 < len(proof) <= MAX_PROOF_BYTES
    assert verify_proof(tree.root, target, proof) == hashed(b"v")


def test_undoing_out_of_order_is_our_own_mistake() -> None:
    tree = StateTree()
    first = tree.apply({bytes(32): hashed(b"1")})
    tree.apply({bytes(32): hashed(b"2")})
    with pytest.raises(InvariantViolated):
        tree.revert(first)


def test_loading_unsorted_doubled_or_into_a_filled_tree_is_our_own_mistake() -> None:
    low, high = bytes(32), b"\x01" * 32
    for entries in ([(high, low), (low, low)], [(low, low), (low, low)], [(low[:31], low)], [(low, low[:31])]):
        with pytest.raises(InvariantViolated):
            StateTree().load(entries)
    with pytest.raises(InvariantViolated):
        loaded({low: low}).load([(high, low)])
    with pytest.raises(InvariantViolated):
        StateTree().apply({low: b"short"})


def test_trees_do_not_share_what_they_change() -> None:
    first, second = StateTree(), StateTree()
    empty = second.root
    first.apply({bytes(32): hashed(b"1")})
    second.apply({})
    assert second.root == empty == StateTree().root
    assert verify_proof(second.root, bytes(32), second.prove(bytes(32))) is None


def test_an_entry_is_a_path_and_a_value_hash() -> None:
    tree = loaded({bytes(32): hashed(b"v")})
    assert tree.prove(bytes(32))[-ENTRY_BYTES:] == bytes(32) + hashed(b"v")
