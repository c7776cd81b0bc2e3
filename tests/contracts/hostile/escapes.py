# ruff: noqa: DTZ005, ICN001, PTH123, T201
# mypy: ignore-errors
# What this file does is wrong on purpose.
"""Hostile: programs that look for the world outside, for the runner's insides, or for another identity."""

import dataclasses
import datetime
import decimal
import functools
import hashlib
import json
import types
from typing import Any, NoReturn

import ostraka_contract
from ostraka_contract import call, emit, get, msg, put, self_balance, transfer

PAYEE = "osk1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0svv2jgj"


def _module(name: str) -> Any:
    return __import__(name)


def import_os() -> Any:
    return _module("os").listdir("/")


def import_sys() -> Any:
    return _module("sys").path


def import_time() -> Any:
    return _module("time").time_ns()


def import_random() -> Any:
    return _module("random").randrange(1000)


def import_socket() -> Any:
    return _module("socket").gethostname()


def import_ctypes() -> Any:
    return _module("ctypes").sizeof(1)


def import_threads() -> Any:
    return _module("threading").get_ident()


def import_asyncio() -> Any:
    return _module("asyncio").run(1)


def import_the_boundary() -> Any:
    return _module("wit_world").ask(1, "x")


def import_the_codec() -> Any:
    return _module("contracts.values").encode(1)


def import_a_submodule() -> Any:
    return _module("json.tool").main()


def import_gc() -> Any:
    return _module("gc").get_count()


def import_marshal() -> Any:
    return _module("marshal").loads(b"\xff")


def evaluate() -> Any:
    return eval("1")


def execute() -> Any:
    exec("x = 1")


def compiled() -> Any:
    return compile("1", "x", "eval")


def open_file() -> Any:
    return open("/etc/passwd").read()


def read_input() -> Any:
    return input()


def leave() -> None:
    raise SystemExit(0)


def interrupt() -> None:
    raise KeyboardInterrupt


def stop_iteration() -> None:
    raise StopIteration(1)


def generator_exit() -> None:
    raise GeneratorExit


async def stop_async_iteration() -> None:
    raise StopAsyncIteration


def base_exception() -> None:
    raise BaseException("all the way")


def _sys() -> Any:
    return dataclasses.sys


def reach_sys() -> list[str]:
    return sorted(_sys().modules)[:5]


def reach_os_urandom() -> bytes:
    return bytes(_sys().modules["os"].urandom(8))


def reach_clock() -> int:
    return int(_sys().modules["time"].time_ns())


def reach_monotonic() -> int:
    return int(_sys().modules["time"].monotonic_ns())


def reach_random() -> int:
    return int(_sys().modules["random"].getrandbits(64))


def reach_system_random() -> int:
    return int(_sys().modules["random"].SystemRandom().getrandbits(64))


def reach_environment() -> list[str]:
    return sorted(_sys().modules["os"].environ)


def reach_files() -> list[str]:
    return list(_sys().modules["os"].listdir("/"))


def reach_open() -> str:
    return str(_sys().modules["io"].open("/etc/passwd").read())


def reach_standard_output() -> None:
    _sys().stdout.write("x" * 100)
    _sys().stdout.flush()


def reach_standard_error() -> None:
    _sys().stderr.write("x")
    _sys().stderr.flush()


def reach_exit() -> None:
    _sys().modules["os"]._exit(1)


def reach_abort() -> None:
    _sys().modules["os"].abort()


def reach_now() -> str:
    return datetime.datetime.now().isoformat()


def reach_eval() -> Any:
    return functools.__builtins__["eval"]("6 * 7")


def reach_subclasses() -> int:
    return len([c for c in object.__subclasses__() if c.__name__ == "_wrap_close"])


def lift_recursion_limit() -> None:
    _sys().setrecursionlimit(10**6)

    def deep(n: int) -> int:
        return deep(n + 1)

    deep(0)


def lift_digit_limit() -> int:
    _sys().set_int_max_str_digits(0)
    return len(str(1 << 10_000_000))


def trace_everything() -> None:
    def tracer(*_: Any) -> Any:
        while True:
            pass

    _sys().settrace(tracer)
    json.dumps({})


def reach_frames() -> list[str]:
    frame = _sys()._getframe()
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


def reach_the_runner() -> list[str]:
    frame = _sys()._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    return sorted(name for name in frame.f_globals if not name.startswith("_"))[:8]


def _ask(operation: int, request: bytes) -> bytes:
    answer: str = _sys().modules["wit_world"].ask(operation, request.decode("latin-1"))
    return answer.encode("latin-1")


def forge_unknown_operation() -> bytes:
    return _ask(77, b"")


def forge_nothing() -> bytes:
    return _ask(2, b"")


def forge_long_key() -> bytes:
    return _ask(1, b"k" * 1000)


def forge_key_that_is_no_text() -> bytes:
    return _ask(1, b"\xff\xfe")


def forge_value() -> bytes:
    return _ask(2, b"\x00\x01k" + b"\xcb" + bytes(8))


def forge_value_not_canonical() -> bytes:
    return _ask(2, b"\x00\x01k" + b"\xcc\x01")


def forge_hidden_key() -> bytes:
    return _ask(2, b"\x00\x03\x00kk" + b"\x01")


def forge_call() -> bytes:
    return _ask(4, b"\x98" + b"\x01" * 8)


