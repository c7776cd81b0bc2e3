"""Two hundred seeds of chaos and healing, new ones for each version of the code, and what must happen in seeds for that
to mean anything.
"""

from collections import Counter
from typing import Literal

import pytest

from testnet.simulator.faults import UNDRAWN, FaultKind
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import run_simulation
from tests.support.fresh_seeds import fresh_seeds

SEEDS = 200
PER_TEST = 5
"""Seeds in one test: about ten seconds, so that parallel workers end together."""


WHOLE_EVERY = 4
"""One seed in so many has the whole catalogue of faults: disks that tear, flip, forget and fill up, bridges, rings."""


def _run(seed: int, catalogue: Literal["usual", "whole"] = "usual") -> SimulationReport:
    report = run_simulation(SimulationSettings(seed, catalogue=catalogue))
    assert report.passed, report.text()
    return report


@pytest.mark.parametrize("number", range(0, SEEDS, PER_TEST))
def test_every_invariant_holds_through_chaos_and_everything_settles_after_it(number: int) -> None:
    for seed in fresh_seeds(0, SEEDS)[number : number + PER_TEST]:
        report = _run(seed, "usual" if seed % WHOLE_EVERY else "whole")
        assert report.counts["calls"] == report.counts["replies"] > 0


def test_faults_really_happen_and_much_is_done_in_spite_of_them() -> None:
    counts: Counter[str] = Counter()
    for seed in range(1000, 1012):
        report = _run(seed)
        counts.update(report.counts)
        assert min(report.blocks) > 20
        assert report.counts["calls"] == report.counts["replies"] > 20
    missing = [kind for kind in FaultKind if not counts[kind] and kind not in UNDRAWN]
    assert not missing
    for happened in (
        "crashes", "mid-persist crashes", "lost batches", "relay crashes", "lost", "cut", "doubled", "slowed",
        "flushes", "resubmitted", "expired", "failed", "refused",
    ):  # fmt: skip
        assert counts[happened] > 0, happened
