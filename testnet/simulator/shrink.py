"""From a failing seed to the few faults that matter: delta debugging over the explicit fault list.

Every draw is keyed by what it is for, so taking faults away leaves the luck of all others as it was.
"""

from dataclasses import replace

from testnet.simulator.ddmin import fewest
from testnet.simulator.faults import Fault
from testnet.simulator.settings import SimulationReport
from testnet.simulator.world import run_simulation

MAX_RUNS = 200
"""A run takes seconds; after so many the list is short enough to be read."""


def shrink(report: SimulationReport, max_runs: int = MAX_RUNS) -> SimulationReport:
    """Find a run with fewer faults that breaks the same invariant as this failing one."""
    wanted = report.violations[0].invariant
    best, runs = report, 0

    def fails(faults: tuple[Fault, ...]) -> bool:
        nonlocal best, runs
        runs += 1
        tried = run_simulation(replace(report.settings, faults=faults))
        found = any(violation.invariant == wanted for violation in tried.violations)
        best = tried if found else best
        return found

    fewest(report.faults(), fails, lambda: runs < max_runs)
    return best
