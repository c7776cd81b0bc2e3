"""Faults of links: single ones, shapes of partitions, narrow links; and faults of one kind that overlap."""

from collections import defaultdict
from dataclasses import replace
from itertools import permutations

import pytest

from testnet.simulator.faults import Fault, FaultKind
from testnet.simulator.heap import Heap
from testnet.simulator.levels import Levels, LinkLevels
from testnet.simulator.network import HEADER_BYTES, LONGEST_QUEUE_US, Network
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import World

CALM = SimulationSettings(5, shards=2, relays=1, seconds=20, chaos_seconds=10, faults=(), real_signatures=False)


def run(*faults: Fault, **changes: int) -> World:
    """The world after a clean run."""
    world = World(replace(CALM, faults=faults, **changes))  # type: ignore[arg-type]  # only numbers are changed
    report = world.run()
    assert report.passed, report.text()
    return world


def cuts(fault: Fault, validators: int) -> set[tuple[int, int]]:
    """Directions that a fault cuts in shard 0, by places, while it lasts."""
    world = World(replace(CALM, validators=validators))
    begin, end = world.switches(fault)
    begin()
    found = {(int(one[3:]), int(other[3:])) for (one, other), reasons in world.network.cut.items() if reasons}
    end()
    assert not any(world.network.cut.values())
    return found


def both_ways(*pairs: tuple[int, int]) -> set[tuple[int, int]]:
    return {way for one, other in pairs for way in ((one, other), (other, one))}


@pytest.mark.parametrize(
    ("kind", "amount", "validators", "parted"),
    [
        (FaultKind.BRIDGE, 0, 4, both_ways((1, 2), (1, 3))),
        (FaultKind.BRIDGE, 2, 5, both_ways((0, 3), (0, 4), (1, 3), (1, 4))),
        (FaultKind.RING, 0, 4, both_ways((0, 2), (1, 3))),
        (FaultKind.RING, 0, 5, both_ways((0, 2), (0, 3), (1, 3), (1, 4), (2, 4))),
        (FaultKind.RING, 0, 3, set()),
        (FaultKind.PARTITION, 0b0011, 4, both_ways((0, 2), (0, 3), (1, 2), (1, 3))),
        (FaultKind.HALF_PARTITION, 0b0001, 4, {(0, 1), (0, 2), (0, 3)}),
    ],
)
def test_each_shape_of_a_partition_cuts_exactly_its_directions(
    kind: FaultKind, amount: int, validators: int, parted: set[tuple[int, int]]
) -> None:
    assert cuts(Fault(kind, "s0", 0, 5_000, amount), validators) == parted


@pytest.mark.parametrize("kind", [FaultKind.BRIDGE, FaultKind.RING])
@pytest.mark.parametrize("validators", [4, 7])
def test_a_shard_whose_validators_hear_only_some_of_the_others_never_forks_and_goes_on_when_healed(
    kind: FaultKind, validators: int
) -> None:
    world = run(Fault(kind, "s0", 2_000, 9_000, 1), validators=validators)
    assert world.network.counts["cut"] > 50
    assert world.judge.books.shards[0].height > 15


def _targeted(kind: FaultKind, target: str, counted: str) -> dict[tuple[str, str], int]:
    """What befell messages, by direction."""
    world = World(replace(CALM, seconds=8, faults=(Fault(kind, target, 0, 4_000, 600),)))
    found: dict[tuple[str, str], int] = defaultdict(int)
    send = world.network.send

    def watching(sender: str, receiver: str, *rest: object, **more: object) -> None:
        before = world.network.counts[counted]
        send(sender, receiver, *rest, **more)  # type: ignore[arg-type]  # handed on as they came
        found[sender, receiver] += world.network.counts[counted] - before

    world.network.send = watching  # type: ignore[method-assign]  # the same, observed
    world.run()
    return {way: count for way, count in found.items() if count}


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        (FaultKind.LOSSY, "lost"),
        (FaultKind.DUPLICATING, "doubled"),
        (FaultKind.CORRUPTING, "corrupted"),
        (FaultKind.SLOW, "slowed"),
        (FaultKind.BANDWIDTH, "queued"),
    ],
)
def test_a_fault_on_one_direction_befalls_what_it_carries_and_nothing_else(kind: FaultKind, counted: str) -> None:
    assert set(_targeted(kind, "s0v1>s0v2", counted)) == {("s0v1", "s0v2")}
    assert set(_targeted(kind, "r0>s1v3", counted)) <= {("r0", "s1v3")}
    of_shard = set(_targeted(kind, "r0>s1", counted))
    assert of_shard
    assert of_shard <= {("r0", f"s1v{index}") for index in range(4)}


def test_a_relay_can_be_cut_off_from_a_single_validator() -> None:
    world = World(CALM)
    begin, _ = world.switches(Fault(FaultKind.RELAY_CUT, "r0>s1v2", 0, 1))
    begin()
    assert {way for way, reasons in world.network.cut.items() if reasons} == {("r0", "s1v2"), ("s1v2", "r0")}


