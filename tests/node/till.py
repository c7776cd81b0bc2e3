"""A contract for the tests of the HTTP API, and how they call it."""

from typing import Any

import pytest

from contracts.values import Value, encode
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, Nonce, ShardId
from primitives.signatures import ED25519, public_key_of
from shards.node.clock import system_clock
from shards.transactions import (
    ContractCall,
    Operation,
    Transaction,
    sign_transaction,
    transaction_id,
)
from tests.node.support import Running, seed_of, until

SOURCE = '''
"""A till."""
from decimal import Decimal
from ostraka_contract import call, get, keys, put, view, msg, emit, block

def init(owner):
    put("owner", owner)
    put("rate", Decimal("1.50"))
    put("wide", 2**200)

def pay(amount: int) -> int:
    """Put money in."""
    total = get("total", 0) + amount
    put("total", total)
    put(f"payer/{msg.sender[:8]}", amount)
    print("paid", amount)
    emit("Paid", amount=amount)
    return total

async def ask_away(item):
    return await call(0, "other", "quote", item)

def spoil():
    raise ValueError("no such thing")

@view
def total() -> int:
    return get("total", 0)

@view
def all_keys():
    return keys("payer/")

@view
def when():
    return [block.height, block.time, msg.sender]

@view
def burn():
    while True:
        pass
'''

NOTHING = pack_amount(Amount(0))


async def act(net: Running, nonce: int, operation: Operation) -> bytes:
    """Sign, hand in, and wait until it is settled."""
    body = Transaction(
        version=1,
        chain_id=net.configs[0].context.chain_id,
        shard=ShardId(0),
        sender=public_key_of(seed_of("alice")),
        nonce=Nonce(nonce),
        valid_until_ms=Milliseconds(system_clock().wall_ms + 3_600_000),
        fee_limit=pack_amount(Amount(3_000_000)),
        operations=(operation,),
        memo=b"",
    )
    raw = sign_transaction(body, seed_of("alice"), ED25519)
    [result] = await net.clients[0].submit([raw])
    assert result.status == "accepted", result

    async def settled() -> bool | None:
        try:  # it is in no index while its block is voted on
            found = await net.clients[0].transaction(transaction_id(raw))
        except Refused:
            return None
        return found.level == "settled" or None

    await until(settled)
    return transaction_id(raw)


def pay(amount: int) -> ContractCall:
    return calling("pay", amount)


def calling(method: str, *arguments: Value) -> ContractCall:
    return ContractCall(contract="till", method=method, arguments=encode(list(arguments)), amount=NOTHING, gas=400_000)


async def refused(answer: Any) -> str:
    with pytest.raises(Refused) as refusal:
        await answer
    return refusal.value.code
