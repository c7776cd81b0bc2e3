"""What a suspended call has to keep while it waits for other shards; every method has another reason to lose it."""

from ostraka_contract import CallFailed, call, emit, gather, get, lock, put, view


class Wrong(Exception):
    pass


async def loop(count: int) -> list[int]:
    """Local variables, through as many awaits as there may be."""
    total = 0
    for number in range(count):
        total += await call(1 + number % 2, "walker", "double", number)
    return [total, count]


async def helpers(depth: int) -> list[str]:
    """Frames of functions that call each other, each with a part of the work on both sides of its await."""
    return [f"{depth} down", *(await _below(depth)), f"{depth} up"]


async def _below(depth: int) -> list[str]:
    await call(1, "walker", "double", depth)
    return await helpers(depth - 1) if depth else ["bottom"]


async def branches() -> list[object]:
    """Coroutines side by side, each with awaits of its own."""

    async def branch(shard: int, steps: int) -> int:
        total = 0
        for _ in range(steps):
            total += await call(shard, "walker", "double", steps)
        put(f"branch/{shard}", total)
        return total

    found = await gather(branch(1, 3), branch(2, 1), branch(0, 2), _broken(), return_exceptions=True)
    return [type(each).__name__ if isinstance(each, Exception) else each for each in found]


async def _broken() -> None:
    await call(2, "walker", "break_down", "in a branch")


async def failures() -> list[str]:
    """Exceptions of other shards, caught, kept over an await, and raised anew."""
    found = []
    try:
        try:
            await call(1, "walker", "break_down", "there")
        except CallFailed as first:
            await call(2, "walker", "double", 1)
            raise Wrong(f"after {first.error}: {first.message}") from first
    except Wrong as second:
        found.append(f"{second} / {type(second.__cause__).__name__}")
    for kind in ("break_down", "nothing"):
        try:
            await call(2, "walker", kind, "again")
        except CallFailed as failure:
            found.append(failure.kind)
    return found


async def cleaning() -> None:
    """`finally` with awaits in it, on the way out of two functions."""
    try:
        await _cleaning_below()
    finally:
        await call(1, "walker", "double", 3)
        put("cleaned/above", True)
        await call(2, "walker", "double", 3)


async def _cleaning_below() -> None:
    try:
        await call(1, "walker", "break_down", "deep")
    finally:
        put("cleaned/below", await call(2, "walker", "double", 2))


async def contexts() -> list[int]:
    """A lock, a comprehension that awaits, a generator that is half used."""
    numbers = (number * number for number in range(10))
    async with lock("door", lease=600):
        found = [next(numbers), await call(1, "walker", "double", next(numbers))]
        return [*found, *[await call(2, "walker", "double", next(numbers)) for _ in range(2)], next(numbers)]


async def race() -> list[int]:
    """Whichever reply comes first, results stand in the order of the calls."""
    return await gather(*[_noted(shard) for shard in (1, 2, 3)])


async def _noted(shard: int) -> int:
    answer: int = await call(shard, "walker", "double", shard)
    put("order", [*get("order", []), shard])
    return answer


def double(number: int) -> int:
    put("doubled", get("doubled", 0) + 1)
    emit("Doubled", number=number)
    return 2 * number


def break_down(text: str) -> None:
    put("broken", text)
    raise Wrong(text)


@view
def kept() -> list[object]:
    """What the methods leave in storage."""
    return [get(key) for key in ("doubled", "broken", "branch/0", "branch/1", "cleaned/below", "cleaned/above")]
