"""Sweeps: each seed once, whatever interrupts them; failing seeds come down to the few faults that matter."""

import json
import os
import signal
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import Refused
from primitives.marks import recording, sometimes
from testnet.cli.common import FAILED, INTERRUPTED, USAGE
from testnet.simulator.byzantine import BYZANTINE_VALIDATORS
from testnet.simulator.faults import Fault, FaultKind
from testnet.simulator.mutants import mutant_named
from testnet.simulator.mutation import planted
from testnet.simulator.run_files import load_run, parse_run, run_text
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import run_simulation
from testnet.sweep.jobs import SHAPES, Job, Minimised, SeedResult, minimise, run_seed
from testnet.sweep.marks import declared_marks
from testnet.sweep.results import Header, ResultsFile, code_hash
from testnet.sweep.sweep import Tally, WorkerPool, minimise_failures, process_pool, sweep
from tests.testnet.test_cli import run

HEADER = Header(code="c0de", seconds=5, contracts_permille=0)


def result(seed: int, **changes: Any) -> SeedResult:
    fields: dict[str, Any] = {
        "seed": seed, "contracts": False, "liars": 0, "violations": (), "virtual_seconds": 5, "events": 100,
        "blocks": 9, "faults": 3, "trace_hash": "00", "marks": {}, "real_seconds": 0.5,
    }  # fmt: skip
    return SeedResult(**(fields | changes))


class Inline(Executor):
    """Runs everything at once, in this process, as it is submitted."""

    def __init__(self, before: Callable[[int], None] = lambda _number: None) -> None:
        self.submitted = 0
        self._before = before

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        self._before(self.submitted)
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


# Jobs


def test_a_seed_means_the_same_run_in_every_sweep_and_in_sim() -> None:
    first, again = run_seed(Job(7, 5, 0)), run_seed(Job(7, 5, 0))
    settings = Job(7, 5, 0).settings()
    size = (settings.shards, settings.validators)
    assert settings == SimulationSettings(7, *size, seconds=5, catalogue=settings.catalogue)
    assert first.trace_hash == again.trace_hash == run_simulation(settings).trace_hash
    assert first.passed
    assert first.virtual_seconds == 5
    assert first.liars == 0
    assert first.faults == len(settings.expanded().faults or ()) > 0


def test_seeds_draw_the_size_of_the_chain_and_who_lies() -> None:
    runs = [Job(seed, 60, 0).settings() for seed in range(800)]
    assert {(run.shards, run.validators) for run in runs} == set(SHAPES)
    assert all(
        len(run.byzantine_validators) == (run.seed % 8 == 5 and run.validators > 1)
        and bool(run.byzantine_relays) == (run.seed % 8 == 3)
        for run in runs
    )
    liars = [(liar, what) for run in runs for liar, what in run.byzantine_validators.items()]
    assert {what for _, what in liars} == set(BYZANTINE_VALIDATORS)
    assert 150 < sum(run.catalogue == "whole" for run in runs) < 330


def test_the_share_of_seeds_with_contracts_is_what_was_asked_for() -> None:
    seeds = range(2000)
    chosen = [seed for seed in seeds if Job(seed, 60, 100).settings().calls_per_minute]
    assert 150 < len(chosen) < 250
    assert not any(Job(seed, 60, 0).settings().calls_per_minute for seed in seeds)
    assert all(Job(seed, 60, 1000).settings().calls_per_minute for seed in seeds)
    # A greater share adds seeds and changes none of those that a smaller one has.
    assert all(Job(seed, 60, 200).settings() == Job(seed, 60, 100).settings() for seed in chosen)


def test_a_simulation_that_fails_of_itself_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_settings: SimulationSettings) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("testnet.sweep.jobs.run_simulation", fail)
    found = run_seed(Job(1, 5, 0))
    assert found.violations == ("the simulation failed: KeyError: 'lost'",)
    assert minimise(Job(1, 5, 0)).violations == found.violations


