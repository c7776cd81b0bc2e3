"""Planted bugs of consensus are noticed by their scenarios, which pass without them."""

import pytest

from testnet.simulator.mutation import planted
from tests.consensus.mutants import CONSENSUS_MUTANTS, ConsensusMutant

ANY_FAILURE = (Exception, pytest.fail.Exception)


@pytest.mark.parametrize("mutant", CONSENSUS_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_caught(mutant: ConsensusMutant) -> None:
    mutant.scenario()  # passes while nothing is planted
    with planted(mutant), pytest.raises(ANY_FAILURE):
        mutant.scenario()
