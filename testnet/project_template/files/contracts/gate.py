"""Lets people in with numbered tickets; the numbers come from `counter`, on another shard."""

from ostraka_contract import call, emit, get, msg, put, view


async def enter() -> int:
    """Give the caller a ticket; its number."""
    # A message to shard 1 and its reply: a few blocks. Other calls may run meanwhile, so read again what you rely on.
    # When `increment` fails, or was not executed within 30 seconds, this line raises CallFailed.
    number = await call(1, "counter", "increment", deadline=30)
    put(f"ticket/{number}", msg.sender)
    emit("Entered", who=msg.sender, number=number)
    return number


@view
def holder_of(number: int) -> str | None:
    """Who has this ticket."""
    return get(f"ticket/{number}")
