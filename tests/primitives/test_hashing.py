"""Nothing of one kind hashes like something of another."""

from hashlib import sha256
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from primitives.hashing import Domain, Tag, tagged_hash

TAGS: dict[str, bytes] = {name: tag for name, tag in vars(Domain).items() if isinstance(tag, bytes)}

tags = st.sampled_from(sorted(TAGS.values())).map(Tag)


def test_every_tag_is_distinct_and_none_is_the_beginning_of_another() -> None:
    assert len(TAGS) >= 15
    assert len(set(TAGS.values())) == len(TAGS)
    assert not [(one, other) for one, other in permutations(TAGS.values(), 2) if other.startswith(one)]


def test_every_tag_names_its_kind_and_version_and_ends_in_a_nul() -> None:
    for name, tag in TAGS.items():
        assert tag == f"ostraka/{name.lower().replace('_', '-')}/v1\0".encode()
        assert tag.count(b"\0") == 1


def test_no_tag_begins_like_a_node_of_a_merkle_tree() -> None:
    one_byte_tags = {b"\x00", b"\x01", b"\x02", b"\x03", b"\x10"}
    assert not any(tag[:1] in one_byte_tags for tag in TAGS.values())


@given(tags, st.lists(st.binary(max_size=40), max_size=5))
def test_a_tagged_hash_is_the_sha256_of_the_tag_and_the_parts(tag: Tag, parts: list[bytes]) -> None:
    assert tagged_hash(tag, *parts) == sha256(tag + b"".join(parts)).digest()


@given(tags, tags, st.binary(max_size=80))
def test_equal_bytes_hash_alike_in_one_domain_only(one: Tag, other: Tag, data: bytes) -> None:
    assert (tagged_hash(one, data) == tagged_hash(other, data)) == (one == other)
