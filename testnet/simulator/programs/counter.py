"""A counter that misses no step, in every version of its code."""

from ostraka_contract import call, emit, get, keys, lock, msg, put

VERSION = 1


class Stumble(Exception):
    pass


def migrate() -> None:
    put("version", VERSION)


def bump() -> int:
    put("count", get("count", 0) + 1)
    count: int = get("count")
    emit("Bumped", count=count)
    return count


def stumble() -> None:
    """Nothing of this happens, because it fails in the end."""
    put("count", get("count", 0) + 100)
    emit("Stumbled")
    keys()  # so that the machine's host has heard of it
    call(msg.shard, "counter", "bump", value=msg.value, gas=25_000)
    raise Stumble("over its own feet")


async def climb(shard: int, steps: int) -> int:
    """Many awaits, one after the other; it ends in the version that it began in."""
    emit("Began", version=VERSION)
    highest = 0
    for _ in range(steps):
        highest = await call(shard, "counter", "bump", gas=25_000)
    emit("Ended", version=VERSION)
    return highest


async def guarded(shard: int, key: str, lease: int) -> int:
    """What happens under the lock happens to one call at a time, until its lease runs out."""
    async with lock(key, lease=lease):
        emit("Entered", key=key, lease=lease)
        count: int = await call(shard, "counter", "bump", gas=25_000)
        emit("Left", key=key)
    return count
