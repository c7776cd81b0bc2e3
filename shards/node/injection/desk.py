"""Where faults and the parts of one node meet: who is disturbed by what, and what this node cannot do."""

import random
from collections.abc import Sequence

from primitives.errors import Refused
from primitives.identifiers import ShardId, ValidatorIndex
from shards.node.injection.board import FaultBoard
from shards.node.injection.clock import SkewedClock
from shards.node.injection.disk import FaultyDisk
from shards.node.injection.faults import ClockFault, DiskFault, Fault, LinkFault
from shards.node.injection.links import FaultyLinks
from shards.node.links import Links
from shards.node.storage import LmdbStore


class ValidatorFaults:
    """Faults of one validator; made inside the running loop."""

    def __init__(
        self,
        place: tuple[ShardId, ValidatorIndex],
        size: int,
        links: Links,
        stores: Sequence[LmdbStore],
        clock: SkewedClock,
    ) -> None:
        self._shard, self._index = place
        self._size = size
        self._links = links
        self._stores = stores
        self._clock = clock
        self._chance = random.Random()  # faults may strike by chance; a run of processes is never repeated exactly
        self.board = FaultBoard(self._check, self._apply)

    def _check(self, fault: Fault) -> None:
        """Refuse what a validator has no part in."""
        if not isinstance(fault, LinkFault):
            return
        if fault.lanes:
            raise Refused("no_such_link", "a validator serves no lanes; relays do")
        for shard, index in fault.peers:
            if shard != self._shard or index == self._index or index >= self._size:
                raise Refused(
                    "no_such_link", f"validator {self._index} of shard {self._shard} has no link to s{shard}/v{index}"
                )

    def _apply(self, board: FaultBoard) -> None:
        """Let every part know what is on now."""
        of_links, of_disk = board.of_kind(LinkFault), board.of_kind(DiskFault)
        self._links.set_filter(FaultyLinks(self._shard, of_links, self._chance) if of_links else None, development=True)
        for store in self._stores:
            store.disturb = FaultyDisk(of_disk) if of_disk else None
        self._clock.offset_ms = sum(fault.offset_ms for fault in board.of_kind(ClockFault))
