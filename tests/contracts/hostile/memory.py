# ruff: noqa: E731, F521, FURB192, PLC3002, SIM105
# mypy: ignore-errors
# What this file does is wrong on purpose.
"""Hostile: programs that want all the memory, or all the stack."""

import collections
import copy
import json
from typing import Any


def list_bomb() -> int:
    items: list[int] = []
    while True:
        items += range(100_000)


def list_bomb_caught() -> str:
    items: list[bytes] = []
    try:
        while True:
            items.append(bytes(1_000_000))
    except MemoryError:
        return f"{len(items)} MB"


def list_bomb_caught_again_and_again() -> None:
    while True:
        try:
            list_bomb()
        except MemoryError:
            pass


def dict_bomb() -> None:
    d: dict[Any, Any] = {}
    while True:
        d[len(d)] = d.copy()


def text_bomb() -> int:
    s = "x"
    while True:
        s += s


def text_bomb_caught() -> int:
    s = "x"
    try:
        while True:
            s += s
    except MemoryError:
        return len(s)


def integer_bomb() -> int:
    n = 3
    while True:
        n *= n


def bytes_at_once() -> int:
    return len(bytes(1 << 30))


def bytes_of_the_limit() -> int:
    return len(bytes(60 << 20))


def bytes_that_fit() -> int:
    return len(bytes(40 << 20))


def negative_bytes() -> int:
    return len(bytes(-1))


def cycles() -> None:
    while True:
        a: list[Any] = [bytes(10_000)]
        a.append(a)


def closures() -> None:
    f: Any = lambda: 0
    while True:
        f = (lambda g: lambda: g)(f)


def chain_of_generators() -> Any:
    g: Any = iter([1])
    for _ in range(100_000):
        g = (x for x in g)
    return next(g)


def chain_of_maps() -> Any:
    g: Any = iter([1])
    for _ in range(1_000_000):
        g = map(abs, g)
    return next(g)


def chain_of_errors() -> None:
    error: Exception | None = None
    while True:
        try:
            raise ValueError("x" * 1000) from error
        except ValueError as caught:
            error = caught


def chain_of_long_errors() -> None:
    raise ValueError("x" * 1_000_000)


def error_with_a_long_name() -> None:
    raise type("E" * 100_000, (Exception,), {})("text")


def classes() -> None:
    while True:
        type("C", (), {"x": bytes(1000)})


def wide_class() -> Any:
    return type("C", tuple(type(f"B{i}", (), {}) for i in range(2000)), {}).__name__


def unbounded_queue() -> None:
    queue: collections.deque[int] = collections.deque()
    while True:
        queue.append(1)


def _nested(depth: int) -> Any:
    node: Any = []
    for _ in range(depth):
        node = [node]
    return node


def nested_dropped() -> int:
    node = _nested(1_000_000)
    del node
    return 1


def nested_shown() -> int:
    return len(repr(_nested(100_000)))


def nested_compared() -> bool:
    return bool(_nested(100_000) == _nested(100_000))


def nested_copied() -> int:
    return len(copy.deepcopy(_nested(100_000)))


def nested_as_json() -> int:
    return len(json.dumps(_nested(100_000)))


def nested_from_json() -> Any:
    return len(json.loads("[" * 100_000 + "]" * 100_000))


def nested_hashed() -> int:
    node: Any = ()
    for _ in range(100_000):
        node = (node,)
    return hash(node) % 7


def nested_returned() -> Any:
    return _nested(10_000)


def nested_sort_keys() -> Any:
    class Key:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __lt__(self, other: Any) -> bool:
            return bool(self.inner < other.inner)

    a: Any = 1
    b: Any = 2
    for _ in range(10_000):
        a, b = Key(a), Key(b)
    return sorted([b, a])[0] is a


def nested_isinstance() -> bool:
    kinds: Any = int
    for _ in range(100_000):
        kinds = (kinds,)
    return isinstance("", kinds)


def many_arguments() -> int:
    return max(*range(1_000_000))


def many_locals() -> Any:
    return len(dict(**{f"k{i}": i for i in range(300_000)}))


def format_recursion() -> str:
    return "{0[" + "0][" * 10_000 + "0]}".format([])
