"""The scenarios that every Simplex implementation must pass, in their customary order and under their numbers.

Each is a whole committee (or one replica against the world) under the monitor, which checks agreement, ancestry and
that nobody both nullifies and finalizes. Where a scenario is a test of its own elsewhere, that one is run here under
its number, so that this list shows what there is. Numbers 16 to 34, with liars in the committee, are in
`test_consensus_scenarios_with_liars`; 36 to 39 need validator sets that change, and there are none.
"""

import random
import re
from pathlib import Path

import pytest

from consensus.journal import VOTES
from consensus.pacing import Rules
from primitives.storage import Write
from shards.node.faults import StorageFault
from shards.node.records import Sealer
from tests.consensus import test_determinism, test_network, test_restart
from tests.consensus.harness import Cluster, Link
from tests.scenarios.committees import SIZES, running


@SIZES
def test_01_all_online(n: int) -> None:
    cluster = running(n)
    assert cluster.reaches(10, 1_500)
    assert max(cluster.replica(index).view for index in range(n)) <= 12, "no view was given up"
    assert not cluster.monitor.blames


@SIZES
def test_02_f_offline(n: int) -> None:
    cluster = Cluster(n)
    cluster.start(*range((n - 1) // 3, n))
    assert cluster.reaches(6, 60_000)


@SIZES
def test_03_f_plus_1_offline_halts_safely_and_resumes(n: int) -> None:
    cluster = running(n)
    assert cluster.reaches(3, 2_000)
    down = range(1 + (n - 1) // 3)
    for index in down:
        cluster.crash(index)
    cluster.run(300)
    before = max(cluster.heights())
    cluster.run(30_000)
    assert max(cluster.heights()) == before
    cluster.restart(0)
    assert cluster.grows(3, 6 * cluster.rules.max_timeout_ms)


def test_04_slow_verifier() -> None:
    cluster = Cluster(4)
    cluster.nodes[2].check_ms = 3_000
    cluster.start()
    assert cluster.reaches(20, 10_000)


@pytest.mark.parametrize("seed", range(3))
def test_05_30_percent_loss_and_jitter(seed: int) -> None:
    assert running(seed=seed, link=Link(20, 250, 30, 10)).reaches(8, 60_000)


@pytest.mark.parametrize("minority", [{0}, {3}, {0, 1}, {1, 3}])
def test_06_partition_and_heal(minority: set[int]) -> None:
    cluster = running()
    cluster.run(500)
    cluster.partition(minority, {0, 1, 2, 3} - minority)
    cluster.run(10_000)
    cluster.heal()
    assert cluster.grows(3, 6 * cluster.rules.max_timeout_ms)


@pytest.mark.parametrize("link", [(0, 1), (1, 0), (2, 3)])
def test_07_asymmetric_link(link: tuple[int, int]) -> None:
    cluster = Cluster(4)
    cluster.cut = {link}
    cluster.start()
    assert cluster.reaches(12, 60_000), "others tell it what it missed"


def test_08_late_joiner_backfills() -> None:
    test_network.test_a_late_joiner_takes_history_in_chunks_and_votes()


def test_09_join_from_the_finalized_floor() -> None:
    cluster = running(rules=Rules(retention_views=4))
    assert cluster.reaches(5, 3_000)
    cluster.crash(3)
    assert cluster.grows(60, 60_000), "all views that it knew are long forgotten"
    cluster.restart(3)
    assert cluster.run(20_000, lambda: cluster.height(3) >= max(cluster.heights()) - 1)
    cluster.crash(0)
    assert cluster.grows(3, 20_000), "its votes count again"


@pytest.mark.parametrize("seed", range(100, 104))
def test_10_random_unclean_restarts_of_all(seed: int) -> None:
    test_restart.test_random_unclean_restarts_of_all_lose_nothing(seed)


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_11_kill_at_every_boundary_of_the_journal(first: int) -> None:
    for point in range(first, first + 30):
        cluster = Cluster(4, seed=point)
        for index in (0, 1):
            cluster.nodes[index].crash_at = point
        cluster.start()
        assert cluster.grows(4, 30_000), point


def test_12_torn_and_corrupt_records_of_the_journal_are_refused() -> None:
    """What storage may do to a record beneath the journal: lose its tail, flip a bit, put it elsewhere."""
    cluster = running()
    assert cluster.reaches(3, 2_000)
    table = cluster.nodes[1].store.tables[VOTES]
    sealer = Sealer(VOTES)
    assert len(table) > 3
    for key, value in table.items():
        raw = sealer.seal(key, value)
        assert sealer.open(key, raw) == value
        other = key[:-1] + bytes((key[-1] ^ 1,))
        torn = [raw[:length] for length in range(len(raw))]
        flipped = [raw[:at] + bytes((raw[at] ^ 1 << at % 8,)) + raw[at + 1 :] for at in range(len(raw))]
        for where, damaged in [(other, raw), *((key, each) for each in torn + flipped)]:
            with pytest.raises(StorageFault):
                sealer.open(where, damaged)


@pytest.mark.parametrize("commit", range(1, 13))
def test_13_crash_between_the_commit_and_the_send(commit: int) -> None:
    cluster = Cluster(4)
    node = cluster.nodes[1]
    apply, commits = node.store.apply, 0

    def apply_and_die(writes: tuple[Write, ...]) -> None:
        nonlocal commits
        apply(writes)
        commits += 1
        if commits == commit:
            node.crash_at = node.effects_done  # before whatever follows the commit

    node.store.apply = apply_and_die  # type: ignore[method-assign]
    cluster.start()
    assert cluster.grows(6, 30_000)
    assert node.life == 2
    assert cluster.grows(2, 10_000, [1])


def test_14_all_crash_after_nullify() -> None:
    test_restart.test_all_crash_after_nullifying_and_their_votes_still_count()


def test_15_a_wiped_journal_refuses_to_sign() -> None:
    test_restart.test_a_wiped_journal_signs_nothing_and_the_others_go_on()


def test_35_one_seed_gives_one_trace() -> None:
    test_determinism.test_one_seed_gives_one_trace_and_two_seeds_give_two()


@pytest.mark.parametrize("seed", range(40, 42))
def test_40_delays_beyond_the_first_timeout_are_overcome_by_backoff(seed: int) -> None:
    test_network.test_delays_beyond_the_first_timeout_are_overcome_by_growing_ones(seed)


@pytest.mark.parametrize("seed", range(3))
def test_41_clocks_that_jump(seed: int) -> None:
    draw = random.Random(seed)
    cluster = running(seed=seed)
    for _ in range(6):
        cluster.nodes[draw.randrange(4)].clock_skew_ms = draw.choice([-3_600_000, -900, 0, 900, 60_000])
        cluster.run(2_000)
    for node in cluster.nodes:
        node.clock_skew_ms = 0
    assert cluster.grows(5, 6 * cluster.rules.max_timeout_ms)


def test_every_scenario_has_its_test() -> None:
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    numbers = [
        int(number) for file in files for number in re.findall(r"^def test_(\d\d)_", file.read_text(), re.MULTILINE)
    ]
    assert sorted(numbers) == [*range(1, 36), 40, 41]
