"""The whole catalogue of faults: what seeds draw from it, what they must survive, and what nobody can survive."""

import os
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest

from consensus import journal
from primitives.errors import Refused
from primitives.identifiers import View
from testnet.simulator.__main__ import make_parser, settings_of
from testnet.simulator.drawing import draw_faults
from testnet.simulator.faults import FORGETTING, TARGETS, Fault, FaultKind, place_of, shape_of
from testnet.simulator.judge import Judge
from testnet.simulator.run_files import parse_run, run_text
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import run_simulation

WHOLE = SimulationSettings(0, shards=2, seconds=30, catalogue="whole")
DRAWN = [fault for seed in range(40) for fault in (replace(WHOLE, seed=seed, shards=3).expanded().faults or ())]

SEEDS = 20
PER_TEST = 5


# What is drawn


def test_the_whole_catalogue_is_drawn_and_all_of_it_ends_with_the_chaos() -> None:
    assert {fault.kind for fault in DRAWN} == set(FaultKind) - {FaultKind.LYING}
    assert all(0 <= fault.start_ms <= fault.end_ms <= WHOLE.chaos_ms for fault in DRAWN)


def test_single_links_lanes_and_links_of_relays_are_drawn_too() -> None:
    shapes = {kind: {shape_of(fault.target) for fault in DRAWN if fault.kind is kind} for kind in FaultKind}
    assert all(shapes[kind] <= TARGETS[kind] for kind in FaultKind)
    assert shapes[FaultKind.LOSSY] >= {"shard", "relay", "validator>validator", "relay>validator", "validator>relay"}
    assert shapes[FaultKind.LATE] >= {"validator>validator", "shard>shard"}


def test_the_whole_catalogue_adds_to_the_usual_one() -> None:
    def parts(catalogue: str) -> Counter[tuple[str, str, int, int]]:
        drawn = draw_faults(3, shards=2, validators=4, relays=2, chaos_ms=30_000, whole=catalogue == "whole")
        return Counter((fault.kind, fault.target, fault.start_ms, fault.amount) for fault in drawn)

    assert parts("usual") < parts("whole")


@pytest.mark.parametrize(("validators", "most"), [(1, 0), (3, 0), (4, 1), (7, 2), (10, 3)])
def test_at_most_f_validators_of_a_shard_forget_or_lie(validators: int, most: int) -> None:
    seen = 0
    for seed in range(20):
        for liars in ((), ("s0v0",), ("s0v0", "s0v1", "s0v2")):
            drawn = draw_faults(
                seed, shards=2, validators=validators, relays=1, chaos_ms=30_000, whole=True, liars=liars, intensity=2
            )
            forgetful = {fault.target for fault in drawn if fault.kind in FORGETTING}
            assert not forgetful & set(liars)
            for shard, lying in ((0, len(liars)), (1, 0)):
                there = sum(place_of(name)[0] == shard for name in forgetful)
                assert there <= max(0, most - lying)
                seen = max(seen, there)
    assert seen == most


def test_the_command_and_the_file_of_a_run_say_which_catalogue() -> None:
    chosen = replace(WHOLE, seed=9)
    assert settings_of(make_parser().parse_args(chosen.command().split()[3:])) == chosen
    assert parse_run(tomllib.loads(run_text(chosen))) == chosen.expanded()


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_file_with_a_fault_on_what_it_cannot_befall_is_refused(kind: FaultKind) -> None:
    ends = ("s1", "s0v1", "r0")
    targets = [*ends, *(f"{one}>{other}" for one, other in permutations((*ends, "s0", "s0v2"), 2)), "all"]
    for target in targets:
        table = {
            "seed": 1,
            "byzantine_validators": {"s0v1": "equivocate"},
            "faults": [{"kind": kind.value, "target": target, "start_ms": 0, "end_ms": 9}],
        }
        if shape_of(target) in TARGETS[kind]:
            assert parse_run(table).faults
        else:
            with pytest.raises(Refused, match="no target of it"):
                parse_run(table)
    for target in ("s0v1>s0v1", "s0v1>s1v1", "s0>s0", "r7>s0", "s0v4"):
        with pytest.raises(Refused, match="no target of it"):
            parse_run({"seed": 1, "faults": [{"kind": kind.value, "target": target, "start_ms": 0, "end_ms": 9}]})


@pytest.mark.parametrize("behaviour", [None, "twins"])
def test_a_file_lets_nobody_lie_for_a_time_whose_lies_are_unknown(behaviour: str | None) -> None:
    table = {"seed": 1, "faults": [{"kind": "lying", "target": "s0v1", "start_ms": 0, "end_ms": 9}]}
    with pytest.raises(Refused, match="says nothing of s0v1, or twins"):
        parse_run(table | ({"byzantine_validators": {"s0v1": behaviour}} if behaviour else {}))


