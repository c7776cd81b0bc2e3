"""Whole committees in virtual time: progress, halting, catching up. The monitor checks safety throughout."""

import random

import pytest

from consensus.block import Block
from consensus.events import Verdict
from consensus.messages import Certificate, Certificates, Notarize, Nullify, Proposed, Vote, decode_message
from consensus.pacing import Rules
from primitives.identifiers import BlockId
from primitives.signatures import ED25519
from tests.consensus.harness import Cluster, Link
from tests.consensus.makers import CheapScheme

SIZES = [1, 2, 4, 7, 10, 32]


@pytest.mark.parametrize("n", SIZES)
def test_a_committee_that_is_all_online_finalizes_a_block_every_interval(n: int) -> None:
    cluster = Cluster(n)
    cluster.start()
    cluster.run(1200)
    # A block every 100 ms (at most one lost to the first interval and one still in flight).
    assert min(cluster.heights()) >= 9
    assert not cluster.notes("refused")
    assert not cluster.monitor.blames


@pytest.mark.parametrize(("n", "messages", "size", "checks"), [(4, 25, 5_000, 5), (32, 2_050, 350_000, 43)])
def test_what_a_block_costs_in_messages_bytes_signature_checks_and_commits(
    n: int, messages: int, size: int, checks: int
) -> None:
    scheme = CheapScheme()
    cluster = Cluster(n, scheme=scheme)
    cluster.start()
    commits = sum(node.store.commits for node in cluster.nodes)
    assert cluster.reaches(20, 10_000)
    assert cluster.sent_messages <= messages * 20
    assert cluster.sent_bytes <= size * 20
    assert scheme.verified <= checks * n * 20
    assert sum(node.store.commits for node in cluster.nodes) - commits <= 3 * n * 20 + n


def test_real_signatures_do_as_well() -> None:
    cluster = Cluster(4, scheme=ED25519)
    cluster.start()
    assert cluster.reaches(5, 2_000)


@pytest.mark.parametrize("n", [4, 7, 10, 32])
def test_f_silent_validators_do_not_stop_the_chain(n: int) -> None:
    cluster = Cluster(n)
    silent = (n - 1) // 3
    cluster.start(*range(silent, n))
    assert cluster.reaches(5, 60_000)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_f_plus_1_silent_validators_halt_the_chain_and_one_return_resumes_it(n: int) -> None:
    cluster = Cluster(n)
    f = (n - 1) // 3
    cluster.start(*range(f + 1, n))
    cluster.run(20_000)
    assert max(cluster.heights()) == 0
    cluster.start(0)
    assert cluster.reaches(3, 20_000)


def test_two_validators_need_each_other() -> None:
    cluster = Cluster(2)
    cluster.start(0)
    cluster.run(20_000)
    assert cluster.height(0) == 0
    cluster.start(1)
    assert cluster.reaches(3, 20_000)


def test_a_slow_verifier_follows_without_holding_up_the_others() -> None:
    cluster = Cluster(4)
    cluster.nodes[3].check_ms = 5_000
    cluster.start()
    cluster.run(10_000)
    assert min(cluster.heights()) >= 20
    assert max(cluster.heights()) - min(cluster.heights()) <= 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [4, 7])
def test_the_chain_grows_with_30_percent_loss_duplicates_and_jitter(n: int, seed: int) -> None:
    cluster = Cluster(n, seed=seed, link=Link(20, 200, 30, 10))
    cluster.start()
    assert cluster.reaches(8, 60_000)


@pytest.mark.parametrize(
    ("n", "groups"), [(4, ({0, 1}, {2, 3})), (7, ({0, 1, 2}, {3, 4, 5, 6})), (10, ({0, 1, 2, 3}, {4, 5, 6}, {7, 8, 9}))]
)
def test_a_partition_without_a_quorum_halts_and_healing_resumes(n: int, groups: tuple[set[int], ...]) -> None:
    cluster = Cluster(n)
    cluster.start()
    cluster.run(1_000)
    cluster.partition(*groups)
    cluster.run(300)
    stopped = max(cluster.heights())
    cluster.run(30_000)
    assert max(cluster.heights()) <= stopped + 1
    cluster.heal()
    assert cluster.grows(2, 6 * cluster.rules.max_timeout_ms)


def test_the_side_of_a_partition_with_a_quorum_goes_on_and_the_other_catches_up() -> None:
    cluster = Cluster(7)
    cluster.start()
    cluster.partition({0, 1}, {2, 3, 4, 5, 6})
    assert cluster.reaches(10, 60_000, [2, 3, 4, 5, 6])
    assert max(cluster.heights([0, 1])) == 0
    cluster.heal()
    assert cluster.grows(1, 10_000)


