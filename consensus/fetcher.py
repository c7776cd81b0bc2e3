"""Asking peers for what is missing: one request in flight for each thing, the next peer when it is not answered.

The replica says after every event what it still lacks; what it no longer lacks is forgotten. Nothing here judges
answers: a valid answer that does not help is no offence, the thing stays wanted and the next peer is asked.
"""

from collections.abc import Mapping

from consensus.messages import ArchiveRequest, BlockRequest, ViewsRequest
from primitives.identifiers import ValidatorIndex
from primitives.marks import sometimes

MAX_WANTS = 16
"""Things asked for at once; the oldest views come first, and the rest follows as they are answered."""

Wanted = BlockRequest | ViewsRequest | ArchiveRequest


class _Pursuit:
    __slots__ = ("asked", "attempts", "due_ms", "first")

    def __init__(self, first: int, due_ms: int) -> None:
        self.first = first
        self.due_ms = due_ms
        self.attempts = 0
        self.asked: set[ValidatorIndex] = set()


class Fetcher:
    """What is wanted, who was asked, and when to ask the next peer."""

    def __init__(self, peers: tuple[ValidatorIndex, ...], retry_ms: int) -> None:
        self._peers = peers
        self._retry_ms = retry_ms
        self._pursuits: dict[Wanted, _Pursuit] = {}
        self._start = 0

    def renew(self, wants: Mapping[Wanted, ValidatorIndex], now_ms: int) -> list[tuple[ValidatorIndex, Wanted]]:
        """Replace what is wanted (each with the peer to ask first); returns the requests to send now."""
        if not self._peers or (not wants and not self._pursuits):
            return []
        kept = dict(list(wants.items())[:MAX_WANTS])
        self._pursuits = {
            want: self._pursuits.get(want) or _Pursuit(self._place_of(peer), now_ms) for want, peer in kept.items()
        }
        requests = []
        for want, pursuit in self._pursuits.items():
            if pursuit.due_ms <= now_ms:
                peer = self._peers[(pursuit.first + pursuit.attempts) % len(self._peers)]
                pursuit.attempts += 1
                if pursuit.attempts > 1:
                    sometimes("something fetched from another peer")
                pursuit.asked.add(peer)
                pursuit.due_ms = now_ms + self._retry_ms
                requests.append((peer, want))
        return requests

    def was_asked(self, peer: ValidatorIndex, kind: type[Wanted]) -> bool:
        """Whether this peer was asked for something of this kind that is still wanted."""
        return any(isinstance(want, kind) and peer in pursuit.asked for want, pursuit in self._pursuits.items())

    def wants(self, want: Wanted) -> bool:
        """Whether this is still wanted."""
        return want in self._pursuits

    def ask_next(self, peer: ValidatorIndex, kind: type[Wanted], now_ms: int) -> None:
        """Do not wait for this peer any longer: what it sent is of no use."""
        for want, pursuit in self._pursuits.items():
            if isinstance(want, kind) and peer in pursuit.asked:
                pursuit.asked.discard(peer)
                pursuit.due_ms = now_ms

    def due_ms(self) -> int | None:
        """When the next request is due."""
        return min((pursuit.due_ms for pursuit in self._pursuits.values()), default=None)

    def _place_of(self, peer: ValidatorIndex) -> int:
        if peer in self._peers:
            return self._peers.index(peer)
        # Our own leadership, or nobody in particular: begin with another peer each time.
        self._start += 1
        return self._start
