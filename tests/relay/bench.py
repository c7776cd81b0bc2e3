"""One courier, two model shards, and events by hand."""

from consensus.effects import SetTimer
from primitives.identifiers import Milliseconds, Sequence, ShardId, ValidatorIndex
from primitives.instant import Instant
from relay.core import Courier
from relay.effects import Effect, Fetch
from relay.events import BundleFetched, Delivered, Event, ShardSeen, Started
from relay.links import Links
from tests.relay.model import CheapScheme, ModelShard, make_context

S0, S1 = ShardId(0), ShardId(1)


def index(number: int) -> ValidatorIndex:
    return ValidatorIndex(number)


class Bench:
    """Two shards, the first of which has sent messages, and a courier that has heard nothing yet."""

    def __init__(self, messages: int = 3, validators: int = 4) -> None:
        self.scheme = CheapScheme()
        self.context = make_context(2, validators, self.scheme)
        self.source, self.destination = (ModelShard(self.context, shard, self.scheme) for shard in (0, 1))
        for number in range(messages):
            self.source.send(1, b"call %d" % number)
        self.source.block()
        self.courier = Courier(self.context, Links(2), self.scheme)
        self.now = 0

    def give(self, event: Event) -> list[Effect]:
        effects = self.courier.handle(event, Instant(self.now, Milliseconds(0)))
        return [effect for effect in effects if not isinstance(effect, SetTimer)]

    def start(self) -> list[Effect]:
        return self.give(Started())

    def seen(self, shard: ModelShard, validator: int) -> ShardSeen:
        return ShardSeen(shard.shard, index(validator), *shard.news)

    def hear_of_both(self) -> list[Effect]:
        """Start and hear the news of both shards."""
        self.start()
        self.give(self.seen(self.source, 0))
        return self.give(self.seen(self.destination, 0))

    def fetched(self, first: int, validator: int = 0) -> list[Effect]:
        """The honest answer to a fetch."""
        return self.give(BundleFetched(S0, index(validator), S1, Sequence(first), self.source.bundle(1, first)))

    def took(self, first: int, validator: int = 0) -> list[Effect]:
        return self.give(Delivered(S0, S1, index(validator), Sequence(first), "accepted"))

    def refused(self, first: int, validator: int, code: str) -> list[Effect]:
        return self.give(Delivered(S0, S1, index(validator), Sequence(first), "refused", code))

    def fetches(self, effects: list[Effect]) -> list[tuple[int, int]]:
        """(validator, first) of the fetches among effects."""
        return [(effect.validator, effect.first) for effect in effects if isinstance(effect, Fetch)]
