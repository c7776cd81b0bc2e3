"""What the state holds of contracts and of calls under way; the table of `shards.state` lists it with everything else.

| namespace | key | value |
|---|---|---|
| CODE | code hash (32) | `Code`: kept for ever, because suspended calls are pinned to it and ended ones are replayed |
| CONTRACT | contract; (empty) | `Contract` |
| STORAGE | contract; key | a value as the contract wrote it |
| CALL | call id (32) | `SuspendedCall`: a call under way on this shard |
| REPLY | call id (32) ‖ u32 number | a reply that has arrived and was not delivered yet |
| TIMER | u64 due, block time in ms ‖ u8 kind ‖ call id (32) | one byte; what happens at that time |
| QUEUE | (empty) | `Queue`: where the queue of this shard begins and ends |
| QUEUE | u64 sequence | a message from this shard to itself, or the id of a call to be resumed |
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from contracts.outcomes import Journal, Method, NameField, Reply, ValueField, Wait
from primitives.amounts import AmountField
from primitives.codec import Record
from primitives.identifiers import (
    CallId,
    CountField,
    Hash,
    HashField,
    HeightField,
    Sequence,
    SequenceField,
    ShardIdField,
    TransactionIdField,
)
from shards.limits import MAX_PRINCIPAL_BYTES
from shards.state import Namespace, system_key


class Contract(Record):
    """A deployed contract."""

    code_hash: HashField
    owner: Annotated[bytes, Meta(max_length=32)]
    """The account that may upgrade it; empty: nobody."""
    balance: AmountField
    open_calls: CountField
    """Calls that it sent and that are not answered."""
    deployed: HeightField
    upgrades: CountField


class Code(Record):
    """A source that was deployed, with its public methods."""

    source: str
    methods: tuple[Method, ...]


class Origin(IntEnum):
    """Who made a call, and so who hears of its end."""

    TRANSACTION = 0
    """An account, by a transaction on this shard: the receipt tells it, what is left comes back to its balance."""
    MESSAGE = 1
    """A call message, from another shard or this one: it is answered by a reply."""


class Arrived(Record):
    """A reply that waits to be delivered."""

    number: CountField
    kind: Annotated[str, Meta(max_length=16)]


class SuspendedCall(Record):
    """A call that awaits replies, or that waits for more gas."""

    contract: NameField
    code_hash: HashField
    method: NameField
    arguments: ValueField
    sender: Annotated[str, Meta(max_length=MAX_PRINCIPAL_BYTES)]
    """As `msg.sender` shows it."""
    value: AmountField
    trace_id: TransactionIdField
    parent_call_id: Annotated[bytes, Meta(max_length=32)]
    depth: CountField
    origin: Annotated[int, Meta(ge=0, le=1)]
    payer: Annotated[bytes, Meta(max_length=32)]
    """Of a transaction's call: the account that the gas left at the end goes to."""
    reply_to: ShardIdField
    """Of a message's call: the shard it came from."""
    reply_gas: CountField
    """What the message asked to be echoed."""
    gas: CountField
    """That came with the call."""
    gas_left: CountField
    """Prepaid and not used; in escrow, with what a reply gave back and what was topped up."""
    gas_used: CountField
    """By all its runs so far; what it set aside for calls is not in it."""
    runs: CountField
    journal: Journal
    waits: tuple[Wait, ...]
    arrived: tuple[Arrived, ...]
    """In the order in which they will be delivered."""
    starved_until_ms: CountField
    """0, or when the call fails unless somebody tops it up."""


class Queue(Record):
    """The first-in-first-out queue of this shard's messages to itself: sequence numbers, the end excluded."""

    first: SequenceField
    end: SequenceField


EMPTY_QUEUE: Final = Queue(first=Sequence(0), end=Sequence(0))


class TimerKind(IntEnum):
    """What happens when a timer is due."""

    PATIENCE = 1
    """The caller of this call is told that its outcome is unknown."""
    STARVED = 2
    """This call fails, because nobody topped it up."""


TIMER_SET: Final = b"\x01"

RESUME_MARK: Final = b"\x00"
"""First byte of a queued call id; a message begins with an array's header."""

# State values are our own encodings under the state root, so they are decoded without the check for canonical form.
decode_contract = msgspec.msgpack.Decoder(Contract).decode
decode_code = msgspec.msgpack.Decoder(Code).decode
decode_suspended = msgspec.msgpack.Decoder(SuspendedCall).decode
decode_queue = msgspec.msgpack.Decoder(Queue).decode
decode_arrived_reply = msgspec.msgpack.Decoder(Reply).decode

QUEUE_KEY: Final = system_key(Namespace.QUEUE, b"")
TIMERS: Final = system_key(Namespace.TIMER, b"")
"""Prefix of all timers; their keys are in order of time."""


def contract_key(contract: str) -> bytes:
    """Raw key of a `Contract`."""
    return _owned(Namespace.CONTRACT, contract)


def storage_key(contract: str, key: bytes) -> bytes:
    """Raw key of a value in a contract's storage."""
    return _owned(Namespace.STORAGE, contract) + key


def code_key(code_hash: Hash) -> bytes:
    """Raw key of a `Code`."""
    return system_key(Namespace.CODE, code_hash)


def suspended_key(call_id: CallId) -> bytes:
    """Raw key of a `SuspendedCall`."""
    return system_key(Namespace.CALL, call_id)


def reply_key(call_id: CallId, number: int) -> bytes:
    """Raw key of a reply to call `number` of a suspended call."""
    return system_key(Namespace.REPLY, call_id + number.to_bytes(4, "big"))


def queue_key(sequence: int) -> bytes:
    """Raw key of an item of the queue."""
    return system_key(Namespace.QUEUE, sequence.to_bytes(8, "big"))


def timer_key(due_ms: int, kind: TimerKind, call_id: CallId) -> bytes:
    """Raw key of a timer."""
    return TIMERS + due_ms.to_bytes(8, "big") + bytes((kind,)) + call_id


def read_timer(key: bytes) -> tuple[int, TimerKind, CallId]:
    """Due time, kind and call of a timer's raw key."""
    rest = key[len(TIMERS) :]
    return int.from_bytes(rest[:8], "big"), TimerKind(rest[8]), CallId(rest[9:])


def _owned(namespace: Namespace, contract: str) -> bytes:
    name = contract.encode()
    return bytes((namespace,)) + len(name).to_bytes(2, "big") + name
