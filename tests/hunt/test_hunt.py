"""The hunt finds what is planted, goes on where it was stopped, and counts what it says."""

import json
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testnet.simulator.mutants import MUTANTS
from testnet.simulator.mutation import Rewrite
from tests.consensus.mutants import CONSENSUS_MUTANTS
from tests.hunt import suspects as all_suspects
from tests.hunt.__main__ import main
from tests.hunt.scores import Score, left, score_of, table, unsound
from tests.hunt.suspects import Sighting, Suspect, suspects
from tests.hunt.trials import Trial, TrialResult, run_trial
from tests.sweep.test_sweep import Inline

REWRITE = Rewrite("shards.ledger:Ledger.take_flush", "dict(sorted(changes.items()))", "{}")


def suspect(name: str, *, witness: str = "", recorded: tuple[int, str] | None = None) -> Suspect:
    return Suspect(name, (REWRITE,), "as always", lambda _seed: None, witness, recorded)


def result(name: str, seed: int, checker: str = "") -> TrialResult:
    return TrialResult(
        name=name, is_clean=name.startswith("as "), seed=seed, checker=checker, detail="seen", real_seconds=0.1
    )


def results(*each: TrialResult) -> dict[tuple[str, int], TrialResult]:
    return {result.key: result for result in each}


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str, executor: Executor | None = None
) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["tests.hunt", "--jobs", "1", *words])
    monkeypatch.setattr("tests.hunt.__main__.process_pool", lambda _jobs: executor or Inline())
    code = main()
    return code, "".join(capsys.readouterr())


# Suspects


def test_every_planted_bug_is_suspected_once_and_has_a_witness() -> None:
    known = suspects()
    assert len(known) == len(MUTANTS) + len(CONSENSUS_MUTANTS) >= 85
    assert all(each.witness for each in known.values())
    assert {each.part for each in known.values()} == {"consensus", "validator", "ledger", "calls", "machine", "relay"}
    assert not set(known) & {each.ground for each in known.values()}


def test_suspects_with_the_same_settings_share_their_clean_runs() -> None:
    known = suspects()
    for one in MUTANTS:
        for other in MUTANTS:
            assert (known[one.name].ground == known[other.name].ground) == (one.settings == other.settings)


# Trials


def test_a_known_witness_is_found_and_its_ground_is_clean() -> None:
    seen = run_trial(Trial("fee_not_charged", 1, is_clean=False))
    assert (seen.name, seen.seed, seen.checker, seen.is_clean) == ("fee_not_charged", 1, "V1", False)
    assert "balances" in seen.detail
    clean = run_trial(Trial("fee_not_charged", 1, is_clean=True))
    assert (clean.name, clean.checker, clean.is_clean) == (suspects()["fee_not_charged"].ground, "", True)


def test_bugs_of_consensus_are_looked_for_by_what_is_drawn() -> None:
    assert run_trial(Trial("the quorum is off by one", 1, is_clean=False)).checker == "twins"
    assert run_trial(Trial("own votes do not count after a restart", 1, is_clean=True)).checker == ""


def test_a_bug_that_breaks_the_run_itself_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_seed: int) -> Sighting | None:
        raise KeyError("lost")

    monkeypatch.setattr("tests.hunt.trials.suspects", lambda: {"x": Suspect("x", (), "as always", broken, "")})
    seen = run_trial(Trial("x", 1, is_clean=False))
    assert (seen.checker, seen.detail) == ("crash", "KeyError: 'lost'")


# Scores


def test_a_seed_counts_only_when_it_is_clean_without_the_bug() -> None:
    found = results(
        *(result("as always", seed, "L1" if seed == 3 else "") for seed in (1, 2, 3, 4)),
        *(result("bug", seed, checker) for seed, checker in ((1, ""), (2, "S4"), (3, "L1"), (4, "D1"), (5, "S4"))),
        result("other bug", 1, "V1"),
    )
    score = score_of(suspect("bug"), found)
    assert (score.run, [kill.seed for kill in score.kills]) == ((1, 2, 4), [2, 4])  # 3 is spoilt, 5 has no clean run
    assert (score.checkers, score.per_100) == ("S4 1, D1 1", 67)
    assert [each.seed for each in unsound([suspect("bug")], found)] == [3]


def test_the_table_has_a_row_for_each_and_one_for_all() -> None:
    found = results(
        *(result("as always", seed) for seed in (1, 2)),
        *(result("seen", seed, "S4") for seed in (1, 2)),
        *(result("unseen", seed) for seed in (1, 2)),
    )
    scores = [score_of(suspect("seen", witness="seed 1"), found), score_of(suspect("unseen"), found)]
    assert table(scores).splitlines()[2:] == [
        "| seen | ledger | seed 1 | S4 2 | 2 of 2 seeds |",
        "| unseen | ledger | – | – | 0 of 2 seeds |",
        "| **1 of 2 mutants** (50 %) | | | | 2 of 4 runs: 50 per 100 seeds |",
    ]


