"""The one place where a validator reads a clock."""

import time
from collections.abc import Callable

from primitives.identifiers import Milliseconds
from primitives.instant import Instant

Clock = Callable[[], Instant]


def system_clock() -> Instant:
    """Both clocks of this machine, in whole milliseconds."""
    return Instant(time.monotonic_ns() // 1_000_000, Milliseconds(time.time_ns() // 1_000_000))
