"""Swaps coins of two shards: both sides change hands, or neither.

The contract is the coordinator, on any shard. It first takes both sides into custody, and only when it holds both does
it hand them over crosswise; when one side cannot be had, the other goes back. Handing over from custody can only fail
when a shard is out of reach for longer than the deadline: then the coins stay in custody as a debt, and anybody's
`collect` tries again. Nothing is lost, and nobody has to watch a clock, as with hash-time-locks, where a party that
sleeps past a timeout loses its side; the price is that both must trust this contract's code, which everybody can read.
"""

from ostraka_contract import CallFailed, call, emit, gather, get, msg, put, view


class NoSuchOffer(Exception):
    pass


def offer(give: list, want: list) -> int:
    """Offer [shard, coin, amount] for another; allow `swap@...` to take it before somebody accepts."""
    number: int = get("offers", 0) + 1
    put("offers", number)
    put(f"offer/{number}", {"maker": msg.sender, "give": _side(*give), "want": _side(*want)})
    return number


def cancel(number: int) -> None:
    """Withdraw one's own offer."""
    if _open_offer(number)["maker"] != msg.sender:
        raise PermissionError("only its maker cancels an offer")
    put(f"offer/{number}", None)


async def accept(number: int) -> bool:
    """Swap: True when both sides have changed hands, False when one could not be had and nothing has."""
    offer = _open_offer(number)
    put(f"offer/{number}", None)  # before the await, so that it cannot be accepted twice
    give, want, maker, taker = offer["give"], offer["want"], offer["maker"], msg.sender
    taken = await gather(_take(give, maker), _take(want, taker))
    if all(taken):
        await gather(_hand_over(give, taker), _hand_over(want, maker))
        emit("Swapped", number=number, maker=maker, taker=taker)
        return True
    sides = [(give, maker), (want, taker)]
    await gather(*[_hand_over(side, owner) for (side, owner), held in zip(sides, taken, strict=True) if held])
    return False


async def collect(shard: int, coin: str, who: str) -> int:
    """Hand over what `who` is owed of a coin; how much that was, or 0 when it still cannot be done."""
    amount = owed(shard, coin, who)
    put(f"owed/{who}/{coin}@{shard}", None)
    if amount and await _hand_over([shard, coin, amount], who):
        return amount
    return 0


@view
def owed(shard: int, coin: str, who: str) -> int:
    """Coins in custody that could not be handed over yet."""
    return get(f"owed/{who}/{coin}@{shard}", 0)


def _side(shard: int, coin: str, amount: int) -> list:
    if type(shard) is not int or type(coin) is not str or type(amount) is not int or amount <= 0:
        raise ValueError("a side is [shard, coin, amount]")
    return [shard, coin, amount]


def _open_offer(number: int) -> dict:
    found = get(f"offer/{number}")
    if found is None:
        raise NoSuchOffer(f"offer {number} is not open")
    return found


async def _take(side: list, owner: str) -> bool:
    shard, coin, amount = side
    try:
        await call(shard, coin, "take", owner, amount)
    except CallFailed:
        return False
    return True


async def _hand_over(side: list, to: str) -> bool:
    shard, coin, amount = side
    try:
        await call(shard, coin, "send", to, amount)
    except CallFailed:
        put(f"owed/{to}/{coin}@{shard}", owed(shard, coin, to) + amount)
        return False
    return True
