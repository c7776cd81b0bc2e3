"""Every planted bug is caught at its witness, and the same run without it is clean."""

from dataclasses import replace

import pytest

from primitives.errors import InvariantViolated
from testnet.simulator.contract_mutants import CONTRACT_MUTANTS
from testnet.simulator.faults import FaultKind
from testnet.simulator.mutants import MUTANTS, WITNESSES
from testnet.simulator.mutation import Mutant, Rewrite, Witness, planted
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.shrink import shrink
from testnet.simulator.world import run_simulation


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda witness: witness.mutant.name)
def test_a_planted_bug_is_caught_and_its_clean_run_is_clean(witness: Witness) -> None:
    with planted(witness.mutant):
        mutated = run_simulation(witness.settings)
    caught = [violation.invariant for violation in mutated.violations[:1]]
    assert caught == [witness.invariant], f"hunt again: python -m tests.hunt {witness.mutant.name}"
    assert "again: python -m testnet.simulator" in mutated.text()
    clean = run_simulation(witness.settings)
    assert clean.passed, clean.text()


def test_there_are_enough_mutants_and_each_has_a_witness() -> None:
    assert len(MUTANTS) >= 60
    assert len(CONTRACT_MUTANTS) >= 40
    assert [witness.mutant for witness in WITNESSES] == list(MUTANTS)


def test_the_mutants_break_every_kind_of_promise() -> None:
    broken = {witness.invariant for witness in WITNESSES}
    assert broken >= {"S2", "S3", "S4", "V1", "X1", "X2", "X4", "C1", "D1", "L1", "A1", "H1"}


def test_a_mutant_that_no_longer_fits_the_code_fails_loudly() -> None:
    stale = Mutant(
        "stale", (Rewrite("shards.validator.inbox:fits", "words that are not there", ""),), SimulationSettings(0)
    )
    with pytest.raises(InvariantViolated, match="must contain"), planted(stale):
        pass


def test_a_failing_seed_shrinks_to_the_faults_that_matter() -> None:
    forgetful = next(witness for witness in WITNESSES if witness.mutant.name == "finalized_block_not_stored")
    with planted(forgetful.mutant):
        report = run_simulation(replace(forgetful.settings, shards=1, seconds=16, intensity=2))
        shrunk = shrink(report, max_runs=24)
    assert shrunk.violations[0].invariant == forgetful.invariant
    assert len(shrunk.faults()) == 1 < len(report.faults())
    assert shrunk.faults()[0].kind in {FaultKind.CRASH, FaultKind.CRASH_AFTER_SEND, FaultKind.HALT}
