"""One seed, one trace: in this process and in fresh ones, whatever the hash seed."""

import subprocess
import sys

import pytest

from tests.consensus.harness import Cluster, Link


def trace(seed: int) -> str:
    cluster = Cluster(4, seed=seed, link=Link(10, 80, 10, 10))
    cluster.nodes[2].crash_at = 100
    cluster.start()
    cluster.run(3_000)
    cluster.partition({0, 1}, {2, 3})
    cluster.run(2_000)
    cluster.heal()
    cluster.run(2_000)
    assert min(cluster.heights()) > 3
    return cluster.trace.hexdigest()


def test_one_seed_gives_one_trace_and_two_seeds_give_two() -> None:
    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_trace_does_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    command = [sys.executable, "-c", "from tests.consensus.test_determinism import trace; print(trace(5))"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONHASHSEED": hash_seed}, check=True)
    assert done.stdout.strip() == trace(5)
