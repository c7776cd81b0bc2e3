"""A validator that says everything it ever said or heard again, and again."""

from collections import deque
from collections.abc import Iterable

from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import Conduct, Hand

MEMORY = 400
"""Messages kept: those of the last minute or so."""

AT_ONCE = 6
"""Old messages said beside every new one."""


class StaleFlood(Conduct):
    """Floods its peers with old votes, proposals, certificates, answers and gossip, its own and those of others."""

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand)
        self._kept: deque[bytes] = deque(maxlen=MEMORY)
        self._said = 0

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Say it, and some of what is old."""
        self._said += 1
        draws = self.hand.draws.under(str(self._said))
        self._kept.append(raw)
        yield raw
        for each in range(AT_ONCE):
            yield draws.choice(each, self._kept)

    def hears(self, sender: ValidatorIndex, raw: bytes) -> None:
        """Keep it."""
        self._kept.append(raw)
