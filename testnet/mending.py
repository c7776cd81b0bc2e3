"""Nodes that were killed or paused for a time, and when the launcher brings each of them back."""

from typing import Any

from primitives.errors import Refused
from shards.node.injection.faults import MAX_LASTS_MS

_BACK = {"kill": "restart", "pause": "resume", "byzantine": "restart"}
"""What ends each operation that can be for a time."""


def time_of_mending(request: dict[str, Any], operation: str) -> int | None:
    """Milliseconds after which the operation of a request is to end by itself; None: never.

    Raises:
        Refused: `malformed`.

    """
    for_ms = request.get("for_ms")
    if for_ms is None:
        return None
    if operation not in _BACK:
        raise Refused("malformed", f"only {' and '.join(_BACK)} can be for a time, not {operation}")
    if type(for_ms) is not int or not 0 < for_ms <= MAX_LASTS_MS:
        raise Refused("malformed", f"for_ms is 1 to {MAX_LASTS_MS} milliseconds, got {str(for_ms)[:20]}")
    return for_ms


class Mending:
    """What is to be done to which node, and when. Times are seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        self._planned: dict[str, tuple[float, str]] = {}

    def plan(self, node: str, operation: str, at: float | None) -> None:
        """After an operation on a node: what was planned for it is void; `at`, what ends the operation is done."""
        self._planned.pop(node, None)
        if at is not None:
            self._planned[node] = (at, _BACK[operation])

    def due(self, now: float) -> list[tuple[str, str]]:
        """Nodes and what is to be done to them now; it is not planned any more."""
        found = [(node, operation) for node, (at, operation) in self._planned.items() if at <= now]
        for node, _ in found:
            del self._planned[node]
        return found

    def seconds_left(self, now: float) -> float | None:
        """Until the next is due; None when nothing is planned."""
        return max(0.0, min(at for at, _ in self._planned.values()) - now) if self._planned else None

    def left_ms(self, now: float) -> dict[str, int]:
        """Milliseconds until each node is brought back."""
        return {node: max(0, round(1000 * (at - now))) for node, (at, _) in self._planned.items()}
