"""A wallet for many owners: each keeps obols here and allows others, such as `shop@0`, to charge up to a bound."""

from ostraka_contract import get, msg, put, transfer, view


class InsufficientFunds(Exception):
    pass


class NotAllowed(Exception):
    pass


def deposit() -> int:
    """Keep the obols sent along; the new balance."""
    return _set_balance(msg.sender, balance_of(msg.sender) + msg.value)


def withdraw(amount: int, to: str) -> int:
    """Pay some of the caller's obols to an account on this shard; what is left."""
    left = _debit(msg.sender, amount)
    transfer(to, amount)
    return left


def allow(spender: str, amount: int) -> None:
    """Let `spender` charge the caller up to `amount`; 0 takes that back."""
    put(f"allowance/{msg.sender}/{spender}", amount or None)


def charge(owner: str, amount: int) -> None:
    """Move obols of `owner` to the caller, within what `owner` allowed it."""
    allowed = allowance(owner, msg.sender)
    if amount > allowed:
        raise NotAllowed(f"{msg.sender} may charge {allowed}, not {amount}")
    _debit(owner, amount)
    put(f"allowance/{owner}/{msg.sender}", allowed - amount or None)
    _set_balance(msg.sender, balance_of(msg.sender) + amount)


@view
def balance_of(owner: str) -> int:
    """Base units that `owner` keeps here."""
    return get(f"balance/{owner}", 0)


@view
def allowance(owner: str, spender: str) -> int:
    """Base units that `spender` may still charge `owner`."""
    return get(f"allowance/{owner}/{spender}", 0)


def _debit(owner: str, amount: int) -> int:
    balance = balance_of(owner)
    if not 0 < amount <= balance:
        raise InsufficientFunds(f"need {amount}, have {balance}")
    return _set_balance(owner, balance - amount)


def _set_balance(owner: str, balance: int) -> int:
    put(f"balance/{owner}", balance or None)
    return balance
