"""Everything else that a call can do: money, failures, patience, depth, fan-out, calls to nobody, and hunger."""

from ostraka_contract import (
    CallFailed,
    InsufficientBalance,
    OutcomeUnknown,
    block,
    call,
    emit,
    gather,
    get,
    msg,
    put,
    self_balance,
    transfer,
)


class Unwilling(Exception):
    pass


def init(shards: int) -> None:
    put("shards", shards)


async def ping(hops: int) -> int:
    """To and fro between two shards, each call inside the one before."""
    if not hops:
        return 0
    other = (msg.shard + 1 + hops % 2) % get("shards")
    return 1 + int(await call(other, "errand", "ping", hops - 1, gas=30_000 * hops))


async def spend(shard: int, here: str, there: str, mode: int) -> int:
    """Share out the value that came: to an account here, one elsewhere, and a contract that may refuse it."""
    part = msg.value // 4
    transfer(here, part)
    call(shard, there, "", value=part)
    try:
        await call(shard, "errand", "accept" if mode < 2 else "accept_late", mode, value=part, gas=100_000)
    except CallFailed as failed:
        emit("CameBack", sent=part, returned=failed.returned, mode=mode, kind=failed.kind, error=failed.error)
    return self_balance()


def accept(mode: int) -> int:
    if mode == 1:
        raise Unwilling("before anything was committed")
    return msg.value


async def accept_late(mode: int) -> int:
    """Commit, and so keep the value, then fail."""
    await call(msg.shard, "counter", "bump", gas=25_000)
    if mode == 3:
        raise Unwilling("after the first commit")
    call(msg.shard, "errand", "accept", 0, value=msg.value // 2, gas=30_000)
    return msg.value


def splurge(here: str) -> None:
    """Spend all that there is, and then some more."""
    transfer(here, self_balance())
    try:
        transfer(here, 1)
    except InsufficientBalance:
        emit("Broke", left=self_balance())
    else:
        emit("Overspent")


async def hurry(shard: int, deadline: int) -> str:
    try:
        await call(shard, "errand", "arrive_by", block.time_ms + 1000 * deadline, deadline=deadline, gas=30_000)
    except CallFailed as failed:
        return failed.kind
    return "ok"


def arrive_by(due_ms: int) -> None:
    emit("Arrived", due=due_ms, now=block.time_ms)


async def wait(shard: int, patience: int, steps: int) -> str:
    """Wait no longer than so many seconds for something slow."""
    emit("Patience", seconds=patience)
    kind = "ok"
    try:
        await call(shard, "counter", "climb", msg.shard, steps, patience=patience, gas=300_000)
    except OutcomeUnknown:
        kind = "unknown"
    except CallFailed as failed:
        kind = failed.kind
    await call(msg.shard, "counter", "bump", gas=25_000)
    return kind


async def gamble(shard: int) -> str:
    """Send value to who refuses it, and do not wait long for it to come back."""
    try:
        await call(shard, "errand", "accept", 1, value=msg.value, patience=1, gas=30_000)
    except CallFailed as failed:
        emit("CameBack", sent=msg.value, returned=failed.returned, mode=1, kind=failed.kind, error=failed.error)
    except OutcomeUnknown:
        await call(msg.shard, "counter", "climb", shard, 3, gas=200_000)  # what comes back too late finds it at this
        return "unknown"
    return "known"


def forget(shard: int) -> None:
    """Nobody awaits these."""
    call(shard, "counter", "bump", gas=25_000)
    call(msg.shard, "counter", "bump", gas=25_000)
    call(shard, "errand", "accept", 1, value=msg.value, gas=30_000)


async def fan(failing: bool) -> list[str]:
    """Coroutines and calls side by side, some of which fail."""

    async def branch(shard: int) -> int:
        count = await call(shard, "counter", "bump", gas=25_000)
        put(f"branch/{shard}", count)
        return int(await call((shard + 1) % get("shards"), "counter", "bump", gas=25_000))

    shards: int = get("shards")
    calls = [call(shard, "errand", "accept", int(failing), gas=30_000) for shard in range(shards)]
    results = await gather(*(branch(shard) for shard in range(shards)), *calls, return_exceptions=not failing)
    return [type(result).__name__ for result in results]


async def wrong(way: int) -> str:
    """Calls that reach nobody."""
    shard = (msg.shard + 1) % get("shards")
    target = [
        (500, "errand", "ping"),
        (shard, "nobody", "ping"),
        (shard, "errand", "nothing"),
        (shard, "errand", "init"),
    ]
    try:
        await call(*target[way % 4], value=msg.value // 2, gas=30_000)
    except CallFailed as failed:
        emit("Wrong", kind=failed.kind, returned=failed.returned, sent=msg.value // 2)
        return failed.kind
    return "ok"


async def burn(shard: int, loops: int) -> int:
    """Go hungry after an await."""
    total = int(await call(shard, "counter", "bump", gas=25_000))
    for number in range(loops):
        total += number % 7
    return total


async def feed_too_little(shard: int) -> str:
    try:
        await call(shard, "errand", "burn", msg.shard, 200_000, gas=60_000)
    except CallFailed as failed:
        return f"{failed.kind} {failed.error}"
    return "ok"
