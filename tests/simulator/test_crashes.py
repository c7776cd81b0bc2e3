"""A validator killed at every effect boundary of a short run: nothing is lost, nothing contradicts, all goes on."""

from dataclasses import replace

import pytest

from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import World, run_simulation

ONE_SHARD = SimulationSettings(11, shards=1, relays=0, seconds=12, faults=(), transactions_per_second=2, flush_blocks=3)
TWO_SHARDS = replace(ONE_SHARD, shards=2, relays=2)

CHUNKS = 6
"""The boundaries of a run are shared out over so many tests."""


def _boundaries(settings: SimulationSettings, name: str) -> int:
    world = World(settings)
    report = world.run()
    assert report.passed, report.text()
    return world.validators[name].boundaries


def _sweep(settings: SimulationSettings, name: str, chunk: int, step: int) -> None:
    last = _boundaries(settings, name)
    assert last > 300
    places = range(1 + chunk * step, last, step * CHUNKS)
    for boundary in places:
        report = run_simulation(replace(settings, crash_boundary=(name, boundary)))
        assert report.passed, report.text()
        assert report.counts["crashes"] == 1
    assert len(places) >= 8


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_validator_killed_at_every_effect_boundary_of_one_shard_comes_back_whole(chunk: int) -> None:
    _sweep(ONE_SHARD, "s0v1", chunk, 1)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_validator_killed_at_a_sample_of_effect_boundaries_between_two_shards_comes_back_whole(chunk: int) -> None:
    _sweep(TWO_SHARDS, "s1v2", chunk, 27)


def test_a_lonely_validator_survives_a_kill_at_every_boundary() -> None:
    alone = replace(ONE_SHARD, validators=1, seconds=8)
    for boundary in range(1, _boundaries(alone, "s0v0")):
        report = run_simulation(replace(alone, crash_boundary=("s0v0", boundary)))
        assert report.passed, report.text()
        assert report.counts["crashes"] == 1
