"""Who takes part: keys, accounts and the genesis of a simulated chain."""

from dataclasses import dataclass
from hashlib import sha256

from consensus.committee import Validator, ValidatorSet
from contracts.port import MachineIdentity
from primitives.amounts import Amount, pack_amount
from primitives.identifiers import Epoch, Hash, Milliseconds, PublicKey, SecretSeed, ShardId
from primitives.signatures import SignatureScheme
from shards.genesis import Allocation, ChainContext, Genesis, GenesisShard
from testnet.simulator.settings import GENESIS_TIME_MS, SimulationSettings

OPENING_BALANCE = Amount(2_000_000)
"""Base units, about a thousand fees: enough for a run, little enough that overdrafts and zero balances happen."""

CUSTOMER_BALANCE = Amount(100_000_000)
"""Of those who call contracts: what a call may use at most is taken from them first."""

CUSTOMERS = 8
"""Of each shard; each has one transaction under way at a time."""

BOND = Amount(1_000_000)

SOME_MACHINE = MachineIdentity(Hash(bytes(32)), wasmtime="simulated", target="simulated", flags="")
"""Not the installed one: every id follows from the genesis, and a seed is to be the same run on every computer."""


def validator_seed(shard: int, index: int) -> SecretSeed:
    """Voting seed of a simulated validator."""
    return SecretSeed(sha256(f"simulated validator {shard} {index}".encode()).digest())


def account_seed(shard: int, index: int) -> SecretSeed:
    """Seed of a simulated account."""
    return SecretSeed(sha256(f"simulated account {shard} {index}".encode()).digest())


def customer_seed(shard: int, index: int) -> SecretSeed:
    """Seed of an account that calls contracts."""
    return SecretSeed(sha256(f"simulated customer {shard} {index}".encode()).digest())


@dataclass(frozen=True, slots=True)
class Person:
    """An account with its key."""

    seed: SecretSeed
    key: PublicKey


def people(settings: SimulationSettings, scheme: SignatureScheme) -> tuple[tuple[Person, ...], ...]:
    """Accounts of every shard."""
    return tuple(
        tuple(
            Person(account_seed(shard, index), scheme.public_key(account_seed(shard, index)))
            for index in range(settings.accounts)
        )
        for shard in range(settings.shards)
    )


def customers(settings: SimulationSettings, scheme: SignatureScheme) -> tuple[tuple[Person, ...], ...]:
    """Accounts of every shard that call contracts; none in a run without contracts."""
    count = CUSTOMERS if settings.calls_per_minute else 0
    return tuple(
        tuple(
            Person(customer_seed(shard, index), scheme.public_key(customer_seed(shard, index)))
            for index in range(count)
        )
        for shard in range(settings.shards)
    )


def make_context(settings: SimulationSettings, scheme: SignatureScheme) -> ChainContext:
    """Genesis of the run, checked."""
    opening = [
        {person.key: OPENING_BALANCE for person in persons} | {person.key: CUSTOMER_BALANCE for person in rich}
        for persons, rich in zip(people(settings, scheme), customers(settings, scheme), strict=True)
    ]
    return ChainContext(
        Genesis(
            version=1,
            name="simulation",
            development=True,
            time_ms=Milliseconds(GENESIS_TIME_MS),
            machine=SOME_MACHINE,
            shards=tuple(
                GenesisShard(
                    validators=_validators(shard, settings.validators, scheme),
                    allocations=tuple(
                        Allocation(account=key, amount=pack_amount(amount))
                        for key, amount in sorted(opening[shard].items())
                    ),
                )
                for shard in range(settings.shards)
            ),
        )
    )


def _validators(shard: int, count: int, scheme: SignatureScheme) -> ValidatorSet:
    return ValidatorSet(
        shard=ShardId(shard),
        epoch=Epoch(0),
        validators=tuple(
            Validator(
                public_key=scheme.public_key(validator_seed(shard, index)),
                tls_certificate=b"",
                bond=pack_amount(BOND),
            )
            for index in range(count)
        ),
    )
