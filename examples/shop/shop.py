"""A shop that sells each item once, over three shards: stock on shard 1, prices and the wallet on shard 2."""

from ostraka_contract import CallFailed, call, emit, gather, get, msg, put, view


class SoldOut(Exception):
    pass


async def buy(item: str) -> int:
    """Sell `item` once: reserve it on shard 1, charge the buyer's allowance on shard 2, or undo everything."""
    if get(f"sold:{item}"):
        raise SoldOut(item)
    put(f"sold:{item}", msg.sender)  # claimed before the first await
    try:
        price, _ = await gather(
            call(2, "prices", "quote", item),
            call(1, "stock", "reserve", item),
        )
        await call(2, "wallet", "charge", msg.sender, price, deadline=30)  # checks the buyer's allowance to shop@0
    except CallFailed:
        put(f"sold:{item}", None)  # before the await, which commits it; `raise` undoes what comes after
        await call(1, "stock", "release", item)  # releasing what was not reserved is harmless
        raise
    emit("Sold", item=item, price=price)
    return price


@view
def owner_of(item: str) -> str | None:
    """Who bought it."""
    return get(f"sold:{item}")
