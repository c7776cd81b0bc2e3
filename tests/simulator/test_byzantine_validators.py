"""Validators that lie: f of them harm nobody and are found out; f + 1 of them break the chain, and it is seen."""

from dataclasses import replace

import pytest

from consensus.messages import Notarize
from shards.validator.certifier import WINDOW
from testnet.simulator.__main__ import make_parser, settings_of
from testnet.simulator.byzantine import BYZANTINE_VALIDATORS
from testnet.simulator.byzantine.invalid_block import SPOILERS, InvalidBlock
from testnet.simulator.byzantine_validator import ByzantineValidator, TwinValidator
from testnet.simulator.clients import ASK_EVERY_MS, RESUBMIT_AFTER_ASKING
from testnet.simulator.faults import Fault, FaultKind
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import World, run_simulation

CALM = SimulationSettings(5, shards=2, seconds=30, chaos_seconds=12, faults=(), real_signatures=False)
CHAOS = replace(CALM, faults=None)

PARTED = replace(
    CALM,
    faults=(
        Fault(FaultKind.PARTITION, "s0", 1_000, 6_000, 0b0011),
        Fault(FaultKind.HALF_PARTITION, "s1", 1_000, 5_000, 0b0001),
        Fault(FaultKind.CRASH, "s0v3", 2_000, 9_000, 5),
        Fault(FaultKind.CRASH, "s1v0", 6_000, 11_000, 5),
        Fault(FaultKind.LOSSY, "s1", 2_000, 10_000, 250),
        Fault(FaultKind.DUPLICATING, "s0", 2_000, 10_000, 400),
    ),
)
"""The guilty one on the side without a quorum, then honest ones that come back from far behind and have to ask."""

BEHAVIOURS = sorted(BYZANTINE_VALIDATORS)

OFFENCES = {
    "conflicting_notarize",
    "conflicting_finalize",
    "nullify_finalize",
    "notarize_finalize",
    "conflicting_commitments",
}

ONLY_IN_NEED = {"malicious-sync-peer", "withhold-certificates"}
"""Where all goes well nobody asks for blocks, and votes alone make everybody's certificates."""

FOUND_OUT = {
    "double-vote": {"conflicting_notarize", "conflicting_finalize"},
    "equivocate": {"conflicting_notarize", "notarize_finalize"},
    "future-flood": OFFENCES,
    "nullify-and-finalize": {"nullify_finalize"},
    "twins": {"conflicting_notarize", "conflicting_finalize", "notarize_finalize", "nullify_finalize"},
    "wrong-commitment": {"conflicting_commitments"},
}
"""Who signs what no honest validator signs, and of what at least one kind is held against them."""


def guilty(behaviour: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names or ("s0v1", "s1v2"), behaviour)


def clean(settings: SimulationSettings) -> World:
    """The world after a run in which every invariant held and every guilty validator lied."""
    world = World(settings)
    report = world.run()
    assert report.passed, report.text()
    assert report.counts["calls"] == report.counts["replies"]
    for name, behaviour in settings.byzantine_validators.items():
        assert liar(world, name).lies > 0 or behaviour in ONLY_IN_NEED, f"{name} behaves"
    return world


def liar(world: World, name: str) -> ByzantineValidator:
    validator = world.validators[name]
    assert isinstance(validator, ByzantineValidator)
    return validator


