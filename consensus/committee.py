"""Who may vote: the validator set of one shard and epoch, its quorum and its leaders.

n validators, at most f = (n - 1) // 3 of them faulty, quorum q = n - f: two quorums share an honest validator.
"""

from typing import Annotated

from msgspec import Meta

from primitives.amounts import AmountField
from primitives.codec import Record, encode
from primitives.errors import Refused
from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import (
    MAX_VALIDATORS,
    ChainId,
    Epoch,
    EpochField,
    Hash,
    PublicKey,
    PublicKeyField,
    ShardId,
    ShardIdField,
    ValidatorIndex,
    View,
)


class Validator(Record):
    """One member: its voting key, the DER certificate its TLS links are pinned to, and its bond."""

    public_key: PublicKeyField
    tls_certificate: Annotated[bytes, Meta(max_length=2048)]
    bond: AmountField


class ValidatorSet(Record):
    """The members of a shard in one epoch; a validator's index is its place here."""

    shard: ShardIdField
    epoch: EpochField
    validators: Annotated[tuple[Validator, ...], Meta(min_length=1, max_length=MAX_VALIDATORS)]


def validator_set_hash(members: ValidatorSet) -> Hash:
    """Bind keys, TLS certificates, bonds and their order."""
    return tagged_hash(Domain.VALIDATOR_SET, encode(members))


class Committee:
    """A validator set of one chain, with the arithmetic that voting needs."""

    def __init__(self, chain_id: ChainId, members: ValidatorSet) -> None:
        keys = tuple(PublicKey(member.public_key) for member in members.validators)
        if len(set(keys)) != len(keys):
            raise Refused("bad_validator_set", "the same public key appears twice; every validator needs its own")
        self.chain_id = chain_id
        self.members = members
        self.shard: ShardId = members.shard
        self.epoch: Epoch = members.epoch
        self.keys = keys
        self.size = len(keys)
        self.max_faulty = (self.size - 1) // 3
        self.quorum = self.size - self.max_faulty
        self.hash = validator_set_hash(members)

    def leader(self, view: View) -> ValidatorIndex:
        """Round robin; never derived from certificate bytes, which are not canonical."""
        return ValidatorIndex((self.epoch + view) % self.size)
