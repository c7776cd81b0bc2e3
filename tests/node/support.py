"""Small real chains for the tests of the shell."""

import socket
from collections.abc import Sequence
from pathlib import Path

from consensus.committee import Validator, ValidatorSet
from consensus.pacing import Rules
from primitives.amounts import Amount, pack_amount
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import Epoch, Milliseconds, SecretSeed, ShardId, ValidatorIndex
from primitives.signatures import public_key_of
from shards.genesis import Allocation, ChainContext, Genesis, GenesisShard
from shards.node.clock import system_clock
from shards.node.config import NodeConfig
from shards.node.tls import make_certificate

RULES = Rules(min_block_interval_ms=20, idle_interval_ms=500)


def seed_of(name: str) -> SecretSeed:
    return SecretSeed(tagged_hash(Domain.DEVELOPMENT_KEY, name.encode()))


def make_context(
    *, shards: int = 1, validators: int = 4, accounts: Sequence[str] = ("alice", "bob"), name: str = "test"
) -> ChainContext:
    """A chain that began a minute ago, on which every account has 1,000 obol in every shard."""
    allocations = tuple(
        Allocation(account=key, amount=pack_amount(Amount(1_000_000_000)))
        for key in sorted(public_key_of(seed_of(account)) for account in accounts)
    )
    return ChainContext(
        Genesis(
            version=1,
            name=name,
            development=True,
            time_ms=Milliseconds(system_clock().wall_ms - 60_000),
            shards=tuple(
                GenesisShard(validators=_validators(ShardId(shard), validators), allocations=allocations)
                for shard in range(shards)
            ),
        )
    )


def _validators(shard: ShardId, count: int) -> ValidatorSet:
    return ValidatorSet(
        shard=shard,
        epoch=Epoch(0),
        validators=tuple(
            Validator(
                public_key=public_key_of(validator_seed(shard, index)),
                tls_certificate=make_certificate(validator_seed(shard, index), f"s{shard}/v{index}"),
                bond=pack_amount(Amount(0)),
            )
            for index in range(count)
        ),
    )


def validator_seed(shard: int, index: int) -> SecretSeed:
    return seed_of(f"validator/{shard}/{index}")


def bound_socket() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(64)
    return bound


def make_configs(home: Path, context: ChainContext, shard: int = 0, rules: Rules = RULES) -> list[NodeConfig]:
    """Configurations of all validators of a shard, with their sockets bound."""
    size = context.committee(ShardId(shard)).size
    sockets = [(bound_socket(), bound_socket()) for _ in range(size)]
    peers = [p2p.getsockname() for p2p, _ in sockets]
    return [
        NodeConfig(
            home=home / f"s{shard}-v{index}",
            context=context,
            shard=ShardId(shard),
            index=ValidatorIndex(index),
            seed=validator_seed(shard, index),
            p2p_socket=p2p,
            http_socket=http,
            peers=peers,
            rules=rules,
            log_level="debug",
        )
        for index, (p2p, http) in enumerate(sockets)
    ]
