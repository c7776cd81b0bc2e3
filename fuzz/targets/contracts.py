"""What contracts send and are sent: values, requests of the guest, arguments as people type them, and source."""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Final

from contracts import requests
from contracts.checking import checked
from contracts.limits import MAX_SOURCE_BYTES
from contracts.machine.local import LocalMachine
from contracts.operations import Operation
from contracts.outcomes import Compiled, Rejected
from contracts.values import BadValue, Value, decode, encode
from fuzz import samples
from fuzz.target import Target, must
from primitives.addresses import format_address
from primitives.errors import Refused
from shards.node.json_values import from_json, to_json
from testnet.values_text import parse_argument

COMPILE_GAS: Final = 400_000
"""For an honest contract of the samples' size several times over; a hostile one must stop there."""

_VALUES: Final = (
    None,
    [True, -1, 2**64, -(2**200), "text", b"bytes"],
    {"a": [1, {"b": 2}], "c": {1: "one", b"k": None}},
    [[[[["deep"]]]]],
    list(range(40)),
    "é" * 40,
)

_NUMBERS: Final = {"number": 3, "now_ms": 1_750_000_000_000, "gas_left": 900_000}


def _values() -> list[bytes]:
    return [encode(value) for value in (*_VALUES, Decimal("1.50"), [Decimal("-0.001"), Decimal("9e99")])]


def _outcome(read: Callable[[bytes], Value], raw: bytes) -> tuple[str, object]:
    try:
        return "value", read(raw)
    except BadValue as error:
        return "refused", type(error)


def _read_value(raw: bytes) -> None:
    """The fast reader and the plain one agree on everything, and what is taken has one form."""
    plain, fast = _outcome(decode, raw), _outcome(checked, raw)
    must(repr(plain) == repr(fast), f"the two readers differ: {plain} and {fast}")
    value = decode(raw)
    must(encode(value) == raw, "a value has two forms")
    must(from_json(json.loads(json.dumps(to_json(value)))) == value, "JSON changes a value")


def _requests() -> list[bytes]:
    key, value = b"total", encode([1, "one"])
    put = len(key).to_bytes(2, "big") + key + value
    held = bytes((int(Operation.PUT),)) + len(put).to_bytes(4, "big") + put
    address = format_address(samples.chain().accounts[0].key)
    bodies = [
        put,
        held * 2,
        encode(["pre", None, 10]),
        encode([1, "tally", "add", encode([1]), 5, None, 60_000, 0]),
        encode([2, address, "", encode([]), 5, 300, 60_000, 0]),
        encode([address, 10]),
        encode(["Sold", {"item": "owl"}]),
        encode([True, [[[0, 1], False]]]),
    ]
    return [bytes((number,)) + body for number, body in enumerate(bodies)]


def _read_request(raw: bytes) -> None:
    """The first byte says which question it is."""
    body = raw[1:]
    match raw[0] % 8 if raw else 0:
        case 0:
            key, _ = requests.read_put(body)
            must(len(key) > 0, "an empty key")
        case 1:
            must(sum(5 + len(entry) for _, entry in requests.read_held(body)) == len(body), "bytes were lost")
        case 2:
            requests.read_keys(body)
        case 3 | 4:
            call = requests.read_call(body, **_NUMBERS)
            must(call.gas >= 0 and call.patience_ms >= 0, "less than nothing was asked for")
        case 5:
            requests.read_transfer(body)
        case 6:
            checked(requests.read_event(body).data)
        case _:
            requests.read_commit(body)


def _arguments() -> list[bytes]:
    texts = [
        "1",
        '"text"',
        "[1, 2, {'a': b'x'}]",
        '{"$bytes": "00ff"}',
        "1.50",
        "plain words",
        '{"$map": [[1, "one"]]}',
    ]
    return [
        text.encode() for text in (*texts, '{"$int": "12345678901234567890"}', '{"$decimal": "1.5"}', "(1, 2)", "-3")
    ]


def _read_argument(raw: bytes) -> None:
    value: Value = parse_argument(raw.decode(errors="surrogateescape"))
    try:
        encode(value)
    except BadValue:
        # Plain text that is too long, or no UTF-8, is refused where it is sent.
        must(isinstance(value, str), "an argument that no contract takes")


def _json_values() -> list[bytes]:
    return [json.dumps(to_json(decode(raw))).encode() for raw in _values()]


def _read_json(raw: bytes) -> None:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused("malformed", "no JSON") from None
    value = from_json(data)
    must(from_json(to_json(value)) == value, "JSON changes a value")


@cache
def _machine() -> LocalMachine:
    return LocalMachine()


def _sources() -> list[bytes]:
    return [samples.SOURCE.encode(), b"async def f() -> int:\n    return 1\n"]


def _compile(raw: bytes) -> None:
    """Compiled or rejected in the machine, within its gas, and the same a second time."""
    try:
        source = raw.decode()
    except UnicodeDecodeError:
        raise Refused("malformed", "no UTF-8") from None
    if not 0 < len(raw) <= MAX_SOURCE_BYTES:
        raise Refused("too_large", "a transaction carries no such source")
    result = _machine().compile(source, COMPILE_GAS)
    must(result.gas_used <= COMPILE_GAS, "compiling took more gas than it was given")
    must(_machine().compile(source, COMPILE_GAS) == result, "compiling twice gives two results")
    if isinstance(result, Rejected):
        raise Refused("rejected", result.message)
    must(isinstance(result, Compiled), "neither compiled nor rejected")


TARGETS: Final = (
    Target("contract-value", _read_value, _values),
    Target("contract-request", _read_request, _requests, prefix=1),
    Target("argument", _read_argument, _arguments, form="text"),
    Target("json-value", _read_json, _json_values, form="json"),
    Target("contract-source", _compile, _sources, form="text", weight=5),
)
