"""What a client signs: one operation, such as a transfer, with terms that fit a local testnet."""

from dataclasses import dataclass

import msgspec

from primitives.amounts import Amount, pack_amount
from primitives.identifiers import ChainId, Milliseconds, Nonce, PublicKey, SecretSeed, ShardId
from primitives.signatures import ED25519, public_key_of
from shards.gas import fee_of
from shards.transactions import Operation, RemoteTransfer, Transaction, Transfer, sign_transaction

VALID_MS = 10 * 60 * 1000
"""How long a transaction may wait for its block: minutes, as a person has them."""

DEADLINE_MS = 60 * 60 * 1000
"""How long the destination may take: a shard that is down for an hour is being debugged, then the money comes home."""


@dataclass(frozen=True)
class Payment:
    """One transfer before it is signed; `amount` in base units."""

    source: ShardId
    destination: ShardId
    to: PublicKey
    amount: Amount
    memo: bytes = b""


def sign_operation(
    operation: Operation,
    shard: ShardId,
    chain_id: ChainId,
    seed: SecretSeed,
    nonce: Nonce,
    now_ms: Milliseconds,
    *,
    memo: bytes = b"",
) -> bytes:
    """Signed wire form of a transaction of `shard` with one operation; its fee limit is exactly what it can cost."""
    body = Transaction(
        version=1,
        chain_id=chain_id,
        shard=shard,
        sender=public_key_of(seed),
        nonce=nonce,
        valid_until_ms=Milliseconds(now_ms + VALID_MS),
        fee_limit=pack_amount(Amount(0)),
        operations=(operation,),
        memo=memo,
    )
    return sign_transaction(msgspec.structs.replace(body, fee_limit=pack_amount(fee_of(body))), seed, ED25519)


def payment_operation(payment: Payment, now_ms: Milliseconds) -> Operation:
    """The operation that moves the money."""
    amount = pack_amount(payment.amount)
    if payment.source == payment.destination:
        return Transfer(to=payment.to, amount=amount)
    return RemoteTransfer(
        destination=payment.destination, to=payment.to, amount=amount, deadline_ms=Milliseconds(now_ms + DEADLINE_MS)
    )
