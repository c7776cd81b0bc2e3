"""The one canonical encoding of contract values: plain data in, bytes out, and nothing else can be written or read.

A value is None, a bool, an int of at most 256 bits, a str, bytes, a list, a dict, or a Decimal. The bytes are
MessagePack, so any reader of that format shows them, with exactly one encoding for each value:

- integers take their shortest form; those beyond 64 bits are extension 1: one sign byte (0 or 1), then the magnitude
  in the fewest big-endian bytes;
- a Decimal is extension 2: ASCII `[-]DIGITS` `e` `EXPONENT`, the digits as they are (1.0 and 1.00 stay what they were);
- a dict is a map whose pairs stand in the order of their encoded keys; keys are str, int or bytes;
- a tuple is written as a list; floats, sets, and subclasses of the types above (a bool key, an enum, a named tuple)
  are refused, because no two readers agree on them.

The same file runs inside the machine and outside, so it imports nothing of this project.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

Value: TypeAlias = "bool | int | str | bytes | list[Value] | dict[Key, Value] | Decimal | None"
Key: TypeAlias = str | int | bytes
Data: TypeAlias = (
    "bool | int | str | bytes | Decimal | Sequence[Data] "
    "| Mapping[str, Data] | Mapping[int, Data] | Mapping[bytes, Data] | None"
)
"""What may be handed over to be encoded, as type checkers see it: a list[int] is Data, though no list[Value]."""

MAX_VALUE_BYTES: Final = 16 * 1024
"""Encoded: one stored value, the arguments of one call, one result. A message holds the largest with room to spare."""

MAX_VALUE_DEPTH: Final = 32
"""Lists in dicts in lists; far below any interpreter's recursion limit, in the machine as well as outside."""

MAX_INTEGER_BITS: Final = 256
"""A hash or a product of two amounts still fits."""

MAX_DECIMAL_DIGITS: Final = 78
"""As many as a 256-bit integer has."""

MAX_DECIMAL_EXPONENT: Final = 999
"""Either way; arithmetic with what a reply brought then stays cheap."""

_WIDE_INTEGER: Final = 1
_DECIMAL: Final = 2


class BadValue(ValueError):
    """Not a value, or not the canonical bytes of one; the text says what and, where it helps, what to use instead."""


def encode(value: object, *, max_bytes: int = MAX_VALUE_BYTES) -> bytes:
    """Write a value.

    Raises:
        BadValue: not plain data, too deep, or longer than `max_bytes` when written.

    """
    out = bytearray()
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise BadValue(_advice(value))
    writer(value, out, max_bytes, MAX_VALUE_DEPTH)
    if len(out) > max_bytes:
        raise BadValue(f"longer than {max_bytes} bytes when written")
    return bytes(out)


def decode(raw: bytes, *, max_bytes: int = MAX_VALUE_BYTES) -> Value:
    """Read a value from bytes of any origin.

    Raises:
        BadValue: too long, malformed, or not the one encoding of what it says.

    """
    value = read(raw, max_bytes=max_bytes)
    if encode(value, max_bytes=max_bytes) != raw:
        raise BadValue("not canonical: the value has another, shorter or differently ordered, encoding")
    return value


def read(raw: bytes, *, max_bytes: int = MAX_VALUE_BYTES) -> Value:
    """Read a value from bytes that `encode` made; like `decode`, without the proof that the form is canonical."""
    if len(raw) > max_bytes:
        raise BadValue(f"{len(raw)} bytes, the limit is {max_bytes}")
    try:
        if 0xCC <= raw[0] <= 0xCF and len(raw) == 1 + (1 << (raw[0] - 0xCC)):
            return int.from_bytes(raw[1:], "big")
        value, end = _read(raw, 0, MAX_VALUE_DEPTH)
    except (IndexError, UnicodeDecodeError) as error:
        raise BadValue(f"malformed: {error}") from None
    if end != len(raw):
        raise BadValue(f"malformed: {len(raw) - end} bytes too many")
    return value


def _write(value: object, out: bytearray, room: int, depth: int) -> None:
    # The exact type: a subclass could bring methods of its own, and would come back as something else.
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise BadValue(_advice(value))
    writer(value, out, room, depth)
    if len(out) > room:
        raise BadValue(f"longer than {room} bytes when written")


def _write_none(_value: None, out: bytearray, _room: int, _depth: int) -> None:
    out.append(0xC0)


def _write_bool(value: bool, out: bytearray, _room: int, _depth: int) -> None:  # noqa: FBT001 - one writer per type
    out.append(0xC3 if value else 0xC2)


