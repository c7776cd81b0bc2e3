"""A validator that finds older stores than it left, or none: it executes again, or keeps silent until that is safe."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from primitives.identifiers import Height
from shards import chain_store
from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.validators import SimulatedValidator
from testnet.simulator.world import World

SETTINGS = SimulationSettings(
    11, shards=2, relays=2, seconds=30, faults=(), transactions_per_second=2, flush_blocks=3,
    crash_boundary=("s0v1", 1_500),
)  # fmt: skip


Lose = Callable[[World, SimulatedValidator, SimulatedDisk], None]


def run_with(settings: SimulationSettings, lose: Lose) -> tuple[SimulationReport, SimulatedValidator]:
    """Run; when the victim dies, `lose(world, victim, its state of second 2)` happens before it starts again."""
    world = World(settings)
    victim = world.validators["s0v1"]
    died = victim.on_crash
    copies: list[SimulatedDisk] = []
    world.heap.at_ms(2_000, lambda: copies.append(deepcopy(victim.state_disk)))

    def on_crash() -> None:
        lose(world, victim, copies[0])
        died()

    victim.on_crash = on_crash
    report = world.run()
    assert report.counts["crashes"] == 1
    assert victim.lives == 2
    return report, victim


@pytest.mark.parametrize("older", ["a copy", "nothing"])
def test_blocks_that_an_older_state_has_not_seen_are_executed_again_to_the_same_commitments(older: str) -> None:
    executed: list[Height] = []

    def lose(_: World, victim: SimulatedValidator, old_state: SimulatedDisk) -> None:
        executed.append(chain_store.executed_height(victim.disk))
        victim.state_disk = old_state if older == "a copy" else SimulatedDisk()

    report, victim = run_with(SETTINGS, lose)
    assert report.passed, report.text()
    assert executed[0] > 20
    assert victim.core is not None
    assert victim.core.ledger.height > executed[0] + 10


def test_a_validator_that_lost_everything_signs_later_and_contradicts_nothing() -> None:
    def lose(world: World, victim: SimulatedValidator, _: SimulatedDisk) -> None:
        victim.disk, victim.state_disk = SimulatedDisk(), SimulatedDisk()
        # The checkers are told what is lost, but not what was signed: they still see every contradiction.
        world.judge.disks[victim.name] = victim.disk
        del world.judge.finalized[victim.name]

    report, victim = run_with(replace(SETTINGS, seconds=40, crash_boundary=("s0v1", 900)), lose)
    assert report.passed, report.text()
    assert victim.core is not None
    assert victim.core.replica.may_sign
    assert victim.core.ledger.height > 20
