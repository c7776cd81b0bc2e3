# ruff: noqa: B012, BLE001, C416, E731, PLE0305, PLE0307, PLE0309, SIM105
# mypy: ignore-errors
# What this file does is wrong on purpose.
"""Hostile: programs that do not want to end."""

import contextlib
from typing import Any

from ostraka_contract import call, gather


def while_true() -> None:
    while True:
        pass


def swallow_everything() -> None:
    while True:
        try:
            raise ValueError
        except BaseException:
            pass


def return_in_finally() -> None:
    while True:
        try:
            raise ValueError
        finally:
            continue


def recursion() -> None:
    recursion()


def recursion_caught() -> int:
    try:
        return recursion_caught()
    except RecursionError:
        return 1


def recursion_doubled() -> None:
    try:
        recursion_doubled()
    finally:
        recursion_doubled()


def mutual_recursion(n: int = 0) -> None:
    _other(n)


def _other(n: int) -> None:
    mutual_recursion(n + 1)


def generator_forever() -> int:
    def forever() -> Any:
        while True:
            yield 1

    return sum(forever())


def comprehension() -> list[int]:
    return [x for x in iter(int, 1)]


def lambda_chain() -> None:
    f = lambda g: g(g)
    f(f)


def suppressing() -> None:
    while True:
        with contextlib.suppress(BaseException):
            raise KeyboardInterrupt


class _Sticky:
    def __exit__(self, *_: object) -> bool:
        return True

    def __enter__(self) -> None: ...

    def __repr__(self) -> str:
        while True:
            pass

    def __eq__(self, other: object) -> bool:
        while True:
            pass

    def __hash__(self) -> int:
        while True:
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self, name + "x")

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> int:
        return 1

    def __del__(self) -> None:
        while True:
            pass

    def __index__(self) -> int:
        while True:
            pass


def sticky_exit() -> None:
    while True:
        with _Sticky():
            raise ValueError


def sticky_repr() -> str:
    return repr(_Sticky())


def sticky_eq() -> bool:
    return _Sticky() == 1


def sticky_hash() -> Any:
    return {_Sticky(): 1}


def sticky_getattr() -> Any:
    return _Sticky().anything


def sticky_next() -> Any:
    return list(_Sticky())


def sticky_del() -> None:
    _Sticky()


def sticky_index() -> Any:
    return [1][_Sticky()]


def sort_key() -> Any:
    def key(_: int) -> int:
        while True:
            pass

    return sorted([1, 2], key=key)


def error_without_text() -> None:
    class Quiet(Exception):
        def __str__(self) -> str:
            while True:
                pass

    raise Quiet


def error_that_raises_when_shown() -> None:
    class Loud(Exception):
        def __str__(self) -> str:
            raise self

    raise Loud


async def async_loop() -> None:
    async def nothing() -> None: ...

    while True:
        await nothing()


async def gather_of_swallowers() -> None:
    async def one() -> None:
        while True:
            try:
                await gather(one(), one())
            except BaseException:
                pass

    await gather(one(), one())


async def gather_of_itself() -> None:
    async def never() -> None:
        await waits[0]

    waits: list[Any] = []
    waits.append(gather(never()))
    await waits[0]


async def await_number() -> None:
    await 5


class _Yields:
    def __await__(self) -> Any:
        yield "something else"


async def await_own_awaitable() -> None:
    await _Yields()


async def awaits_without_end() -> None:
    while True:
        await call(1, "c", "m")


async def awaits_of_the_longest_reply() -> int:
    total = 0
    for _ in range(60):
        total += len(str(await call(1, "c", "long")))
    return total


async def awaits_sixty_four() -> int:
    total = 0
    for _ in range(64):
        total += await call(1, "c", "one")
    return total


async def close_own_coroutine() -> None:
    async def other() -> None:
        try:
            await call(1, "c", "m")
        finally:
            while True:
                pass

    co = other()
    co.send(None)
    co.close()
