"""How people name accounts and where they are: `alice@2`, `osk1…@2`, or without a shard."""

import difflib
from typing import NamedTuple

from contracts.outcomes import is_contract_name
from primitives.addresses import parse_address
from primitives.errors import Refused
from primitives.identifiers import PublicKey, SecretSeed
from testnet.contracts import At
from testnet.run_file import RunInfo

MAX_TEXT = 128
"""Characters: an address has 62, a name 32, a shard number 4."""


class Who(NamedTuple):
    """An account, what it was called, and its shard if one was said."""

    name: str
    key: PublicKey
    shard: int | None


def parse_who(text: str, info: RunInfo) -> Who:
    """Read an account as a person writes it.

    Raises:
        Refused: `unknown_account` with the nearest name, `bad_address`, `unknown_shard` or `bad_place`.

    """
    if len(text) > MAX_TEXT:
        raise Refused(
            "bad_place", f"{text[:20]!r}… has {len(text)} characters; write an account like alice@2 or osk1…@2"
        )
    name, separator, place = text.partition("@")
    shard = parse_shard(place, info) if separator else None
    if name.lower().startswith("osk1"):
        return Who(name, parse_address(name), shard)
    if name in info.accounts:
        return Who(name, parse_address(info.accounts[name].address), shard)
    near = difflib.get_close_matches(name, info.accounts, n=1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    known = ", ".join(list(info.accounts)[:8])
    raise Refused("unknown_account", f"there is no account {name!r}; {hint}Known: {known}; or write an address (osk1…)")


def parse_contract(text: str, info: RunInfo, shard: str | None = None) -> At:
    """Read a contract as a person writes it: `shop@0`, or its name with the shard said apart.

    Raises:
        Refused: `bad_place`, `bad_name` or `unknown_shard`.

    """
    name, separator, place = text.partition("@")
    if not is_contract_name(name):
        raise Refused(
            "bad_name",
            f"{text[:40]!r} names no contract; write name@shard, like shop@0 (small letters, digits, _ and -)",
        )
    if separator and shard is not None and place != shard:
        raise Refused("bad_place", f"{text[:40]} says shard {place[:8]}, --shard says {shard[:8]}; say it once")
    if not separator and shard is None:
        raise Refused("bad_place", f"on which shard is {name}? Write {name}@0, or add --shard 0")
    return At(name, parse_shard(place if separator else shard or "", info))


def parse_shard(text: str, info: RunInfo) -> int:
    """Read the number of a shard of this testnet.

    Raises:
        Refused: `unknown_shard`.

    """
    if not text.isascii() or not text.isdecimal() or int(text) >= info.shards:
        last = info.shards - 1
        raise Refused(
            "unknown_shard", f"there is no shard {text!r}; this testnet has {f'0 to {last}' if last else 'only 0'}"
        )
    return int(text)


def seed_of(who: Who, info: RunInfo) -> SecretSeed:
    """Secret seed of a development account.

    Raises:
        Refused: `no_key` for anybody else.

    """
    for account in info.accounts.values():
        if parse_address(account.address) == who.key:
            return SecretSeed(bytes.fromhex(account.secret_seed))
    raise Refused(
        "no_key", f"the key of {who.name} is not here; only development accounts can send: {', '.join(info.accounts)}"
    )


def parse_id(text: str, what: str) -> bytes:
    """Read a 32-byte id in hexadecimal.

    Raises:
        Refused: `bad_id`.

    """
    try:
        raw = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise Refused("bad_id", f"{text[:70]!r} is not {what}: those are 64 hexadecimal digits")
    return raw
