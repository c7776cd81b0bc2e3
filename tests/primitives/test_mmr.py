"""The mountain range against a naive one that hashes everything again for every question."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives import mmr
from primitives.errors import NotYet, Refused
from primitives.identifiers import Hash
from primitives.mmr import EMPTY, NodeReader, Peaks, append, check_peaks, extend, inclusion_path, peaks_at, right_hashes

LARGEST = 300


def leaf(number: int) -> Hash:
    return Hash(sha256(b"leaf %d" % number).digest())


LEAVES = [leaf(number) for number in range(LARGEST)]


def reference_tree(leaves: Sequence[bytes]) -> bytes:
    """Perfect tree over a power of two of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) >> 1
    return sha256(b"\x01" + reference_tree(leaves[:half]) + reference_tree(leaves[half:])).digest()


def reference_peaks(leaves: Sequence[bytes]) -> list[bytes]:
    peaks, start = [], 0
    for level in range(len(leaves).bit_length(), -1, -1):
        if len(leaves) & (1 << level):
            peaks.append(reference_tree(leaves[start : start + (1 << level)]))
            start += 1 << level
    return peaks


def reference_root(leaves: Sequence[bytes]) -> bytes:
    count = len(leaves).to_bytes(8, "big")
    return sha256(b"ostraka/mmr-root/v1\0" + count + b"".join(reference_peaks(leaves))).digest()


def grown() -> tuple[list[Peaks], NodeReader]:
    """Peaks at every size up to LARGEST and a reader of every node."""
    nodes: dict[tuple[int, int], Hash] = {}
    history = [EMPTY]
    for each in LEAVES:
        peaks, made = append(history[-1], each)
        history.append(peaks)
        for node in made:
            assert (node.level, node.index) not in nodes
            nodes[node.level, node.index] = node.hash
    return history, lambda level, index: nodes.get((level, index))


HISTORY, READ = grown()


def flip(value: Hash, bit: int) -> Hash:
    return Hash((int.from_bytes(value, "big") ^ (1 << bit)).to_bytes(32, "big"))


def verify(index: int, size: int, path: Sequence[bytes], peaks: Sequence[bytes], root: bytes) -> bool:
    return mmr.verify_inclusion(LEAVES[index], index, size, path, peaks, root)


def test_appending_gives_the_peaks_and_root_of_the_definition_at_every_size() -> None:
    for size, peaks in enumerate(HISTORY):
        check_peaks(peaks)
        assert peaks == Peaks(size, tuple(Hash(each) for each in reference_peaks(LEAVES[:size])))
        assert peaks.root() == reference_root(LEAVES[:size])


def test_every_kept_node_is_the_root_over_its_leaves() -> None:
    for level in range(9):
        for index in range((LARGEST >> level) + 1):
            covered = LEAVES[index << level : (index + 1) << level]
            expected = reference_tree(covered) if len(covered) == 1 << level else None
            assert READ(level, index) == expected


def test_peaks_of_any_earlier_size_can_be_read_back() -> None:
    assert [peaks_at(size, READ) for size in range(LARGEST + 1)] == HISTORY


def test_every_leaf_is_proved_at_every_small_size() -> None:
    for size in range(1, 71):
        peaks = HISTORY[size]
        for index in range(size):
            assert verify(index, size, inclusion_path(index, size, READ), peaks.hashes, peaks.root())


def test_no_other_index_or_size_verifies() -> None:
    for size in range(1, 18):
        peaks = HISTORY[size]
        for index in range(size):
            path = inclusion_path(index, size, READ)
            verified = [
                (at, of)
                for at in range(20)
                for of in range(20)
                if mmr.verify_inclusion(LEAVES[index], at, of, path, peaks.hashes, peaks.root())
            ]
            assert verified == [(index, size)]


