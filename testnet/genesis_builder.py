"""The genesis of a local testnet: what a manifest leads to, with development keys and their certificates."""

from consensus.committee import Validator, ValidatorSet
from contracts.runtime.identity import installed_identity
from primitives.amounts import BASE_UNITS_PER_OBOL, Amount, pack_amount
from primitives.identifiers import Epoch, Milliseconds, ShardId
from primitives.signatures import public_key_of
from shards.genesis import Allocation, Genesis, GenesisShard
from shards.node.tls import make_certificate
from testnet.development_keys import account_key, validator_seed
from testnet.manifest import FAUCET, Manifest, balance_of

BOND = Amount(1000 * BASE_UNITS_PER_OBOL)
"""What each development validator has at stake, in base units; nothing slashes it in epoch 0."""


def build_genesis(manifest: Manifest, time_ms: Milliseconds) -> Genesis:
    """Genesis of the testnet that `manifest` describes, beginning at `time_ms` (Unix).

    Its contracts run on the machine that is installed here.
    """
    balances = {account_key(name): balance_of(balance) for name, balance in manifest.accounts.items()}
    balances[account_key(FAUCET)] = balance_of(manifest.faucet)
    allocations = tuple(
        Allocation(account=account, amount=pack_amount(amount))
        for account, amount in sorted(balances.items())
        if amount
    )
    return Genesis(
        version=1,
        name=manifest.name,
        development=True,
        time_ms=time_ms,
        machine=installed_identity(),
        shards=tuple(
            GenesisShard(validators=_validators(manifest, shard), allocations=allocations)
            for shard in range(manifest.shards)
        ),
    )


def _validators(manifest: Manifest, shard: int) -> ValidatorSet:
    """First validator set of one shard."""
    return ValidatorSet(
        shard=ShardId(shard),
        epoch=Epoch(0),
        validators=tuple(
            Validator(
                public_key=public_key_of(validator_seed(shard, index)),
                tls_certificate=make_certificate(validator_seed(shard, index), f"s{shard}/v{index}"),
                bond=pack_amount(BOND),
            )
            for index in range(manifest.validators)
        ),
    )
