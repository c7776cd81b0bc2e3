"""Reports a number, set by whoever deployed it: one of many sources that an aggregator asks."""

from ostraka_contract import get, msg, put


def init(number: int) -> None:
    put("reporter", msg.sender)
    put("number", number)


def report(number: int) -> None:
    """Set the number."""
    if msg.sender != get("reporter"):
        raise PermissionError("only the reporter reports")
    put("number", number)


def read() -> int:
    """The number."""
    return get("number")
