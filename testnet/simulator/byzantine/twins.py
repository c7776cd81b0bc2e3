"""Two processes with one key (Twins, Bano et al. 2020): each is honest, and speaks with a half of the others only."""

from collections.abc import Iterable

from primitives.identifiers import ValidatorIndex
from testnet.simulator.byzantine.conduct import Conduct, Hand


class Twins(Conduct):
    """One of the two. `ByzantineValidator` makes the second, and lets each hear its own half."""

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand)
        self.is_second = False

    def speaks_with(self, peer: ValidatorIndex) -> bool:
        """Whether the peer belongs to this twin's half; accomplices, who are twins too, belong to both."""
        return peer in self.hand.accomplices or (peer in self.hand.second_half) == self.is_second

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Nothing to the other half."""
        return (raw,) if self.speaks_with(to) else ()
