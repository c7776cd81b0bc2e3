"""Timers of a simulated process: setting one anew forgets the old one, and all of them die with the process."""

from collections.abc import Callable
from functools import partial

from testnet.simulator.heap import Heap


class Timers:
    """Named timers; `fire` is told the name of each that goes off."""

    def __init__(self, heap: Heap, fire: Callable[[str], None]) -> None:
        self._heap = heap
        self._fire = fire
        self._numbers: dict[str, int] = {}
        self._number = 0

    def set(self, name: str, at_ms: int) -> None:
        """Let this one go off at a virtual time, and at no other."""
        self._number += 1
        self._numbers[name] = self._number
        self._heap.at_ms(at_ms, partial(self._due, name, self._number))

    def cancel(self, name: str) -> None:
        """Let it not go off."""
        self._numbers.pop(name, None)

    def clear(self) -> None:
        """Let none go off."""
        self._numbers.clear()

    def _due(self, name: str, number: int) -> None:
        if self._numbers.get(name) == number:
            del self._numbers[name]
            self._fire(name)
