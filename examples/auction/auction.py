"""An auction: the highest bid wins, and whoever is outbid fetches the money back.

Fetching (`withdraw`) instead of sending keeps a bidder who cannot be paid from getting in the way of the next bid:
what somebody is owed is a number in storage, and only that bidder's own call tries to pay it. Bidders are accounts
here (`osk1...`) or on another shard (`osk1...@2`), or contracts (`name@2`); a contract is paid by a call of its method
`refunded`.
"""

from ostraka_contract import CallFailed, block, call, emit, get, msg, put, transfer, view


class Closed(Exception):
    pass


class StillOpen(Exception):
    pass


class TooLow(Exception):
    pass


def init(seconds: int) -> None:
    """The deployer sells, for so long."""
    put("seller", msg.sender)
    put("until", block.time + seconds)


def bid() -> None:
    """Bid the obols sent along; a bid that is refused comes back by itself."""
    if block.time >= get("until"):
        raise Closed(f"the auction ended at {get('until')}")
    best = highest()
    if msg.value <= best["amount"]:
        raise TooLow(f"bid more than {best['amount']}")
    _owe(best["bidder"], best["amount"])
    put("best", {"bidder": msg.sender, "amount": msg.value})
    emit("Bid", bidder=msg.sender, amount=msg.value)


def close() -> dict[str, str | int]:
    """After the end, once: the highest bid is the seller's."""
    if block.time < get("until"):
        raise StillOpen(f"the auction is open until {get('until')}")
    if get("closed"):
        raise Closed("the auction was closed before")
    best = highest()
    put("closed", True)
    _owe(get("seller"), best["amount"])
    emit("Won", **best)
    return best


async def withdraw() -> int:
    """Pay the caller what it is owed: base units paid, 0 when the payment came back and is owed again."""
    amount = owed(msg.sender)
    put(f"owed/{msg.sender}", None)  # before the await, so that it cannot be fetched twice
    try:
        await _pay(msg.sender, amount)
    except CallFailed as failure:
        _owe(msg.sender, failure.returned)  # reads again what is owed: there may be more by now
        return 0
    return amount


@view
def highest() -> dict:
    """The highest bid: bidder and amount in base units."""
    return get("best", {"bidder": "", "amount": 0})


@view
def owed(who: str) -> int:
    """Base units that wait for `who`."""
    return get(f"owed/{who}", 0)


def _owe(who: str, amount: int) -> None:
    if amount:
        put(f"owed/{who}", owed(who) + amount)


async def _pay(to: str, amount: int) -> None:
    name, _, shard = to.partition("@")
    if not amount:
        return
    if not shard:
        transfer(name, amount)
    elif name.startswith("osk1"):
        await call(int(shard), name, "", value=amount)
    else:
        await call(int(shard), name, "refunded", value=amount)
