"""Runs views and estimates: contract methods that read a snapshot and change nothing, in a worker of their own.

Blocks never wait for them, and they never wait for the loop. What a view may take is bounded three ways: gas, one at
a time, and so many that wait.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from contracts.limits import MAX_CALL_GAS
from contracts.outcomes import Invocation, Outcome
from contracts.port import World
from contracts.values import encode
from contracts.worker.client import MachineFault, WorkerMachine
from primitives.addresses import format_address
from primitives.errors import Refused, invariant
from primitives.identifiers import CallId, Height, Milliseconds, PublicKey, ShardId, TransactionId
from shards.calls.records import Code, Contract, code_key, contract_key, decode_code, decode_contract
from shards.node.logs import Log
from shards.node.machine import NodeMachine
from shards.node.metrics import NodeMetrics
from shards.state import ZERO_AMOUNT

MAX_RUN_GAS: Final = MAX_CALL_GAS
"""What a view or an estimate may take: as much as any call, some 0.15 s of a core."""

MAX_WAITING: Final = 32
"""Runs that wait for their turn; at the worst 6 s, after which clients have gone."""

NOBODY: Final = format_address(PublicKey(bytes(32)))
"""`msg.sender` of a view that nobody is named for."""


class Deployed(msgspec.Struct, frozen=True):
    """A contract with its code, as some state has it."""

    name: str
    record: Contract
    code: Code


def deployed(name: str, read: Callable[[bytes], bytes | None]) -> Deployed:
    """Read a contract.

    Raises:
        Refused: `not_found`.

    """
    raw = read(contract_key(name))
    if raw is None:
        raise Refused("not_found", f"there is no contract {name[:64]!r} on this shard; ask the others, or deploy it")
    record = decode_contract(raw)
    code = read(code_key(record.code_hash))
    invariant(code is not None, "a contract's code is in the state")
    return Deployed(name, record, decode_code(code or b""))


def asked_run(contract: Deployed, shard: ShardId, method: str, arguments: bytes) -> Invocation:
    """A first run of a method, asked by nobody, at no time; the caller fills in what it knows better."""
    return Invocation(
        code_hash=contract.record.code_hash,
        contract=contract.name,
        shard=shard,
        method=method,
        arguments=arguments or encode([]),
        sender=NOBODY,
        value=ZERO_AMOUNT,
        trace_id=TransactionId(bytes(32)),
        call_id=CallId(bytes(32)),
        height=Height(0),
        time_ms=Milliseconds(0),
        gas=MAX_RUN_GAS,
        journal=(),
        replies=(),
    )


class ViewDesk:
    """Takes runs one after the other; its worker starts with the first."""

    def __init__(self, metrics: NodeMetrics, log: Log) -> None:
        self._machine: Final = NodeMachine(WorkerMachine(), metrics, log)
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="views")
        self._log: Final = log
        self._turn: Final = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until nobody else runs anything, and so for a state that is not older than need be.

        Raises:
            Refused: `busy`: too many wait.

        """
        if self._waiting >= MAX_WAITING:
            raise Refused("busy", f"{MAX_WAITING} views and estimates wait already; try again in a second")
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    async def run(self, invocation: Invocation, world: World) -> Outcome:
        """What one run comes to; in one's turn.

        Raises:
            Refused: `busy`: the machine does not work at present.

        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, invocation, world)
        except MachineFault as fault:
            self._log.error("view_failed", reason=str(fault))
            raise Refused("busy", "the machine for views does not answer; the validator's log says more") from None

    def _run(self, invocation: Invocation, world: World) -> Outcome:
        outcomes: list[Outcome] = []
        self._machine.forget()  # every run has a world of its own
        self._machine.run([invocation], world, lambda _index, outcome: outcomes.append(outcome))
        invariant(len(outcomes) == 1, "a machine tells one outcome for one call")
        return outcomes[0]

    async def close(self) -> None:
        """End the worker and what it does."""
        self._machine.stop()
        await asyncio.to_thread(self._machine.close)
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
