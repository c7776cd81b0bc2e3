"""Prices, stock and purses for the shops of all shards; each may say no."""

from ostraka_contract import emit, get, msg, put


class No(Exception):
    pass


def quote(item: str) -> int:
    number = int(item)
    if number % 7 == 6:
        raise No(f"{item} has no price")
    return 10 + number


def reserve(item: str) -> None:
    if get(f"reserved/{item}"):
        raise No(f"{item} is reserved")
    put(f"reserved/{item}", msg.sender)


def release(item: str) -> None:
    put(f"reserved/{item}", None)


def charge(item: str, price: int) -> None:
    spent = get(f"spent/{msg.sender}", 0) + price
    if spent > 150:
        raise No(f"{msg.sender} has spent its allowance")
    put(f"spent/{msg.sender}", spent)
    emit("Charged", item=item, by=msg.sender)
