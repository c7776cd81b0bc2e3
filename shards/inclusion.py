"""The terms on which a transaction may be in a block: one rule for the mempool, the proposer and the voter.

They need the genesis and the block's time only. Nonces, balances and signatures are checked where their data is.
"""

from primitives.amounts import unpack_amount
from primitives.errors import Refused
from primitives.identifiers import ShardId
from shards.gas import fee_of
from shards.genesis import ChainContext
from shards.transactions import RemoteTransfer, Transaction


def check_inclusion_terms(body: Transaction, context: ChainContext, shard: ShardId, time_ms: int) -> None:
    """Check that `body` may be included in a block of `shard` with this block time.

    Raises:
        Refused: `wrong_chain`, `wrong_shard`, `expired`, `fee_too_low`, `unknown_shard` or `same_shard`.

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
    for operation in body.operations:
        if isinstance(operation, RemoteTransfer):
            context.committee(ShardId(operation.destination))
            if operation.destination == shard:
                raise Refused("same_shard", f"a remote transfer to its own shard {shard}; use a transfer")