def test_every_range_of_every_small_size_is_proved() -> None:
    for end in range(41):
        for first in range(end + 1):
            for k in range(first, end + 1):
                peaks = HISTORY[first]
                for each in LEAVES[first:k]:
                    peaks, _ = append(peaks, each)
                assert extend(peaks, right_hashes(k, end, READ), end) == HISTORY[end]


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_range_proof_with_anything_changed_leads_to_another_root(data: st.DataObject) -> None:
    end = data.draw(st.integers(1, LARGEST))
    first = data.draw(st.integers(0, end))
    k = data.draw(st.integers(first, end))
    start, middle, right = list(HISTORY[first].hashes), list(LEAVES[first:k]), list(right_hashes(k, end, READ))
    target = data.draw(st.sampled_from([part for part in (start, middle, right) if part]))
    at = data.draw(st.integers(0, len(target) - 1))
    target[at] = flip(target[at], data.draw(st.integers(0, 255)))
    peaks = Peaks(first, tuple(start))
    for each in middle:
        peaks, _ = append(peaks, each)
    assert extend(peaks, right, end).root() != HISTORY[end].root()


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_an_inclusion_proof_with_any_bit_changed_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    path, peaks = list(inclusion_path(index, size, READ)), list(HISTORY[size].hashes)
    root = HISTORY[size].root()
    target = data.draw(st.sampled_from([part for part in (path, peaks) if part]))
    at = data.draw(st.integers(0, len(target) - 1))
    target[at] = flip(target[at], data.draw(st.integers(0, 255)))
    assert not verify(index, size, path, peaks, root)


def test_the_root_binds_the_count() -> None:
    # The same peaks under another count: a root without the count would accept both.
    one, two = HISTORY[1], HISTORY[2]
    assert Peaks(2, one.hashes).root() != one.root()
    assert Peaks(4, two.hashes).root() != two.root()
    assert not mmr.verify_inclusion(two.hashes[0], 0, 1, (), two.hashes, two.root())


def test_a_proof_of_the_wrong_length_is_refused() -> None:
    peaks, path = HISTORY[7], inclusion_path(2, 7, READ)
    root = peaks.root()
    assert verify(2, 7, path, peaks.hashes, root)
    assert not verify(2, 7, path[:-1], peaks.hashes, root)
    assert not verify(2, 7, (*path, path[0]), peaks.hashes, root)
    assert not verify(2, 7, path, peaks.hashes[:-1], root)
    assert not verify(2, 7, path, (*peaks.hashes, path[0]), root)
    assert not verify(2, 7, path, (peaks.hashes[0] + peaks.hashes[1][:1], peaks.hashes[1][1:], peaks.hashes[2]), root)


def test_an_inner_node_cannot_pass_for_a_leaf() -> None:
    peaks, path = HISTORY[8], inclusion_path(0, 8, READ)
    inner = READ(1, 0)
    assert inner is not None
    assert not mmr.verify_inclusion(inner, 0, 8, path[1:], peaks.hashes, peaks.root())


def test_hashes_cut_at_another_place_are_refused() -> None:
    peaks = HISTORY[7]
    first, second, third = peaks.hashes
    assert verify(6, 7, (), peaks.hashes, peaks.root())
    assert not verify(6, 7, (), (first + second[:1], second[1:], third), peaks.root())
    leaf, path = LEAVES[4], inclusion_path(4, 7, READ)
    assert mmr.verify_inclusion(leaf, 4, 7, path, peaks.hashes, peaks.root())
    assert not mmr.verify_inclusion(leaf + path[0][:1], 4, 7, (path[0][1:],), peaks.hashes, peaks.root())


def test_a_leaf_that_is_no_hash_is_refused_even_in_a_list_made_for_it() -> None:
    forged = Peaks(2, (Hash(sha256(b"\x01short" + LEAVES[1]).digest()),))
    assert not mmr.verify_inclusion(b"short", 0, 2, (LEAVES[1],), forged.hashes, forged.root())