def _write_integer(value: int, out: bytearray, _room: int, _depth: int) -> None:
    if 0 <= value <= 0xFFFF_FFFF_FFFF_FFFF:
        if value < 0x80:
            out.append(value)
        else:
            width = _WIDTHS[(value.bit_length() - 1) >> 3]
            out.append(0xCC + width)
            out += value.to_bytes(1 << width, "big")
    elif -0x20 <= value < 0:
        out.append(0x100 + value)
    elif value.bit_length() > MAX_INTEGER_BITS:
        raise BadValue(f"an integer of {value.bit_length()} bits; at most {MAX_INTEGER_BITS} are kept")
    elif -(1 << 63) <= value < 0:
        width = _WIDTHS[(~value).bit_length() >> 3]
        out.append(0xD0 + width)
        out += value.to_bytes(1 << width, "big", signed=True)
    else:
        magnitude = abs(value)
        body = bytes((value < 0,)) + magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big")
        out += bytes((0xC7, len(body), _WIDE_INTEGER)) + body


_WIDTHS: Final = (0, 1, 2, 2, 3, 3, 3, 3)
"""By the bytes that an integer needs less one: the binary logarithm of the bytes it gets."""


def _write_text(value: str, out: bytearray, room: int, _depth: int) -> None:
    if len(value) < 32 and value.isascii():
        out.append(0xA0 | len(value))
        out += value.encode()
        return
    _check_length(len(value), out, room)
    try:
        body = value.encode()
    except UnicodeEncodeError:
        raise BadValue("a str with half a surrogate pair cannot be written as UTF-8") from None
    if len(body) < 32:
        out.append(0xA0 | len(body))
    else:
        _write_head(out, len(body), (0xD9, 0xDA, 0xDB))
    out += body


def _write_bytes(value: bytes, out: bytearray, room: int, _depth: int) -> None:
    _check_length(len(value), out, room)
    _write_head(out, len(value), (0xC4, 0xC5, 0xC6))
    out += value


def _write_list(value: "list[object] | tuple[object, ...]", out: bytearray, room: int, depth: int) -> None:
    _check_length(len(value), out, room)
    _check_depth(depth)
    _write_count(out, len(value), 0x90, (0xDC, 0xDD))
    depth -= 1
    for item in value:
        _write(item, out, room, depth)


def _write_dict(value: dict[object, object], out: bytearray, room: int, depth: int) -> None:
    _check_length(2 * len(value), out, room)
    _check_depth(depth)
    _write_count(out, len(value), 0x80, (0xDE, 0xDF))
    keys = {_encode_key(key, room): key for key in value}
    for encoded in sorted(keys):
        out += encoded
        _write(value[keys[encoded]], out, room, depth - 1)


def _encode_key(key: object, room: int) -> bytes:
    if type(key) is str and len(key) < 32 and key.isascii():
        return bytes((0xA0 | len(key),)) + key.encode()
    if type(key) not in (str, int, bytes):
        raise BadValue(f"a key of type {type(key).__name__}; the keys of a dict are str, int or bytes")
    out = bytearray()
    _write(key, out, room, 0)
    return bytes(out)


def _write_decimal(value: Decimal, out: bytearray, _room: int, _depth: int) -> None:
    if not value.is_finite():
        raise BadValue(f"{value} is not a number")
    sign, digits, exponent = value.as_tuple()
    if len(digits) > MAX_DECIMAL_DIGITS or abs(int(exponent)) > MAX_DECIMAL_EXPONENT:
        raise BadValue(
            f"a Decimal of {len(digits)} digits and exponent {exponent}; at most {MAX_DECIMAL_DIGITS} digits and an "
            f"exponent of {MAX_DECIMAL_EXPONENT} either way are kept; quantize it"
        )
    # Not str(): that depends on the context that the caller has set.
    text = f"{'-' * sign}{''.join(map(str, digits))}e{exponent}".encode()
    out += bytes((0xC7, len(text), _DECIMAL)) + text


_WRITERS: Final[dict[type, Callable[[Any, bytearray, int, int], None]]] = {
    type(None): _write_none,
    bool: _write_bool,
    int: _write_integer,
    str: _write_text,
    bytes: _write_bytes,
    list: _write_list,
    tuple: _write_list,
    dict: _write_dict,
    Decimal: _write_decimal,
}


def _write_head(out: bytearray, length: int, heads: tuple[int, int, int]) -> None:
    width = 0 if length < 1 << 8 else 1 if length < 1 << 16 else 2
    out.append(heads[width])
    out += length.to_bytes(1 << width, "big")


def _write_count(out: bytearray, count: int, short: int, heads: tuple[int, int]) -> None:
    if count < 16:
        out.append(short | count)
        return
    wide = count >= 1 << 16
    out.append(heads[wide])
    out += count.to_bytes(4 if wide else 2, "big")


