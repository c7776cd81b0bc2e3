"""Whatever a shell or a stranger behind it says, in whatever order, a courier keeps its balance."""

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.effects import SetTimer
from consensus.events import TimerFired
from primitives.identifiers import Milliseconds, Sequence, ShardId, ValidatorIndex
from primitives.instant import Instant
from relay.effects import Deliver, Effect, Fetch, Unwatch, Watch
from relay.events import (
    BundleFetched,
    Delivered,
    DeliveryFailed,
    Event,
    FetchFailed,
    ShardSeen,
    Started,
    SubscriptionLost,
)
from tests.relay.bench import Bench

SHARDS = st.integers(0, 2).map(ShardId)
VALIDATORS = st.integers(0, 4).map(ValidatorIndex)
FIRSTS = st.sampled_from([0, 1, 3, 512, 600, 2**63 - 1]).map(Sequence)
STATUSES = st.sampled_from(["accepted", "known", "refused"])


def bundles(bench: Bench) -> st.SearchStrategy[bytes | None]:
    raws = [bench.source.bundle(1, first) for first in (0, 1, 512, 600)]
    return st.sampled_from([*raws, b"", b"\xc1", None, (raws[0] or b"")[:-1]])


def events(bench: Bench) -> st.SearchStrategy[Event]:
    news = st.sampled_from([bench.source.news, bench.destination.news, (None, ())])
    return st.one_of(
        st.builds(lambda shard, validator, said: ShardSeen(shard, validator, *said), SHARDS, VALIDATORS, news),
        st.builds(SubscriptionLost, SHARDS, VALIDATORS, st.just("gone")),
        st.builds(BundleFetched, SHARDS, VALIDATORS, SHARDS, FIRSTS, bundles(bench)),
        st.builds(FetchFailed, SHARDS, VALIDATORS, SHARDS, FIRSTS, st.just("gone")),
        st.builds(Delivered, SHARDS, SHARDS, VALIDATORS, FIRSTS, STATUSES, st.sampled_from(["", "lane_frozen"])),
        st.builds(DeliveryFailed, SHARDS, SHARDS, VALIDATORS, FIRSTS, st.just("gone")),
        st.builds(TimerFired, st.sampled_from(["lane/0/1", "lane/1/0", "shard/0", "shard/1", "shard/x", ""])),
    )


class Books:
    """What a shell would have open after all effects so far."""

    def __init__(self) -> None:
        self.watched: set[tuple[int, int]] = set()

    def take(self, effects: tuple[Effect, ...], now: int) -> None:
        assert len(effects) <= 20
        for effect in effects:
            if isinstance(effect, Watch):
                assert (effect.shard, effect.validator) not in self.watched
                self.watched.add((effect.shard, effect.validator))
            elif isinstance(effect, Unwatch):
                self.watched.remove((effect.shard, effect.validator))
            elif isinstance(effect, SetTimer):
                assert effect.at_ms > now
            elif isinstance(effect, Fetch | Deliver):
                assert (effect.source, effect.destination) in {(0, 1), (1, 0)}
        assert all(sum(shard == each for each, _ in self.watched) <= 2 for shard in (0, 1))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_sequence_of_events_upsets_a_courier(data: st.DataObject) -> None:
    bench = Bench(messages=600)
    anything = events(bench)
    books = Books()
    now = 0
    books.take(bench.courier.handle(Started(), Instant(now, Milliseconds(0))), now)
    for _ in range(data.draw(st.integers(1, 60))):
        now += data.draw(st.sampled_from([0, 1, 300, 3_000, 20_000]))
        event = data.draw(anything)
        if isinstance(event, SubscriptionLost):
            books.watched.discard((event.shard, event.validator))
        books.take(bench.courier.handle(event, Instant(now, Milliseconds(0))), now)
        lanes = bench.courier._lanes.values()
        assert bench.courier._in_hand == sum(lane.hand is not None for lane in lanes)
        assert bench.courier._failing_in_hand == sum(lane.hand.failing for lane in lanes if lane.hand is not None)
        assert all(len(lane.ahead) <= 8 for lane in lanes)
        bench.courier.report(Instant(now, Milliseconds(0)))
