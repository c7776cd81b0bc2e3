"""What a shard's replicated state consists of: its keys, its records, and where each stands in the state tree.

    raw key = u8 namespace ‖ u16 length of contract ‖ contract ‖ key        (the contract is empty for system records)
    path    = state_tree.path_of(namespace, contract, key)

| namespace | key | value |
|---|---|---|
| CHAIN | (empty) | `ChainRecord`: where the chain is; with the tree it determines the whole commitment |
| ACCOUNT | public key (32) | `Account`; an account with nothing in it is absent |
| LANE | u16 peer shard | `Lane`: everything about both streams with one peer; absent until first used |
| MESSAGE | u16 destination ‖ u64 sequence | body of a sent message, until it is acknowledged |
| OPEN_CALL | call id (32) | `OpenCall`: a sent call, until its reply has come |
| FREEZE | u16 peer shard | `Freeze`: why a lane is frozen, with the evidence |
| CODE to QUEUE | | contracts, their storage, and calls under way: see `shards.calls.records` |
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from primitives import mmr
from primitives.amounts import Amount, AmountField, pack_amount
from primitives.codec import Record
from primitives.identifiers import (
    ZERO_HASH,
    BlockIdField,
    CallId,
    CountField,
    HashField,
    Height,
    HeightField,
    MillisecondsField,
    Nonce,
    NonceField,
    PublicKey,
    Sequence,
    SequenceField,
    ShardId,
    ShardIdField,
    TransactionIdField,
)
from primitives.state_tree import path_of
from shards.commitments import CommitmentCertificate, Supply
from shards.messages import PrincipalField
from shards.streams import PeaksField, StreamHead


class Namespace(IntEnum):
    """First byte of every raw key."""

    CHAIN = 1
    ACCOUNT = 2
    LANE = 3
    MESSAGE = 4
    OPEN_CALL = 5
    FREEZE = 6
    CODE = 7
    CONTRACT = 8
    STORAGE = 9
    CALL = 10
    REPLY = 11
    TIMER = 12
    QUEUE = 13


ORDERED: Final = frozenset({Namespace.STORAGE, Namespace.TIMER})
"""Namespaces whose keys are read in order, so that the ledger keeps them sorted."""

_NO_CONTRACT = bytes(2)
_ACCOUNT = bytes((Namespace.ACCOUNT,)) + _NO_CONTRACT
_LANE = bytes((Namespace.LANE,)) + _NO_CONTRACT
_MESSAGE = bytes((Namespace.MESSAGE,)) + _NO_CONTRACT
_OPEN_CALL = bytes((Namespace.OPEN_CALL,)) + _NO_CONTRACT
_FREEZE = bytes((Namespace.FREEZE,)) + _NO_CONTRACT

CHAIN_KEY: Final = bytes((Namespace.CHAIN,)) + _NO_CONTRACT

ZERO_AMOUNT = pack_amount(Amount(0))


class Account(Record):
    """An account: balance in base units, nonce of its next transaction, sent calls whose reply is still to come."""

    balance: AmountField
    nonce: NonceField
    open_calls: CountField


class Lane(Record):
    """Both streams between this shard and one peer shard. Every counter only grows, the two `open_` ones aside."""

    begin: SequenceField
    """First message to the peer that it has not acknowledged: the highest `ack_next` seen in its certified heads."""
    end: SequenceField
    peaks: PeaksField
    """Mountain peaks over the messages [0, end) sent to the peer."""
    open_requests: CountField
    """Calls among [begin, end): what the window counts. Replies are exempt."""
    open_calls: CountField
    """Calls sent to the peer whose reply has not come, acknowledged or not."""
    value_sent: AmountField
    recv_next: SequenceField
    """The peer's next message to consume: the whole of exactly-once."""
    recv_peaks: PeaksField
    """Mountain peaks over the peer's messages [0, recv_next)."""
    value_received: AmountField
    peer_height: HeightField
    """Highest certified height of the peer seen here, and the hash of the commitment certified for it."""
    peer_commitment: HashField
    peer_end: SequenceField
    peer_value_sent: AmountField
    peer_value_received: AmountField
    """The highest counters in the peer's certified heads: value_sent - peer_value_received is still in flight."""
    frozen: bool


