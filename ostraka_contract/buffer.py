"""Holds back what a stretch writes until its end, so that it crosses to the host together: a crossing takes 15 µs.

What was written is read back from here, and what the host would refuse is refused here, at the line that is at fault.
The host checks everything again; an honest guest hands over nothing that it refuses.

The same file runs in the machine and where a recorded run is repeated under ordinary CPython.
"""

from typing import Final, Protocol

from contracts import limits
from contracts.operations import DECLINED, DONE, VIEW_REFUSAL, Operation
from contracts.values import encode

HELD_BYTES: Final = 32 * 1024
"""Held back at most, before what would exceed it: two of the largest values."""

_DONE: Final = bytes((DONE,))
_PUT_HEAD: Final = bytes((Operation.PUT,))
_EMIT_HEAD: Final = bytes((Operation.EMIT,))

# Looking a member up in its class takes as long as all comparisons.
_GET: Final = Operation.GET
_PUT: Final = Operation.PUT
_EMIT: Final = Operation.EMIT
_KEYS: Final = Operation.KEYS
_COMMIT: Final = Operation.COMMIT


class Asked(Protocol):
    """Whoever answers: the host, or this."""

    def ask(self, operation: int, request: bytes) -> bytes:
        """Do what `contracts.operations` says and answer."""
        ...


class Buffer:
    """The host, as the scheduler knows it, with writes and events held back."""

    def __init__(self, host: Asked, *, read_only: bool) -> None:
        self._host: Final = host
        self._read_only: Final = read_only
        self._written: Final[dict[bytes, bytes]] = {}
        """Keys and values of the stretch."""
        self._writes: Final[dict[bytes, bytes]] = {}
        """Entries to be handed over, by key."""
        self._events: Final[list[bytes]] = []
        self._emitted = 0
        """In the stretch."""
        self._size = 0

    def ask(self, operation: int, request: bytes) -> bytes:
        """Answer what can be answered here, and pass on the rest."""
        if operation is _GET:
            value = self._written.get(request)
            return self._host.ask(operation, request) if value is None else _DONE + value
        if operation is _PUT:
            return self._put(request)
        if operation is _EMIT:
            return self._emit(request)
        if operation is _COMMIT or operation is _KEYS:
            self._hand_over()
        if operation is _COMMIT:
            self._written.clear()
            self._emitted = 0
        return self._host.ask(operation, request)

    def take(self) -> bytes:
        """What is held, as `Operation.HAND_OVER` takes it."""
        held = b"".join((*self._writes.values(), *self._events))
        self._writes.clear()
        self._events.clear()
        self._size = 0
        return held

    def _hand_over(self) -> None:
        if self._size:
            self._host.ask(Operation.HAND_OVER, self.take())

    def _put(self, request: bytes) -> bytes:
        if self._read_only:
            return _declined("NotAllowed", VIEW_REFUSAL.format("write"))
        end = 2 + int.from_bytes(request[:2], "big")
        key = request[2:end]
        if key not in self._written and len(self._written) >= limits.MAX_WRITES:
            return _declined("LimitExceeded", limits.TOO_MANY_WRITES)
        self._make_room(len(request))
        self._written[key] = request[end:]
        self._writes[key] = _PUT_HEAD + len(request).to_bytes(4, "big") + request
        return _DONE

    def _emit(self, request: bytes) -> bytes:
        if self._read_only:
            return _declined("NotAllowed", VIEW_REFUSAL.format("emit"))
        if self._emitted >= limits.MAX_EVENTS:
            return _declined("LimitExceeded", limits.TOO_MANY_EVENTS)
        self._make_room(len(request))
        self._emitted += 1
        self._events.append(_EMIT_HEAD + len(request).to_bytes(4, "big") + request)
        return _DONE

    def _make_room(self, size: int) -> None:
        if self._size + size > HELD_BYTES:
            self._hand_over()
        self._size += size


def _declined(error: str, text: str) -> bytes:
    return bytes((DECLINED,)) + encode([error, text])
