"""A hundred seeds of contracts that call each other through chaos and in calm, new ones for each version of the code,
and proof that this means something.

Books, promises and liveness are checked in each of them; see `testnet.simulator.books` and `.promises`.
"""

from collections import Counter
from dataclasses import replace

import pytest

from testnet.simulator.byzantine import BYZANTINE_RELAYS
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import run_simulation
from tests.support.fresh_seeds import fresh_seeds

SEEDS = 100
PER_TEST = 4
"""Seeds in one test: half a minute, so that parallel workers end together."""

HAPPENINGS = (
    # What clients, messages and runs went through,
    "failed", "expired", "completed runs", "failed runs", "same-shard messages", "impatient", "gone hungry",
    # and what contracts say of themselves.
    "Minted", "Sent", "Received", "Undone", "Sold", "Charged", "Bumped", "Began", "Ended", "Entered", "Left",
    "CameBack", "Wrong", "Arrived", "Patience", "Audited", "Broke",
)  # fmt: skip

TROUBLES = ("crashes", "relay crashes", "lost", "cut", "doubled", "slowed", "resubmitted", "flushes")


def contract_settings(seed: int) -> SimulationSettings:
    """Two shards or three; every fifth run is calm, and in every eighth some of the relays lie."""
    settings = SimulationSettings(seed, shards=2 + seed % 2, seconds=40, calls_per_minute=30)
    if seed % 5 == 0:
        settings = replace(settings, faults=())
    if seed % 8 == 3:
        settings = replace(settings, byzantine_relays=tuple(BYZANTINE_RELAYS))
    return settings


def _run(seed: int) -> SimulationReport:
    report = run_simulation(contract_settings(seed))
    assert report.passed, report.text()
    return report


@pytest.mark.parametrize("number", range(0, SEEDS, PER_TEST))
def test_contracts_keep_their_promises_through_chaos_and_everything_ends_after_it(number: int) -> None:
    for seed in fresh_seeds(1, SEEDS)[number : number + PER_TEST]:
        report = _run(seed)
        assert report.counts["calls"] == report.counts["replies"] > 0
        # Every validator ran everything itself; receipts (with results and gas) and notes were all equal.
        others = report.settings.validators - 1
        assert report.counts["runs compared"] == others * report.counts["runs by the machine"] > 0


def test_whatever_can_happen_to_a_call_happens() -> None:
    counts: Counter[str] = Counter()
    for seed in range(2000, 2006):
        report = _run(seed)
        counts.update(report.counts)
        assert report.counts["calls"] > 20
        assert report.counts["runs by the machine"] > 100
    missing = [name for name in (*HAPPENINGS, *TROUBLES, "starved", "fed") if not counts[name]]
    assert not missing


def test_contracts_in_a_calm_network_never_wait_long() -> None:
    report = _run(30)
    assert report.settings.faults == ()
    settled = report.latencies_ms["settled"]
    assert settled[len(settled) // 2] < 2_000
