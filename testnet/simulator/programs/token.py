"""A token that spans all shards: each has a part of the balances, and what is on its way is nowhere else."""

from ostraka_contract import CallFailed, call, emit, get, keys, msg, put


class Refused(Exception):
    pass


def init(amount: int, holders: list[str]) -> None:
    for holder in holders:
        put(f"held/{holder}", amount)
    emit("Minted", amount=amount * len(holders))


async def send(shard: int, to: str, amount: int, deadline: int) -> bool:
    """Move `amount` to a holder on any shard; False when it came back."""
    _take(msg.sender, amount)
    emit("Sent", amount=amount)
    try:
        await call(shard, "token", "receive", to, amount, deadline=deadline)
    except CallFailed:
        put(f"held/{msg.sender}", get(f"held/{msg.sender}", 0) + amount)
        emit("Undone", amount=amount)
        return False
    return True


def receive(to: str, amount: int) -> None:
    if not msg.sender.startswith("token@"):
        raise Refused("only another shard's token sends")
    if to == "nobody":
        raise Refused(to)
    put(f"held/{to}", get(f"held/{to}", 0) + amount)
    emit("Received", amount=amount)


def audit() -> int:
    """Count what is held here; a key of its own comes and goes meanwhile."""
    held = {key: get(key, 0) for key in keys("held/")}
    put("held/?", 1)
    own = len(keys("held/")) - len(held)
    put("held/?", None)
    emit("Audited", total=sum(held.values()), marked="held/!" in held, own=own)
    return sum(held.values())


def mark() -> None:
    """Add a key among those of holders, or take it away."""
    there = get("held/!") is not None
    put("held/!", None if there else 0)
    emit("Marked", there=not there)


def shuffle() -> None:
    """Have keys come and go between the audits of one block."""
    for _ in range(3):
        call(msg.shard, "token", "mark", gas=25_000)
        call(msg.shard, "token", "audit", gas=60_000)


def _take(holder: str, amount: int) -> None:
    held = get(f"held/{holder}", 0)
    if held < amount:
        raise Refused(f"{holder} holds {held}")
    put(f"held/{holder}", held - amount or None)  # nothing is kept of those who hold nothing