@pytest.mark.parametrize("deaf", [True, False])
def test_a_link_that_carries_one_way_only_harms_nobody_for_long(deaf: bool) -> None:
    cluster = Cluster(4)
    cluster.cut = {(i, 0) if deaf else (0, i) for i in (1, 2, 3)}
    cluster.start()
    assert cluster.reaches(8, 60_000, [1, 2, 3])
    cluster.heal()
    assert cluster.grows(1, 20_000)


def test_a_late_joiner_takes_history_in_chunks_and_votes() -> None:
    cluster = Cluster(4)
    cluster.start(0, 1, 2)
    assert cluster.reaches(300, 400_000)
    before = cluster.sent_messages
    cluster.start(3)
    assert cluster.run(500, lambda: cluster.replica(3).blocks_behind > 250), "it knows how far behind it is"
    assert cluster.replica(3).finalized_view >= 300
    assert cluster.run(2_000, lambda: cluster.height(3) >= 300)
    assert cluster.run(500, lambda: cluster.replica(3).blocks_behind == 0)
    assert cluster.sent_messages - before < 200  # two chunks, not three hundred fetches
    cluster.crash(0)
    assert cluster.grows(3, 20_000), "its votes are needed now"


def test_a_follower_without_a_key_follows_the_chain_and_says_nothing() -> None:
    cluster = Cluster(4)
    follower = cluster.add_follower()
    # It hears one copy of whatever validators say to one another.
    cluster.outgoing = dict.fromkeys(range(4), lambda source, to, raw: _copy(cluster, follower, source, to, raw))
    cluster.start()
    assert cluster.reaches(10, 3_000)
    replica = cluster.replica(follower)
    assert not replica.may_sign
    assert replica.is_caught_up
    assert "consensus.votes" not in cluster.nodes[follower].store.tables


def _copy(cluster: Cluster, follower: int, source: int, to: int, raw: bytes) -> bytes:
    if to == (source + 1) % 4:
        cluster.inject(source, follower, raw)
    return raw


def test_an_idle_committee_makes_an_empty_block_every_idle_interval_and_is_silent_between() -> None:
    cluster = Cluster(4)
    cluster.has_work = False
    cluster.start()
    cluster.run(60_500)
    assert 5 <= min(cluster.heights()) <= 6
    assert [cluster.replica(i).view for i in range(4)] == [min(cluster.heights()) + 1] * 4, "no view was given up"
    assert cluster.sent_messages < 6 * 40


def test_a_block_comes_at_once_when_work_appears() -> None:
    cluster = Cluster(4)
    cluster.has_work = False
    cluster.start()
    cluster.run(1_000)
    cluster.set_work(True)
    assert cluster.reaches(1, 200)


def test_work_at_f_plus_1_validators_is_enough_to_give_up_a_dead_leader() -> None:
    cluster = Cluster(4)
    cluster.has_work = False
    cluster.start(0, 2, 3)  # validator 1 leads view 1
    cluster.has_work = True
    cluster.start(0, 2)  # these two have work after a restart; 3 has none
    assert cluster.reaches(1, 4_000)


@pytest.mark.parametrize("seed", range(4))
def test_delays_beyond_the_first_timeout_are_overcome_by_growing_ones(seed: int) -> None:
    cluster = Cluster(4, seed=seed, link=Link(900, 300))
    cluster.start()
    assert cluster.reaches(3, 60_000)


def test_timeouts_shrink_back_when_the_network_recovers() -> None:
    cluster = Cluster(4, link=Link(900, 300))
    cluster.start()
    assert cluster.reaches(2, 60_000)
    cluster.link = Link(5, 5)
    cluster.run(5_000)
    before = max(cluster.heights())
    cluster.run(2_000)
    assert max(cluster.heights()) >= before + 15


@pytest.mark.parametrize("skew_ms", [3_600_000, -3_600_000, 60_000, -1_500, 1_500])
def test_a_clock_that_jumps_costs_at_most_its_own_validator(skew_ms: int) -> None:
    cluster = Cluster(4)
    cluster.start()
    cluster.run(1_000)
    cluster.nodes[2].clock_skew_ms = skew_ms
    assert cluster.grows(8, 60_000)
    cluster.nodes[2].clock_skew_ms = 0
    assert cluster.grows(8, 60_000)


def test_a_not_yet_is_asked_again_and_an_invalid_block_is_given_up() -> None:
    cluster = Cluster(4)

    def refuse_of_1(_block_id: BlockId, block: Block) -> Verdict:
        return Verdict.INVALID if block.items[0].startswith(b"1/") else Verdict.VALID

    for node in cluster.nodes:
        node.verdict = refuse_of_1
    cluster.start()
    assert cluster.reaches(8, 60_000)
    assert not any(items.startswith(b"1/") for items in _items(cluster, 0))
    assert cluster.notes("invalid_proposal")


