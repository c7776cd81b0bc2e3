"""Faults of storage: how each begins in a world, and how it ends.

What becomes of a validator depends on whether its store can see the damage. If it can (`TORN`, `FLIP`), the validator
refuses to start and its operator empties the folder when the fault ends: it joins again with a lost journal, signs
nothing until that is safe, and is held to every promise but that of remembering. If it cannot (`LYING_SYNC`,
`OLD_BACKUP`), the validator may sign what contradicts what it signed before and forgot: it counts among the f of its
shard that may lie.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.faults import Fault, FaultKind, Name
from testnet.simulator.storage import Trouble

if TYPE_CHECKING:
    from testnet.simulator.validators import SimulatedValidator
    from testnet.simulator.world import World

Switch = Callable[[], None]


def storage_switches(world: "World", fault: Fault) -> tuple[Switch, Switch]:
    """How a fault of storage begins and how it ends."""
    switches = _StorageSwitches(world, fault.target)
    match fault.kind:
        case FaultKind.FULL | FaultKind.EIO:
            return partial(switches.fail, fault), switches.end_failing
        case FaultKind.TORN:
            return partial(switches.trouble, fault), switches.end_trouble
        case FaultKind.FLIP:
            return partial(switches.flip, fault.amount), switches.empty_if_damaged
        case FaultKind.LYING_SYNC:
            return switches.lie, switches.end_lie
        case _:
            return switches.back_up, switches.put_back


class _StorageSwitches:
    """The storage of one validator, while one fault lasts."""

    def __init__(self, world: "World", name: Name) -> None:
        self._world = world
        self._name = name
        self._backup: tuple[SimulatedDisk, SimulatedDisk] | None = None

    @property
    def _victim(self) -> "SimulatedValidator":
        return self._world.validators[self._name]

    def trouble(self, fault: Fault) -> None:
        """Let one of the next syncs fail."""
        self._victim.trouble = Trouble(fault.kind, fault.amount)

    def end_trouble(self) -> None:
        """Change the disk; what is damaged goes."""
        self._victim.trouble = None
        self.empty_if_damaged()

    def fail(self, fault: Fault) -> None:
        """Let one of the next syncs fail; who stops because of it stays down until the end."""
        self._world.hold_down(self._victim, 1)
        self.trouble(fault)

    def end_failing(self) -> None:
        """Make room, or change the disk."""
        self.end_trouble()
        self._world.release([self._victim])

    def flip(self, number: int) -> None:
        """Flip a bit: of a record of the chain, or of the state."""
        half, odd = divmod(number, 2)
        (self._victim.state_disk if odd else self._victim.disk).flip(half)

    def empty_if_damaged(self) -> None:
        """Start from an empty folder, as an operator does whose validator refuses to start."""
        victim = self._victim
        if not (victim.disk.is_damaged or victim.state_disk.is_damaged):
            return
        victim.crash()
        for disk in (victim.disk, victim.state_disk):
            disk.restore(SimulatedDisk())
        self._world.judge.on_loss(self._name)
        self._world.revive(victim)

    def lie(self) -> None:
        """Let the disk say of syncs that they are done."""
        self._world.judge.distrust(self._name)
        for disk in (self._victim.disk, self._victim.state_disk):
            disk.lie()

    def end_lie(self) -> None:
        """The power fails, and it comes to light."""
        self._victim.crash()
        for disk in (self._victim.disk, self._victim.state_disk):
            disk.end_lie()
        self.empty_if_damaged()

    def back_up(self) -> None:
        """Make a backup of both stores, which belong together."""
        self._backup = (self._victim.disk.copy(), self._victim.state_disk.copy())

    def put_back(self) -> None:
        """Kill it, and let it find the backup in the place of what it had."""
        if self._backup is None:
            return
        self._world.judge.distrust(self._name)
        was_down = not self._victim.alive
        self._victim.crash()
        for disk, backup in zip((self._victim.disk, self._victim.state_disk), self._backup, strict=True):
            disk.restore(backup)
        self._world.judge.on_loss(self._name)
        self.empty_if_damaged()  # the backup was of a damaged store
        if was_down:  # it refused to start on what the backup has replaced
            self._world.revive(self._victim)
