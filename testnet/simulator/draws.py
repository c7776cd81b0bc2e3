"""Chance without state: every draw is a hash of (seed, label, counter), so that taking one away shifts no other.

Integers only, so a seed means the same on every machine.
"""

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import TypeVar

T = TypeVar("T")

_WORDS = Struct("<16H")

PERMILLE = 1000
"""Chances are given in thousandths."""


class Draws:
    """The draws of one seed under one label, e.g. of one link; `counter` says which."""

    def __init__(self, seed: int, label: str) -> None:
        self._seed = seed
        self._label = label
        self._base = blake2b(f"{seed}/{label}/".encode(), digest_size=32)

    def under(self, label: str) -> "Draws":
        """Draws of a narrower label."""
        return Draws(self._seed, f"{self._label}/{label}")

    def words(self, counter: int) -> tuple[int, ...]:
        """Sixteen independent 16-bit numbers for one counter: enough for everything about one message."""
        state = self._base.copy()
        state.update(counter.to_bytes(8, "big"))
        return _WORDS.unpack(state.digest())

    def number(self, counter: int, low: int, high: int) -> int:
        """A number with low <= number <= high."""
        state = self._base.copy()
        state.update(counter.to_bytes(8, "big"))
        return low + int.from_bytes(state.digest()[:8], "big") % (high - low + 1)

    def chance(self, counter: int, permille: int) -> bool:
        """True in `permille` of a thousand counters."""
        return self.number(counter, 0, PERMILLE - 1) < permille

    def choice(self, counter: int, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.number(counter, 0, len(items) - 1)]
