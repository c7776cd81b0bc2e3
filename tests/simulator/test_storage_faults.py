"""Disks that fill up, fail, tear, rot, lie or go back: what each does to its validator, and to nobody else."""

from dataclasses import replace

import pytest

from primitives.storage import Write
from shards import chain_store
from shards.node.faults import StorageFault
from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.faults import Fault, FaultKind
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.storage import Trouble
from testnet.simulator.world import World

CALM = SimulationSettings(5, shards=2, relays=1, seconds=30, chaos_seconds=12, faults=(), real_signatures=False)
VICTIM = "s0v1"


def run(*faults: Fault, **changes: int) -> tuple[World, SimulationReport]:
    world = World(replace(CALM, faults=faults, **changes))  # type: ignore[arg-type]  # only numbers are changed
    return world, world.run()


def clean(*faults: Fault, **changes: int) -> World:
    """The world after a run in which every invariant held."""
    world, report = run(*faults, **changes)
    assert report.passed, report.text()
    return world


def filled(disk: SimulatedDisk, *keys: bytes) -> SimulatedDisk:
    disk.stage(Write("t", key, b"1") for key in keys)
    disk.sync()
    return disk


# Disks


def test_a_torn_batch_is_there_in_part_and_the_store_is_refused() -> None:
    disk = filled(SimulatedDisk(), b"a")
    disk.stage([Write("t", b"b", b"2"), Write("t", b"c", b"2")])
    disk.tear()
    assert [key for key, _ in disk.scan("t")] == [b"a", b"b"]
    with pytest.raises(StorageFault, match="empty folder"):
        disk.check()
    disk.restore(SimulatedDisk())
    disk.check()


@pytest.mark.parametrize("number", range(4))
def test_a_record_with_a_flipped_bit_is_never_given_out(number: int) -> None:
    disk = filled(SimulatedDisk(), b"a", b"b")
    disk.flip(number)
    key, other = (b"a", b"b") if number % 2 == 0 else (b"b", b"a")
    assert disk.get("t", other) == disk.peek("t", key) == b"1"
    for reads in (lambda: disk.get("t", key), lambda: list(disk.scan("t")), disk.check, disk.copy().check):
        with pytest.raises(StorageFault):
            reads()
    filled(disk, key)
    assert disk.get("t", key) == b"1", "what is written anew is whole"
    disk.check()
    SimulatedDisk().flip(number)


def test_a_disk_that_lies_about_syncs_goes_back_when_the_power_fails() -> None:
    disk = filled(SimulatedDisk(), b"a")
    disk.lie()
    filled(disk, b"b")
    assert disk.get("t", b"b") == b"1"
    assert disk.crash(keep=1)
    assert [key for key, _ in disk.scan("t")] == [b"a"]
    filled(disk, b"c")
    disk.end_lie()
    assert not disk.crash(keep=1)
    assert [key for key, _ in disk.scan("t")] == [b"a", b"c"]


@pytest.mark.parametrize(
    ("kind", "kept"), [(FaultKind.FULL, {0: [], 1: []}), (FaultKind.EIO, {0: [], 1: [b"a", b"b"]})]
)
def test_of_a_sync_that_fails_nothing_or_all_is_kept(kind: FaultKind, kept: dict[int, list[bytes]]) -> None:
    for keep, expected in kept.items():
        disk, trouble = SimulatedDisk(), Trouble(kind, 2)
        assert [trouble.strikes() for _ in range(3)] == [False, False, True]
        trouble.befall(disk, [Write("t", b"a", b"1"), Write("t", b"b", b"1")])
        disk.crash(keep=keep)
        assert [key for key, _ in disk.scan("t")] == expected
        assert not disk.is_damaged


# Validators


@pytest.mark.parametrize("kind", [FaultKind.FULL, FaultKind.EIO])
@pytest.mark.parametrize("syncs", [0, 7])
def test_a_validator_whose_sync_fails_stops_keeps_what_it_acknowledged_and_comes_back(
    kind: FaultKind, syncs: int
) -> None:
    world = clean(Fault(kind, VICTIM, 4_000, 8_000, syncs))
    victim = world.validators[VICTIM]
    assert victim.counts["crashes"] == victim.counts["failed syncs"] == victim.counts["storage faults"] == 1
    assert victim.counts["refused starts"] == 0
    assert not world.judge.guilty, "it is held to every promise"


