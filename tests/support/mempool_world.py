"""A mempool over accounts that the test sets, and transactions for it."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, Nonce, PublicKey, ShardId
from primitives.signatures import ED25519
from shards.gas import fee_of
from shards.genesis import ChainContext
from shards.mempool import Mempool
from shards.state import Account
from shards.transactions import (
    Operation,
    RemoteTransfer,
    SignedTransaction,
    Transaction,
    Transfer,
    sign_transaction,
)
from tests.shards.builders import GENESIS_TIME, TestAccount, make_accounts, make_genesis

NOW = GENESIS_TIME + 1_000_000
ALICE, BOB, CAROL, DAVE = make_accounts(4)
CONTEXT = ChainContext(make_genesis(3, accounts=[ALICE, BOB]))
HERE = ShardId(0)


class World:
    """A mempool over accounts that the test sets."""

    def __init__(self, balance: int = 10**9) -> None:
        self.accounts: dict[PublicKey, Account] = {}
        self.balance = balance
        self.pool = Mempool(CONTEXT, HERE, self.account)

    def account(self, key: PublicKey) -> Account:
        return self.accounts.get(key, self.at(0))

    def at(self, nonce: int, balance: int | None = None) -> Account:
        return Account(
            balance=pack_amount(Amount(self.balance if balance is None else balance)), nonce=Nonce(nonce), open_calls=0
        )

    def submit(self, raw: bytes, *, from_client: bool = True, now_ms: int = NOW) -> SignedTransaction:
        transaction = self.pool.check(raw, now_ms=now_ms)
        self.pool.insert(transaction, now_ms=now_ms, from_client=from_client)
        return transaction

    def select(
        self,
        *,
        max_gas: int = 10**9,
        max_bytes: int = 10**9,
        max_items: int = 10**6,
        time_ms: int = NOW,
        blocked: Sequence[int] = (),
        pending: Sequence[SignedTransaction] = (),
    ) -> list[SignedTransaction]:
        def next_nonce(key: PublicKey) -> Nonce:
            return Nonce(self.account(key).nonce + sum(each.body.sender == key for each in pending))

        return self.pool.select(
            max_gas=max_gas,
            max_bytes=max_bytes,
            max_items=max_items,
            time_ms=time_ms,
            next_nonce=next_nonce,
            blocked=frozenset(map(ShardId, blocked)),
        )

    def refusal(self, raw: bytes, **keywords: bool) -> Refused:
        with pytest.raises(Refused) as caught:
            self.submit(raw, **keywords)
        return caught.value


def local(to: TestAccount = BOB, amount: int = 5) -> Transfer:
    return Transfer(to=to.key, amount=pack_amount(Amount(amount)))


def remote(destination: int = 1, amount: int = 5, deadline_ms: int = NOW + 60_000) -> RemoteTransfer:
    return RemoteTransfer(
        destination=ShardId(destination),
        to=BOB.key,
        amount=pack_amount(Amount(amount)),
        deadline_ms=Milliseconds(deadline_ms),
    )


def body_of(
    sender: TestAccount = ALICE,
    nonce: int = 0,
    operations: Sequence[Operation] = (),
    *,
    fee: int = 0,
    valid_until_ms: int = NOW + 60_000,
) -> Transaction:
    """Transaction with its exact fee as the limit, and `fee` more."""
    body = Transaction(
        version=1,
        chain_id=CONTEXT.chain_id,
        shard=HERE,
        sender=sender.key,
        nonce=Nonce(nonce),
        valid_until_ms=Milliseconds(valid_until_ms),
        fee_limit=pack_amount(Amount(0)),
        operations=tuple(operations) or (local(),),
        memo=b"",
    )
    return replace(body, fee_limit=pack_amount(Amount(fee_of(body) + fee)))


def signed(body: Transaction, sender: TestAccount = ALICE) -> bytes:
    return sign_transaction(body, sender.seed, ED25519)


def make(sender: TestAccount = ALICE, nonce: int = 0, operations: Sequence[Operation] = (), **keywords: int) -> bytes:
    return signed(body_of(sender, nonce, operations, **keywords), sender)