@pytest.mark.parametrize(
    ("recorded", "stale"),
    [((1, "S4"), False), ((1, "D1"), True), ((2, "S4"), True), ((3, "S4"), False), (None, True)],
)
def test_a_witness_that_is_none_any_more_is_noticed(recorded: tuple[int, str] | None, stale: bool) -> None:
    chosen = suspect("bug", witness="" if recorded is None else "seed", recorded=recorded)
    score = Score(chosen, (1, 2), (result("bug", 1, "S4"),))
    assert score.is_stale == stale
    assert score.witness() == '    "bug": (1, "S4"),  # seen'
    assert Score(chosen, (1, 2), ()).witness() == "    # bug: not seen by 2 seeds"


def test_what_is_decided_is_not_run() -> None:
    chosen, found = [suspect("a"), suspect("b")], results(result("as always", 1), result("a", 1, "S4"))
    plan = left(chosen, range(1, 3), found, until_killed=True)
    assert next(plan) == Trial("b", 1, is_clean=False)
    assert next(plan) == Trial("b", 2, is_clean=True)  # a is killed already
    found |= results(result("b", 1, "S4"))
    assert next(plan) == Trial("b", 2, is_clean=False)
    assert list(plan) == []
    assert list(left(chosen, range(1, 4), found, until_killed=True)) == []
    assert len(list(left(chosen, range(1, 3), found, until_killed=False))) == 3


# The command


def test_the_command_finds_witnesses_and_goes_on_where_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = ("--results", str(tmp_path / "hunt.jsonl"))
    names = ("fee_not_charged", "commitment_signed_before_durable")
    first = Inline()
    code, said = command(monkeypatch, capsys, *names, "--seeds", "1", *kept, executor=first)
    assert (code, first.submitted) == (0, 3)  # both have the same ground
    assert "| fee_not_charged | ledger | seed 1 | V1 1 | 1 of 1 seeds |" in said
    assert "| **2 of 2 mutants** (100 %) | | | | 2 of 2 runs: 100 per 100 seeds |" in said
    again = Inline()
    code, said = command(monkeypatch, capsys, names[0], "--seeds", "2", "--json", *kept, executor=again)
    assert (code, again.submitted) == (0, 2)
    [mutant] = json.loads(said)["mutants"]
    assert (mutant["killed"], mutant["seeds"], mutant["per_100"], mutant["first"][:2]) == (2, 2, 100, [1, "V1"])


def test_the_command_says_which_witness_to_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = {"bug": suspect("bug", witness="seed 1", recorded=(1, "S4"))}

    def run(trial: Trial) -> TrialResult:
        return result("as always", 1) if trial.is_clean else result("bug", trial.seed, "V1")

    monkeypatch.setattr(all_suspects, "suspects", lambda: moved)
    monkeypatch.setattr("tests.hunt.__main__.suspects", lambda: moved)
    monkeypatch.setattr("tests.hunt.__main__.run_trial", run)
    code, said = command(monkeypatch, capsys, "--seeds", "1")
    assert code == 1
    assert '    "bug": (1, "V1"),  # seen' in said


def test_a_run_that_is_not_clean_without_any_bug_fails_the_hunt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(trial: Trial) -> TrialResult:
        chosen = suspects()[trial.suspect]
        return result(chosen.ground, 1, "S1") if trial.is_clean else result(chosen.name, 1, "S1")

    monkeypatch.setattr("tests.hunt.__main__.run_trial", run)
    code, said = command(monkeypatch, capsys, "relay", "--seeds", "1")
    assert code == 1
    assert "✗ without any bug, as courier_never_delivers_again, seed 1: S1: seen" in said


def test_a_bug_that_does_not_fit_the_code_any_more_fails_the_hunt_and_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = replace(suspect("gone", witness="seed 1"), rewrites=(REWRITE._replace(old="words that are not there"),))
    monkeypatch.setattr("tests.hunt.__main__.suspects", lambda: {"gone": gone, "here": suspect("here", witness="x")})
    monkeypatch.setattr(
        "tests.hunt.__main__.run_trial",
        lambda trial: result("as always" if trial.is_clean else trial.suspect, trial.seed),
    )
    executor = Inline()
    code, said = command(monkeypatch, capsys, "--seeds", "1", executor=executor)
    assert (code, executor.submitted) == (1, 2)
    assert "✗ gone cannot be planted: shards.ledger:Ledger.take_flush must contain 'words that are not there'" in said


def test_an_interrupted_hunt_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_number: int) -> None:
        raise KeyboardInterrupt

    code, said = command(monkeypatch, capsys, "relay", "--seeds", "1", executor=Inline(interrupt))
    assert code == 130
    assert "the same command with the same --results goes on" in said


@pytest.mark.parametrize("words", [("nobody",), ("fee_not_charged", "nobody")])
def test_a_mutant_that_there_is_not_is_refused(
    words: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = command(monkeypatch, capsys, *words)
    assert code == 2
    assert "'nobody' is neither a mutant nor a part" in said
