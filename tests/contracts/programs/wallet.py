"""Pays on behalf of owners, up to what each allowed."""

from ostraka_contract import get, msg, put


class InsufficientFunds(Exception):
    pass


def allow(spender: str, amount: int) -> None:
    put(f"allowance/{msg.sender}/{spender}", amount)


def charge(owner: str, amount: int) -> None:
    key = f"allowance/{owner}/{msg.sender}"
    allowed = get(key, 0)
    if allowed < amount:
        raise InsufficientFunds(f"need {amount}, allowed {allowed}")
    put(key, allowed - amount)
