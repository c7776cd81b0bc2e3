"""What a courier does again, when, and from where: event by event."""

from consensus.events import TimerFired
from primitives.identifiers import Sequence
from relay.effects import Deliver, Watch
from relay.events import BundleFetched, Delivered, DeliveryFailed, FetchFailed, SubscriptionLost
from relay.lanes import PATIENCE_MS
from tests.relay.bench import S0, S1, Bench, index


def two_bundles_on_the_way() -> Bench:
    """The first bundle of 1,000 messages was taken; the second is asked for."""
    bench = Bench(messages=1_000)
    assert bench.fetches(bench.hear_of_both()) == [(0, 0)]
    bench.fetched(0)
    assert bench.fetches(bench.took(0)) == [(0, 512)]
    return bench


def test_what_follows_a_lost_bundle_is_dropped_and_all_begins_again_from_what_is_certified() -> None:
    bench = two_bundles_on_the_way()
    bench.now = PATIENCE_MS
    effects = bench.give(TimerFired("lane/0/1"))
    assert bench.fetches(effects) == [(0, 0)]
    # The late answer to the dropped fetch is of no use now.
    assert bench.fetched(512) == []
    deliveries = [effect for effect in bench.fetched(0) if isinstance(effect, Deliver)]
    assert [each.validator for each in deliveries] != [0]


def test_a_refusal_begins_again_from_what_is_certified_at_another_validator() -> None:
    bench = two_bundles_on_the_way()
    bench.fetched(512)
    assert bench.fetches(bench.refused(512, 0, "gap")) == [(0, 0)]
    (delivery,) = [effect for effect in bench.fetched(0) if isinstance(effect, Deliver)]
    assert delivery.validator == 1


def test_progress_of_the_destination_puts_off_impatience() -> None:
    bench = two_bundles_on_the_way()
    bench.fetched(512)
    bench.took(512)
    bench.now = PATIENCE_MS - 1
    bench.destination.deliver(bench.source.bundle(1, 0) or b"")
    bench.destination.block()
    bench.give(bench.seen(bench.destination, 0))
    bench.now = PATIENCE_MS + 1
    assert bench.give(TimerFired("lane/0/1")) == []


def test_a_bare_acknowledgement_is_not_repeated_while_it_waits_for_a_block() -> None:
    bench = Bench()
    bench.hear_of_both()
    bench.fetched(0)
    bench.took(0)
    bench.destination.deliver(bench.source.bundle(1, 0) or b"")
    bench.destination.block()
    bench.give(bench.seen(bench.destination, 0))  # the replies are on their way back to shard 0
    bench.source.deliver(bench.destination.bundle(0, 0) or b"")
    bench.source.block()
    bench.give(bench.seen(bench.source, 0))
    bench.now = 250
    assert bench.fetches(bench.give(TimerFired("lane/0/1"))) == [(0, 3)]
    bench.fetched(3)
    bench.took(3)
    for _ in range(5):
        bench.destination.certify()
        assert bench.fetches(bench.give(bench.seen(bench.destination, 0))) == []


def test_when_everybody_has_been_tried_there_is_a_pause_and_then_everybody_is_tried_again() -> None:
    bench = Bench()
    bench.hear_of_both()
    asked = []
    for _ in range(4):
        hand = bench.courier._lanes[S0, S1].hand
        assert hand is not None
        asked.append(hand.fetched_from)
        bench.give(BundleFetched(S0, hand.fetched_from, S1, Sequence(0), None))
    assert sorted(asked) == [0, 1, 2, 3]
    assert bench.courier._lanes[S0, S1].hand is None
    bench.now = 249
    assert bench.give(TimerFired("lane/0/1")) == []
    bench.now = 250
    assert len(bench.fetches(bench.give(TimerFired("lane/0/1")))) == 1


def test_a_shard_that_comes_back_is_served_at_once() -> None:
    bench = Bench(validators=1)
    bench.hear_of_both()
    for now in (0, 250, 750, 1_750):
        bench.now = now
        bench.give(TimerFired("lane/0/1"))
        bench.give(FetchFailed(S0, index(0), S1, Sequence(0), "connection refused"))
    bench.give(SubscriptionLost(S0, index(0), "connection refused"))
    bench.now = 2_000
    assert Watch(S0, index(0)) in bench.give(TimerFired("shard/0"))
    assert bench.fetches(bench.give(bench.seen(bench.source, 0))) == [(0, 0)]


def test_nothing_is_asked_of_a_shard_that_does_not_answer() -> None:
    bench = Bench()
    bench.start()
    bench.give(bench.seen(bench.source, 0))
    bench.give(bench.seen(bench.destination, 0))
    bench.give(SubscriptionLost(S1, index(0), "gone"))
    bench.fetched(0)
    assert bench.fetches(bench.give(DeliveryFailed(S0, S1, index(0), Sequence(0), "gone"))) == []
    assert bench.fetches(bench.give(bench.seen(bench.destination, 1))) == [(0, 0)]


def test_an_answer_after_its_time_is_too_late() -> None:
    bench = Bench()
    bench.hear_of_both()
    bench.fetched(0)
    bench.now = 3_000
    assert bench.fetches(bench.give(TimerFired("lane/0/1"))) == [(0, 0)]
    assert bench.give(Delivered(S0, S1, index(0), Sequence(0), "accepted")) == []
