"""The contract of the design document, as it was printed there, kept to show what it does (decision 0011)."""
# The text below stays as it is.
# fmt: off
# mypy: disable-error-code="no-any-return"

from ostraka_contract import call, gather, get, put, msg, emit, view, CallFailed

class SoldOut(Exception): ...

async def buy(item: str) -> int:
    """Sell `item` once: reserve it on shard 1, charge the buyer's allowance on shard 2, or undo everything."""
    if get(f"sold:{item}"):
        raise SoldOut(item)
    put(f"sold:{item}", msg.sender)                      # claimed before the first await
    try:
        price, _ = await gather(
            call(2, "prices", "quote", item),
            call(1, "stock", "reserve", item),
        )
        await call(2, "wallet", "charge", msg.sender, price, deadline=30)   # wallet checks its owner's allowance to shop@0
    except CallFailed:
        await call(1, "stock", "release", item)          # compensation; releasing what was not reserved is harmless
        put(f"sold:{item}", None)
        raise
    emit("Sold", item=item, price=price)
    return price

@view
def owner_of(item: str) -> str | None:
    return get(f"sold:{item}")
