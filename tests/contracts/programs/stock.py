"""What the shop sells from."""

from ostraka_contract import get, keys, msg, put, view


class NotInStock(Exception):
    pass


def fill(item: str) -> None:
    put(f"free/{item}", True)


def reserve(item: str) -> None:
    if not get(f"free/{item}"):
        raise NotInStock(item)
    put(f"free/{item}", None)
    put(f"reserved/{item}", msg.sender)


def release(item: str) -> None:
    if get(f"reserved/{item}") == msg.sender:
        put(f"reserved/{item}", None)
        put(f"free/{item}", True)


@view
def free() -> list[str]:
    return [key.removeprefix("free/") for key in keys("free/")]
