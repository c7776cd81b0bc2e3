"""One seed is one run, down to the last byte, in any process."""

import os
import subprocess
import sys

import pytest

from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import run_simulation

_SCRIPT = """
import sys
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import run_simulation
report = run_simulation(SimulationSettings(int(sys.argv[1]), shards=2, seconds=30))
print(report.trace_hash, report.events, report.blocks, dict(report.counts))
"""


def _fresh_process(seed: int, hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("seed", [7, 20])
def test_fresh_processes_under_other_hash_seeds_agree_on_the_trace(seed: int) -> None:
    assert len({_fresh_process(seed, hash_seed) for hash_seed in ("0", "1", "4242")}) == 1


def test_a_second_run_in_the_same_process_is_the_same_run() -> None:
    settings = SimulationSettings(3, shards=2, seconds=20)
    first, second = run_simulation(settings), run_simulation(settings)
    assert (first.trace_hash, first.counts) == (second.trace_hash, second.counts)


def test_another_seed_is_another_run() -> None:
    traces = {run_simulation(SimulationSettings(seed, shards=1, seconds=10)).trace_hash for seed in range(4)}
    assert len(traces) == 4
