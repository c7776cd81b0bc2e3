"""What a simulated validator keeps on its disks, checked at every start as the real one checks its data folder.

The real store (`shards.node.storage`) commits atomically, seals every record with a checksum, and stops for good at the
first sync that fails. So here: a damaged store is never read from, a start on one is refused, and whoever is refused
stays down until its operator empties the folder. What no store can see is a disk that goes back, whole and
consistent, to an earlier moment: because it lied about syncs, or because somebody put a backup there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.port import Machine
from primitives.identifiers import ShardId
from primitives.storage import Write
from shards.genesis import ChainContext
from shards.ledger import Ledger
from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.faults import FaultKind

STATE = "state"
"""Table of the state's store."""


@dataclass
class Trouble:
    """What happens to one of the next syncs: `FULL`, `EIO` or `TORN`."""

    kind: FaultKind
    syncs_left: int
    """That still succeed before it."""

    def strikes(self) -> bool:
        """Count one sync; whether this is the one."""
        self.syncs_left -= 1
        return self.syncs_left < 0

    def befall(self, disk: SimulatedDisk, writes: Iterable[Write]) -> None:
        """Let a sync of these fail: nothing is written, or the next crash decides, or a part is."""
        if self.kind is not FaultKind.FULL:
            disk.stage(writes)
        if self.kind is FaultKind.TORN:
            disk.tear()


def open_ledger(
    context: ChainContext, shard: ShardId, machine: Machine, chain: SimulatedDisk, state: SimulatedDisk
) -> Ledger:
    """Check both stores, and read the ledger back: at the last flush, or at the genesis when there was none.

    That the two belong together the judge sees, who knows the state of every height.

    Raises:
        StorageFault: a store is damaged.

    """
    chain.check()
    state.check()
    entries = list(state.scan(STATE))
    if not entries:
        ledger = Ledger(context, shard, machine=machine)
        # Flushes hold what changed since the genesis; the store begins with the genesis itself.
        state.stage(Write(STATE, key, value) for key, value in ledger.entries())
        state.sync()
        return ledger
    return Ledger.restore(context, shard, entries, machine=machine)
