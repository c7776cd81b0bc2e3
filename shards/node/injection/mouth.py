"""A validator that lies: something stands between its honest core and the wire. On development chains only.

What it says instead is not in here, nor anywhere that production code could import it from.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from primitives.identifiers import ValidatorIndex
from shards.node.parts import Outlet


class Mouth(Protocol):
    """What speaks in the core's place."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """What goes to a peer instead of what the core wants to send it."""
        ...

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        """Learn what a peer says, before the core does."""
        ...


Post = Callable[[ValidatorIndex, bytes], None]
"""Puts bytes on the wire to one peer."""

MakeMouth = Callable[[Post], Mouth]


class LyingOutlet:
    """`Outlet` of a validator that lies, beside the ear that goes with it."""

    def __init__(self, outlet: Outlet, peers: Sequence[ValidatorIndex], make: MakeMouth) -> None:
        self._outlet = outlet
        self._peers = tuple(peers)
        self._mouth = make(outlet.send)

    def send(self, to: ValidatorIndex, raw: bytes) -> None:
        """See `Outlet`."""
        for said in self._mouth.says(to, raw):
            self._outlet.send(to, said)

    def broadcast(self, raw: bytes) -> None:
        """See `Outlet`."""
        for peer in self._peers:
            self.send(peer, raw)

    def hear(self, sender: ValidatorIndex, messages: Sequence[bytes]) -> None:
        """Tell the mouth what a peer said."""
        for raw in messages:
            self._mouth.hears(sender, raw)
