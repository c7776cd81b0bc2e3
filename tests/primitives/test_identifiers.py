"""Identifier fields enforce their bounds when they are decoded."""

from typing import Any

import msgspec
import pytest

from primitives import identifiers
from primitives.identifiers import MAX_INTEGER, MAX_SHARDS, MAX_VALIDATORS

INTEGER_LIMITS = {
    "ShardIdField": MAX_SHARDS - 1,
    "ValidatorIndexField": MAX_VALIDATORS - 1,
    "EpochField": MAX_INTEGER,
    "HeightField": MAX_INTEGER,
    "ViewField": MAX_INTEGER,
    "SequenceField": MAX_INTEGER,
    "NonceField": MAX_INTEGER,
    "MillisecondsField": MAX_INTEGER,
    "CountField": MAX_INTEGER,
}

BYTE_LENGTHS = {
    "HashField": 32,
    "BlockIdField": 32,
    "ChainIdField": 32,
    "TransactionIdField": 32,
    "MessageIdField": 32,
    "CallIdField": 32,
    "PublicKeyField": 32,
    "SignatureField": 64,
}


def decodes(field: str, value: Any) -> bool:
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=getattr(identifiers, field))
    except msgspec.ValidationError:
        return False
    return True


def test_every_field_type_is_checked_here() -> None:
    assert {name for name in vars(identifiers) if name.endswith("Field")} == {*INTEGER_LIMITS, *BYTE_LENGTHS}


@pytest.mark.parametrize("field", INTEGER_LIMITS)
def test_an_integer_field_takes_zero_to_its_limit(field: str) -> None:
    limit = INTEGER_LIMITS[field]
    assert decodes(field, 0)
    assert decodes(field, limit)
    assert not any(decodes(field, value) for value in (-1, limit + 1, 2**64 - 1, True, 1.0, "1", None))


@pytest.mark.parametrize("field", BYTE_LENGTHS)
def test_a_bytes_field_takes_exactly_its_length(field: str) -> None:
    length = BYTE_LENGTHS[field]
    assert decodes(field, bytes(length))
    assert not any(decodes(field, value) for value in (b"", bytes(length - 1), bytes(length + 1), "x" * length, 0))
