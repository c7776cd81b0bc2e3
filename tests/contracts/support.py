"""A world in memory for the machine, and calls to put into it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from contracts.outcomes import Compiled, Completed, Invocation, Outcome, Reply, Suspended, code_hash_of
from contracts.port import Machine
from contracts.values import Value, decode, encode
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.identifiers import CallId, Hash, Height, Milliseconds, ShardId, TransactionId

PROGRAMS = Path(__file__).parent / "programs"
"""Contracts that tests run."""


@dataclass
class MemoryWorld:
    """One contract's storage and balance, with its sources."""

    sources: dict[Hash, str] = field(default_factory=dict)
    storage: dict[bytes, bytes] = field(default_factory=dict)
    held: int = 1000
    reads: int = 0

    def add(self, source: str) -> Hash:
        code_hash = code_hash_of(source)
        self.sources[code_hash] = source
        return code_hash

    def source(self, code_hash: Hash) -> str:
        return self.sources[code_hash]

    def read(self, contract: str, key: bytes) -> bytes | None:
        self.reads += 1
        return self.storage.get(key)

    def keys(self, contract: str, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        return sorted(key for key in self.storage if key.startswith(prefix) and key > after)[:limit]

    def balance(self, contract: str) -> int:
        return self.held

    def apply(self, outcome: Outcome) -> None:
        for write in outcome.effects.writes:
            if write.value is None:
                self.storage.pop(write.key, None)
            else:
                self.storage[write.key] = write.value
        self.held -= sum(unpack_amount(transfer.amount) for transfer in outcome.effects.transfers)
        self.held -= sum(unpack_amount(call.value) for call in outcome.effects.calls)

    def get(self, key: str) -> Value:
        raw = self.storage.get(key.encode())
        return None if raw is None else decode(raw)


def invocation(code_hash: Hash, method: str, *args: Value, gas: int = 1_000_000, call: int = 1) -> Invocation:
    return Invocation(
        code_hash=code_hash,
        contract="shop",
        shard=ShardId(0),
        method=method,
        arguments=encode(list(args)),
        sender="osk1alice",
        value=pack_amount(Amount(0)),
        trace_id=TransactionId(bytes(32)),
        call_id=CallId(call.to_bytes(32, "big")),
        height=Height(5),
        time_ms=Milliseconds(5_000),
        gas=gas,
        journal=(),
        replies=(),
    )


def resumed(call: Invocation, outcome: Outcome, *replies: Reply, height: int = 6) -> Invocation:
    assert isinstance(outcome, Suspended), outcome
    return msgspec.structs.replace(
        call, journal=outcome.journal, replies=replies, height=Height(height), time_ms=Milliseconds(height * 1000)
    )


def ok(number: int, value: Value) -> Reply:
    return Reply(number, "ok", encode(value), "", "", "", pack_amount(Amount(0)))


def failed(number: int, kind: str = "failed", error: str = "Sad", message: str = "text", trace: str = "") -> Reply:
    return Reply(number, kind, b"", error, message, trace, pack_amount(Amount(0)))


def result(outcome: Outcome) -> Value:
    """What a call that must have completed returned."""
    assert isinstance(outcome, Completed), outcome
    return decode(outcome.result)


def run_one(machine: Machine, world: MemoryWorld, call: Invocation) -> Outcome:
    """Run a call and apply what it did."""
    outcomes: list[Outcome] = []

    def settle(_index: int, outcome: Outcome) -> None:
        outcomes.append(outcome)
        world.apply(outcome)

    machine.forget()  # each test has worlds of its own
    machine.run([call], world, settle)
    return outcomes[0]


def run_batch(machine: Machine, world: MemoryWorld, calls: Sequence[Invocation]) -> list[Outcome]:
    """Run calls in order, each applied before the next."""
    outcomes: list[Outcome] = []

    def settle(index: int, outcome: Outcome) -> None:
        assert index == len(outcomes)
        outcomes.append(outcome)
        world.apply(outcome)

    machine.forget()
    machine.run(calls, world, settle)
    return outcomes


def deployed(machine: Machine, world: MemoryWorld, source: str) -> Hash:
    compilation = machine.compile(source, 5_000_000)
    assert isinstance(compilation, Compiled), compilation
    return world.add(source)
