"""What a courier says of its lanes, and why one does not work."""

import pytest

from primitives.errors import Refused
from primitives.identifiers import Milliseconds, ShardId, ValidatorIndex
from primitives.instant import Instant
from relay.core import Courier
from relay.links import Links, islands
from tests.relay.bench import Bench
from tests.relay.model import CheapScheme, make_context
from tests.relay.world import World


def test_by_default_every_ordered_pair_is_linked() -> None:
    assert Links(3).pairs() == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize("pair", [(0, 0), (0, 3), (3, 0), (-1, 0)])
def test_a_link_connects_two_different_shards_of_the_chain(pair: tuple[int, int]) -> None:
    with pytest.raises(Refused, match="bad_link"):
        Links(3, [pair])


def test_a_lane_without_link_is_not_served_and_says_so() -> None:
    world = World(shards=3, links=Links(3, [(0, 1), (1, 0), (1, 2)]))
    world.send(0, 1, 3)
    world.send(0, 2, 3)
    world.run(5_000)
    assert len(world.shards[1].streams[0].received) == 3
    assert world.shards[2].streams[0].received == []
    assert world.standing(0, 2) == (
        "not_configured",
        "no link from shard 0 to shard 2 is configured for this relay",
    )
    assert world.standing(0, 1) == ("open", "")
    assert world.standing(1, 2) == ("open", "replies cannot return: no link from shard 2 to 1")


def test_a_dead_shard_is_named_with_how_long_it_has_been_silent_and_what_its_validators_said() -> None:
    world = World(shards=3)
    world.run(1_000)
    world.behaviour = {(2, index): "down" for index in range(4)}
    for index in range(4):
        world.lose(0, 2, index, "connection reset")
    world.run(30_000)
    standing, why = world.standing(0, 2)
    assert standing == "destination_silent"
    assert why.startswith("no validator of shard 2 has answered for 30 s (v0: connection refused; v1:")
    assert world.standing(2, 0)[0] == "source_silent"
    report = world.couriers[0].report(world.at)
    assert islands(report.lanes, 3) == [[0, 1], [2]]
    world.behaviour = {}
    world.run_until(lambda: islands(world.couriers[0].report(world.at).lanes, 3) == [[0, 1, 2]], 6_000)


def test_a_shard_without_a_quorum_is_told_from_one_that_does_not_answer() -> None:
    world = World(shards=2)
    world.shards[1].halted = True
    world.send(0, 1, 3)
    world.run(40_000)
    standing, why = world.standing(0, 1)
    assert standing == "stalled"
    assert why.startswith("shard 1 has certified nothing new for ")
    assert why.endswith("it seems to be without a quorum")


def test_a_lane_is_frozen_when_more_validators_say_so_than_may_lie() -> None:
    bench = Bench()
    bench.hear_of_both()
    standings = []
    for validator in range(4):
        bench.fetched(0)
        bench.refused(0, validator, "lane_frozen")
        lane = bench.courier.report(Instant(0, Milliseconds(0))).lanes[0]
        standings.append(lane.standing.value)
    assert standings == ["open", "frozen", "frozen", "frozen"]
    assert lane.why.startswith("shard 1 has frozen the stream from shard 0")


def test_a_shard_without_addresses_is_told_from_one_that_does_not_answer() -> None:
    scheme = CheapScheme()
    only_first = {ShardId(0): (ValidatorIndex(0),)}
    courier = Courier(make_context(2, 4, scheme), Links(2), scheme, only_first)
    lanes = courier.report(Instant(0, Milliseconds(0))).lanes
    assert [(lane.source, lane.destination, lane.standing.value) for lane in lanes] == [
        (0, 1, "source_silent"),
        (1, 0, "no_endpoints"),
    ]
