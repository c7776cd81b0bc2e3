"""Asks an oracle on each of many shards at once, and takes the median of those that answer in time.

Fan-out is a list of calls, fan-in is one `await gather(...)`. With `return_exceptions` a failed call is an item of the
result like any other, so a shard that is halted or an oracle that is broken costs its own answer and no more.
"""

from statistics import median_low

from ostraka_contract import CallFailed, block, call, emit, gather, get, put, view


class TooFewAnswers(Exception):
    pass


def init(shards: list[int]) -> None:
    """Ask the contracts named `oracle` on these shards."""
    put("shards", shards)


async def update(deadline: int = 10) -> int:
    """Ask all of them, for at most `deadline` seconds each; the median of what more than half of them say."""
    asked_at = block.time
    shards: list[int] = get("shards")
    answers = await gather(
        *[call(shard, "oracle", "read", deadline=deadline) for shard in shards], return_exceptions=True
    )
    numbers = [answer for answer in answers if type(answer) is int]
    missing = {shard: _why(answer) for shard, answer in zip(shards, answers, strict=True) if type(answer) is not int}
    if 2 * len(numbers) <= len(shards):
        raise TooFewAnswers(f"{len(numbers)} of {len(shards)}; missing: {missing}")
    median = median_low(numbers)  # an element, so no float can come of it
    put("latest", {"median": median, "asked_at": asked_at})
    emit("Updated", median=median, answers=len(numbers), missing=missing)
    return median


@view
def latest() -> dict[str, int]:
    """The median that was asked for last, and when (Unix time; 0: never)."""
    return get("latest", {"median": 0, "asked_at": 0})


def _why(answer: object) -> str:
    return answer.kind if isinstance(answer, CallFailed) else f"answered {type(answer).__name__}"
