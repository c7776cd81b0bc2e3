"""One thing that is broken in a net: faults of the simulator, each with its time, that begin and end together."""

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from testnet.simulator.faults import Fault, FaultKind, Name
from testnet.simulator.switches import Switch
from testnet.simulator.turning import make_liar
from testnet.simulator.world import World

if TYPE_CHECKING:
    from testnet.virtual.faults import Faults

FOREVER_MS = 2**53
"""Virtual time at which a fault ends that has no time: never; somebody ends it."""


class Ongoing:
    """Something that is broken, from its making until it ends. `text` says what, `parts` when and how."""

    def __init__(
        self, faults: "Faults", text: str, parts: Sequence[Fault], nodes: frozenset[Name] = frozenset()
    ) -> None:
        self._faults = faults
        self.text = text
        self.parts = tuple(parts)
        self.nodes = nodes
        """Processes that are down or paused by it."""
        self._world = faults.world
        self._left: dict[int, Switch | None] = {}
        """Parts that are not over, by number; with how it ends, of one that has begun."""

    @property
    def active(self) -> bool:
        """Whether it lasts."""
        return self in self._faults.active

    def begin(self, world: World) -> None:
        """Begin in this world, at the time that it has there: what is over stays so, what is to come is planned."""
        self._world = world
        self._left = {number: None for number, part in enumerate(self.parts) if part.end_ms > world.heap.now_ms}
        for number in tuple(self._left):
            part = self.parts[number]
            if part.start_ms <= world.heap.now_ms:
                self._begin_part(number)
            else:
                world.heap.at_ms(part.start_ms, partial(self._begin_part, number))
            if part.end_ms < FOREVER_MS:
                world.heap.at_ms(part.end_ms, partial(self._end_part, number))

    def _begin_part(self, number: int) -> None:
        if number in self._left:
            begin, self._left[number] = self._world.switches(self.parts[number])
            begin()

    def _end_part(self, number: int) -> None:
        end = self._left.pop(number, None)
        if end is not None:
            self._mend(number, end)
        if not self._left and self.active:
            self._faults.active.remove(self)

    def end(self) -> None:
        """Mend it, and forget what of it has not begun; nothing happens when it has ended."""
        if self.active:
            self._faults.active.remove(self)
            self._end()

    def _end(self) -> None:
        ends = [(number, end) for number, end in self._left.items() if end is not None]
        self._left = {}
        for number, end in reversed(ends):
            self._mend(number, end)

    def _mend(self, number: int, end: Switch) -> None:
        end()
        part = self.parts[number]
        # A relay that starts again does so whatever else has it down: they are not counted as those of validators are.
        if part.kind is FaultKind.RELAY_CRASH and any(each.has_down(part.target) for each in self._faults.active):
            next(relay for relay in self._world.relays if relay.name == part.target).crash()

    def has_down(self, relay: Name) -> bool:
        """Whether a part of it that has begun keeps a relay down."""
        begun = [self.parts[number] for number, end in self._left.items() if end is not None]
        return any(part.kind is FaultKind.RELAY_CRASH and part.target == relay for part in begun)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<fault {self.text}{'' if self.active else ' (ended)'}>"


class Lying(Ongoing):
    """Validators that lie, and are honest again at the end."""

    def __init__(self, faults: "Faults", text: str, parts: Sequence[Fault], behaviour: str) -> None:
        super().__init__(faults, text, parts)
        self._behaviour = behaviour

    def _begin_part(self, number: int) -> None:
        if number in self._left:
            make_liar(self._world, self.parts[number].target, self._behaviour)
        super()._begin_part(number)
