"""A validator that gives views up in which it votes to finalize."""

from collections.abc import Iterable

from consensus.messages import Finalize, Nullify, Vote
from primitives.identifiers import Epoch, ValidatorIndex
from testnet.simulator.byzantine.conduct import read, wire
from testnet.simulator.byzantine.obliging import ObligingConduct


class NullifyAndFinalize(ObligingConduct):
    """Follows each finalize vote by a nullify vote, and gives votes of all kinds away to whoever wants one."""

    def says(self, to: ValidatorIndex, raw: bytes) -> Iterable[bytes]:
        """Say both."""
        yield from super().says(to, raw)
        message = read(raw)
        if isinstance(message, Vote) and isinstance(message.statement, Finalize) and not self.hand.rules_the_shard:
            yield wire(self.hand.vote(Nullify(Epoch(message.statement.epoch), message.statement.view)))
