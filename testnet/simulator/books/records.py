"""What the books consist of."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from shards.commitments import Commitment

KINDS = ("ok", "failed", "expired", "refused", "lane_full")
"""Outcomes as contracts and error types name them."""

CALL, REPLY = 1, 2
"""Tags of messages."""

TRANSACTION_RECEIPT, CALL_RECEIPT, REPLY_RECEIPT, FREEZE_RECEIPT, RUN_RECEIPT = 1, 2, 3, 5, 6
"""Tags of receipts."""

Fields = list[Any]
"""A decoded MessagePack array: what it holds is checked by use."""

Heard = tuple[int, str, bytes, str, str, str, int]
"""A reply as a contract hears it: number, kind, result, error, text, traceback, value that came back."""

Timer = tuple[int, int, bytes]
"""Due time in ms, kind, call id; in this order they have their turns."""

PATIENCE, STARVED = 1, 2
"""Kinds of timers."""


def number(raw: bytes) -> int:
    """An amount, or any other big-endian number."""
    return int.from_bytes(raw, "big")


def value_of(body: bytes) -> int:
    """Base units that a message carries: a call's value and gas, or what a reply returns."""
    fields = msgpack.unpackb(body)
    return number(fields[9]) + int(fields[10]) if fields[0] == CALL else number(fields[7])


@dataclass(slots=True)
class Stream:
    """Messages from one shard to another: all bodies ever sent, and how many were consumed."""

    bodies: list[bytes] = field(default_factory=list)
    consumed: int = 0
    value_sent: int = 0
    value_received: int = 0


@dataclass(slots=True)
class OpenCall:
    """A call that was sent: by whom, from which height, and how often it was answered."""

    shard: int
    sender: bytes
    """An account's key, or a contract's bare name."""
    value: int
    height: int
    trace_id: bytes
    destination: int
    gas: int
    parent: bytes = b""
    """The contract's call that made it, empty for an account's."""
    ordinal: int = 0
    """Among the calls of its parent."""
    resume_gas: int = 0
    """What its block sets aside for resuming the parent when the reply comes."""
    patience_ms: int = 0
    """When the parent is told that the outcome is unknown, 0 for never."""
    given_up: bool = False
    replies_sent: int = 0
    settled_height: int = 0


@dataclass(slots=True)
class ContractBook:
    """A deployed contract."""

    code_hash: bytes
    owner: bytes
    balance: int = 0
    open_calls: int = 0
    upgrades: int = 0


@dataclass(slots=True)
class Running:
    """A contract's call from its beginning to its end."""

    contract: str
    code_hash: bytes
    method: str
    arguments: bytes
    sender: str
    value: int
    trace_id: bytes
    parent: bytes
    depth: int
    gas: int
    gas_left: int
    payer: bytes = b""
    """Of a transaction's call: who gets back what is left."""
    reply_to: int = 0
    reply_gas: int = 0
    """Of a message's call: the shard that waits for the reply, and what it asked to be echoed."""
    gas_used: int = 0
    runs: int = 0
    made: int = 0
    """Calls it made so far."""
    arrivals: list[Heard] = field(default_factory=list)
    """All replies that ever came, in order."""
    delivered: int = 0
    """How many of them its journal holds."""
    stretches: list[tuple[tuple[Heard, ...], tuple[bytes, ...]]] = field(default_factory=list)
    """What it heard and was answered in each stretch that it has committed."""
    starved_until_ms: int = 0
    waits: list[tuple[list[int], bool]] | None = None
    """What it waits for, as its last block left it: calls' ordinals, and whether one that is not `ok` is enough. None
    while the block under way has run it, because only the state says it."""

    def goes_on(self, ordinal: int, kind: str) -> bool | None:
        """Whether a reply lets it go on; None where that is not known."""
        if self.starved_until_ms:
            return True
        if self.waits is None:
            return None
        kinds = {heard[0]: heard[1] for heard in self.arrivals[self.delivered :]} | {ordinal: kind}
        for ordinals, early in self.waits:
            there = [kinds[each] for each in ordinals if each in kinds]
            if len(there) == len(ordinals) or (early and any(each != "ok" for each in there)):
                return True
        return False


class Queued(NamedTuple):
    """An item of a shard's queue to itself: a message's body, or the id of a call to be resumed."""

    height: int
    """That it was queued at."""
    body: bytes
    resumes: bytes


@dataclass(slots=True)
class ShardBooks:
    """What one shard should hold after `height`."""

    shard: int
    balances: dict[bytes, int]
    genesis: int
    bonds: int
    nonces: dict[bytes, int] = field(default_factory=dict)
    held: int = 0
    sent: int = 0
    received: int = 0
    height: int = 0
    time_ms: int = 0
    contracts: dict[str, ContractBook] = field(default_factory=dict)
    codes: set[bytes] = field(default_factory=set)
    running: dict[bytes, Running] = field(default_factory=dict)
    """Calls under way, by id."""
    queue: deque[Queued] = field(default_factory=deque)
    queued: int = 0
    """Items ever put into the queue."""
    timers: set[Timer] = field(default_factory=set)
    results: list[tuple[Commitment, tuple[bytes, ...], bytes]] = field(default_factory=list)
    """The commitment to each height, from 1, with its receipts and the digest of what validators note of runs."""
    places: dict[bytes, int] = field(default_factory=dict)
    """Transaction id -> height."""

    def escrow(self) -> int:
        """What belongs to nobody just now: gas of calls under way, and what is in the queue."""
        gas = sum(call.gas_left for call in self.running.values())
        return gas + sum(value_of(item.body) for item in self.queue if item.body)

    def total(self) -> int:
        """All the money on this shard."""
        contracts = sum(contract.balance for contract in self.contracts.values())
        return sum(self.balances.values()) + contracts + self.held + self.bonds + self.escrow()
