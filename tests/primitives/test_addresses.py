"""Addresses: BIP-350's own test vectors, and that a slip of the finger never makes another account."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.addresses import _decode, _encode, format_address, parse_address
from primitives.errors import InvariantViolated, Refused
from primitives.identifiers import PublicKey

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
ADDRESS = "osk1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0svv2jgj"

VALID = (
    "A1LQFN3A",
    "a1lqfn3a",
    "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
    "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
    "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
    "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
    "?1v759aa",
)

INVALID = {
    "\x201xj0phk": "no spaces",
    "\x7f1g6xzxy": "no spaces",
    "\x801vctc34": "no spaces",
    "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4": "at most 90",
    "qyrz8wqd2c9m": "begins with",
    "1qyrz8wqd2c9m": "begins with",
    "y1b0jsk6g": "'b' does not occur",
    "lt1igcx5c0": "'i' does not occur",
    "in1muywd": "cut short",
    "mm1crxm3i": "'i' does not occur",
    "au1s5cgom": "'o' does not occur",
    "M1VUXWEZ": "checksum",
    "16plkw9": "begins with",
    "1p2gdwpf": "begins with",
}

keys = st.binary(min_size=32, max_size=32).map(PublicKey)


def refusal(text: str) -> str:
    with pytest.raises(Refused) as caught:
        parse_address(text)
    assert caught.value.code == "bad_address"
    return caught.value.detail


@pytest.mark.parametrize("text", VALID)
def test_valid_bech32m_texts_of_the_standard_are_read_and_written_back(text: str) -> None:
    prefix, values = _decode(text)
    assert _encode(prefix, values) == text.lower()


@pytest.mark.parametrize("text", INVALID)
def test_invalid_bech32m_texts_of_the_standard_are_refused_with_their_reason(text: str) -> None:
    assert INVALID[text] in refusal(text)


def test_a_known_key_has_its_known_address() -> None:
    assert format_address(PublicKey(bytes(range(32)))) == ADDRESS
    assert parse_address(ADDRESS) == parse_address(ADDRESS.upper()) == bytes(range(32))


@settings(deadline=None)
@given(keys)
def test_an_address_reads_back_as_its_key(key: PublicKey) -> None:
    text = format_address(key)
    assert text.startswith("osk1")
    assert len(text) == 62
    assert parse_address(text) == key


@settings(deadline=None)
@given(
    keys, st.lists(st.tuples(st.integers(4, 61), st.integers(1, 31)), min_size=1, max_size=4, unique_by=lambda t: t[0])
)
def test_up_to_four_mistyped_characters_are_always_found(key: PublicKey, typos: list[tuple[int, int]]) -> None:
    letters = list(format_address(key))
    for at, shift in typos:
        letters[at] = ALPHABET[(ALPHABET.index(letters[at]) + shift) % 32]
    assert "checksum" in refusal("".join(letters))


def test_every_reason_is_named() -> None:
    assert "mixed" in refusal(ADDRESS[:20] + ADDRESS[20:].upper())
    assert 'this one with "bc1"' in refusal(_encode("bc", _decode(ADDRESS)[1]))
    assert "this one 31" in refusal(_encode("osk", _decode(ADDRESS)[1][:50]))
    assert "this one 0" in refusal(_encode("osk", []))
    assert "at most 90" in refusal("osk1" + "q" * 1_000_000)
    assert "begins with" in refusal("")
    assert "no spaces" in refusal(f" {ADDRESS}")
    assert "no spaces" in refusal(ADDRESS.replace("s", "ſ"))


def test_one_key_has_only_one_address() -> None:
    values = _decode(ADDRESS)[1]
    # 52 groups of 5 bits are 4 bits more than a key has.
    assert "not zero" in refusal(_encode("osk", [*values[:-1], values[-1] | 1]))
    assert "this one 33" in refusal(_encode("osk", [*values, 0]))


def test_a_key_of_another_length_is_our_own_mistake() -> None:
    with pytest.raises(InvariantViolated):
        format_address(PublicKey(bytes(33)))
