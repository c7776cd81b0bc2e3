# ruff: noqa: BLE001, PYI024
# mypy: ignore-errors
# What this file does is wrong on purpose.
"""Hostile: values, keys and messages beyond every bound."""

import enum
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any

from ostraka_contract import call, delete, emit, get, keys, lock, put, transfer

PAYEE = "osk1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0svv2jgj"


def return_float() -> Any:
    return 0.5


def return_set() -> Any:
    return {1, 2}


def return_generator() -> Any:
    return (x for x in [1])


def return_function() -> Any:
    return return_float


def return_object() -> Any:
    return object()


def return_enum() -> Any:
    return enum.IntEnum("Colour", "RED").RED


def return_named_tuple() -> Any:
    return namedtuple("P", "x y")(1, 2)


def return_ordered_dict() -> Any:
    return OrderedDict(a=1)


def return_bool_key() -> Any:
    return {True: 1}


def return_tuple_key() -> Any:
    return {(1, 2): 1}


def return_surrogate() -> Any:
    return "\ud800"


def return_not_a_number() -> Any:
    return Decimal("NaN")


def return_infinity() -> Any:
    return [Decimal("Infinity")]


def return_long_decimal() -> Any:
    return Decimal("1" * 100)


def return_wide_exponent() -> Any:
    return Decimal("1e1000")


def return_257_bits() -> Any:
    return 1 << 256


def return_256_bits() -> Any:
    return [(1 << 256) - 1, 1 - (1 << 256)]


def return_deep() -> Any:
    value: Any = 1
    for _ in range(33):
        value = [value]
    return value


def return_long() -> Any:
    return "x" * 20_000


def return_itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def return_text_subclass() -> Any:
    class Text(str):
        def encode(self, *_: Any) -> bytes:
            return b"forged"

    return Text("x")


def put_long_value() -> None:
    put("k", b"x" * 20_000)


def put_long_key() -> None:
    put("k" * 257, 1)


def put_empty_key() -> None:
    put("", 1)


def put_hidden_key() -> None:
    put("\0lock/k", 1)


def put_key_of_another_type() -> None:
    put(5, 1)


def put_many() -> None:
    for i in range(1000):
        put(f"k{i}", i)


def put_many_caught() -> int:
    done = 0
    for i in range(300):
        try:
            put(f"k{i}", i)
            done += 1
        except Exception:
            pass
    return done


def put_and_delete() -> list[str]:
    for i in range(50):
        put(f"k{i:02}", i)
    for i in range(0, 50, 2):
        delete(f"k{i:02}")
    return keys("k", limit=10)


def put_by_reference() -> Any:
    value = [1]
    put("k", value)
    value.append(2)
    first = get("k")
    first.append(3)
    return get("k")


def keys_without_limit() -> Any:
    return keys("", limit=10**9)


def keys_of_nonsense() -> Any:
    return keys(5, limit="x")


def calls_without_end() -> None:
    while True:
        call(1, "c", "m")


def calls_caught() -> int:
    made = 0
    for _ in range(200):
        try:
            call(1, "c", "m", gas=5_000)
            made += 1
        except Exception:
            pass
    return made


def call_with_long_arguments() -> None:
    call(1, "c", "m", "x" * 20_000)


def call_with_a_float() -> None:
    call(1, "c", "m", 0.5)


def call_of_a_negative_shard() -> None:
    call(-1, "c", "m")


def call_of_a_far_shard() -> None:
    call(10**9, "c", "m")


def call_of_no_contract() -> None:
    call(1, "", "m")


def call_of_a_long_name() -> None:
    call(1, "c", "m" * 1000)


def call_with_all_gas() -> None:
    call(1, "c", "m", gas=10**15)


def call_with_more_gas_than_left() -> None:
    call(1, "c", "m", gas=1_000_000)


def call_with_too_little_gas() -> None:
    call(1, "c", "m", gas=100)


def call_with_negative_gas() -> None:
    call(1, "c", "m", gas=-5_000)


def call_of_a_name_that_cannot_be() -> None:
    call(1, "Über contract", "m")


def call_of_an_account() -> None:
    call(1, PAYEE, "m", value=1)


def pay_with_arguments() -> None:
    call(1, PAYEE, "", 5, value=1)


def pay_nobody() -> None:
    call(1, PAYEE[:-1] + "q", "", value=1)


def pay_a_contract_without_a_method() -> None:
    call(1, "wallet", "", value=1)


def pay_and_raise() -> None:
    call(1, PAYEE, "", value=1)
    raise ValueError("the payment is undone")


def transfer_to_nobody() -> None:
    transfer("osk1x", 1)


def transfer_to_a_contract() -> None:
    transfer("wallet@1", 1)


def transfer_to_what_is_no_text() -> None:
    transfer(None, 1)


def call_with_negative_value() -> None:
    call(1, "c", "m", value=-1)


def call_with_value_not_held() -> None:
    call(1, "c", "m", value=10**12)


def call_with_a_past_deadline() -> None:
    call(1, "c", "m", deadline=-1)


def call_with_an_endless_deadline() -> None:
    call(1, "c", "m", deadline=10**12)


def call_with_nonsense() -> None:
    call("a", 5, None, value="x")


def call_then_raise() -> None:
    call(1, "c", "m", value=1, gas=5_000)
    put("k", 1)
    transfer(PAYEE, 1)
    emit("E")
    raise ValueError("all of it undone")


def emit_long() -> None:
    emit("E", text="x" * 5000)


def emit_long_name() -> None:
    emit("E" * 1000)


async def lock_twice() -> None:
    async with lock("k"), lock("k"):
        pass


async def lock_without_end() -> int:
    async with lock("k", lease=10**30):
        return 1


async def lock_never_left() -> None:
    await lock("k").__aenter__()
    raise ValueError("the lock is undone with the rest")
