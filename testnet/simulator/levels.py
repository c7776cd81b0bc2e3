"""How strongly each kind of fault acts on something at the moment, when several faults of a kind overlap.

Every fault ends what it began and nothing else, so that they may overlap in any way.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from testnet.simulator.faults import Name

Where = TypeVar("Where", bound=Hashable)


class Levels(Generic[Where]):
    """What acts on each place: of all amounts that are on there, the one that `worst` chooses."""

    def __init__(self, worst: Callable[[list[int]], int] = max) -> None:
        self._worst = worst
        self._on: dict[Where, list[int]] = {}
        self._level: dict[Where, int] = {}

    def begin(self, where: Where, amount: int) -> None:
        """Let one more fault act here."""
        self._on.setdefault(where, []).append(amount)
        self._level[where] = self._worst(self._on[where])

    def end(self, where: Where, amount: int) -> None:
        """Let a fault that began with this amount act no longer."""
        on = self._on[where]
        on.remove(amount)
        if on:
            self._level[where] = self._worst(on)
        else:
            del self._on[where], self._level[where]

    def at(self, where: Where) -> int:
        """What acts here; 0 where nothing does."""
        return self._level.get(where, 0)

    def __bool__(self) -> bool:
        """Whether anything acts anywhere."""
        return bool(self._on)


class LinkLevels(Levels[Name | tuple[Name, Name]]):
    """Levels of nodes and of single directions: what a message meets is the worst of its sender, receiver and link."""

    def between(self, sender: Name, receiver: Name) -> int:
        """What acts on what the first sends to the second."""
        level = self._level
        if not level:
            return 0
        found = (level.get(sender, 0), level.get(receiver, 0), level.get((sender, receiver), 0))
        return self._worst([each for each in found if each] or [0])

    def of_sender(self, sender: Name, receiver: Name) -> int:
        """As `between`, for what befalls a node's messages only where it sends them."""
        return max(self._level.get(sender, 0), self._level.get((sender, receiver), 0)) if self._level else 0