# The sweep


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds take no time: how they are handed out is what is tested."""
    monkeypatch.setattr("testnet.sweep.sweep.run_seed", lambda job: result(job.seed, virtual_seconds=job.seconds))


@pytest.mark.usefixtures("quick")
def test_every_seed_is_run_once_whatever_the_number_of_workers() -> None:
    for workers in (1, 3):
        executor = Inline()
        seen: list[SeedResult] = []
        sweep([Job(seed, 30, 0) for seed in range(5)], executor, workers, seen.append)
        assert sorted(each.seed for each in seen) == [0, 1, 2, 3, 4]
        assert executor.submitted == 5


def test_processes_give_the_results_that_this_one_gives() -> None:
    with process_pool(1) as executor:
        seen: list[SeedResult] = []
        sweep([Job(3, 2, 0)], executor, 1, seen.append)
    assert [each.trace_hash for each in seen] == [run_seed(Job(3, 2, 0)).trace_hash]


@pytest.mark.usefixtures("quick")
def test_an_interrupt_keeps_what_is_done_and_leaves_the_rest(tmp_path: Path) -> None:
    def interrupt(number: int) -> None:
        if number == 6:
            raise KeyboardInterrupt

    path = tmp_path / "results.jsonl"
    jobs = [Job(seed, 1, 0) for seed in range(10)]
    with ResultsFile(path, HEADER) as file, pytest.raises(KeyboardInterrupt):
        sweep(jobs, Inline(interrupt), 1, file.add)
    with ResultsFile(path, HEADER) as file:
        done = sorted(file.results)
        assert done == [0, 1, 2, 3, 4]
        sweep([job for job in jobs if job.seed not in file.results], Inline(), 1, file.add)
    with ResultsFile(path, HEADER) as file:
        assert sorted(file.results) == list(range(10))


def test_the_tally_knows_what_was_never_reached() -> None:
    tally = Tally()
    assert tally.never() == list(declared_marks())
    for mark in declared_marks()[1:]:
        tally.add(result(len(tally.marks), marks={mark: 3}))
    assert tally.never() == list(declared_marks()[:1])
    tally.add(result(99, violations=("S1",)))
    assert [each.seed for each in tally.failed] == [99]


# The results file


def test_results_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with ResultsFile(path, HEADER) as file:
        file.add(result(1))
        file.add(result(5, violations=("S1 at s0",), marks={"view skipped": 2}))
    with ResultsFile(path, HEADER) as file:
        assert file.results == {1: result(1), 5: result(5, violations=("S1 at s0",), marks={"view skipped": 2})}


@settings(deadline=None, max_examples=60)
@given(st.integers(min_value=0))
def test_a_file_that_was_cut_anywhere_goes_on_with_its_whole_lines(tmp_path_factory: Any, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "results.jsonl"
    with ResultsFile(path, HEADER) as file:
        for seed in range(3):
            file.add(result(seed))
    raw = path.read_bytes()
    cut %= len(raw) + 1
    path.write_bytes(raw[:cut])
    whole = max(0, raw[:cut].count(b"\n") - 1)
    with ResultsFile(path, HEADER) as file:
        assert sorted(file.results) == list(range(whole))
        for seed in range(whole, 3):
            file.add(result(seed))
    assert path.read_bytes() == raw


def test_results_of_other_code_or_settings_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with ResultsFile(path, HEADER):
        pass
    for other, why in (
        (Header(code="other", seconds=5, contracts_permille=0), "the code was changed since"),
        (Header(code="c0de", seconds=6, contracts_permille=0), "other settings"),
        (Header(code="c0de", seconds=5, contracts_permille=1), "other settings"),
    ):
        with pytest.raises(Refused, match=why), ResultsFile(path, other):
            pass
    path.write_bytes(b'{"something": "else"}\n')
    with pytest.raises(Refused, match="line 1: no result of a sweep"), ResultsFile(path, HEADER):
        pass
    assert path.read_bytes() == b'{"something": "else"}\n'


def test_the_hash_of_the_code_is_of_its_content() -> None:
    assert code_hash() == code_hash()
    assert len(code_hash()) == 16


# Failing seeds


def test_a_failing_seed_comes_down_to_a_file_that_fails_alike(tmp_path: Path) -> None:
    """A planted bug; the file's run shows it, and shows nothing without the bug."""
    with planted(mutant_named("fee_not_charged")):
        job = Job(1, 8, 0)
        whole = run_seed(job)
        assert not whole.passed
        written: list[tuple[Job, Path, Minimised]] = []
        minimise_failures([job], Inline(), tmp_path / "failures", lambda *each: written.append(each))
        [(found, path, small)] = written
        assert found == job
        assert small.settings.faults == ()  # it takes none
        again = run_simulation(load_run(path))
        assert tuple(str(each) for each in again.violations) == small.violations
        assert again.violations[0].invariant == whole.violations[0][:2]
    assert run_simulation(load_run(path)).passed
    assert path.read_text().startswith(f"# {small.violations[0]}\n")


