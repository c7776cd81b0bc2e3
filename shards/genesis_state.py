"""The state that a shard begins with: height 0, the genesis's accounts and bonds, no stream used."""

from collections.abc import Iterator

from primitives import mmr
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.identifiers import Height, Nonce, ShardId
from primitives.merkle import EMPTY_ROOT
from shards.commitments import Supply
from shards.genesis import ChainContext
from shards.state import CHAIN_KEY, ZERO_AMOUNT, Account, ChainRecord, account_key


def genesis_entries(context: ChainContext, shard: ShardId) -> Iterator[tuple[bytes, bytes]]:
    """Raw keys and values of the state at height 0."""
    for allocation in context.genesis.shards[shard].allocations:
        if allocation.amount != ZERO_AMOUNT:
            yield (
                account_key(allocation.account),
                encode(Account(balance=allocation.amount, nonce=Nonce(0), open_calls=0)),
            )
    money, bonds = genesis_money(context, shard), _bonds(context, shard)
    record = ChainRecord(
        height=Height(0),
        block_id=context.genesis_block_id(shard),
        time_ms=context.genesis.time_ms,
        receipt_count=0,
        receipts_root=EMPTY_ROOT,
        history=mmr.EMPTY.hashes,
        supply=Supply(
            genesis=pack_amount(money),
            balances=pack_amount(Amount(money - bonds)),
            bonds=pack_amount(bonds),
            held_fees=ZERO_AMOUNT,
            escrow=ZERO_AMOUNT,
            burnt=ZERO_AMOUNT,
            sent=ZERO_AMOUNT,
            received=ZERO_AMOUNT,
        ),
    )
    yield CHAIN_KEY, encode(record)


def genesis_money(context: ChainContext, shard: ShardId) -> Amount:
    """Base units that a shard begins with: what the genesis allocates, and its validators' bonds."""
    allocations = context.genesis.shards[shard].allocations
    return Amount(sum(unpack_amount(allocation.amount) for allocation in allocations) + _bonds(context, shard))


def _bonds(context: ChainContext, shard: ShardId) -> Amount:
    members = context.genesis.shards[shard].validators.validators
    return Amount(sum(unpack_amount(member.bond) for member in members))
