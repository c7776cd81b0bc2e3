"""The chain that a virtual testnet runs: development accounts with money on every shard, and its validators."""

from functools import lru_cache

from consensus.committee import Validator, ValidatorSet
from contracts.runtime.identity import installed_identity
from primitives.amounts import BASE_UNITS_PER_OBOL, Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Epoch, Milliseconds, ShardId
from shards.genesis import Allocation, ChainContext, Genesis, GenesisShard
from testnet.development_keys import account_key
from testnet.simulator.population import validator_seed
from testnet.simulator.settings import GENESIS_TIME_MS, SimulationSettings
from testnet.virtual.scheme import SCHEME

NAMES = ("alice", "bob", "carol", "dave", "erin")
"""Funded on every shard, under the addresses that they have in every development testnet."""

OPENING_BALANCE = Amount(1_000_000 * BASE_UNITS_PER_OBOL)
"""Base units of each account on each shard; no test that does not mean to runs out of it."""

BOND = Amount(1000 * BASE_UNITS_PER_OBOL)

MAX_SHARDS = 64
MAX_VALIDATORS = 32
"""Of each shard. A test of more would take minutes; `ostraka up` is for those."""


@lru_cache(maxsize=16)
def chain(shards: int, validators: int) -> ChainContext:
    """The checked genesis of a testnet of this size; equal sizes share one.

    Raises:
        Refused: `bad_size`.

    """
    if not (1 <= shards <= MAX_SHARDS and 1 <= validators <= MAX_VALIDATORS):
        raise Refused(
            "bad_size",
            f"{shards} shards of {validators} validators: a virtual testnet has 1 to {MAX_SHARDS} shards"
            f" of 1 to {MAX_VALIDATORS} validators",
        )
    allocations = tuple(
        Allocation(account=key, amount=pack_amount(OPENING_BALANCE)) for key in sorted(map(account_key, NAMES))
    )
    return ChainContext(
        Genesis(
            version=1,
            name="virtual testnet",
            development=True,
            time_ms=Milliseconds(GENESIS_TIME_MS),
            machine=installed_identity(),
            shards=tuple(
                GenesisShard(validators=_validators(shard, validators), allocations=allocations)
                for shard in range(shards)
            ),
        )
    )


def settings(shards: int, validators: int, seed: int) -> SimulationSettings:
    """Settings of a world in which nothing happens by itself: no clients, no faults, real signatures."""
    return SimulationSettings(
        seed=seed,
        shards=shards,
        validators=validators,
        relays=1,
        accounts=0,
        faults=(),
        real_signatures=True,
        # Each block's state is written at once, so that a restart, and so a snapshot, repeats no block.
        flush_blocks=1,
    )


def _validators(shard: int, count: int) -> ValidatorSet:
    return ValidatorSet(
        shard=ShardId(shard),
        epoch=Epoch(0),
        validators=tuple(
            Validator(
                public_key=SCHEME.public_key(validator_seed(shard, index)), tls_certificate=b"", bond=pack_amount(BOND)
            )
            for index in range(count)
        ),
    )