def test_processes_that_are_abandoned_end_in_the_middle_of_their_work() -> None:
    pool = WorkerPool(1)
    with pool:
        pid = pool.submit(os.getpid).result()
        endless = pool.submit(signal.pause)
        pool.abandon()
        assert isinstance(endless.exception(), BrokenProcessPool)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# Runs as files


@pytest.mark.parametrize(
    "run_settings",
    [
        SimulationSettings(7),
        SimulationSettings(0, shards=2, seconds=9, chaos_seconds=4, calls_per_minute=30, faults=()),
        SimulationSettings(3, crash_boundary=("s0v1", 57), byzantine_relays=("forging",), real_signatures=False),
        SimulationSettings(6, byzantine_validators={"s0v1": "twins", "s2v0": "equivocate"}),
        SimulationSettings(4, faults=(Fault(FaultKind.RELAY_CUT, "r0>s1", 5, 900, 0),)),
    ],
)
def test_a_run_survives_its_file(run_settings: SimulationSettings, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(run_text(run_settings, ("S1 broke\nbadly", "again: somehow")))
    assert load_run(path) == run_settings.expanded()


def test_rules_of_consensus_are_kept_where_they_differ(tmp_path: Path) -> None:
    changed = SimulationSettings(1, faults=())
    changed = replace(changed, rules=replace(changed.rules, idle_interval_ms=777))
    assert parse_run(tomllib.loads(run_text(changed))) == changed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("seed = [", "not TOML"),
        ("seeds = 1", "seeds: unknown key"),
        ("shards = 2", "missing required"),
        ("seed = 1\nshards = 0", "there cannot be 0 shards"),
        ('seed = 1\nbyzantine_relays = ["rude"]', "'rude' is no behaviour"),
        ('seed = 1\n[byzantine_validators]\ns0v1 = "rude"', "'rude' is no behaviour"),
        ('seed = 1\n[byzantine_validators]\ns0v9 = "twins"', "'s0v9' is no behaviour, or no validator"),
        ('seed = 1\ncrash_boundary = ["s7v0", 3]', "'s7v0' is no behaviour, or no validator"),
        ('seed = 1\n[[faults]]\nkind = "flood"', "Invalid enum value"),
        ('seed = 1\n[[faults]]\nkind = "crash"\ntarget = "s9v0"\nstart_ms = 1\nend_ms = 2', "'s9v0' is no target"),
        ('seed = 1\n[[faults]]\nkind = "one-way"\ntarget = "s0v0"\nstart_ms = 1\nend_ms = 2', "'s0v0' is no target"),
        ('seed = 1\n[[faults]]\nkind = "crash"\ntarget = "s0v0"\nstart_ms = 3\nend_ms = 2', "ends after it begins"),
    ],
)
def test_a_file_that_is_no_run_is_refused_with_the_reason(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(Refused, match=why) as caught:
        load_run(path)
    assert caught.value.code == "bad_run"
    assert str(path) in caught.value.detail


# The commands


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("testnet.sweep.sweep.process_pool", lambda _workers: Inline())
    monkeypatch.chdir(tmp_path)


def swept(*words: str, code: int = 0) -> dict[str, Any]:
    done = run("sweep", "--json", *words)
    assert done.exit_code == code, done.output
    answer: dict[str, Any] = json.loads(done.output)
    return answer


@pytest.mark.usefixtures("inline", "quick")
def test_the_command_goes_on_where_the_results_end() -> None:
    first = swept("--seeds", "2", "--seconds", "36", "--results", "r.jsonl")
    assert (first["seeds"], first["passed"], first["virtual_hours"]) == (2, True, 0.02)
    lines = Path("r.jsonl").read_bytes()
    more = swept("--seeds", "3", "--from", "1", "--seconds", "36", "--results", "r.jsonl")
    assert more["seeds"] == 3
    assert Path("r.jsonl").read_bytes().startswith(lines)
    assert Path("r.jsonl").read_bytes().count(b"\n") == 5
    other = run("sweep", "--seeds", "1", "--seconds", "30", "--results", "r.jsonl")
    assert other.exit_code == USAGE
    assert "of other settings" in other.output


def test_marks_of_the_source_are_reached_by_a_run_and_nothing_else_is() -> None:
    found = run_seed(Job(5, 30, 0))
    assert len(declared_marks()) >= 25
    assert set(found.marks) <= set(declared_marks())
    assert {"a view given up", "a restart with votes in the journal", "a straggler helped"} <= set(found.marks)


@pytest.mark.usefixtures("inline")
def test_the_command_says_what_failed_and_how_to_see_it_again() -> None:
    words = ("--seeds", "1", "--from", "1", "--seconds", "30")
    with planted(mutant_named("fee_not_charged")):
        answer = swept(*words, code=FAILED)
        [failed] = answer["failed"]
        again = run("sim", "--faults", failed["faults"], "--json")
        assert again.exit_code == FAILED
        assert json.loads(again.output)["violations"][0][:2] == failed["violations"][0][:2] == "V1"
        people = run("sweep", *words)
        assert f"→ ostraka sim --faults {failed['faults']}" in people.output
    assert run("sim", "--faults", failed["faults"]).exit_code == 0


@pytest.mark.usefixtures("inline", "quick")
def test_an_interrupted_command_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(number: int) -> None:
        if number > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("testnet.sweep.sweep.process_pool", lambda _workers: Inline(interrupt))
    words = ("sweep", "--seeds", "9", "--seconds", "30", "--jobs", "1", "--results", "r.jsonl")
    done = run(*words)
    assert done.exit_code == INTERRUPTED
    assert "interrupted after 3 of 9 seeds; r.jsonl has them" in done.output
    assert Path("r.jsonl").read_bytes().count(b"\n") == 4


def test_an_interrupt_of_minimising_stops_it_at_once_and_keeps_what_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One search has ended, the other goes on for ever in its process when Ctrl-C is pressed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "testnet.sweep.sweep.run_seed", lambda job: result(job.seed, virtual_seconds=30, violations=("V1 at s0",))
    )

    class Searching(WorkerPool):
        """Runs seeds here, and never ends the search for the second one's faults."""

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if fn is not minimise:
                return Inline().submit(fn, *args, **kwargs)
            if args[0].seed:
                return super().submit(signal.pause)
            return Inline().submit(lambda job: Minimised(job.settings(), ("V1 at s0",)), *args)

    def interrupted(futures: dict[Future[Any], Job]) -> Iterator[Future[Any]]:
        yield from (future for future in futures if future.done())
        raise KeyboardInterrupt

    monkeypatch.setattr("testnet.sweep.sweep.process_pool", Searching)
    monkeypatch.setattr("testnet.sweep.sweep.as_completed", interrupted)
    done = run("sweep", "--seeds", "2", "--seconds", "30", "--jobs", "1", "--results", "r.jsonl")
    assert done.exit_code == INTERRUPTED
    assert "→ ostraka sim --faults sweep-failures/seed-0.toml" in done.output
    assert "interrupted after 2 of 2 seeds; r.jsonl has them" in done.output
    assert Path("r.jsonl").read_bytes().count(b"\n") == 3


def test_sim_wants_a_seed_or_a_file() -> None:
    assert run("sim").exit_code == USAGE
    assert run("sim", "--seed", "1", "--faults", "x.toml").exit_code == USAGE
    assert run("sim", "--faults", "there-is-none.toml").exit_code == USAGE


# Marks


def test_marks_are_counted_while_somebody_records() -> None:
    sometimes("nobody records this")
    with recording() as outer:
        sometimes("a")
        with recording() as inner:
            sometimes("b")
            sometimes("b")
        sometimes("a")
    sometimes("a")
    assert outer == {"a": 2}
    assert inner == {"b": 2}
