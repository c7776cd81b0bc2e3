"""The codec accepts exactly one encoding of each value and never spends more than its input is worth."""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.identifiers import (
    MAX_INTEGER,
    Hash,
    HashField,
    Height,
    HeightField,
    ShardId,
    ShardIdField,
    Signature,
    SignatureField,
)


class Inner(Record):
    height: HeightField
    note: Annotated[str, msgspec.Meta(max_length=40)] = ""


class Outer(Record):
    shard: ShardIdField
    block: HashField
    inner: Inner
    numbers: tuple[HeightField, ...]
    extra: bytes | None = None
    urgent: bool = False


class Sealed(Record):
    signature: SignatureField


DECODER = Decoder(Outer, max_bytes=10_000, name="outer")

heights = st.integers(0, MAX_INTEGER).map(Height)
inners = st.builds(Inner, height=heights, note=st.text(max_size=40))
outers = st.builds(
    Outer,
    shard=st.integers(0, 1023).map(ShardId),
    block=st.binary(min_size=32, max_size=32).map(Hash),
    inner=inners,
    numbers=st.lists(heights, max_size=20).map(tuple),
    extra=st.one_of(st.none(), st.binary(max_size=300)),
    urgent=st.booleans(),
)

FIELDS: list[Any] = [3, bytes(32), [5, "note"], [1, 2], b"x", True]


def packed(*fields: Any) -> bytes:
    """What another MessagePack library makes of an outer record."""
    return bytes(msgpack.packb(list(fields)))


def code_of(raw: bytes) -> str:
    with pytest.raises(Refused) as caught:
        DECODER.decode(raw)
    return caught.value.code


@settings(deadline=None)
@given(outers)
def test_a_record_reads_back_and_has_the_bytes_that_another_library_gives_it(record: Outer) -> None:
    raw = encode(record)
    assert DECODER.decode(raw) == record
    inner = [record.inner.height, record.inner.note]
    assert raw == packed(record.shard, record.block, inner, list(record.numbers), record.extra, record.urgent)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: packed(*FIELDS)[:40] + tail)))
def test_any_bytes_are_refused_or_are_the_one_encoding_of_what_they_mean(raw: bytes) -> None:
    with suppress(Refused):
        assert encode(DECODER.decode(raw)) == raw


@settings(deadline=None, max_examples=200)
@given(outers, st.data())
def test_changing_any_bit_of_an_encoding_never_gives_the_same_record(record: Outer, data: st.DataObject) -> None:
    raw = bytearray(encode(record))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit >> 3] ^= 1 << (bit & 7)
    with suppress(Refused):
        assert DECODER.decode(bytes(raw)) != record


@pytest.mark.parametrize(
    "wide", [b"\xcc\x03", b"\xcd\x00\x03", b"\xce\x00\x00\x00\x03", b"\xcf" + bytes(7) + b"\x03", b"\xd0\x03"]
)
def test_a_small_integer_in_a_wide_form_is_not_canonical(wide: bytes) -> None:
    raw = packed(*FIELDS)
    assert raw[1] == 3
    assert code_of(raw[:1] + wide + raw[2:]) == "not_canonical"


@pytest.mark.parametrize(
    ("short", "wide"),
    [
        (b"\xa4note", b"\xd9\x04note"),
        (b"\xc4\x01x", b"\xc5\x00\x01x"),
        (b"\x92\x01\x02", b"\xdc\x00\x02\x01\x02"),
        (b"\x96", b"\xdc\x00\x06"),
    ],
)
def test_a_length_in_a_wide_form_is_not_canonical(short: bytes, wide: bytes) -> None:
    raw = packed(*FIELDS)
    assert raw.count(short) == 1
    assert code_of(raw.replace(short, wide)) == "not_canonical"


@pytest.mark.parametrize("count", [4, 5])
def test_a_field_left_to_its_default_is_not_canonical(count: int) -> None:
    assert code_of(packed(*FIELDS[:count])) == "not_canonical"


