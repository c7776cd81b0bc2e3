"""A contract whose views mean no good."""

import re

from ostraka_contract import call, delete, get, put, transfer, view


def fill(first: int, count: int) -> None:
    for number in range(first, first + count):
        put(f"k/{number}", number)


def stuff(key: str, size: int) -> None:
    put(key, bytes(size))


@view
def quick() -> int:
    return 1


@view
def loops() -> None:
    while True:
        pass


@view
def recurses() -> int:
    return recurses() + 1


@view
def hoards() -> int:
    hoard = []
    while True:
        hoard.append(bytes(2**20))


@view
def squares() -> int:
    number = 7
    while True:
        number *= number


@view
def backtracks() -> bool:
    return re.match(r"(a+)+$", "a" * 60 + "b") is not None


@view
def swallows() -> None:
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001 - it does mean no good
            pass


@view
def prints() -> None:
    while True:
        print("x" * 1000)  # noqa: T201 - to the log of the call


@view
def writes() -> None:
    put("k/0", get("k/0") + 1)
    delete("k/1")


@view
def pays() -> None:
    transfer("trouble@0", 1)


@view
async def calls() -> None:
    await call(0, "trouble", "fill", 0, 1)


@view
def answers_much() -> str:
    return "x" * 10**6


@view
def answers_nonsense() -> object:
    return object()


@view
def imports() -> None:
    import os  # noqa: F401 - it does mean no good