# What seeds survive


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_every_invariant_holds_through_the_whole_catalogue(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + PER_TEST):
        report = run_simulation(replace(WHOLE, seed=seed))
        assert report.passed, report.text()
        assert report.counts["calls"] == report.counts["replies"] > 10
        counts.update(report.counts)
    for happened in ("queued", "corrupted", "storage faults", "failed syncs", "refused starts"):
        assert counts[happened] > 0, f"no {happened} in {PER_TEST} seeds"


def test_seven_validators_liars_and_contracts_go_through_it_too() -> None:
    for settings in (
        replace(WHOLE, seed=101, validators=7),
        replace(WHOLE, seed=102, byzantine_validators={"s0v1": "equivocate"}),
        replace(WHOLE, seed=103, calls_per_minute=30),
    ):
        report = run_simulation(settings)
        assert report.passed, report.text()


def test_fresh_processes_under_other_hash_seeds_agree_on_it() -> None:
    options = ["--seed", "6", "--shards", "2", "--seconds", "20", "--catalogue", "whole"]
    words = [sys.executable, "-m", "testnet.simulator", *options]
    texts = {
        subprocess.run(
            words, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        ).stdout
        for hash_seed in ("0", "4242")
    }
    assert len(texts) == 1


# What nobody survives

CONTROL = SimulationSettings(1, shards=1, relays=0, seconds=30, chaos_seconds=12, faults=(), real_signatures=False)

_PARTED = (
    Fault(FaultKind.PARTITION, "s0", 2_000, 8_000, 0b1000),
    Fault(FaultKind.PARTITION, "s0", 8_000, 12_000, 0b0100),
)
"""First the last of four hears nothing of the others, then the third: the other two make a quorum with either."""


def _invariants(report: SimulationReport) -> set[str]:
    return {violation.invariant for violation in report.violations}


@pytest.mark.parametrize("kind", [FaultKind.LYING_SYNC, FaultKind.OLD_BACKUP])
def test_control_f_plus_1_disks_that_go_back_fork_the_chain_and_the_checkers_see_it(kind: FaultKind) -> None:
    both = tuple(Fault(kind, name, 3_000, 8_000) for name in ("s0v0", "s0v1"))
    assert "S1" in _invariants(run_simulation(replace(CONTROL, faults=_PARTED + both)))
    for alone in both:
        report = run_simulation(replace(CONTROL, faults=(*_PARTED, alone)))
        assert report.passed, report.text()


FORGETTING_IN_A_VIEW = (
    Fault(FaultKind.PARTITION, "s0", 3_000, 9_000, 0b0011),
    Fault(FaultKind.LYING_SYNC, "s0v0", 2_500, 9_000),
    *(Fault(FaultKind.HALT, "s0v0", at, at + 50, 1) for at in range(3_300, 9_000, 700)),
)
"""No quorum, so that a view lasts; a leader that dies in it again and again, and finds nothing of what it signed."""


def test_control_a_validator_that_forgets_contradicts_itself_and_only_its_guilt_excuses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgetful = replace(CONTROL, faults=FORGETTING_IN_A_VIEW)
    report = run_simulation(forgetful)
    assert report.passed, report.text()
    honest = run_simulation(replace(forgetful, faults=tuple(each for each in FORGETTING_IN_A_VIEW if each.amount)))
    assert honest.passed, "the same kills with a disk that keeps its word"
    monkeypatch.setattr(Judge, "distrust", lambda judge, node: None)
    assert _invariants(run_simulation(forgetful)) == {"S4"}


EMPTIED_IN_A_VIEW = (
    Fault(FaultKind.PARTITION, "s0", 3_000, 9_000, 0b0011),
    *(Fault(FaultKind.FLIP, "s0v0", at, at + 350) for at in range(3_300, 9_000, 700)),
)
"""As above; but the disk is found to be damaged, and the leader begins again with an empty folder each time."""


def test_control_whoever_lost_its_journal_and_signs_at_once_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = replace(CONTROL, faults=EMPTIED_IN_A_VIEW)
    report = run_simulation(emptied)
    assert report.passed, report.text()
    recover_signing = journal._recover_signing
    monkeypatch.setattr(journal, "_recover_signing", lambda reader: recover_signing(reader) or View(1))
    assert _invariants(run_simulation(emptied)) == {"S4"}
