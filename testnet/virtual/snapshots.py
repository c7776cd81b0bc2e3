"""Snapshots: backups of all disks with the checkers' books, and worlds that start from them.

A world cannot be copied while it runs; it can be restarted, and that is what its validators are made for. So a
snapshot holds what is durable, and restoring is the recovery that the real process goes through.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shards.genesis import ChainContext
from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.faults import Name
from testnet.simulator.findings import Findings
from testnet.simulator.heap import Heap
from testnet.simulator.judge import Judge
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import World
from testnet.virtual.ongoing import Ongoing
from testnet.virtual.scheme import SCHEME
from testnet.virtual.transactions import Tx

if TYPE_CHECKING:
    from testnet.virtual.net import Net

RELAY_START_US = 1_000
"""Validators are there when a relay looks for them."""

START_MS = 2
"""After so long everything has started; a world is handed over then."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """See `Net.snapshot`."""

    now_us: int
    disks: dict[Name, tuple[SimulatedDisk, SimulatedDisk]]
    """Of each validator, for its blocks and for its state."""
    judge: Judge
    faults: list[Ongoing]
    unsettled: tuple[Tx, ...]
    eras: frozenset[int]

    @classmethod
    def of(cls, world: World, faults: Sequence[Ongoing], unsettled: Sequence[Tx], eras: frozenset[int]) -> Self:
        """Take one."""
        disks = {
            name: (validator.disk.copy(), validator.state_disk.copy()) for name, validator in world.validators.items()
        }
        return cls(world.heap.now_us, disks, _copy_judge(world.judge, world), list(faults), tuple(unsettled), eras)


def new_world(settings: SimulationSettings, context: ChainContext, snapshot: Snapshot | None) -> World:
    """A world at its genesis, or at a snapshot; its validators start with the next step of time."""
    world = World(settings, context=context, scheme=SCHEME)
    if snapshot is not None:
        world.heap.now_us = snapshot.now_us
        for name, validator in world.validators.items():
            blocks, state = snapshot.disks[name]
            validator.disk, validator.state_disk = blocks.copy(), state.copy()
        vars(world.judge).update(vars(_copy_judge(snapshot.judge, world)))
        world.judge.disks = {name: validator.disk for name, validator in world.validators.items()}
        world.judge.hoards = {name: validator.hoard for name, validator in world.validators.items()}
    for validator in world.validators.values():
        world.heap.after(0, validator.start)
    for relay in world.relays:
        world.heap.after(RELAY_START_US, relay.start)
    world.heap.run_until(world.heap.now_ms + START_MS, stop=lambda: bool(world.findings))
    return world


def _copy_judge(judge: Judge, world: World) -> Judge:
    """The judge with all that it knows, listening to `world` and sharing with it what never changes."""
    memo: dict[int, object] = {id(world.context): world.context, id(world.settings): world.settings}
    memo |= {id(each): each for each in (world.context.committees, *world.context.committees)}
    for part in vars(judge).values():
        if isinstance(part, Heap):
            memo[id(part)] = world.heap
        elif isinstance(part, Findings):
            memo[id(part)] = world.findings
    # Of the validators of another world.
    memo |= {id(judge.disks): {}, id(judge.hoards): {}}
    return deepcopy(judge, memo)


class Anchor:
    """`with net.anchor():` what happens inside is undone at the end, every time it is entered."""

    def __init__(self, net: "Net") -> None:
        self._net = net
        self._snapshots: list[Snapshot] = []

    def __enter__(self) -> Self:
        snapshot = self._net.snapshot()
        self._snapshots.append(snapshot)
        # What follows a restart differs in its timing from what just goes on: the first time is to be like the others.
        self._net.restore(snapshot)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._net.restore(self._snapshots.pop())
