"""Twins: a faulty validator is two honest processes with one key, each talking to a part of the committee.

First by hand, then systematically: `python -m tests.consensus.twins` runs what is only sampled here.
"""

import random
from concurrent.futures import Executor
from itertools import product

import pytest

from consensus.events import Event, MessageReceived
from primitives.errors import InvariantViolated
from primitives.identifiers import View
from testnet.simulator.mutation import planted
from tests.consensus.harness import Cluster, Link
from tests.consensus.monitor import Violation
from tests.consensus.mutants import CONSENSUS_MUTANTS
from tests.consensus.twins.__main__ import command, main
from tests.consensus.twins.batches import Batch, run_batch, sample
from tests.consensus.twins.cluster import SPLIT_MS, TwinsCluster, run_case
from tests.consensus.twins.scenarios import Round, Shape
from tests.support.fresh_seeds import fresh_seeds
from tests.sweep.test_sweep import Inline

TWINS = 5
"""The purpose of these seeds."""


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n", [4, 7])
def test_f_twins_neither_fork_the_chain_nor_stop_it_when_they_are_gone(n: int, seed: int) -> None:
    draw = random.Random(seed * 100 + n)
    cluster = Cluster(n, seed=seed, link=Link(10, 40, draw.choice([0, 5]), 5))
    faulty = draw.sample(range(n), (n - 1) // 3)
    for index in faulty:
        audience = set(draw.sample(range(n), draw.randrange(1, n + 1)))
        twin_audience = set(range(n)) - audience | set(draw.sample(range(n), draw.randrange(n)))
        cluster.add_twin(index, audience, twin_audience)
    cluster.start()
    cluster.run(8_000)
    for index in cluster.faulty:
        cluster.crash(index)
    assert cluster.grows(4, 12 * cluster.rules.max_timeout_ms)
    assert {culprit for culprit, _ in cluster.monitor.blames} <= set(faulty)


def test_twins_that_lead_with_two_blocks_are_blamed() -> None:
    cluster = Cluster(4)
    cluster.add_twin(1, {0, 2, 3}, {0, 2, 3})
    cluster.start()
    cluster.run(4_000)
    assert (1, "conflicting_notarize") in cluster.monitor.blames
    assert min(cluster.heights()) >= 5


def test_control_with_f_plus_1_twins_the_monitor_or_the_replicas_see_it() -> None:
    """Two twins of four break the assumption; the violation must not go unnoticed."""
    cluster = Cluster(4)
    for index in (2, 3):
        cluster.add_twin(index, {0, 2, 3}, {1, 2, 3})
    cluster.cut = {(0, 1), (1, 0)}
    cluster.start()
    with pytest.raises(AssertionError, match="disagrees"):
        cluster.run(5_000)


# Every scenario of a shape


@pytest.mark.parametrize(
    "shape",
    [Shape(4, 1), Shape(4, 2), Shape(4, 1, twins=2), Shape(4, 1, parts=3), Shape(5, 1, twins=2), Shape(7, 1)],
    ids=str,
)
def test_every_scenario_has_one_number_up_to_names(shape: Shape) -> None:
    found = [shape.scenario(index) for index in range(shape.count)]
    others = {
        tuple(shape.renamed(each, renaming) for each in scenario) for scenario in found for renaming in shape.renamings
    }
    assert len(set(found)) == shape.count  # none twice
    assert others == set(product(shape.choices, repeat=shape.rounds))  # none is missing
    assert len(others) == shape.all_names
    orbits = [{tuple(shape.renamed(each, h) for each in scenario) for h in shape.renamings} for scenario in found]
    assert sum(map(len, orbits)) == shape.all_names  # no two of them differ in names only


def test_a_renaming_keeps_who_is_whose_twin() -> None:
    shape = Shape(7, 1)
    assert len(set(shape.renamings)) == 960
    for renaming in shape.renamings:
        assert sorted(renaming) == list(range(9))
        assert {(renaming[key] % 7, renaming[key + 7] % 7) for key in range(2)} == {(0, 0), (1, 1)}


def test_what_is_no_shape_and_what_has_no_number_is_refused() -> None:
    with pytest.raises(IndexError, match="25740 scenarios"):
        Shape(4, 3).scenario(25_740)
    for wrong in ({"validators": 10}, {"rounds": 0}, {"twins": 5}, {"parts": 0}, {"rounds": 20}):
        with pytest.raises(ValueError, match=r"validators|more than can be numbered"):
            Shape(**({"validators": 4, "rounds": 1} | wrong))


def test_a_scenario_chooses_who_leads_and_who_hears_whom() -> None:
    apart, together = Round(2, (0, 1, 1, 0, 0)), Round(0, (0, 0, 0, 0, 0))
    cluster = TwinsCluster(Shape(4, 2), (apart, together), seed=1)
    assert [cluster.committee.leader(View(view)) for view in range(1, 7)] == [2, 0, 3, 0, 1, 2]
    heard: set[tuple[int, int]] = set()
    deliver = cluster.deliver

    def listen(index: int, event: Event) -> None:
        if isinstance(event, MessageReceived) and cluster.replica(event.sender).view == 1:
            heard.add((event.sender, index))
        deliver(index, event)

    cluster.deliver = listen  # type: ignore[method-assign]  # to listen in
    cluster.start()
    cluster.run(SPLIT_MS - 100)
    # Process 4 has the key of 0, and what it says is said by 0; the leader 2 and its part cannot leave the view.
    assert heard == {(0, 3), (3, 0), (3, 4), (1, 2), (2, 1)}
    assert cluster.replica(2).view == 1
    assert not cluster.monitor.blames


# Many of them


def test_the_sample_is_of_different_cases_and_the_same_each_time() -> None:
    shape = Shape(4, 3)
    assert sample(shape, 500, 7) == sample(shape, 500, 7) != sample(shape, 500, 8)
    assert len(set(sample(shape, 500, 7))) == 500
    assert sorted(sample(Shape(4, 1), 99, 7)) == list(range(15))


SAMPLES = [(Shape(4, 3), 1_400), (Shape(4, 6), 400), (Shape(7, 3), 200)]
"""Cases of each shape, new ones for each version of the code."""

PER_TEST = {4: 100, 7: 40}
"""Cases in one test, by the number of validators: some two to three seconds."""


@pytest.mark.parametrize(
    ("shape", "first"),
    [(shape, first) for shape, cases in SAMPLES for first in range(0, cases, PER_TEST[shape.validators])],
    ids=str,
)
def test_f_twins_break_nothing_whoever_leads_and_however_the_network_splits(shape: Shape, first: int) -> None:
    cases = dict(SAMPLES)[shape]
    indices = sample(shape, cases, fresh_seeds(TWINS, 1)[0])[first : first + PER_TEST[shape.validators]]
    found = run_batch(Batch(shape, indices))
    assert found.cases == len(indices) > 0
    assert not found.failures, [(each.error, command(shape, f"--case {each.index}")) for each in found.failures[:3]]
    # It would mean little if the twins had been harmless, or the splits complete.
    assert found.blamed > found.cases // 3
    assert found.grown > found.cases // 5
    assert {"a view given up", "a straggler helped", "a notarized block that is not here"} <= set(found.marks)


# That it sees


WITNESSES = {
    "votes are not journaled": (4402, "before it was durable"),
    "votes leave before they are durable": (4402, "before it was durable"),
    "the quorum is off by one": (4402, "two certificates contradict each other"),
    "notarize after nullify": (3863, "notarize after nullify"),
    "finalize after nullify": (25_027, "finalize after nullify"),
    "finalize of another proposal than was notarized": (8358, "another proposal than was notarized"),
    "certify is refused after nullify": (24_935, "the honest are in views"),
}
"""Mutant -> the case of four validators and three views that catches it, and by what."""


@pytest.mark.parametrize("name", WITNESSES)
def test_a_planted_bug_is_caught_by_twins(name: str) -> None:
    shape, (index, why) = Shape(4, 3), WITNESSES[name]
    run_case(shape, index)
    with planted(next(mutant for mutant in CONSENSUS_MUTANTS if mutant.name == name)):
        found = run_batch(Batch(shape, [index]))
    assert [why in failure.error for failure in found.failures] == [True], found.failures


FORKS = [(Shape(4, 3, twins=2), 55_038), (Shape(7, 2, twins=3), 10_099)]
"""f + 1 twins break the assumption: cases in which two processes finalize different blocks."""


@pytest.mark.parametrize(("shape", "index"), FORKS, ids=str)
def test_control_with_f_plus_1_twins_a_fork_is_seen(shape: Shape, index: int) -> None:
    with pytest.raises(Violation, match="disagrees at height"):
        run_case(shape, index)


def test_control_with_f_plus_1_twins_forks_are_in_every_sample() -> None:
    found = run_batch(Batch(shape := Shape(4, 3, twins=2), sample(shape, 60, 1)))
    assert 0 < len(found.failures) < found.cases // 2
    assert all("contradict" in each.error or "disagrees" in each.error for each in found.failures)


# The command


def run_command(monkeypatch: pytest.MonkeyPatch, words: str, executor: Executor | None = None) -> int:
    monkeypatch.setattr("sys.argv", words.split()[2:])
    monkeypatch.setattr("tests.consensus.twins.__main__.process_pool", lambda _jobs: executor or Inline())
    return main()


def test_the_command_runs_all_cases_of_a_shape(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, "python -m tests.consensus.twins --n 4 --rounds 1") == 0
    said = capsys.readouterr().out
    assert "64 scenarios of 1 views, 15 up to names" in said
    assert "15 cases" in said
    assert "0 failed" in said
    for wrong in ("--n 10", "--case 25740", "--from -1"):
        assert run_command(monkeypatch, f"python -m tests.consensus.twins {wrong}") == 2


def test_the_command_says_what_failed_and_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = Shape(4, 3)
    with planted(next(mutant for mutant in CONSENSUS_MUTANTS if mutant.name == "notarize after nullify")):
        assert run_command(monkeypatch, command(shape, "--from 3860 --cases 9")) == 1
        said = capsys.readouterr().out
        assert "✗ case 3863: InvariantViolated: view 2: notarize after nullify" in said
        again = "python -m tests.consensus.twins --n 4 --rounds 3 --case 3863"
        assert f"→ {again}" in said
        with pytest.raises(InvariantViolated, match="notarize after nullify"):
            run_command(monkeypatch, again)
    assert run_command(monkeypatch, again) == 0


def test_a_command_that_was_stopped_goes_on_with_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(number: int) -> None:
        if number > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("tests.consensus.twins.batches.BATCH", 3)
    assert run_command(monkeypatch, "python -m tests.consensus.twins --rounds 1 --jobs 1", Inline(interrupt)) == 130
    said = capsys.readouterr().out
    assert "9 cases" in said
    rest = said.partition("it goes on with: ")[2].strip()
    assert rest == "python -m tests.consensus.twins --n 4 --rounds 1 --from 9 --cases 6"
    assert run_command(monkeypatch, rest) == 0
    assert "6 cases" in capsys.readouterr().out
