"""The one canonical codec: MessagePack arrays of typed, frozen records (msgspec).

Canonical means that a value has exactly one encoding. msgspec already refuses wrong types, unknown fields,
trailing bytes and out-of-range values; it accepts wide integers (0xcf for 5) and left-out defaults, so a
decoder also re-encodes and compares. Length is checked before anything is parsed.
"""

from typing import Generic, TypeVar, dataclass_transform

import msgspec

from primitives.errors import Refused

T = TypeVar("T")


# Without this, type checkers want frozen=True repeated on every record.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of everything that is hashed, signed, stored or sent: frozen, valid by construction of its decoder.

    Holds bytes, str, int, bool, None, tuples and other records only; no floats, maps or sets.
    """


_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """Encode a record (or a tuple of records) to its one canonical form."""
    return _encoder.encode(value)


class Decoder(Generic[T]):
    """Decodes one type, capped at `max_bytes`, and accepts nothing but the canonical form."""

    def __init__(self, kind: type[T], *, max_bytes: int, name: str) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self.max_bytes = max_bytes
        self.name = name

    def decode(self, raw: bytes) -> T:
        """Decode `raw`.

        Raises:
            Refused: `too_large`, `malformed` or `not_canonical`.

        """
        if len(raw) > self.max_bytes:
            raise Refused("too_large", f"{self.name}: {len(raw)} bytes, limit {self.max_bytes}")
        try:
            value = self._decoder.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Refused("malformed", f"{self.name}: {error}") from None
        if _encoder.encode(value) != raw:
            raise Refused("not_canonical", f"{self.name}: its re-encoding differs from its bytes")
        return value
