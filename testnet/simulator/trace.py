"""The trace hash: one SHA-256 over everything that every node heard and did, and when.

Two runs of one seed must agree on it in fresh processes under different `PYTHONHASHSEED`s; it is how an accidental
order of a set, a clock or a stray random number is noticed.
"""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from hashlib import sha256

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
    """Bytes that differ when the thing does; the frequent kinds first, all others field by field."""
    match thing:
        case PeerSent(peer, raw) | Send(peer, raw):
            return b"%d:%b" % (peer, raw)
        case Broadcast(raw):
            return b"*:" + raw
        case TimerFired(name) | CancelTimer(name):
            return name.encode()
        case SetTimer(name, at_ms):
            return f"{name}@{at_ms}".encode()
        case Persist(writes):
            return b"".join(
                [b"%b:%b=%b;" % (w.table.encode(), w.key, b"-" if w.value is None else w.value) for w in writes]
            )
        case Note(name, detail):
            return f"{name} {detail}".encode()
        case Execution(commitment=commitment, receipts=receipts):
            return msgspec.msgpack.encode((commitment, receipts))
        case bytes():
            return thing
        case tuple():
            return b"(" + b",".join(map(_bytes_of, thing)) + b")"
        case msgspec.Struct():
            return msgspec.msgpack.encode(thing)
        case _ if is_dataclass(thing):
            return type(thing).__name__.encode() + b",".join(_bytes_of(getattr(thing, f.name)) for f in fields(thing))
        case _:
            return repr(thing).encode()
