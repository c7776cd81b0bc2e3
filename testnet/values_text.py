"""Values of contracts as people type and read them: Python or JSON, and plain words for text."""

import ast
import json
import warnings
from decimal import Decimal, InvalidOperation
from typing import Any

from contracts.values import BadValue, Value, encode
from primitives.errors import Refused
from shards.call_drawing import literal
from shards.node.json_values import from_json
from testnet.run_file import RunInfo

MAX_TEXT = 64 * 1024
"""Characters of one argument; a contract takes 16 KiB of all of them."""


def parse_argument(text: str, info: RunInfo | None = None) -> Value:
    """Read one argument: JSON ({"$bytes": "00ff"} and the like too), a Python literal, else the text itself.

    With `info`, @alice is the address of that development account. 1.50 is a Decimal, exactly as written.

    Raises:
        Refused: `bad_value`.

    """
    if len(text) > MAX_TEXT:
        raise Refused("bad_value", f"an argument of {len(text)} characters; at most {MAX_TEXT} are read")
    if text.startswith("@") and info is not None:
        account = info.accounts.get(text[1:])
        if account is None:
            known = ", ".join(list(info.accounts)[:8])
            raise Refused(
                "bad_value", f"there is no account {text[1:33]!r}; known: {known}. For text write '\"{text}\"'"
            )
        return account.address
    try:
        return from_json(json.loads(text, parse_float=Decimal))
    except (ValueError, RecursionError, InvalidOperation):  # the last: an exponent that no Decimal has
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about text that only looks like Python
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # TypeError: a list as a key
        return text
    if isinstance(value, float):
        value = _decimal(text)
    try:
        encode(value)
    except BadValue as error:
        raise Refused("bad_value", f"{text[:60]}: {error}") from None
    return _plain(value)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # (1.5) and the like: Python's number with something around it
        raise Refused("bad_value", f"{text[:60]!r}: write a decimal alone, like 1.50") from None


def _plain(value: Any) -> Value:
    """Tuples become lists, as they do on their way to a contract."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value  # type: ignore[no-any-return]  # encode has taken it


def parse_arguments(texts: list[str], info: RunInfo) -> list[Value]:
    """Read all arguments of a call."""
    return [parse_argument(text, info) for text in texts]


def parse_json_list(text: str | None, info: RunInfo) -> list[Value]:
    """Read `--args`: a list of values, as JSON or Python; a single other value is a list of one."""
    if text is None:
        return []
    value = parse_argument(text, info)
    return value if isinstance(value, list) else [value]


def shown(value: Value) -> str:
    """A value as it could be typed again."""
    return literal(value)
