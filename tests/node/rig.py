"""A driver with its stand-ins, for the tests that look at what it lets happen, and when."""

from collections.abc import Callable
from dataclasses import replace
from typing import Self, cast

from consensus.effects import Persist
from primitives.identifiers import ZERO_HASH, BlockId, Height, ValidatorIndex
from primitives.storage import Write
from shards.node.driver import Driver
from shards.node.flusher import Batch
from shards.node.logs import Log
from shards.node.parts import News
from shards.node.state_store import Applied
from shards.validator.effects import (
    Effect,
)
from shards.validator.events import (
    Event,
)
from tests.node.fakes import FakeFlusher, GatedStore, Outlet, ScriptedCore, make_parts
from tests.node.support import until

PEER = ValidatorIndex(1)
Script = Callable[[Event], tuple[Effect, ...]]


def write(number: int) -> Write:
    return Write("t", number.to_bytes(4, "big"), b"")


def persist(number: int) -> Persist:
    return Persist((write(number),))


async def reached(condition: Callable[[], object]) -> None:
    async def ask() -> bool:
        return bool(condition())

    await until(ask, 10)


class Rig:
    """A driver with its stand-ins."""

    def __init__(self, log: Log, script: Script, *, open_gate: bool = False, **changes: object) -> None:
        self.store = GatedStore(open_gate=open_gate)
        self.core = ScriptedCore(script)
        self.published: list[News] = []
        parts = make_parts(self.core, self.store, self.published, log)
        parts = replace(parts, **changes)  # type: ignore[arg-type]  # fields of Parts
        self.outlet = cast("Outlet", parts.outlet)
        self.flusher = cast("FakeFlusher", parts.flusher)
        self.driver = Driver(parts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.store.let_all_through()
        await self.driver.close()

    def sent(self) -> list[bytes]:
        return [raw for raw, _ in self.outlet.left]


def batch_of(height: int) -> Batch:
    return Batch(Applied(height=Height(height), block_id=BlockId(ZERO_HASH), state_root=ZERO_HASH), {})
