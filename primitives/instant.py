"""Time as an argument: the core is told what time it is, it never asks."""

from typing import NamedTuple

from primitives.identifiers import Milliseconds


class Instant(NamedTuple):
    """One reading of both clocks of a process."""

    monotonic_ms: int
    """Never goes back; its zero means nothing. All timers are set and compared in it."""
    wall_ms: Milliseconds
    """Unix time, may jump. Only block times and their check against drift use it."""