def forge_call_of_a_bool_shard() -> bytes:
    return _ask(4, b"\x98\xc3\xa1c\xa1m\xc4\x01\x90\x00\xc0\x00\x00")


def forge_commits() -> bytes:
    while True:
        _ask(9, b"\x92\xc3\x90")


def forge_commit_with_garbage() -> bytes:
    return _ask(9, b"garbage")


def forge_suspension() -> bytes:
    put("k", 1)
    return _ask(9, b"\x92\xc2\x90")


def forge_wide_string() -> str:
    return str(_sys().modules["wit_world"].ask(1, "\u20ac"))


def forge_long_request() -> bytes:
    return _ask(8, b"x" * 5_000_000)


def _return(raw: bytes) -> NoReturn:
    """Have the runner return this."""
    _sys().modules["app"].failure = lambda _error: raw
    raise ValueError


def _encode(value: Any) -> bytes:
    encoded: bytes = _sys().modules["app"].encode(value, max_bytes=1 << 20)
    return encoded


def forge_result() -> None:
    _return(b"\0\0\0\0\2\xff\xff")


def forge_nothing_returned() -> None:
    _return(b"")


def forge_result_without_end() -> None:
    _return(b"\0\xff\xff\xff\xff\xc0")


def forge_suspended_result() -> None:
    _return(_encode(["suspended"]))


def forge_huge_result() -> None:
    _return(b"\0" + (500_000).to_bytes(4, "big") + bytes(500_000))


def forge_float_result() -> None:
    _return(b"\0\0\0\0\x09\xcb" + bytes(8))


def forge_writes_that_are_garbage() -> None:
    _return(b"\0\0\0\0\1\xc0garbage")


def forge_a_million_writes() -> None:
    _return(b"\0\0\0\0\1\xc0" + b"\2\0\0\0\0" * 1_000_000)


def forge_writes_handed_over() -> bytes:
    return _ask(10, b"\2\0\0\0\4\0\1k\1" + b"\4\0\0\0\0")


def forge_failure() -> None:
    frames = [[10**30, "f"], [-1, "g"], [1, "h" * 1000], ["x"], 5]
    _return(_encode(["failed", "E" * 5000, "t" * 10_000, frames, "r" * 10_000]))


def pose_as_another() -> str:
    _running().message = _running().message._replace(sender="somebody@7")
    return msg.sender


def pose_and_call() -> int:
    _running().message = _running().message._replace(contract="wallet")
    call(1, "wallet", "charge", msg.contract)
    return 1


def _running() -> Any:
    return _sys().modules["ostraka_contract.api"].running()


def set_msg() -> None:
    ostraka_contract.msg.sender = "x"


def spend_what_is_not_there() -> int:
    transfer(PAYEE, self_balance() + 1)
    return 1


def spend_twice() -> int:
    transfer(PAYEE, self_balance())
    transfer(PAYEE, 1)
    return 1


def spend_less_than_nothing() -> None:
    transfer(PAYEE, -5)


def spend_without_bound() -> None:
    transfer(PAYEE, 1 << 200)


def spend_fractions() -> None:
    transfer(PAYEE, decimal.Decimal("0.5"))


def spend_truth() -> None:
    transfer(PAYEE, True)


def patch_json() -> str:
    json.dumps = lambda *_a, **_k: "patched"
    return json.dumps(1)


def patch_builtins() -> int:
    json.__builtins__["len"] = lambda _: 7
    put("k", [1])
    return len([1])


def patch_hashlib() -> str:
    hashlib.sha256 = lambda *_a: types.SimpleNamespace(hexdigest=lambda: "0")
    return hashlib.sha256(b"").hexdigest()


def patch_the_codec() -> Any:
    _sys().modules["contracts.values"]._WRITERS[float] = lambda v, out, *_: out.extend(b"\xcb" + bytes(8))
    put("k", 0.5)
    return get("k")


def patch_decimal() -> str:
    decimal.getcontext().prec = 3
    decimal.setcontext(decimal.Context(prec=2, capitals=0))
    return str(decimal.Decimal(1) / 3)


def where_things_are() -> list[Any]:
    return [id(object()) % 1000, hash(object()) % 1000, repr(object()), hash("text") % 1000]


def order_of_sets() -> list[str]:
    return list({f"item{i}" for i in range(50)})


def order_of_objects() -> list[int]:
    things = [type(f"T{i}", (), {"n": i})() for i in range(30)]
    return [thing.n for thing in set(things)]


def floats() -> str:
    nan = float("inf") - float("inf")
    return f"{0.1 + 0.2!r} {nan!r} {(-nan)!r} {2.0**0.5!r} {1e308 * 10!r} {hash(nan) % 7} {1.5e-320!r}"


def transcendental() -> str:
    import math

    return " ".join(repr(f(1.2345678)) for f in (math.sin, math.exp, math.log, math.tanh, math.gamma, math.cbrt))


def flood_of_prints() -> None:
    for i in range(10_000):
        print("x" * 100_000, i)


def flood_of_events() -> None:
    for i in range(1000):
        emit("E", i=i)


def flood_of_events_caught() -> int:
    count = 0
    for i in range(1000):
        try:
            emit("E", i=i)
        except ostraka_contract.LimitExceeded:
            count += 1
    return count
