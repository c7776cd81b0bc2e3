"""The stock: items that are free, or reserved for a contract that sells them."""

from ostraka_contract import get, keys, msg, put, view


class NotAllowed(Exception):
    pass


class NotInStock(Exception):
    pass


def init() -> None:
    put("keeper", msg.sender)


def fill(item: str) -> None:
    """Put an item on the shelf; only the keeper does."""
    if msg.sender != get("keeper"):
        raise NotAllowed("only the keeper fills the shelves")
    put(f"free/{item}", True)


def reserve(item: str) -> None:
    """Keep an item for the caller. Reserving it once more is harmless."""
    if get(f"reserved/{item}") == msg.sender:
        return
    if not get(f"free/{item}"):
        raise NotInStock(item)
    put(f"free/{item}", None)
    put(f"reserved/{item}", msg.sender)


def release(item: str) -> None:
    """Put an item back that the caller had reserved. Releasing any other is harmless."""
    if get(f"reserved/{item}") == msg.sender:
        put(f"reserved/{item}", None)
        put(f"free/{item}", True)


@view
def free() -> list[str]:
    """What can be bought, at most 100 items."""
    return [key.removeprefix("free/") for key in keys("free/")]
