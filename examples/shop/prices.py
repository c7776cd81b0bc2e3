"""What things cost, in base units (1 obol = 10**6)."""

from ostraka_contract import get, msg, put


class NotAllowed(Exception):
    pass


class NoPrice(Exception):
    pass


def init() -> None:
    put("owner", msg.sender)


def fix(item: str, price: int) -> None:
    """Set a price."""
    if msg.sender != get("owner"):
        raise NotAllowed("only the owner makes prices")
    put(f"price/{item}", price)


def quote(item: str) -> int:
    """The price of an item."""
    price = get(f"price/{item}")
    if price is None:
        raise NoPrice(item)
    return price