def test_a_size_beyond_eight_bytes_is_false_although_its_shape_fits() -> None:
    assert not mmr.verify_inclusion(LEAVES[0], 2**64, 2**64 + 1, (), (LEAVES[1], LEAVES[0]), bytes(32))


@pytest.mark.parametrize("index", [-1, 5, 2**63, 2**1000])
@pytest.mark.parametrize("size", [-1, 0, 5, 2**63, 2**1000])
def test_absurd_indexes_and_sizes_are_false_at_once(index: int, size: int) -> None:
    peaks = HISTORY[5]
    assert not mmr.verify_inclusion(LEAVES[0], index, size, LEAVES[:63], peaks.hashes, peaks.root())


def test_a_count_near_the_limit_costs_no_more_than_its_bits() -> None:
    size = 2**63 - 1
    peaks = Peaks(size - 1, tuple(LEAVES[:62]))
    check_peaks(peaks)
    full = extend(peaks, [LEAVES[99]], size)
    assert full == append(peaks, LEAVES[99])[0]
    assert mmr.verify_inclusion(LEAVES[99], size - 1, size, (), full.hashes, full.root())
    with pytest.raises(Refused, match="list_full"):
        append(full, LEAVES[0])


@pytest.mark.parametrize(
    "peaks",
    [
        Peaks(-1, ()),
        Peaks(0, (LEAVES[0],)),
        Peaks(1, ()),
        Peaks(3, (LEAVES[0],)),
        Peaks(4, (LEAVES[0], LEAVES[1])),
        Peaks(1, (Hash(bytes(31)),)),
        Peaks(2**63, (LEAVES[0],)),
        Peaks(2**1000, (LEAVES[0],)),
    ],
)
def test_peaks_of_the_wrong_shape_are_refused(peaks: Peaks) -> None:
    with pytest.raises(Refused) as caught:
        check_peaks(peaks)
    assert caught.value.code == "bad_peaks"
    with pytest.raises(Refused):
        extend(peaks, (), peaks.size)


@pytest.mark.parametrize("count", [0, 1, 3, 200])
def test_the_wrong_number_of_right_hand_hashes_is_refused(count: int) -> None:
    with pytest.raises(Refused) as caught:
        extend(HISTORY[5], LEAVES[:count], 8)  # [5, 6) and [6, 8)
    assert caught.value.code == "bad_proof"


def test_a_right_hand_hash_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        extend(HISTORY[5], [LEAVES[0], Hash(bytes(33))], 8)
    assert caught.value.code == "bad_proof"


@pytest.mark.parametrize(("start", "end"), [(5, 4), (-1, 4), (4, 2**63), (4, 2**1000)])
def test_an_impossible_range_is_refused(start: int, end: int) -> None:
    with pytest.raises(Refused) as caught:
        right_hashes(start, end, READ)
    assert caught.value.code == "bad_range"
    if start >= 0:
        with pytest.raises(Refused) as caught:
            extend(HISTORY[start], (), end)
        assert caught.value.code == "bad_range"


def test_a_proof_of_a_leaf_that_is_not_there_is_refused() -> None:
    for index in (-1, 5, 6):
        with pytest.raises(Refused) as caught:
            inclusion_path(index, 5, READ)
        assert caught.value.code == "bad_range"


def test_a_store_that_lacks_nodes_says_not_yet() -> None:
    def nothing(level: int, index: int) -> Hash | None:
        return None

    with pytest.raises(NotYet):
        peaks_at(5, nothing)
    with pytest.raises(NotYet):
        right_hashes(2, 5, nothing)
    with pytest.raises(NotYet):
        inclusion_path(0, 5, nothing)


def test_a_proof_reads_only_logarithmically_many_nodes() -> None:
    reads: list[tuple[int, int]] = []

    def counted(level: int, index: int) -> Hash | None:
        reads.append((level, index))
        return READ(level, index)

    inclusion_path(77, 300, counted)
    right_hashes(77, 300, counted)
    peaks_at(300, counted)
    assert len(reads) <= 9 + 2 * 9 + 9
