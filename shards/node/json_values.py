"""Contract values in JSON and back, without loss: what JSON has is itself, the rest is an object with one `$` key.

| value | JSON |
|---|---|
| None, bool, str, list | as they are |
| int | a number up to 2^53, beyond it {"$int": "…"} |
| bytes | {"$bytes": hexadecimal} |
| Decimal | {"$decimal": "1.50"} |
| dict whose keys are text, none of them beginning with `$` | an object |
| any other dict | {"$map": [[key, value], …]} |
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from contracts.values import BadValue, Key, Value, encode
from primitives.errors import Refused

MAX_PLAIN_INTEGER: Final = 2**53
"""Readers of JSON that know only floating point are exact up to here."""

MAX_INTEGER_DIGITS: Final = 78
"""Of the widest integer there is; longer text is not worth converting."""


def to_json(value: Value) -> Any:
    """A value as the standard JSON encoders take it."""
    match value:
        case bool() | None | str():
            return value
        case int():
            return value if -MAX_PLAIN_INTEGER <= value <= MAX_PLAIN_INTEGER else {"$int": str(value)}
        case bytes():
            return {"$bytes": value.hex()}
        case Decimal():
            return {"$decimal": str(value)}
        case list():
            return [to_json(item) for item in value]
        case dict():
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {str(key): to_json(item) for key, item in value.items()}
            return {"$map": [[to_json(key), to_json(item)] for key, item in value.items()]}


def from_json(data: Any) -> Value:
    """The value that a JSON document stands for.

    Raises:
        Refused: `bad_value`: a float, an unknown `$` form, or what no contract value can be.

    """
    try:
        value = _read(data)
        encode(value)
    except (BadValue, RecursionError) as error:
        raise Refused("bad_value", f"{error}") from None
    return value


def _read(data: Any) -> Value:
    if isinstance(data, float):
        raise BadValue(f'{data} is a float; write an integer, or a decimal as {{"$decimal": "{data}"}}')
    if isinstance(data, list):
        return [_read(item) for item in data]
    if not isinstance(data, dict):
        return data  # type: ignore[no-any-return]  # JSON has nothing else; `encode` refuses what is no value
    if len(data) == 1:
        name, body = next(iter(data.items()))
        reader = _FORMS.get(name)
        if reader is not None:
            return reader(body)
    if any(key.startswith("$") for key in data):
        raise BadValue(f"keys that begin with $ mark other types ({', '.join(_FORMS)}); write such a dict as $map")
    return {key: _read(item) for key, item in data.items()}


def _integer(body: Any) -> int:
    text = body.removeprefix("-") if isinstance(body, str) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_INTEGER_DIGITS):
        raise BadValue('$int holds decimal digits as text, like {"$int": "12345678901234567890"}')
    return int(body)


def _bytes(body: Any) -> bytes:
    try:
        return bytes.fromhex(body)
    except (TypeError, ValueError):
        raise BadValue('$bytes holds hexadecimal digits as text, like {"$bytes": "00ff"}') from None


def _decimal(body: Any) -> Decimal:
    if isinstance(body, str) and len(body) <= 2 * MAX_INTEGER_DIGITS:
        try:
            value = Decimal(body)
        except InvalidOperation:
            value = Decimal("nan")
        if value.is_finite():
            return value
    raise BadValue('$decimal holds a finite number as text, like {"$decimal": "1.50"}')


def _map(body: Any) -> dict[Key, Value]:
    pairs: dict[Key, Value] = {}
    if isinstance(body, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in body):
        for key, item in body:
            read = _read(key)
            if isinstance(read, bool) or not isinstance(read, str | int | bytes):
                raise BadValue("keys of a $map are text, integers or bytes")
            pairs[read] = _read(item)
        return pairs
    raise BadValue('$map holds pairs, like {"$map": [[1, "one"]]}')


_FORMS: Final[dict[str, Callable[[Any], Value]]] = {
    "$int": _integer,
    "$bytes": _bytes,
    "$decimal": _decimal,
    "$map": _map,
}
