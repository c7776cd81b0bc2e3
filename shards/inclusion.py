"""The terms on which a transaction may be in a block: one rule for the mempool, the proposer and the voter.

They need the genesis and the block's time only. Nonces, balances and signatures are checked where their data is.
"""

from primitives.amounts import unpack_amount
from primitives.errors import Refused
from primitives.identifiers import ShardId
from shards.gas import GAS_PRICE, fee_of, gas_at_home
from shards.genesis import ChainContext
from shards.limits import BLOCK_GAS, LOCAL_GAS
from shards.transactions import RemoteTransfer, Transaction, destination_of


def check_inclusion_terms(body: Transaction, context: ChainContext, shard: ShardId, time_ms: int) -> None:
    """Check that `body` may be included in a block of `shard` with this block time.

    Raises:
        Refused: `wrong_chain`, `wrong_shard`, `expired`, `fee_too_low`, `too_much_gas`, `unknown_shard` or
            `same_shard`.

    """
    if body.chain_id != context.chain_id:
        raise Refused(
            "wrong_chain", "the transaction is signed for another chain (another genesis); sign it for this one"
        )
    if body.shard != shard:
        raise Refused(
            "wrong_shard", f"the transaction is signed for shard {body.shard}; submit it there, this is {shard}"
        )
    if body.valid_until_ms < time_ms:
        raise Refused("expired", f"valid until {body.valid_until_ms} ms, it is {time_ms} ms now; sign it again")
    fee = fee_of(body)
    if unpack_amount(body.fee_limit) < fee:
        raise Refused(
            "fee_too_low",
            f"it costs {fee} base units, its fee limit is {unpack_amount(body.fee_limit)}; raise the limit",
        )
    room = BLOCK_GAS - LOCAL_GAS
    # The fee is at least the price of the gas, and known already: a small one answers for nearly everybody.
    if fee > room * GAS_PRICE and gas_at_home(body) > room:
        raise Refused("too_much_gas", f"it takes {gas_at_home(body)} gas, a whole block has {room}; give it less gas")
    for operation in body.operations:
        destination = destination_of(operation)
        if destination is None:
            continue
        context.committee(destination)
        if destination == shard:
            local = "a transfer" if isinstance(operation, RemoteTransfer) else "a contract call"
            raise Refused("same_shard", f"a {type(operation).__name__} to its own shard {shard}; use {local}")
