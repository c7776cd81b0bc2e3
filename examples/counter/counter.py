"""A counter that anybody may move forward, and that remembers who moved it how far."""

from ostraka_contract import emit, get, keys, msg, put, view


def init(start: int = 0) -> None:
    """Run once, when the contract is deployed."""
    put("count", start)


def increment(by: int = 1) -> int:
    """Move the counter; the new count."""
    if by < 1:
        raise ValueError(f"a counter moves forward, not by {by}")
    now: int = get("count") + by
    put("count", now)
    put(f"moved/{msg.sender}", moved_by(msg.sender) + by)
    emit("Incremented", by=by, count=now)
    return now


@view
def count() -> int:
    """Where the counter stands."""
    return get("count")


@view
def moved_by(who: str) -> int:
    """How far `who` has moved it."""
    return get(f"moved/{who}", 0)


@view
def movers() -> list[str]:
    """Those who have moved it, in the order of their names; at most 100."""
    return [key.removeprefix("moved/") for key in keys("moved/")]
