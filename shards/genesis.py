"""The genesis: the one thing a light client must be given. Its hash is the chain id."""

from typing import Annotated

from msgspec import Meta

from consensus.committee import Committee, ValidatorSet
from contracts.port import MachineIdentity
from primitives.amounts import MAX_SUPPLY, Amount, AmountField, unpack_amount
from primitives.codec import Decoder, Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import (
    MAX_SHARDS,
    BlockId,
    ChainId,
    MillisecondsField,
    PublicKeyField,
    ShardId,
)

MAX_GENESIS_BYTES = 16 * 1024 * 1024
MAX_ALLOCATIONS = 100_000
"""Per shard; the largest genesis is read once, at start-up."""


class Allocation(Record):
    """Money that an account has from the beginning."""

    account: PublicKeyField
    amount: AmountField


class GenesisShard(Record):
    """One shard's first validators and balances, accounts in ascending order."""

    validators: ValidatorSet
    allocations: Annotated[tuple[Allocation, ...], Meta(max_length=MAX_ALLOCATIONS)]


class Genesis(Record):
    """Everything that two parties must agree on to be on one chain."""

    version: Annotated[int, Meta(ge=1, le=1)]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    development: bool
    """Public keys derived from published seeds; only such chains accept fault injection and faucets."""
    time_ms: MillisecondsField
    machine: MachineIdentity
    """What executes contracts: part of the protocol, because it decides outcomes and gas."""
    shards: Annotated[tuple[GenesisShard, ...], Meta(min_length=1, max_length=MAX_SHARDS)]


genesis_decoder = Decoder(Genesis, max_bytes=MAX_GENESIS_BYTES, name="genesis")


def check_machine(wanted: MachineIdentity, installed: MachineIdentity) -> None:
    """Check that what is installed here executes contracts as the chain's genesis demands.

    Raises:
        Refused: `other_machine`, saying what differs and what to install.

    """
    differences = []
    if installed.wasmtime != wanted.wasmtime:
        differences.append(
            f"wasmtime {installed.wasmtime} is installed, the chain needs {wanted.wasmtime}: "
            f"pip install wasmtime=={wanted.wasmtime}"
        )
    if installed.image_sha256 != wanted.image_sha256:
        differences.append(
            f"the installed contract runtime is {installed.image_sha256.hex()[:16]}…, the chain needs "
            f"{wanted.image_sha256.hex()[:16]}…: install the release of Ostraka that the chain began with"
        )
    if installed.flags != wanted.flags:
        differences.append(
            f"this release runs the engine with [{installed.flags}], the chain needs [{wanted.flags}]: "
            "install the release of Ostraka that the chain began with"
        )
    if installed.target != wanted.target:
        differences.append(
            f"this computer is {installed.target}, the chain runs on {wanted.target} only: use such a computer"
        )
    if differences:
        raise Refused("other_machine", "contracts would not run here as on the chain: " + "; ".join(differences))


class ChainContext:
    """A checked genesis with what everything else needs of it: ids and committees (epoch 0, static)."""

    def __init__(self, genesis: Genesis) -> None:
        check_genesis(genesis)
        self.genesis = genesis
        self.chain_id = ChainId(tagged_hash(Domain.GENESIS, encode(genesis)))
        self.shard_count = len(genesis.shards)
        self.committees = tuple(Committee(self.chain_id, shard.validators) for shard in genesis.shards)

    def committee(self, shard: ShardId) -> Committee:
        """Committee of a shard of this chain; an unknown shard raises `Refused`."""
        if not 0 <= shard < self.shard_count:
            raise Refused(
                "unknown_shard", f"there is no shard {shard}; this chain has shards 0 to {self.shard_count - 1}"
            )
        return self.committees[shard]

    def genesis_block_id(self, shard: ShardId) -> BlockId:
        """Parent of the shard's first block; the genesis block has height 0 and no content."""
        return BlockId(tagged_hash(Domain.BLOCK, self.chain_id, shard.to_bytes(2, "big")))


def check_genesis(genesis: Genesis) -> None:
    """Check what the types cannot.

    Raises:
        Refused: `bad_genesis`, saying where.

    """
    total = Amount(0)
    for index, shard in enumerate(genesis.shards):
        if shard.validators.shard != index or shard.validators.epoch != 0:
            raise Refused("bad_genesis", f"shard {index}: its validator set names another shard or epoch")
        accounts = [allocation.account for allocation in shard.allocations]
        if accounts != sorted(set(accounts)):
            raise Refused("bad_genesis", f"shard {index}: allocations must be in ascending order, each account once")
        total = Amount(total + sum(unpack_amount(allocation.amount) for allocation in shard.allocations))
        total = Amount(total + sum(unpack_amount(member.bond) for member in shard.validators.validators))
    if total > MAX_SUPPLY:
        raise Refused("bad_genesis", f"the supply of {total} base units is more than {MAX_SUPPLY}")
