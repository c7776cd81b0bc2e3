"""Two hundred seeds of chaos and healing, and what must have happened in them for that to mean anything."""

from collections import Counter

import pytest

from testnet.simulator.faults import UNDRAWN, FaultKind
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import run_simulation

SEEDS = 200
PER_TEST = 5
"""Seeds in one test: about ten seconds, so that parallel workers end together."""


def _run(seed: int) -> SimulationReport:
    report = run_simulation(SimulationSettings(seed))
    assert report.passed, report.text()
    return report


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_every_invariant_holds_through_chaos_and_everything_settles_after_it(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        report = _run(seed)
        counts.update(report.counts)
        assert min(report.blocks) > 20
        assert report.counts["calls"] == report.counts["replies"] > 20
    for happened in ("crashes", "relay crashes", "lost", "cut", "doubled", "slowed", "resubmitted", "flushes"):
        assert counts[happened] > 0, f"no {happened} in {PER_TEST} seeds"


def test_faults_really_happen() -> None:
    counts: Counter[str] = Counter()
    for seed in range(1000, 1012):
        counts.update(_run(seed).counts)
    missing = [kind for kind in FaultKind if not counts[kind] and kind not in UNDRAWN]
    assert not missing
    for happened in ("mid-persist crashes", "lost batches", "expired", "failed", "refused"):
        assert counts[happened] > 0, happened
