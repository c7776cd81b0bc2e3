"""The trace hash: one SHA-256 over everything that every node heard and did, and when.

Two runs of one seed must agree on it in fresh processes under different `PYTHONHASHSEED`s; it is how an accidental
order of a set, a clock or a stray random number is noticed.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

import msgspec

from consensus.effects import Broadcast, CancelTimer, Note, Persist, Send, SetTimer
from shards.outcome import Execution
from shards.validator.events import PeerSent, TimerFired
from testnet.simulator.faults import Name


class Trace:
    """Fed in order; `digest()` at the end."""

    def __init__(self) -> None:
        self._hash = sha256()
        self.entries = 0

    def add(self, now_us: int, node: Name, event: object, effects: Iterable[object]) -> None:
        """Note what a node heard and what it did about it."""
        self.entries += 1
        parts = [f"{now_us} {self.entries} {node} ".encode(), _bytes_of(event)]
        parts.extend(map(_bytes_of, effects))
        self._hash.update(b"\n".join(parts))

    def digest(self) -> str:
        """Hex of the hash over everything so far."""
        return self._hash.hexdigest()


def _bytes_of(thing: object) -> bytes:
    """Bytes that differ when the thing does."""
    writer = _WRITERS.get(type(thing))
    return writer(thing) if writer is not None else _any(thing)


def _any(thing: object) -> bytes:
    """The infrequent kinds, field by field."""
    if isinstance(thing, msgspec.Struct):
        return msgspec.msgpack.encode(thing)
    if is_dataclass(thing):
        return type(thing).__name__.encode() + b",".join(_bytes_of(getattr(thing, each.name)) for each in fields(thing))
    return repr(thing).encode()


def _persist(effect: Persist) -> bytes:
    return b"".join(
        b"%b:%b=%b;" % (table.encode(), key, b"-" if value is None else value) for table, key, value in effect.writes
    )


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    PeerSent: lambda event: b"%d:%b" % (event.peer, event.raw),
    Send: lambda effect: b"%d:%b" % (effect.to, effect.raw),
    Broadcast: lambda effect: b"*:" + effect.raw,
    TimerFired: lambda event: event.name.encode(),
    CancelTimer: lambda effect: effect.name.encode(),
    SetTimer: lambda effect: f"{effect.name}@{effect.at_ms}".encode(),
    Persist: _persist,
    Note: lambda effect: f"{effect.name} {effect.detail}".encode(),
    Execution: lambda execution: msgspec.msgpack.encode((execution.commitment, execution.receipts)),
    bytes: lambda raw: raw,
    tuple: lambda items: b"(" + b",".join(map(_bytes_of, items)) + b")",
}
"""The frequent kinds, by exact type: every event and effect of a run passes through here."""
