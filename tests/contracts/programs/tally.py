"""A tally that others may add to."""

from ostraka_contract import call, get, keys, msg, put, view


class TooMuch(Exception):
    """More than anybody may add."""


def init(start: int = 0) -> None:
    put("total", start)


def add(amount: int) -> int:
    """Add to the total; the new one."""
    if amount > 100:
        raise TooMuch(f"{amount} is more than 100")
    total: int = get("total") + amount
    put("total", total)
    put(f"by/{msg.sender}", amount)
    print("added", amount)  # noqa: T201 - to the log of the call
    return total


async def pass_on(shard: int, amount: int) -> int:
    """Have another tally add it."""
    total: int = await call(shard, "tally", "add", amount)
    return total


async def think(rounds: int) -> int:
    """Think about what this shard's own tally says."""
    total: int = await call(0, "tally", "add", 1, gas=20_000)
    for number in range(rounds):
        total += number % 2
    return total


def echo(value: object) -> object:
    return value


@view
def total() -> object:
    return get("total")


@view
def givers() -> list[str]:
    return keys("by/")
