"""One fungible token on all shards. The same source, deployed under one name on each shard, is one token.

Units move between shards by being taken away here and created there, through a call that only a sibling may make: the
ledger vouches for `msg.sender`, so `token@1` cannot be impersonated. What cannot be created there is given back here.

To issue it: deploy it everywhere, with the supply on one shard and none on the others, then look at every one of them
(anybody might have taken the name on a shard before you) and let each `trust` its siblings.
"""

from ostraka_contract import CallFailed, call, emit, get, msg, put, view


class InsufficientBalance(Exception):
    pass


class NotAllowed(Exception):
    pass


def init(supply: int = 0) -> None:
    """The issuer holds the whole supply."""
    put("issuer", msg.sender)
    put("supply", 0)
    if supply:
        _create(msg.sender, supply)


def trust(shards: list[int]) -> None:
    """Say where the siblings are: units come from and go to these shards only."""
    if msg.sender != get("issuer"):
        raise NotAllowed("only the issuer names the siblings")
    put("siblings", [f"{msg.contract}@{shard}" for shard in shards if shard != msg.shard])


async def send(to: str, shard: int, amount: int) -> bool:
    """Give `amount` to `to` on `shard`: True when it is there, False when it could not and is yours again."""
    if shard == msg.shard:
        _destroy(msg.sender, amount)
        _create(to, amount)
        return True
    if f"{msg.contract}@{shard}" not in get("siblings", []):
        raise NotAllowed(f"there is no {msg.contract} on shard {shard}")
    _destroy(msg.sender, amount)  # before the await: nobody can spend it meanwhile
    try:
        await call(shard, msg.contract, "receive", to, amount)
    except CallFailed as failure:
        _create(msg.sender, amount)
        emit("Returned", to=to, shard=shard, amount=amount, why=str(failure))
        return False  # not `raise`, which would undo what the two lines above wrote
    return True


def receive(to: str, amount: int) -> None:
    """Take over units that a sibling has destroyed."""
    if msg.sender not in get("siblings", []):
        raise NotAllowed(f"{msg.sender} is no sibling")
    _create(to, amount)


@view
def balance_of(who: str) -> int:
    """Units that `who` holds on this shard."""
    return get(f"balance/{who}", 0)


@view
def supply() -> int:
    """Units on this shard; the sum over all shards, and what is on its way, never changes."""
    return get("supply")


def _create(who: str, amount: int) -> None:
    _change(who, balance_of(who) + _checked(amount), amount)


def _destroy(who: str, amount: int) -> None:
    held = balance_of(who)
    if held < _checked(amount):
        raise InsufficientBalance(f"need {amount}, have {held}")
    _change(who, held - amount, -amount)


def _change(who: str, balance: int, by: int) -> None:
    put(f"balance/{who}", balance or None)  # None deletes: an empty account takes no room
    put("supply", supply() + by)


def _checked(amount: int) -> int:
    if type(amount) is not int or amount <= 0:  # whoever calls may send any value, whatever the annotation says
        raise ValueError(f"an amount is a positive int, not {amount!r}")
    return amount