@pytest.mark.parametrize("network", ["calm", "parted", "chaos"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_guilty_validator_in_each_shard_harms_nobody_and_is_blamed_for_what_it_signed(
    behaviour: str, network: str
) -> None:
    settings = {"calm": CALM, "parted": PARTED, "chaos": CHAOS}[network]
    world = clean(replace(settings, seed=settings.seed + len(network), byzantine_validators=guilty(behaviour)))
    blamed = world.judge.blamed
    if behaviour not in FOUND_OUT:
        signs_twice = behaviour == "fake-certificates"  # it gives its votes to whoever asks
        assert not blamed or signs_twice
    elif network == "calm":
        assert sorted(blamed) == ["s0v1", "s1v2"]
        for offences in blamed.values():
            assert offences & FOUND_OUT[behaviour]
            assert offences <= OFFENCES


@pytest.mark.parametrize("behaviour", sorted(ONLY_IN_NEED))
def test_who_comes_back_from_far_behind_catches_up_beside_a_peer_that_helps_nobody_or_lies(behaviour: str) -> None:
    lies = 0
    for seed in range(3):
        world = clean(replace(PARTED, seed=seed, byzantine_validators=guilty(behaviour, "s0v0", "s1v3")))
        lies += sum(liar(world, name).lies for name in ("s0v0", "s1v3"))
    assert lies > 5


@pytest.mark.parametrize("first", range(0, len(BEHAVIOURS), 4))
def test_two_of_seven_that_lie_in_different_ways_harm_nobody(first: int) -> None:
    one, other, third, fourth = (BEHAVIOURS[(first + step) % len(BEHAVIOURS)] for step in (0, 1, 2, 7))
    chosen = {"s0v0": one, "s0v4": other, "s1v3": third, "s1v6": fourth}
    clean(replace(CHAOS, seed=70 + first, validators=7, byzantine_validators=chosen))


@pytest.mark.parametrize("behaviour", ["fake-certificates", "impersonator", "wrong-commitment"])
def test_real_signatures_are_not_forged_either(behaviour: str) -> None:
    clean(replace(CALM, seconds=16, shards=2, real_signatures=True, byzantine_validators=guilty(behaviour)))


def test_no_honest_validator_votes_for_any_kind_of_invalid_block() -> None:
    tried: dict[str, int] = {}
    for seed in range(3):
        world = clean(replace(CALM, seed=seed, byzantine_validators=guilty("invalid-block")))
        voted = {
            sent[3]
            for (_, _, _, kind), sent in world.judge.votes._sent.items()
            if kind == Notarize.kind and isinstance(sent, tuple)
        }
        assert voted
        for name in ("s0v1", "s1v2"):
            conduct = liar(world, name).conduct
            assert isinstance(conduct, InvalidBlock)
            assert conduct.proposed
            for spoiler, proposed in conduct.tried.items():
                tried[spoiler] = tried.get(spoiler, 0) + len(proposed)
                assert not proposed & voted, f"honest validators voted for a block with {spoiler}"
    assert set(tried) == {name for name, _ in SPOILERS}


def test_a_censor_delays_a_transaction_by_no_more_than_its_own_views() -> None:
    settings = replace(CALM, byzantine_validators=guilty("censoring-leader"))
    waited = run_simulation(settings).latencies_ms["finalized"]
    calm = run_simulation(replace(CALM)).latencies_ms["finalized"]
    assert len(waited) > 20
    # Who handed it to the censor turns to somebody else, drawn anew each time: three times here, at the worst.
    assert waited[-1] <= calm[-1] + 3 * RESUBMIT_AFTER_ASKING * ASK_EVERY_MS
    assert waited[len(waited) // 2] <= calm[len(calm) // 2] + settings.rules.min_block_interval_ms


@pytest.mark.parametrize("behaviour", ["future-flood", "stale-flood", "fake-certificates", "impersonator"])
def test_what_a_flood_leaves_behind_is_bounded(behaviour: str) -> None:
    world = clean(replace(CALM, byzantine_validators=guilty(behaviour)))
    for name, validator in world.validators.items():
        core = validator.core
        if core is None or name in world.judge.guilty:
            continue
        assert len(core.replica._context.views._states) <= world.settings.rules.retention_views + 8
        assert len(core._pipeline.certifier._tallies) <= 2 * WINDOW + 1


def test_twins_are_two_processes_with_one_key_that_die_together() -> None:
    crash = Fault(FaultKind.CRASH, "s0v1", 3_000, 6_000, 3)
    world = clean(replace(CALM, faults=(crash,), byzantine_validators=guilty("twins")))
    first = world.validators["s0v1"]
    assert isinstance(first, TwinValidator)
    assert first.counts["crashes"] == first.second.counts["crashes"] == 1
    assert first.core is not None
    assert first.second.core is not None
    assert first.core.me == first.second.core.me


def test_a_liar_that_lies_for_a_time_says_what_its_core_says_before_and_after() -> None:
    times = [(3_000, 6_000), (5_000, 9_000)]
    lying = tuple(Fault(FaultKind.LYING, "s0v1", *each) for each in times)
    world = World(replace(CALM, faults=lying, byzantine_validators=guilty("equivocate", "s0v1")))
    lies: list[int] = []
    for moment in (2_999, 5_999, 6_500, 8_999, 9_001):
        world.heap.at_ms(moment, lambda: lies.append(liar(world, "s0v1").lies))
    report = world.run()
    assert report.passed, report.text()
    assert lies[0] == 0 < lies[1] < lies[3] == lies[4] == liar(world, "s0v1").lies
    assert liar(world, "s0v1").counts["crashes"] == 0


# More than f

_APART = tuple(Fault(FaultKind.ONE_WAY, link, 0, 12_000) for link in ("s0v2>s0v3", "s0v3>s0v2"))
"""Both honest validators of four, who hear the two guilty ones and not each other."""

CONTROL = replace(CALM, shards=1, faults=_APART)

WITNESSES = {
    "two that equivocate": ("equivocate", "equivocate", 1, "S1"),
    "one that equivocates and one that votes twice": ("equivocate", "double-vote", 1, "S1"),
    "two that nullify and finalize": ("nullify-and-finalize", "nullify-and-finalize", 1, "S1"),
    "two that make certificates of what they have": ("fake-certificates", "fake-certificates", 1, "S1"),
    "two pairs of twins": ("twins", "twins", 1, "S1"),
}
"""Recorded runs: both behaviours, the seed, and the invariant that is seen to break."""


@pytest.mark.parametrize(("one", "other", "seed", "invariant"), WITNESSES.values(), ids=WITNESSES)
def test_control_f_plus_1_guilty_validators_break_the_chain_and_the_checkers_see_it(
    one: str, other: str, seed: int, invariant: str
) -> None:
    both = {"s0v0": one, "s0v1": other}
    report = run_simulation(replace(CONTROL, seed=seed, byzantine_validators=both))
    assert invariant in {violation.invariant for violation in report.violations}
    # One of them alone, in the same run, breaks nothing.
    for alone in ({"s0v0": one}, {"s0v1": other}):
        clean(replace(CONTROL, seed=seed, byzantine_validators=alone))


def test_control_f_plus_1_that_do_not_vote_stop_the_shard_for_ever_and_the_checkers_see_it() -> None:
    settings = replace(CALM, shards=1, seconds=100, byzantine_validators=guilty("withhold-votes", "s0v0", "s0v1"))
    report = run_simulation(settings)
    assert {violation.invariant for violation in report.violations} == {"L1"}


def test_a_run_with_liars_is_the_same_every_time_and_its_command_runs_it_again() -> None:
    settings = SimulationSettings(
        9, shards=2, seconds=12, byzantine_validators={"s0v1": "twins", "s1v2": "stale-flood"}
    )
    report = run_simulation(settings)
    typed = settings_of(make_parser().parse_args(settings.command().split()[3:]))
    assert typed == settings
    assert run_simulation(typed).trace_hash == report.trace_hash
    assert run_simulation(replace(settings, byzantine_validators={})).trace_hash != report.trace_hash
