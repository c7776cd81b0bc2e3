"""The one encoding of contract values."""

import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.checking import checked
from contracts.values import MAX_VALUE_DEPTH, BadValue, decode, encode, read

INTEGERS = st.integers(-(2**256) + 1, 2**256 - 1)
DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(digits), exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=78),
    st.integers(-999, 999),
)
SCALARS = st.none() | st.booleans() | INTEGERS | st.text(max_size=40) | st.binary(max_size=40) | DECIMALS
KEYS = st.text(max_size=10) | INTEGERS | st.binary(max_size=10)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=5) | st.dictionaries(KEYS, v, max_size=5), max_leaves=20)


def same(left: Any, right: Any) -> bool:
    """Equal with types and the digits of decimals: 1 is not True, 1.0 is not 1.00."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Decimal):
        return str(left) == str(right)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert same(decode(encode(value)), value)


@settings(deadline=None)
@given(st.binary(max_size=60) | VALUES.map(encode))
def test_bytes_are_read_only_when_they_are_the_one_encoding(raw: bytes) -> None:
    try:
        value = decode(raw)
    except BadValue:
        return
    assert encode(value) == raw


@settings(deadline=None)
@given(VALUES, st.data())
def test_a_changed_byte_never_reads_as_the_same_value(value: Any, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(BadValue):
        assert not same(decode(bytes(raw)), value)


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(), st.lists))
def test_any_messagepack_reader_reads_plain_values(value: Any) -> None:
    assert msgpack.unpackb(encode(value)) == value


@given(st.permutations(["b", "a", "ab", "", 1, -1, b"a", 300]))
def test_the_order_of_insertion_does_not_matter(order: list[Any]) -> None:
    assert encode(dict.fromkeys(order)) == encode(dict.fromkeys(sorted(order, key=repr)))


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (0.5, "use Decimal"),
        ({1, 2}, "sorted"),
        ({True: 1}, "keys of a dict"),
        ({(1,): 1}, "keys of a dict"),
        (2**256, "256"),
        (Decimal("NaN"), "not a number"),
        (Decimal("1e1000"), "quantize"),
        ("\ud800", "UTF-8"),
        (object(), "plain data"),
        ("x" * 20_000, "longer than"),
        ([0] * 20_000, "longer than"),
        (type("Text", (str,), {})("x"), "use str"),
    ],
)
def test_what_is_no_value_is_refused_with_advice(value: object, advice: str) -> None:
    with pytest.raises(BadValue, match=advice):
        encode(value)


def test_nesting_ends_at_the_limit() -> None:
    value: Any = 1
    for _ in range(MAX_VALUE_DEPTH):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(BadValue, match="deep"):
        encode([value])
    with pytest.raises(BadValue, match="deep"):
        read(b"\x91" * (MAX_VALUE_DEPTH + 1) + b"\x01")


def test_a_list_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(BadValue, match="deep"):
        encode(value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x91",
        b"\x01\x01",
        b"\xcc\x01",
        b"\xcb" + bytes(8),
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\x82\xa1b\x01\xa1a\x01",
        b"\x82\xa1a\x01\xa1a\x01",
        b"\x81\xc3\x01",
        b"\xa1\xff",
        b"\xc7\x02\x01\x00\x01",
        b"\xc7\x03\x02" + b"01e",
        b"\xc7\x04\x02" + b"01e0",
        b"\xc1",
        b"\xc7",
    ],
)
def test_malformed_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        decode(raw)


def heads(raw: bytes) -> bytes:
    """The same value with its first byte's longer form, where it has one."""
    if raw and raw[0] < 0x80:
        return b"\xcc" + raw
    if raw and 0xA0 <= raw[0] < 0xC0:
        return b"\xd9" + bytes((raw[0] - 0xA0,)) + raw[1:]
    return raw


def outcome_of(reader: Callable[[bytes], Any], raw: bytes) -> Any:
    """What it reads, or the text of its refusal in a list of its own."""
    try:
        return {"read": reader(raw)}
    except BadValue as error:
        return {"refused": str(error)}


@settings(deadline=None)
@given(
    VALUES.map(encode)
    | st.binary(max_size=20)
    | VALUES.map(encode).map(heads)
    | VALUES.map(encode).flatmap(
        lambda raw: st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)).map(
            lambda change: raw[: change[0]] + bytes((change[1],)) + raw[change[0] + 1 :]
        )
    )
)
def test_the_quick_reader_reads_what_the_other_reads_and_refuses_what_it_refuses(raw: bytes) -> None:
    assert same(outcome_of(checked, raw), outcome_of(decode, raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"\xcb" + bytes(8),  # a float
        b"\xca" + bytes(4),
        b"\xd6\xff" + bytes(4),  # a time, as msgpack has it
        b"\xd4\x05\x00",  # an extension of nobody
        b"\x82\xa1b\x01\xa1a\x01",  # keys out of order
        b"\x82\xa1a\x01\xa1a\x01",  # a key twice
        b"\x82\xa2aa\x01\xa1b\x01",  # in the order of text, not of bytes
        b"\x81\xc3\x01",  # a bool for a key
        b"\x81\xc0\x01",
        b"\x81\x91\x01\x01",
        b"\xa1\xff",  # no UTF-8
        b"\xa3\xed\xa0\x80",  # half a surrogate pair
        b"\xcc\x01",
        b"\xd0\xff",
        b"\xdc\x00\x01\x01",
        b"\x91" * 33 + b"\x01",
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"",
        b"\x01\x01",
    ],
)
def test_the_quick_reader_refuses_what_msgpack_has_and_we_have_not(raw: bytes) -> None:
    with pytest.raises(BadValue):
        checked(raw)


def test_the_quick_reader_keeps_the_limits() -> None:
    deepest = b"\x91" * MAX_VALUE_DEPTH + b"\x01"
    assert checked(deepest) == decode(deepest)
    with pytest.raises(BadValue, match="the limit is 10"):
        checked(encode("x" * 20), max_bytes=10)
