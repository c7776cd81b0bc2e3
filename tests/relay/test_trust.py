"""What a courier believes: single events, single answers."""

import pytest
from msgspec.structs import replace

from consensus.effects import Note
from consensus.events import TimerFired
from primitives.codec import encode
from primitives.identifiers import ChainId, Height, Milliseconds, Sequence, ShardId
from primitives.instant import Instant
from relay.effects import Deliver, Fetch, Unwatch, Watch
from relay.events import BundleFetched, Delivered, FetchFailed, ShardSeen, SubscriptionLost
from relay.members import SILENCE_MS
from shards.bundles import decode_bundle
from tests.relay.bench import S0, S1, Bench, index
from tests.relay.model import sign


def test_a_third_and_one_of_each_shard_is_watched_from_the_start() -> None:
    assert Bench().start() == [Watch(S0, index(0)), Watch(S0, index(1)), Watch(S1, index(0)), Watch(S1, index(1))]


def test_what_is_needed_follows_from_both_certified_heads_whichever_comes_first() -> None:
    for order in (True, False):
        bench = Bench()
        bench.start()
        news = [bench.seen(bench.source, 0), bench.seen(bench.destination, 1)]
        assert bench.give(news[order]) == []
        assert bench.give(news[not order]) == [Fetch(S0, index(0), S1, Sequence(0))]


def test_news_of_a_validator_that_is_not_watched_is_not_even_looked_at() -> None:
    bench = Bench()
    bench.start()
    bench.give(bench.seen(bench.destination, 0))
    assert bench.give(bench.seen(bench.source, 3)) == []
    assert bench.scheme.verified == 0


def test_old_news_costs_no_verification() -> None:
    bench = Bench()
    bench.start()
    bench.give(bench.seen(bench.source, 0))
    assert bench.scheme.verified == 3
    bench.give(bench.seen(bench.source, 1))
    bench.give(bench.seen(bench.source, 0))
    assert bench.scheme.verified == 3


@pytest.mark.parametrize("lie", ["signatures", "heads", "missing head", "order of heads", "other shard's", "chain"])
def test_a_forged_certificate_costs_its_sender_the_watch_for_a_minute(lie: str) -> None:
    bench = Bench()
    bench.start()
    bench.give(bench.seen(bench.destination, 0))
    certificate, heads = bench.source.news
    assert certificate is not None
    commitment = certificate.commitment
    match lie:
        case "signatures":
            certificate = sign(bench.context, 0, commitment.height, commitment.outbox_root, bench.scheme, signers=2)
        case "heads":
            heads = (heads[0], replace(heads[1], end=Sequence(9)))
        case "missing head":
            heads = heads[:1]
        case "order of heads":
            heads = heads[::-1]
        case "other shard's":
            bench.destination.certify()
            certificate, heads = bench.destination.news
            assert certificate is not None
        case "chain":
            certificate = replace(certificate, commitment=replace(commitment, chain_id=ChainId(bytes(32))))
        case _:
            raise AssertionError(lie)
    effects = bench.give(ShardSeen(S0, index(0), certificate, heads))
    assert effects[0] == Unwatch(S0, index(0))
    assert isinstance(effects[1], Note)
    assert effects[1].name == "liar"
    assert effects[2:] == [Watch(S0, index(2))]
    # With everybody else gone it is still not asked before the minute is over.
    for other in (1, 2, 3):
        bench.give(SubscriptionLost(S0, index(other), "gone"))
    bench.now = 59_999
    assert Watch(S0, index(0)) not in bench.give(TimerFired("shard/0"))
    bench.now = 60_000
    for other in (1, 2, 3):
        bench.give(SubscriptionLost(S0, index(other), "gone"))
    bench.give(TimerFired("shard/0"))
    assert bench.courier._members[S0].watched(index(0))


def fetched(bench: Bench, raw: bytes | None, validator: int = 0, first: int = 0) -> BundleFetched:
    return BundleFetched(S0, index(validator), S1, Sequence(first), raw)