def _items(cluster: Cluster, index: int) -> list[bytes]:
    from consensus.block import decode_block

    return [decode_block(raw).items[0] for _, raw in cluster.nodes[index].store.scan("consensus.blocks")]


@pytest.mark.parametrize("leader", range(4))
def test_a_certified_split_is_mended_by_the_justification(leader: int) -> None:
    """One validator certifies view v, the three others nullify it; each must accept the other's ancestry."""
    cluster = Cluster(4)
    view = leader + 4  # led by each validator in turn
    alone = (leader + 1) % 4  # leads view v + 1, on a parent that only it has certified

    def lose(_source: int, to: int, raw: bytes) -> bytes | None:
        message = decode_message(raw)
        statement = message.statement if isinstance(message, Vote | Certificate) else None
        if to != alone and isinstance(statement, Notarize) and statement.view == view:
            return None
        if isinstance(message, Certificates):
            return None  # help would mend it as well
        return raw

    cluster.outgoing = dict.fromkeys(range(4), lose)
    cluster.start()
    assert cluster.grows(view + 6, 60_000)


@pytest.mark.parametrize("seed", range(3))
def test_views_split_between_notarized_and_nullified_do_not_lock_up(seed: int) -> None:
    """Ten validators; in some views half miss the notarize votes and half the nullify votes, and no help arrives."""
    cluster = Cluster(10, seed=seed)
    split = {3, 4, 7}

    def lose(_source: int, to: int, raw: bytes) -> bytes | None:
        message = decode_message(raw)
        if not isinstance(message, Vote) or message.statement.view not in split or cluster.now_ms > 8_000:
            return raw
        misses: type[Notarize | Nullify] = Notarize if to < 5 else Nullify
        return None if isinstance(message.statement, misses) else raw

    cluster.outgoing = dict.fromkeys(range(10), lose)
    cluster.start()
    assert cluster.reaches(12, 60_000)


def test_a_block_withheld_from_some_is_fetched_once_it_is_notarized() -> None:
    cluster = Cluster(4)
    cluster.outgoing = dict.fromkeys(
        range(4), lambda _s, to, raw: None if to == 0 and isinstance(decode_message(raw), Proposed) else raw
    )
    cluster.start()
    assert cluster.reaches(12, 60_000)


def test_lost_finalize_votes_at_an_idle_tip_are_said_again() -> None:
    cluster = Cluster(4)
    cluster.has_work = False
    cluster.start()
    cluster.run(500)
    cluster.outgoing = dict.fromkeys(range(4), lambda _s, _t, raw: None if _is_finalize(raw) else raw)
    cluster.set_work(True)
    cluster.run(80)  # one block, certified everywhere
    cluster.set_work(False)
    assert max(cluster.heights()) == 0
    cluster.outgoing = {}
    assert cluster.reaches(1, cluster.rules.base_timeout_ms + 100), "before anyone proposes another block"


def _is_finalize(raw: bytes) -> bool:
    message = decode_message(raw)
    return isinstance(message, Vote) and message.statement.kind == 3


def test_a_stall_of_finality_keeps_memory_small_and_ends_well() -> None:
    cluster = Cluster(4, rules=Rules(base_timeout_ms=100, max_timeout_ms=200, min_block_interval_ms=10))
    cluster.start()
    cluster.run(200)
    cluster.outgoing = dict.fromkeys(
        range(4), lambda _s, _t, raw: None if _is_finalize(raw) or isinstance(decode_message(raw), Proposed) else raw
    )
    cluster.run(200_000)
    views = cluster.replica(0)._context.views
    assert views.current > 1_000
    tallies = [state for state in views._states.values() if state.tally is not None]
    assert len(tallies) <= cluster.rules.retention_views + 2
    cluster.outgoing = {}
    assert cluster.grows(5, 20_000)
    assert len(views._states) <= cluster.rules.retention_views + 3


@pytest.mark.parametrize("seed", range(8))
def test_chaos_then_healing(seed: int) -> None:
    """Losses, duplicates, reordering, partitions and crashes at random, then liveness."""
    draw = random.Random(seed)
    n = draw.choice([4, 4, 7])
    cluster = Cluster(n, seed=seed, link=Link(10, 60, draw.choice([0, 10, 25]), 10))
    cluster.start()
    for _ in range(25):
        cluster.run(draw.randrange(50, 1_200))
        chance = draw.randrange(4)
        if chance == 0:
            side = set(draw.sample(range(n), draw.randrange(1, n)))
            cluster.partition(side, set(range(n)) - side)
        elif chance == 1:
            cluster.heal()
        else:
            node = cluster.nodes[draw.randrange(n)]
            node.crash_at = node.effects_done + draw.randrange(30)
    cluster.heal()
    cluster.link = Link(10, 10)
    cluster.run(3_000)
    assert cluster.grows(5, 6 * cluster.rules.max_timeout_ms)
