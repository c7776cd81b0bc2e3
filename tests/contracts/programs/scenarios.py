"""Methods for the machine's tests, one behaviour each."""

from ostraka_contract import (
    CallFailed,
    LeaseLost,
    block,
    call,
    delete,
    gather,
    get,
    keys,
    lock,
    msg,
    put,
    transfer,
    view,
)


class TooMuch(Exception):
    pass


def deposit(amount: int) -> int:
    total: int = get("total", 0) + amount
    put("total", total)
    print("deposited", amount, "by", msg.sender)  # noqa: T201 - goes to the call's log
    return total


def write_then_raise() -> None:
    put("total", 1)
    raise TooMuch("text")


async def claim_then_fail() -> None:
    put("claimed", True)
    try:
        await call(1, "stock", "reserve")
    except CallFailed:
        put("undone", True)
        raise


async def read_around() -> list[int]:
    before = get("total", 0)
    await call(1, "c", "m")
    return [before, get("total", 0)]


async def blocks() -> list[list[int]]:
    found = [[block.height, block.time]]
    for _ in range(2):
        await call(1, "c", "m")
        found.append([block.height, block.time])
    return found


async def fan_out(count: int) -> list[int]:
    return await gather(*[call(n, "c", "m", n) for n in range(count)])


async def fan_out_caught(count: int) -> str:
    try:
        await fan_out(count)
    except CallFailed as error:
        return f"caught {error.kind}"
    return "nothing"


async def fan_out_returned(count: int) -> list[object]:
    results = await gather(*[call(n, "c", "m") for n in range(count)], return_exceptions=True)
    return [type(item).__name__ if isinstance(item, Exception) else item for item in results]


async def three_branches() -> list[int]:
    async def branch(name: str) -> int:
        total = 0
        for _ in range(2):
            total += await call(1, name, "m")
        put("done", [*get("done", []), name])
        return total

    return await gather(branch("a"), branch("b"), branch("c"))


async def caught() -> list[object]:
    try:
        await call(1, "c", "m", value=5)
    except CallFailed as error:
        return [error.kind, error.error, error.message, error.remote_traceback, error.returned]
    return []


async def caught_value(n: int) -> int:
    return n


async def loop(count: int) -> int:
    total = 0
    for n in range(count):
        total += await call(1, "c", "m", n)
    return total


async def cleans_up() -> None:
    try:
        await call(1, "c", "m")
    finally:
        put("cleaning", True)
        await call(1, "c", "clean")
        put("cleaned", True)


async def await_again() -> None:
    reply = call(1, "c", "m")
    await reply
    put("between", 1)
    await reply
    put("after", 1)
    raise TooMuch


def fire_and_forget() -> None:
    call(3, "c", "m", 1, "x")


def send_gas(amount: int) -> None:
    call(1, "c", "m", gas=amount)


def pay(to: str, method: str, arguments: list[int]) -> None:
    call(1, to, method, *arguments, value=7)


def give(to: str) -> None:
    transfer(to, 7)


async def busy_after_await() -> int:
    count: int = await call(1, "c", "m")
    return len([n for n in range(count) for _ in range(20)]) // 20


def burn(_n: int = 0) -> None:
    put("x", 1)
    while True:
        try:  # noqa: SIM105 - the point of it
            put("y", 1)
        except BaseException:  # noqa: BLE001 - as above
            pass


async def locked() -> object:
    try:
        async with lock("door", lease=60):
            return await call(1, "c", "m")
    except LeaseLost as lost:
        return ["LeaseLost", lost.reply]


@view
def look() -> object:
    return get("total", 0)


@view
def look_and_touch() -> None:
    put("total", 0)


def fill(names: list[str]) -> None:
    for name in names:
        put(name, 1)


def change_and_list() -> list[list[str]]:
    put("a/2", 1)
    delete("a/1")
    return [keys("a/"), keys("a/", after="a/2"), keys("a/", limit=1), keys("a/", after="a/3")]