def test_of_faults_that_overlap_the_worst_acts_and_each_ends_alone() -> None:
    levels = LinkLevels()
    levels.begin("a", 300)
    levels.begin("a", 100)
    assert levels.between("a", "b") == levels.between("b", "a") == levels.of_sender("a", "b") == 300
    assert levels.of_sender("b", "a") == 0
    levels.end("a", 300)
    assert levels.between("a", "b") == 100
    levels.begin(("a", "b"), 200)
    assert (levels.between("a", "b"), levels.between("b", "a")) == (200, 100)
    levels.end("a", 100)
    levels.end(("a", "b"), 200)
    assert not levels
    assert levels.between("a", "b") == 0
    narrow = LinkLevels(min)
    narrow.begin("a", 5_000)
    narrow.begin(("a", "b"), 900)
    assert (narrow.between("a", "b"), narrow.between("c", "a"), narrow.between("b", "c")) == (900, 5_000, 0)
    clocks: Levels[str] = Levels(sum)
    clocks.begin("v", -900)
    clocks.begin("v", 200)
    assert clocks.at("v") == -700


def test_two_overlapping_faults_of_a_clock_a_disk_or_a_pause_end_independently() -> None:
    world = World(CALM)
    validator = world.validators["s0v1"]
    for kind, attribute, both, one in (
        (FaultKind.CLOCK, "skew_ms", 500, 300),
        (FaultKind.SLOW_DISK, "slow_disk_ms", 300, 300),
        (FaultKind.PAUSE, "paused", True, True),
    ):
        first, second = (world.switches(Fault(kind, "s0v1", 0, 9, amount)) for amount in (200, 300))
        first[0]()
        second[0]()
        assert getattr(validator, attribute) == both
        first[1]()
        assert getattr(validator, attribute) == one
        second[1]()
        assert not getattr(validator, attribute)


def test_on_a_narrow_link_messages_wait_for_one_another_until_too_many_wait() -> None:
    heap, arrived = Heap(), []
    network = Network(1, heap)
    network.bandwidth.begin(("a", "b"), 10_000)
    size = 10_000 - HEADER_BYTES  # a second each
    for number in range(8):
        network.send("a", "b", lambda number=number: arrived.append((number, heap.now_us)), size=size)  # type: ignore[misc]
        network.send("b", "a", lambda: arrived.append((-1, heap.now_us)), size=size)
    heap.run_until(60_000, stop=lambda: False)
    there = {number: at for number, at in arrived if number >= 0}
    assert sorted(there) == list(range(LONGEST_QUEUE_US // 1_000_000))
    assert all((number + 1) * 1_000_000 <= at < (number + 1) * 1_000_000 + 10_000 for number, at in there.items())
    assert all(at < 10_000 for number, at in arrived if number < 0), "the other direction is wide"
    assert network.counts["choked"] == 3
    network.bandwidth.end(("a", "b"), 10_000)
    network.send("a", "b", lambda: arrived.append((9, heap.now_us)), size=size)
    heap.run_until(61_000, stop=lambda: False)
    assert arrived[-1][0] == 9
    assert arrived[-1][1] < 60_010_000


def test_narrow_links_slow_a_shard_down_and_break_nothing() -> None:
    narrow = run(Fault(FaultKind.BANDWIDTH, "s0", 0, 10_000, 3_000))
    assert narrow.network.counts["queued"] > 100
    assert narrow.judge.finalized_ms[0, 2] > run().judge.finalized_ms[0, 2] + 100


def test_a_restart_of_everything_loses_nothing() -> None:
    world = World(replace(CALM, faults=(Fault(FaultKind.RESTART_ALL, "all", 4_000, 5_000),)))
    report = world.run()
    assert report.passed, report.text()
    assert all(validator.counts["crashes"] == 1 for validator in world.validators.values())
    assert report.counts["relay crashes"] == 1
    assert report.counts["calls"] == report.counts["replies"] > 5
    assert not [at for at in world.judge.finalized_ms.values() if 4_010 < at < 5_000]


def test_bundles_that_are_spoilt_on_their_way_are_refused_and_handed_in_again() -> None:
    world = run(Fault(FaultKind.CORRUPTING, "r0", 0, 9_000, 500))
    assert world.relays[0].counts["bundles refused"] > 0
    assert world.judge.books.outcomes


def test_a_fault_of_no_length_may_begin_where_another_ends() -> None:
    """Seed 100554 of a sweep: the second one ended before it began."""
    one, nothing, other = (
        Fault(FaultKind.LOSSY, "r0", start, end, amount)
        for start, end, amount in ((2_000, 5_000, 349), (5_000, 5_000, 358), (5_000, 6_000, 12))
    )
    for faults in permutations((one, nothing, other)):
        world = World(SimulationSettings(1, shards=2, seconds=10, chaos_seconds=6, faults=faults))
        assert world.run().passed
        assert not world.network.loss
