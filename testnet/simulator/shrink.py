"""From a failing seed to the few faults that matter: delta debugging over the explicit fault list.

Every draw is keyed by what it is for, so taking faults away leaves the luck of all others as it was.
"""

from dataclasses import replace

from testnet.simulator.faults import Fault
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import run_simulation

MAX_RUNS = 200
"""A run takes seconds; after so many the list is short enough to be read."""


def shrink(report: SimulationReport, max_runs: int = MAX_RUNS) -> SimulationReport:
    """Find a run with fewer faults that breaks the same invariant as this failing one.

    Takes away ever smaller parts of the list (ddmin, Zeller 2002) until no single fault can go.
    """
    wanted = report.violations[0].invariant
    best = report
    runs, size = 0, max(1, len(report.faults()) // 2)
    while runs < max_runs:
        faults, start, shorter = best.faults(), 0, False
        while start < len(faults) and runs < max_runs:
            runs += 1
            tried = _without(best.settings, faults, start, size)
            if any(violation.invariant == wanted for violation in tried.violations):
                best, faults, shorter = tried, tried.faults(), True
            else:
                start += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return best


def _without(settings: SimulationSettings, faults: tuple[Fault, ...], start: int, size: int) -> SimulationReport:
    return run_simulation(replace(settings, faults=faults[:start] + faults[start + size :]))