class OpenCall(Record):
    """A call that left with `value` and `gas` and has not been answered."""

    sender: PrincipalField
    """The account, or the contract by its bare name, that what comes back goes to."""
    parent_call_id: Annotated[bytes, Meta(max_length=32)]
    """The contract's call that made it, which the reply is delivered to; empty for an account's."""
    number: CountField
    """Of this call among those of its parent."""
    destination: ShardIdField
    sequence: SequenceField
    value: AmountField
    gas: CountField
    deadline_ms: MillisecondsField
    resume_gas: CountField
    """What the caller may use in the block that consumes the reply: the block has reserved so much."""
    patience_until_ms: CountField
    """When the caller is told that the outcome is unknown; 0: never, or it has been."""
    given_up: bool
    """The caller was told; the reply is credited and delivered to nobody."""
    trace_id: TransactionIdField


class Freeze(Record):
    """Evidence that a peer's committee certified what cannot be. The bundle itself is item `item` of block `height`."""

    reason: Annotated[str, Meta(max_length=64)]
    detail: Annotated[str, Meta(max_length=256)]
    height: HeightField
    item: CountField
    certificate: CommitmentCertificate
    head: StreamHead


class ChainRecord(Record):
    """Where the chain is after `height`. `history` are the peaks over the hashes of the commitments 0 to height - 1."""

    height: HeightField
    block_id: BlockIdField
    time_ms: MillisecondsField
    receipt_count: CountField
    receipts_root: HashField
    history: PeaksField
    supply: Supply


# State values are our own encodings under the state root, so they are decoded without the check for canonical form.
decode_account = msgspec.msgpack.Decoder(Account).decode
decode_lane = msgspec.msgpack.Decoder(Lane).decode
decode_open_call = msgspec.msgpack.Decoder(OpenCall).decode
decode_freeze = msgspec.msgpack.Decoder(Freeze).decode
decode_chain_record = msgspec.msgpack.Decoder(ChainRecord).decode

EMPTY_ACCOUNT = Account(balance=ZERO_AMOUNT, nonce=Nonce(0), open_calls=0)
UNUSED_LANE = Lane(
    begin=Sequence(0),
    end=Sequence(0),
    peaks=mmr.EMPTY.hashes,
    open_requests=0,
    open_calls=0,
    value_sent=ZERO_AMOUNT,
    recv_next=Sequence(0),
    recv_peaks=mmr.EMPTY.hashes,
    value_received=ZERO_AMOUNT,
    peer_height=Height(0),
    peer_commitment=ZERO_HASH,
    peer_end=Sequence(0),
    peer_value_sent=ZERO_AMOUNT,
    peer_value_received=ZERO_AMOUNT,
    frozen=False,
)
"""What an absent lane record means."""


def system_key(namespace: Namespace, key: bytes) -> bytes:
    """Raw key of a record that belongs to no contract."""
    return bytes((namespace,)) + _NO_CONTRACT + key


def account_key(address: PublicKey) -> bytes:
    """Raw key of an `Account`."""
    return _ACCOUNT + address


def lane_key(peer: ShardId) -> bytes:
    """Raw key of the `Lane` with a peer shard."""
    return _LANE + peer.to_bytes(2, "big")


def message_key(destination: ShardId, sequence: Sequence) -> bytes:
    """Raw key of the body of a message that is not acknowledged yet."""
    return _MESSAGE + destination.to_bytes(2, "big") + sequence.to_bytes(8, "big")


def open_call_key(call_id: CallId) -> bytes:
    """Raw key of an `OpenCall`."""
    return _OPEN_CALL + call_id


def freeze_key(peer: ShardId) -> bytes:
    """Raw key of the `Freeze` of the lane with a peer shard."""
    return _FREEZE + peer.to_bytes(2, "big")


def path_of_key(key: bytes) -> bytes:
    """Place of a raw key in the state tree."""
    end_of_contract = 3 + int.from_bytes(key[1:3], "big")
    return path_of(key[0], key[3:end_of_contract], key[end_of_contract:])
