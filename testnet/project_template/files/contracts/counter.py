"""Hands out numbers from 1 up to a limit. It is deployed on shard 1."""

from ostraka_contract import get, put, view


class Full(Exception):
    pass


def init(limit: int) -> None:
    """Run once, when the contract is deployed."""
    put("limit", limit)


def increment() -> int:
    """The next number; raising undoes everything that this call wrote."""
    number = count() + 1
    if number > get("limit"):
        raise Full(f"all {get('limit')} are taken")
    put("count", number)
    return number


@view
def count() -> int:
    """How many numbers are taken. A view costs nothing and changes nothing."""
    return get("count", 0)