def on_the_way() -> tuple[Bench, bytes]:
    """A courier that waits for validator 0 of shard 0 to answer, and the honest answer."""
    bench = Bench()
    bench.start()
    bench.give(bench.seen(bench.source, 0))
    bench.give(bench.seen(bench.destination, 1))
    bench.give(bench.seen(bench.source, 1))
    raw = bench.source.bundle(1, 0)
    assert raw is not None
    return bench, raw


def test_a_verified_bundle_goes_to_one_validator() -> None:
    bench, raw = on_the_way()
    assert bench.give(fetched(bench, raw)) == [Deliver(S0, S1, index(0), Sequence(0), raw)]


def test_a_bundle_whose_certificate_was_in_the_news_costs_no_signatures() -> None:
    bench, raw = on_the_way()
    before = bench.scheme.verified
    bench.give(fetched(bench, raw))
    assert bench.scheme.verified == before


def test_answers_to_nothing_that_was_asked_are_ignored() -> None:
    bench, raw = on_the_way()
    assert bench.give(fetched(bench, raw, validator=1)) == []
    assert bench.give(fetched(bench, raw, first=1)) == []
    assert bench.give(Delivered(S0, S1, index(0), Sequence(0), "accepted")) == []
    assert bench.give(FetchFailed(S1, index(0), S0, Sequence(0), "?")) == []
    assert bench.give(TimerFired("lane/7/8")) == []
    assert bench.give(ShardSeen(ShardId(9), index(0), None, ())) == []
    assert len(bench.give(fetched(bench, raw))) == 1
    assert bench.give(fetched(bench, raw)) == []


@pytest.mark.parametrize("lie", ["garbage", "body", "lane", "certificate", "too large"])
def test_a_bad_bundle_is_not_delivered_and_is_fetched_elsewhere(lie: str) -> None:
    bench, raw = on_the_way()
    bundle = decode_bundle(raw)
    match lie:
        case "garbage":
            raw = b"\xc1" * 40
        case "body":
            raw = encode(replace(bundle, bodies=(b"call X", *bundle.bodies[1:])))
        case "lane":
            bench.destination.send(0, b"call")
            bench.destination.block()
            raw = bench.destination.bundle(0, 0) or b""
        case "certificate":
            forged = sign(bench.context, 0, 9, bundle.certificate.commitment.outbox_root, bench.scheme, signers=0)
            raw = encode(replace(bundle, certificate=forged))
        case "too large":
            raw = bytes(2**20)
        case _:
            raise AssertionError(lie)
    effects = bench.give(fetched(bench, raw))
    assert not any(isinstance(effect, Deliver) for effect in effects)
    assert Unwatch(S0, index(0)) in effects
    assert effects[-1] == Fetch(S0, index(1), S1, Sequence(0))


@pytest.mark.parametrize("kind", ["none", "other first", "empty"])
def test_a_sound_bundle_that_brings_nothing_is_asked_for_elsewhere_and_nobody_is_called_a_liar(kind: str) -> None:
    bench, _ = on_the_way()
    raw = {
        "none": None,
        "other first": bench.source.bundle(1, 1),
        "empty": bench.source.bundle(1, 0, 0),
    }[kind]
    assert bench.give(fetched(bench, raw)) == [Fetch(S0, index(1), S1, Sequence(0))]


def test_a_validator_that_certifies_nothing_new_for_long_is_replaced() -> None:
    bench = Bench()
    bench.start()
    bench.give(bench.seen(bench.source, 0))
    bench.now = SILENCE_MS - 1
    bench.source.certify()
    assert bench.give(bench.seen(bench.source, 0)) == []
    bench.now = SILENCE_MS
    assert bench.give(TimerFired("shard/0")) == [Unwatch(S0, index(1)), Watch(S0, index(2))]


def test_heights_are_believed_from_certificates_only() -> None:
    bench = Bench()
    bench.start()
    bench.give(ShardSeen(S0, index(1), None, ()))
    bench.give(bench.seen(bench.source, 0))
    bench.give(ShardSeen(S0, index(1), None, ()))
    report = bench.courier.report(Instant(5, Milliseconds(0)))
    assert report.shards[0].height == Height(1)
    assert report.lanes[0].sent == 3
