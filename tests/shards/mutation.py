"""Every single-field mutation of a record: what a forger who has one valid proof would try first."""

from collections.abc import Iterator

import msgspec
from msgspec.structs import fields, replace

LARGEST = 2**63 - 1


def mutations(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(what was changed, the value with that change), over all fields of nested records and tuples."""
    match value:
        case msgspec.Struct():
            for field in fields(value):
                for where, changed in mutations(getattr(value, field.name), f"{path}.{field.name}"):
                    yield where, replace(value, **{field.name: changed})
        case tuple():
            yield from _tuple_mutations(value, path)
        case bytes():
            yield from _bytes_mutations(value, path)
        case bool():
            yield f"{path} negated", not value
        case int():
            for changed in {value + 1, value - 1, value ^ 1 << 8, 0, LARGEST} - {value}:
                yield f"{path} = {changed}", changed
        case str():
            yield f"{path} longer", value + "x"
        case _:
            raise AssertionError(f"{path}: no rule for {type(value)}")


def _tuple_mutations(value: tuple[object, ...], path: str) -> Iterator[tuple[str, object]]:
    for place, element in enumerate(value):
        for where, changed in mutations(element, f"{path}[{place}]"):
            yield where, (*value[:place], changed, *value[place + 1 :])
        yield f"{path}[{place}] left out", value[:place] + value[place + 1 :]
        yield f"{path}[{place}] doubled", value[: place + 1] + value[place:]
    for place in range(len(value) - 1):
        if value[place] != value[place + 1]:
            swapped = (value[place + 1], value[place])
            yield f"{path}[{place}] swapped with the next", (*value[:place], *swapped, *value[place + 2 :])
    if not value:
        yield f"{path} with a hash", (bytes(32),)


def _bytes_mutations(value: bytes, path: str) -> Iterator[tuple[str, object]]:
    for place in sorted({0, len(value) >> 1, len(value) - 1}):
        if value:
            changed = value[:place] + bytes((value[place] ^ 1,)) + value[place + 1 :]
            yield f"{path} byte {place} flipped", changed
    yield f"{path} shorter", value[:-1]
    yield f"{path} longer", value + b"\0"
    if value != bytes(len(value)):
        yield f"{path} zeroed", bytes(len(value))