def _check_length(length: int, out: bytearray, room: int) -> None:
    """Everything takes at least a byte an item: refuse before anything is copied."""
    if length > room - len(out):
        raise BadValue(f"longer than {room} bytes when written")


def _check_depth(depth: int) -> None:
    if depth <= 0:
        raise BadValue(f"nested more than {MAX_VALUE_DEPTH} deep")


def _advice(value: object) -> str:
    kind = type(value)
    if kind.__name__ == "float":
        return "a float is not kept, because its digits are a surprise; use Decimal or an integer of a smaller unit"
    if isinstance(value, set | frozenset):
        return "a set has no order; use sorted(...) to make it a list"
    for plain in (bool, int, str, bytes, tuple, list, dict, Decimal):
        if isinstance(value, plain):
            return f"{kind.__name__} is more than plain data; use {plain.__name__}(...) of it"
    return f"{kind.__name__} is not plain data: None, bool, int, str, bytes, list, dict or Decimal"


def _read(raw: bytes, at: int, depth: int) -> tuple[Value, int]:
    head = raw[at]
    at += 1
    if head < 0x80:
        return head, at
    if head >= 0xE0:
        return head - 0x100, at
    if head < 0x90:
        return _read_pairs(raw, at, head & 0x0F, depth)
    if head < 0xA0:
        return _read_items(raw, at, head & 0x0F, depth)
    if head < 0xC0:
        return _text(raw, at, head & 0x1F)
    return _read_long(raw, at, head, depth)


def _read_long(raw: bytes, at: int, head: int, depth: int) -> tuple[Value, int]:
    if head in _CONSTANTS:
        return _CONSTANTS[head], at
    if 0xCC <= head <= 0xD3:
        body, at = _take(raw, at, 1 << ((head - 0xCC) & 3))
        return int.from_bytes(body, "big", signed=head >= 0xD0), at
    if head == 0xC7:
        return _read_extension(raw, at)
    width = _LENGTHS.get(head)
    if width is None:
        raise BadValue(f"malformed: {head:#x} begins no value")
    body, at = _take(raw, at, width)
    length = int.from_bytes(body, "big")
    if head in (0xD9, 0xDA, 0xDB):
        return _text(raw, at, length)
    if head in (0xC4, 0xC5, 0xC6):
        return _take(raw, at, length)
    return (_read_items if head in (0xDC, 0xDD) else _read_pairs)(raw, at, length, depth)


_CONSTANTS: Final[dict[int, bool | None]] = {0xC0: None, 0xC2: False, 0xC3: True}
_LENGTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


def _take(raw: bytes, at: int, length: int) -> tuple[bytes, int]:
    if length > len(raw) - at:
        raise BadValue("malformed: it ends in the middle of a value")
    return raw[at : at + length], at + length


def _text(raw: bytes, at: int, length: int) -> tuple[str, int]:
    body, at = _take(raw, at, length)
    return body.decode(), at


def _read_items(raw: bytes, at: int, count: int, depth: int) -> tuple[list[Value], int]:
    _check_depth(depth)
    items = []
    for _ in range(count):  # a count that lies runs out of bytes, not of memory
        item, at = _read(raw, at, depth - 1)
        items.append(item)
    return items, at


def _read_pairs(raw: bytes, at: int, count: int, depth: int) -> tuple[dict[Key, Value], int]:
    _check_depth(depth)
    pairs: dict[Key, Value] = {}
    for _ in range(count):
        key, at = _read(raw, at, 0)
        if isinstance(key, bool) or not isinstance(key, str | int | bytes):
            raise BadValue("malformed: a key that is not str, int or bytes")
        pairs[key], at = _read(raw, at, depth - 1)
    return pairs, at


def _read_extension(raw: bytes, at: int) -> tuple[int | Decimal, int]:
    length, kind = raw[at], raw[at + 1]
    body, at = _take(raw, at + 2, length)
    if kind == _WIDE_INTEGER and 1 < length <= 1 + MAX_INTEGER_BITS // 8 and body[0] <= 1:
        magnitude = int.from_bytes(body[1:], "big")
        return -magnitude if body[0] else magnitude, at
    if kind == _DECIMAL:
        match = _DECIMAL_TEXT.fullmatch(body)
        if match is not None:
            sign, digits, exponent = match.groups()
            return Decimal((len(sign), tuple(digit - 0x30 for digit in digits), int(exponent))), at
    raise BadValue(f"malformed: extension {kind} of {length} bytes")


_DECIMAL_TEXT: Final = re.compile(rb"(-?)(0|[1-9][0-9]{0,77})e(0|-?[1-9][0-9]{0,2})")
