"""A minimal coin, to be swapped for another: balances, and allowances for whoever may move them."""

from ostraka_contract import get, msg, put, view


class InsufficientFunds(Exception):
    pass


def init(supply: int) -> None:
    put(f"balance/{msg.sender}", supply)


def send(to: str, amount: int) -> None:
    """Move some of the caller's coins."""
    _move(msg.sender, to, amount)


def allow(spender: str, amount: int) -> None:
    """Let `spender` take up to `amount` of the caller's coins."""
    put(f"allowance/{msg.sender}/{spender}", amount)


def take(owner: str, amount: int) -> None:
    """Move coins of `owner` to the caller, within what `owner` allowed it."""
    key = f"allowance/{owner}/{msg.sender}"
    allowed = get(key, 0)
    if amount > allowed:
        raise InsufficientFunds(f"{msg.sender} may take {allowed}, not {amount}")
    _move(owner, msg.sender, amount)
    put(key, allowed - amount)


@view
def balance_of(who: str) -> int:
    """Coins that `who` has."""
    return get(f"balance/{who}", 0)


def _move(giver: str, to: str, amount: int) -> None:
    held = balance_of(giver)
    if not 0 < amount <= held:
        raise InsufficientFunds(f"need {amount}, have {held}")
    put(f"balance/{giver}", held - amount)
    put(f"balance/{to}", balance_of(to) + amount)
