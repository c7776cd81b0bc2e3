"""Ping-pong: deploy this on two shards, and let one player serve to the other.

`serve` shows that a loop over awaits is just a loop: each `await` is a round trip between two shards, and the method
goes on where it was, with all its variables. `volley` shows that whoever is called may itself call and await.
"""

from ostraka_contract import call, get, msg, put, view


async def serve(to: int, exchanges: int) -> int:
    """Play the ball to the player on shard `to` and back, `exchanges` times; how often it crossed the net."""
    crossings = 0
    for _ in range(exchanges):
        crossings = await call(to, msg.contract, "hit", crossings + 1) + 1
    return crossings


def hit(crossings: int) -> int:
    """Play the ball back."""
    put("hits", hits() + 1)
    return crossings


async def volley(to: int, ball: int) -> int:
    """Each player calls the other until the ball is 0: how many calls stood open, one inside the other."""
    put("hits", hits() + 1)
    if ball == 0:
        return 0
    return await call(to, msg.contract, "volley", msg.shard, ball - 1) + 1


@view
def hits() -> int:
    """How often this player has hit the ball."""
    return get("hits", 0)
