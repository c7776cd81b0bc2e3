"""All planted bugs, whatever they are planted in and whatever looks for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

from testnet.simulator.mutants import MUTANTS, WITNESSES
from testnet.simulator.mutation import Rewrite, Witness
from testnet.simulator.world import run_simulation
from tests.consensus.mutants import CONSENSUS_MUTANTS
from tests.consensus.test_network import test_chaos_then_healing as chaos
from tests.consensus.test_restart import test_random_unclean_restarts_of_all_lose_nothing as restarts
from tests.consensus.twins.batches import sample
from tests.consensus.twins.cluster import run_case
from tests.consensus.twins.scenarios import Shape

TWINS = Shape(validators=4, rounds=3)
TWINS_CASES = 10
"""Of each seed: a fifth of a second, as long as the chaos of the same seed takes."""

PARTS = (
    ("consensus", "consensus"),
    ("contracts", "machine"),
    ("relay", "relay"),
    ("shards.calls", "calls"),
    ("shards.validator", "validator"),
    ("shards", "ledger"),
)
"""Where a bug is planted: the first prefix of its module that fits, and what that part is called."""


class Sighting(NamedTuple):
    """What saw a bug."""

    checker: str
    """An invariant of the simulator, or the scenario of consensus."""
    detail: str


@dataclass(frozen=True)
class Suspect:
    """One planted bug and how a seed is run."""

    name: str
    rewrites: tuple[Rewrite, ...]
    ground: str
    """What is run; suspects on one ground share the runs without a bug."""
    run: Callable[[int], Sighting | None]
    witness: str
    """What is known to catch it."""
    recorded: tuple[int, str] | None = None
    """Its witness, when that is a seed: the seed and the checker."""

    @property
    def part(self) -> str:
        """Which part of the code it is planted in."""
        module = self.rewrites[0].where
        return next(name for prefix, name in PARTS if module.startswith(prefix))


@cache
def suspects() -> dict[str, Suspect]:
    """All of them by name, those of consensus first."""
    found = [_of_consensus(*each) for each in ((m.name, m.rewrites, m.scenario) for m in CONSENSUS_MUTANTS)]
    known = {witness.mutant.name: witness for witness in WITNESSES}
    for mutant in MUTANTS:
        like = next(other for other in MUTANTS if other.settings == mutant.settings)
        seen = known.get(mutant.name)
        found.append(
            Suspect(
                name=mutant.name,
                rewrites=mutant.rewrites,
                ground=f"as {like.name}",
                run=partial(_simulated, Witness(mutant, 0, "")),
                witness="" if seen is None else f"seed {seen.seed}",
                recorded=None if seen is None else (seen.seed, seen.invariant),
            )
        )
    return {suspect.name: suspect for suspect in found}


def _of_consensus(name: str, rewrites: tuple[Rewrite, ...], scenario: Callable[[], object]) -> Suspect:
    return Suspect(name, rewrites, "consensus", _consensus, scenario.__name__)


def _simulated(witness: Witness, seed: int) -> Sighting | None:
    """One seed of the simulator, with the settings with which the witness was found."""
    report = run_simulation(replace(witness, seed=seed).settings)
    if report.passed:
        return None
    return Sighting(report.violations[0].invariant, report.violations[0].detail)


def _consensus(seed: int) -> Sighting | None:
    """One seed of everything about consensus that is drawn: some cases of twins, restarts, chaos."""
    cases = [partial(run_case, TWINS, index) for index in sample(TWINS, TWINS_CASES, seed)]
    looks: list[tuple[str, Callable[[], object]]] = [("twins", case) for case in cases]
    looks += [("restarts", partial(restarts, seed)), ("chaos", partial(chaos, seed))]
    for checker, look in looks:
        try:
            look()
        except Exception as error:  # noqa: BLE001 - a bug may show as anything
            return Sighting(checker, f"{type(error).__name__}: {error}")
    return None