def test_trailing_bytes_further_fields_and_missing_fields_are_malformed() -> None:
    assert code_of(packed(*FIELDS) + b"\x00") == "malformed"
    assert code_of(packed(*FIELDS, 0)) == "malformed"
    assert code_of(packed(*FIELDS[:3])) == "malformed"
    assert code_of(packed(*FIELDS)[:-1]) == "malformed"
    assert code_of(b"") == "malformed"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, -1),
        (0, 1024),
        (0, 3.0),
        (0, True),
        (0, "3"),
        (0, None),
        (1, bytes(31)),
        (1, bytes(33)),
        (1, "x" * 32),
        (2, {"height": 5, "note": "note"}),
        (2, [5, b"note"]),
        (2, [2**63, "note"]),
        (2, [5, "x" * 41]),
        (2, [5.5, "note"]),
        (3, 5),
        (3, [2**64 - 1]),
        (3, [float("nan")]),
        (4, "x"),
        (4, msgpack.ExtType(1, b"x")),
        (4, msgpack.Timestamp(0, 0)),
        (5, 1),
        (5, 0.0),
    ],
)
def test_wrong_types_maps_floats_and_values_out_of_range_are_refused(field: int, value: Any) -> None:
    fields = list(FIELDS)
    fields[field] = value
    assert code_of(packed(*fields)) in {"malformed", "not_canonical"}


def test_text_that_is_not_utf8_is_malformed() -> None:
    raw = packed(*FIELDS)
    assert code_of(raw.replace(b"\xa4note", b"\xa4\xff\xfe\xfd\xfc")) == "malformed"


@pytest.mark.parametrize("opener", [b"\x91", b"\x81\x00", b"\xdd\x00\x00\x00\x01", b"\xdc\x00\x01"])
def test_a_hundred_thousand_levels_of_nesting_are_malformed_and_do_not_exhaust_the_stack(opener: bytes) -> None:
    deep = opener * 100_000
    for kind in (Outer, object):
        decoder = Decoder(kind, max_bytes=10**6, name="deep")
        for raw in (deep, deep + b"\x00", b"\x96\x03" + deep):
            with pytest.raises(Refused, match="malformed"):
                decoder.decode(raw)


@pytest.mark.parametrize("header", [b"\xdd", b"\xc6", b"\xdb", b"\xdf", b"\xc9"])
def test_a_header_that_promises_4_gib_allocates_nothing_like_it(header: bytes) -> None:
    promise = header + b"\xff\xff\xff\xff"
    everything = Decoder[object](object, max_bytes=1000, name="promise")
    numbers = Decoder(tuple[int, ...], max_bytes=1000, name="promise")
    text = Decoder(str, max_bytes=1000, name="promise")
    binary = Decoder(bytes, max_bytes=1000, name="promise")
    decoders: list[Callable[[bytes], object]] = [each.decode for each in (everything, numbers, text, binary, DECODER)]
    tracemalloc.start()
    try:
        for decode in decoders:
            for raw in (promise, promise + b"\x01\x02\x03", b"\x96\x03" + promise, b"\x91" + promise):
                with pytest.raises(Refused, match="malformed"):
                    decode(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_too_many_bytes_are_refused_before_they_are_parsed() -> None:
    raw = encode(Sealed(Signature(bytes(64))))
    assert Decoder(Sealed, max_bytes=len(raw), name="sealed").decode(raw) == Sealed(Signature(bytes(64)))
    with pytest.raises(Refused) as caught:
        Decoder(Sealed, max_bytes=len(raw) - 1, name="sealed").decode(raw)
    assert (caught.value.code, caught.value.detail) == ("too_large", f"sealed: {len(raw)} bytes, limit {len(raw) - 1}")
    assert code_of(b"\xc1" * 10_001) == "too_large"


def test_records_cannot_be_changed() -> None:
    record = Inner(Height(1))
    with pytest.raises(AttributeError):
        record.height = Height(2)  # type: ignore[misc]  # that this is an error is the point
