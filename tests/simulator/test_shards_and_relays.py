"""Halted shards, and relays that die, race and lie: they delay, and change nothing else."""

from dataclasses import replace

import pytest

from testnet.simulator.byzantine import BYZANTINE_RELAYS
from testnet.simulator.faults import Fault, FaultKind
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import World, run_simulation

CALM = SimulationSettings(21, seconds=40, faults=(), real_signatures=False)

REFUSED = {
    "flooding": {"too_large", "malformed"},
    "forging": {"not_in_stream", "not_in_outbox", "bad_certificate"},
    "misrouting": {"wrong_destination", "wrong_lane"},
    "stale-set": {"wrong_epoch", "wrong_validator_set"},
}
"""What only lies that can be seen through bring, and what is said of them."""


def _clean(settings: SimulationSettings) -> SimulationReport:
    report = run_simulation(settings)
    assert report.passed, report.text()
    return report


@pytest.mark.parametrize("everyone", [0, 1])
def test_a_halted_shard_leaves_the_others_their_pace_and_settles_after_its_return(everyone: int) -> None:
    halt = Fault(FaultKind.HALT, "s1", 5_000, 20_000, everyone)
    world = World(replace(CALM, faults=(halt,)))
    report = world.run()
    assert report.passed, report.text()
    calm = _clean(CALM)
    during = {
        shard: sum(
            halt.start_ms + 1_000 < at < halt.end_ms
            for (which, _), at in world.judge.finalized_ms.items()
            if which == shard
        )
        for shard in range(3)
    }
    assert during[1] == 0
    assert min(during[0], during[2]) > 5
    assert report.counts["crashes"] == (4 if everyone else 2)
    assert report.counts["calls"] == report.counts["replies"]
    assert max(report.latencies_ms["settled"]) > 5_000 > max(calm.latencies_ms["settled"])


def test_without_any_relay_money_is_in_flight_and_nothing_else_is_wrong() -> None:
    report = run_simulation(replace(CALM, relays=0))
    assert {violation.invariant for violation in report.violations} == {"X4"}
    assert report.counts["included"] > 30


@pytest.mark.parametrize("relays", [1, 2, 4])
def test_racing_relays_deliver_each_message_once(relays: int) -> None:
    report = _clean(replace(CALM, relays=relays))
    assert report.counts["calls"] == report.counts["replies"] > 30
    assert report.counts["bundles refused"] == 0


def test_a_relay_killed_again_and_again_only_delays() -> None:
    kills = tuple(Fault(FaultKind.RELAY_CRASH, "r0", at, at + 1_500) for at in range(1_000, 19_000, 3_000))
    report = _clean(replace(CALM, relays=1, faults=kills))
    assert report.counts["relay crashes"] == len(kills)
    assert report.counts["calls"] == report.counts["replies"] > 30


@pytest.mark.parametrize("behaviour", sorted(BYZANTINE_RELAYS))
def test_a_lying_relay_beside_an_honest_one_changes_nothing(behaviour: str) -> None:
    report = _clean(replace(CALM, relays=1, byzantine_relays=(behaviour,)))
    assert report.counts["calls"] == report.counts["replies"] > 30


@pytest.mark.parametrize("behaviour", sorted(REFUSED))
def test_what_a_lying_relay_brings_is_refused_for_what_it_is(behaviour: str) -> None:
    world = World(replace(CALM, relays=0, byzantine_relays=(behaviour, "withholding")))
    report = world.run()
    assert {violation.invariant for violation in report.violations} <= {"X4"}  # nobody carries anything honestly
    assert report.counts["bundles refused"] > 20
    assert REFUSED[behaviour] <= set(world.relays[0].refusals)


def test_a_relay_that_races_deadlines_makes_calls_expire_and_each_is_answered_once() -> None:
    report = _clean(replace(CALM, relays=0, byzantine_relays=("racing",)))
    assert report.counts["calls"] == report.counts["replies"] > 30
    assert report.counts["expired"] > 0


def test_all_lying_relays_together_cannot_harm_through_chaos() -> None:
    for seed in (1, 2, 3):
        report = _clean(SimulationSettings(seed, seconds=40, relays=1, byzantine_relays=tuple(BYZANTINE_RELAYS)))
        assert report.counts["calls"] == report.counts["replies"]
        assert report.counts["bundles refused"] > 50


@pytest.mark.parametrize("validators", [1, 2, 5, 7])
def test_other_committee_sizes_hold_too(validators: int) -> None:
    _clean(SimulationSettings(31, shards=2, validators=validators, seconds=30))


def test_a_quorum_cut_in_two_halts_without_forking_and_goes_on_when_healed() -> None:
    parted = Fault(FaultKind.PARTITION, "s0", 3_000, 18_000, 0b0011)
    world = World(replace(CALM, faults=(parted,)))
    report = world.run()
    assert report.passed, report.text()
    times = [at for (shard, _), at in world.judge.finalized_ms.items() if shard == 0]
    assert not [at for at in times if 3_500 < at < 18_000]
    after = [at for at in times if at >= 18_000]
    assert min(after) - 18_000 < 6 * world.settings.rules.max_timeout_ms
