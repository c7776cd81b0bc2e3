"""Escrow: obols that wait for a buyer's word, and that go back to the buyer after a deadline.

A deal is open until one of three things happens: the buyer releases it to the seller, the seller gives it back, or
the deadline has passed and anybody lets it go back. Buyers and sellers are accounts, on this shard (`osk1...`) or on
another (`osk1...@2`); a payment that cannot be delivered opens the deal again, with what came back.
"""

from ostraka_contract import CallFailed, block, call, emit, get, msg, put, transfer, view


class NoSuchDeal(Exception):
    pass


class NotAllowed(Exception):
    pass


def offer(seller: str, seconds: int) -> int:
    """Put the obols sent along into escrow for `seller`; the deal's number."""
    if not msg.value:
        raise ValueError("send the obols along: an empty deal binds nobody")
    if not (msg.sender.startswith("osk1") and seller.startswith("osk1")):
        raise ValueError("buyers and sellers are accounts")
    number: int = get("deals", 0) + 1
    put("deals", number)
    deal: dict[str, str | int] = {
        "buyer": msg.sender,
        "seller": seller,
        "amount": msg.value,
        "until": block.time + seconds,
    }
    put(f"deal/{number}", deal)
    emit("Offered", number=number, **deal)
    return number


async def release(number: int) -> bool:
    """The buyer is content: pay the seller. False when the payment came back and the deal is open again."""
    deal = _open_deal(number)
    if msg.sender != deal["buyer"]:
        raise NotAllowed("only the buyer releases a deal")
    return await _close(number, deal, deal["seller"])


async def refund(number: int) -> bool:
    """Pay the buyer back: the seller may do it at any time, everybody after the deadline."""
    deal = _open_deal(number)
    if msg.sender != deal["seller"] and block.time < deal["until"]:
        raise NotAllowed(f"only the seller refunds before {deal['until']}; it is {block.time}")
    return await _close(number, deal, deal["buyer"])


@view
def deal(number: int) -> dict[str, str | int] | None:
    """An open deal: buyer, seller, amount in base units, and until when (Unix time)."""
    return get(f"deal/{number}")


def _open_deal(number: int) -> dict:
    found = deal(number)
    if found is None:
        raise NoSuchDeal(f"deal {number} is not open")
    return found


async def _close(number: int, deal: dict, to: str) -> bool:
    put(f"deal/{number}", None)  # before the await, so that it cannot be closed twice
    try:
        await _pay(to, deal["amount"])
    except CallFailed as failure:
        put(f"deal/{number}", {**deal, "amount": failure.returned})
        return False
    emit("Closed", number=number, to=to, amount=deal["amount"])
    return True


async def _pay(to: str, amount: int) -> None:
    address, _, shard = to.partition("@")
    if shard:
        await call(int(shard), address, "", value=amount)  # a call without a method is a payment to an account
    else:
        transfer(address, amount)
