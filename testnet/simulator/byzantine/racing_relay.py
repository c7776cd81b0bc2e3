"""A relay that holds calls back until their deadlines are about to pass: some arrive just in time, some too late."""

from functools import partial

from primitives.errors import Refused
from shards.bundles import decode_bundle
from shards.messages import Call, message_decoder
from testnet.simulator.byzantine.lying_post import LyingPost
from testnet.simulator.heap import MICROSECONDS_PER_MS
from testnet.simulator.post import Forward
from testnet.simulator.settings import GENESIS_TIME_MS

LONGEST_MS = 5_000
"""It waits no longer: the courier that it lies for would give its lane up."""

AROUND_MS = 400
"""It aims at so long before a deadline up to so long after it; a block takes about as long."""


class RacingPost(LyingPost):
    """Delivers each bundle around the first deadline in it."""

    def carry(self, raw: bytes, forward: Forward) -> None:
        """Forward it later."""
        self.carried += 1
        now_ms = GENESIS_TIME_MS + self.heap.now_ms
        deadlines = [deadline for deadline in _deadlines(raw) if deadline > now_ms]
        aim_ms = self.draws.number(self.carried, -AROUND_MS, AROUND_MS)
        wait_ms = min(deadlines, default=now_ms) + aim_ms - now_ms
        self.heap.after(min(max(wait_ms, 0), LONGEST_MS) * MICROSECONDS_PER_MS, partial(forward, raw))


def _deadlines(raw: bytes) -> list[int]:
    """Deadlines of the calls in a bundle, in ms."""
    found = []
    for body in decode_bundle(raw).bodies:
        try:
            message = message_decoder.decode(body)
        except Refused:
            continue
        if isinstance(message, Call):
            found.append(int(message.deadline_ms))
    return found
