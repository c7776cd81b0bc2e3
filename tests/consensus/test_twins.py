"""Twins: a faulty validator is two honest processes with one key, each talking to a part of the committee."""

import random

import pytest

from tests.consensus.harness import Cluster, Link


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n", [4, 7])
def test_f_twins_neither_fork_the_chain_nor_stop_it_when_they_are_gone(n: int, seed: int) -> None:
    draw = random.Random(seed * 100 + n)
    cluster = Cluster(n, seed=seed, link=Link(10, 40, draw.choice([0, 5]), 5))
    faulty = draw.sample(range(n), (n - 1) // 3)
    for index in faulty:
        audience = set(draw.sample(range(n), draw.randrange(1, n + 1)))
        twin_audience = set(range(n)) - audience | set(draw.sample(range(n), draw.randrange(n)))
        cluster.add_twin(index, audience, twin_audience)
    cluster.start()
    cluster.run(8_000)
    for index in cluster.faulty:
        cluster.crash(index)
    assert cluster.grows(4, 12 * cluster.rules.max_timeout_ms)
    assert {culprit for culprit, _ in cluster.monitor.blames} <= set(faulty)


def test_twins_that_lead_with_two_blocks_are_blamed() -> None:
    cluster = Cluster(4)
    cluster.add_twin(1, {0, 2, 3}, {0, 2, 3})
    cluster.start()
    cluster.run(4_000)
    assert (1, "conflicting_notarize") in cluster.monitor.blames
    assert min(cluster.heights()) >= 5


def test_control_with_f_plus_1_twins_the_monitor_or_the_replicas_see_it() -> None:
    """Two twins of four break the assumption; the violation must not go unnoticed."""
    cluster = Cluster(4)
    for index in (2, 3):
        cluster.add_twin(index, {0, 2, 3}, {1, 2, 3})
    cluster.cut = {(0, 1), (1, 0)}
    cluster.start()
    with pytest.raises(AssertionError, match="disagrees"):
        cluster.run(5_000)
