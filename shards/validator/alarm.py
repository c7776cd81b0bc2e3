"""When something comes due: due timers are work (protocol.md section 2, Pace), so a validator wakes up then."""

from collections.abc import Callable

from consensus.effects import CancelTimer, SetTimer
from primitives.identifiers import Height
from primitives.instant import Instant
from shards.ledger import Ledger

DUE_TIMER = "due"


class Alarm:
    """Follows the next due time of a ledger and rings by the wall clock, which block times follow."""

    def __init__(self, ledger: Ledger, emit: Callable[[SetTimer | CancelTimer], None]) -> None:
        self._ledger = ledger
        self._emit = emit
        self._asked_at = Height(-1)
        """Height of the state that was asked what comes next, so that each is asked once."""
        self._due_ms: int | None = None
        self._awaited_ms: int | None = None
        """What the timer waits for, None while it is not set."""

    def is_due(self, at: Instant) -> bool:
        """Whether a block made now would find something due."""
        return self._due_ms is not None and self._due_ms <= at.wall_ms

    def follow(self, at: Instant) -> None:
        """Set the timer by the state of the latest block; call after every event."""
        if self._asked_at != self._ledger.height:
            self._asked_at, self._due_ms = self._ledger.height, self._ledger.next_due_ms()
            self._set(at)

    def ring(self, at: Instant) -> None:
        """The timer fired; the wall clock, if it was set back meanwhile, may not be there yet."""
        self._awaited_ms = None
        self._set(at)

    def _set(self, at: Instant) -> None:
        awaited_ms = None if self.is_due(at) else self._due_ms
        if awaited_ms == self._awaited_ms:
            return
        self._awaited_ms = awaited_ms
        if awaited_ms is None:
            self._emit(CancelTimer(DUE_TIMER))
        else:
            self._emit(SetTimer(DUE_TIMER, at.monotonic_ms + awaited_ms - at.wall_ms))