def test_a_whole_shard_whose_disks_are_full_stands_still_and_goes_on() -> None:
    world = clean(*(Fault(FaultKind.FULL, f"s0v{index}", 4_000, 9_000) for index in range(4)))
    assert not [at for (shard, _), at in world.judge.finalized_ms.items() if shard == 0 and 4_500 < at < 9_000]


@pytest.mark.parametrize("syncs", [0, 1, 2, 3, 12])
def test_a_torn_commit_is_noticed_at_the_start_and_the_journal_is_lost_without_a_contradiction(syncs: int) -> None:
    world = clean(Fault(FaultKind.TORN, VICTIM, 4_000, 7_000, syncs))
    _has_begun_anew(world)
    counts = world.validators[VICTIM].counts
    assert counts["failed syncs"] == counts["refused starts"] == 1


@pytest.mark.parametrize("record", [*range(0, 60, 12), 1, 5])
def test_a_flipped_bit_is_found_when_it_is_read_or_at_the_next_start(record: int) -> None:
    kill = Fault(FaultKind.HALT, VICTIM, 5_000, 5_300, 1)
    world = clean(Fault(FaultKind.FLIP, VICTIM, 4_000, 7_000, record), kill)
    victim = world.validators[VICTIM]
    if victim.counts["refused starts"]:  # or else it was written anew before anybody read it
        _has_begun_anew(world)


def _has_begun_anew(world: World) -> None:
    victim = world.validators[VICTIM]
    assert not victim.disk.is_damaged
    assert not world.judge.guilty, "it is held to every promise, S4 too"
    assert victim.core is not None
    assert victim.core.replica.may_sign


def test_a_flipped_bit_of_a_block_stops_the_validator_that_is_asked_for_it() -> None:
    """Somebody comes back from behind and asks everybody."""
    world = World(replace(CALM, faults=(Fault(FaultKind.HALT, "s0v3", 2_000, 8_000, 1),)))
    victim = world.validators[VICTIM]

    def spoil() -> None:
        victim.disk.spoilt |= {(table, key) for table in victim.disk.tables for key, _ in victim.disk.scan(table)}

    world.heap.at_ms(7_900, spoil)
    world.heap.at_ms(11_900, world.switches(Fault(FaultKind.FLIP, VICTIM, 0, 0))[1])
    report = world.run()
    assert report.passed, report.text()
    assert victim.counts["storage faults"] == 1
    _has_begun_anew(world)


@pytest.mark.parametrize("kind", [FaultKind.LYING_SYNC, FaultKind.OLD_BACKUP])
def test_a_validator_whose_disk_goes_back_forks_nothing_and_catches_up(kind: FaultKind) -> None:
    heights: list[int] = []
    world = World(replace(CALM, faults=(Fault(kind, VICTIM, 3_000, 9_000),)))
    victim = world.validators[VICTIM]
    for moment in (2_999, 8_999, 9_001):
        world.heap.at_ms(moment, lambda: heights.append(chain_store.executed_height(victim.disk)))
    report = world.run()
    assert report.passed, report.text()
    assert heights[0] <= heights[2] < heights[0] + 3 < heights[1]
    assert victim.counts["crashes"] == 1
    assert world.judge.guilty == {VICTIM}
    assert victim.core is not None
    assert victim.core.ledger.height > heights[1]


def test_a_backup_put_in_the_place_of_a_torn_store_is_started_on() -> None:
    """Seed 397060192 of the whole catalogue: the store was sound again, and nobody started its validator."""
    world = World(
        replace(
            CALM,
            faults=(Fault(FaultKind.OLD_BACKUP, VICTIM, 3_000, 9_000), Fault(FaultKind.TORN, VICTIM, 6_000, 10_000, 3)),
        )
    )
    report = world.run()
    assert report.passed, report.text()
    assert world.validators[VICTIM].counts["refused starts"] == 1


def test_while_a_disk_lies_every_crash_takes_all_back() -> None:
    kills = [Fault(FaultKind.HALT, VICTIM, at, at + 100, 1) for at in (4_000, 5_000, 6_000)]
    world = clean(Fault(FaultKind.LYING_SYNC, VICTIM, 3_000, 7_000), *kills)
    assert world.validators[VICTIM].counts["crashes"] == 4


def test_a_state_that_is_not_of_its_chain_is_seen() -> None:
    world = World(replace(CALM, seconds=12, chaos_seconds=8))
    victim = world.validators[VICTIM]

    def swap() -> None:
        victim.crash()
        victim.state_disk.restore(world.validators["s1v1"].state_disk)

    world.heap.at_ms(6_000, swap)
    assert "D1" in {violation.invariant for violation in world.run().violations}
