"""What faults do to commits: they fail with the error that the system would give, or take longer."""

import errno
import os
import time
from collections.abc import Iterable

from shards.node.injection.faults import DiskFault

_ERRORS = {"full": errno.ENOSPC, "eio": errno.EIO}


class FaultyDisk:
    """`LmdbStore.disturb`: called in the committing thread, where the system's own errors come up."""

    def __init__(self, faults: Iterable[DiskFault]) -> None:
        self._faults = tuple(faults)

    def __call__(self) -> None:
        """Take as long as a slow disk, then fail as a full or a broken one.

        Raises:
            OSError: ENOSPC or EIO.

        """
        for fault in self._faults:
            if fault.effect == "slow":
                time.sleep(fault.delay_ms / 1000)
            else:
                number = _ERRORS[fault.effect]
                raise OSError(number, f"{os.strerror(number)} (a fault on purpose)")
