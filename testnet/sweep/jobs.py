"""What a sweep runs: one seed, in whatever process; and the search for the few faults behind a failing one.

Both are functions of plain data, so that any `concurrent.futures.Executor` can carry them: processes here, or a
cluster's.
"""

import gc
import itertools
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import Meta

from primitives.marks import recording
from testnet.simulator.byzantine import BYZANTINE_RELAYS, BYZANTINE_VALIDATORS
from testnet.simulator.draws import Draws
from testnet.simulator.faults import validator_name
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.shrink import shrink
from testnet.simulator.world import run_simulation

SHAPES = ((3, 4),) * 9 + ((2, 4),) * 6 + ((1, 4),) * 2 + ((2, 7), (4, 4), (2, 1))
"""(shards, validators of each) that seeds draw from. Committees of 7 can lose two, a single validator none; a shard
alone has nobody to wait for."""

CALM_EVERY = 5
"""Of the seeds with contracts one in so many runs without faults: nothing hides what contracts do wrong."""

WHOLE_PERMILLE = 300
"""Of the seeds, those in which everything of the catalogue goes wrong: disks too, and links of any shape."""

LYING_EVERY, LYING_RELAYS, LYING_VALIDATOR = 8, 3, 5
"""One seed in eight has relays that lie, of each kind one, and one in eight (without contracts) a validator that does.
The numbers are what the seed leaves when divided."""


@dataclass(frozen=True, slots=True)
class Job:
    """One seed of a sweep."""

    seed: int
    seconds: int
    """Of virtual time."""
    contracts_permille: int
    """Chance that the seed has contracts."""

    def settings(self) -> SimulationSettings:
        """The run, the same for every sweep with these numbers."""
        draws = Draws(self.seed, "sweep")
        shards, validators = draws.choice(4, SHAPES)
        settings = SimulationSettings(self.seed, shards=shards, validators=validators, seconds=self.seconds)
        if draws.chance(0, self.contracts_permille):
            settings = replace(settings, shards=2 + self.seed % 2, validators=4, calls_per_minute=30)
            if self.seed % CALM_EVERY == 0:
                settings = replace(settings, faults=())
        elif self.seed % LYING_EVERY == LYING_VALIDATOR and validators > 1:
            liar = validator_name(draws.number(1, 0, settings.shards - 1), draws.number(2, 0, settings.validators - 1))
            conduct = draws.choice(3, sorted(BYZANTINE_VALIDATORS))
            settings = replace(settings, byzantine_validators={liar: conduct})
        if draws.chance(5, WHOLE_PERMILLE):
            settings = replace(settings, catalogue="whole")
        if self.seed % LYING_EVERY == LYING_RELAYS:
            settings = replace(settings, byzantine_relays=tuple(BYZANTINE_RELAYS))
        return settings


class SeedResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a seed: one line of the results file."""

    seed: Annotated[int, Meta(ge=0)]
    contracts: bool
    liars: int
    """Relays and validators that lied."""
    violations: tuple[str, ...]
    """Empty when every invariant held."""
    virtual_seconds: int
    events: int
    blocks: int
    faults: int
    trace_hash: str
    marks: dict[str, int]
    real_seconds: float

    @property
    def passed(self) -> bool:
        """Whether every invariant held."""
        return not self.violations


COLLECT_EVERY = 16
"""Runs of a worker. A world is full of cycles and leaves a megabyte that the worker's thresholds do not find; looking
for it after each one took a twentieth of the time."""

_runs = itertools.count(1)


def run_seed(job: Job) -> SeedResult:
    """Run one seed; a simulation that fails of itself is a violation too."""
    settings, began = job.settings(), time.monotonic()
    with recording() as marks:
        report, failure = _run(settings)
    violations = (failure,) if report is None else tuple(str(found) for found in report.violations)
    return SeedResult(
        seed=job.seed,
        contracts=settings.calls_per_minute > 0,
        liars=len(settings.byzantine_relays) + len(settings.byzantine_validators),
        violations=violations,
        virtual_seconds=settings.seconds,
        events=0 if report is None else report.events,
        blocks=0 if report is None else sum(report.blocks),
        faults=len(settings.expanded().faults or ()),
        trace_hash="" if report is None else report.trace_hash,
        marks=dict(sorted(marks.items())),
        real_seconds=round(time.monotonic() - began, 2),
    )


def _run(settings: SimulationSettings) -> tuple[SimulationReport | None, str]:
    try:
        return run_simulation(settings), ""
    except Exception as error:  # noqa: BLE001 - whatever a seed brings to light is what a sweep is for
        return None, f"the simulation failed: {type(error).__name__}: {error}"
    finally:
        if next(_runs) % COLLECT_EVERY == 0:
            gc.collect()


@dataclass(frozen=True, slots=True)
class Minimised:
    """A failing seed with the few faults that matter."""

    settings: SimulationSettings
    violations: tuple[str, ...]


def minimise(job: Job) -> Minimised:
    """Expand a failing seed into its list of faults and take away those that do not matter."""
    settings = job.settings().expanded()
    report, failure = _run(settings)
    if report is None or report.passed:
        return Minimised(settings, (failure or "it passed when it was run again",))
    with suppress(Exception):  # a smaller list may fail of itself; then the whole list stands
        report = shrink(report)
    return Minimised(report.settings.expanded(), tuple(str(found) for found in report.violations))
