"""Distinct quantities have distinct types: a Height is not a View is not a Sequence.

The `...Field` aliases are the same types with the bounds that decoding enforces; use them in records.
"""

from typing import Annotated, NewType

from msgspec import Meta

MAX_INTEGER = 2**63 - 1
"""Largest integer in anything hashed: every MessagePack implementation agrees on it."""

MAX_SHARDS = 1024
"""Outbox paths are log2 of this; a state tree of every shard holds one stream record for each other."""

MAX_VALIDATORS = 32
"""Per shard. Simplex sends O(n^2) votes; 32 signers are 22 signatures, 1.4 kB, in a certificate."""

ShardId = NewType("ShardId", int)
ValidatorIndex = NewType("ValidatorIndex", int)
Epoch = NewType("Epoch", int)
Height = NewType("Height", int)
View = NewType("View", int)
Sequence = NewType("Sequence", int)
Nonce = NewType("Nonce", int)
Milliseconds = NewType("Milliseconds", int)
"""Unix time for block times and deadlines; durations and timers say so in their names."""

Hash = NewType("Hash", bytes)
BlockId = NewType("BlockId", bytes)
ChainId = NewType("ChainId", bytes)
"""The hash of the genesis: two chains that differ in anything at all differ in their id."""
TransactionId = NewType("TransactionId", bytes)
MessageId = NewType("MessageId", bytes)
"""The message's leaf hash in its stream: it names one message of one chain, and proofs end in it."""
CallId = NewType("CallId", bytes)
PublicKey = NewType("PublicKey", bytes)
"""32 bytes, Ed25519. An account's address is its public key."""
SecretSeed = NewType("SecretSeed", bytes)
Signature = NewType("Signature", bytes)

_integer = Meta(ge=0, le=MAX_INTEGER)
_bytes32 = Meta(min_length=32, max_length=32)

ShardIdField = Annotated[ShardId, Meta(ge=0, lt=MAX_SHARDS)]
ValidatorIndexField = Annotated[ValidatorIndex, Meta(ge=0, lt=MAX_VALIDATORS)]
EpochField = Annotated[Epoch, _integer]
HeightField = Annotated[Height, _integer]
ViewField = Annotated[View, _integer]
SequenceField = Annotated[Sequence, _integer]
NonceField = Annotated[Nonce, _integer]
MillisecondsField = Annotated[Milliseconds, _integer]
CountField = Annotated[int, _integer]
HashField = Annotated[Hash, _bytes32]
BlockIdField = Annotated[BlockId, _bytes32]
ChainIdField = Annotated[ChainId, _bytes32]
TransactionIdField = Annotated[TransactionId, _bytes32]
MessageIdField = Annotated[MessageId, _bytes32]
CallIdField = Annotated[CallId, _bytes32]
PublicKeyField = Annotated[PublicKey, _bytes32]
SignatureField = Annotated[Signature, Meta(min_length=64, max_length=64)]

ZERO_HASH = Hash(bytes(32))
