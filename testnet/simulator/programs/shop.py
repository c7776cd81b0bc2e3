"""The shop of the design: each item is sold once at most, and charged exactly when it is sold."""

from ostraka_contract import CallFailed, call, emit, gather, get, msg, put


class SoldOut(Exception):
    pass


def init(shards: int) -> None:
    put("shards", shards)


async def buy(item: str, deadline: int) -> int:
    if get(f"sold/{item}"):
        raise SoldOut(item)
    put(f"sold/{item}", msg.sender)  # claimed before the first await
    one, two = ((msg.shard + step) % get("shards") for step in (1, 2))
    try:
        price, _ = await gather(
            call(two, "market", "quote", item, deadline=deadline),
            call(one, "market", "reserve", f"{msg.shard}/{item}", deadline=deadline),
        )
        await call(two, "market", "charge", item, price, deadline=deadline)
    except CallFailed:
        put(f"sold/{item}", None)
        await call(one, "market", "release", f"{msg.shard}/{item}")
        raise
    emit("Sold", item=item)
    return int(price)
