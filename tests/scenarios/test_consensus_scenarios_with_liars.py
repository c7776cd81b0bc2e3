"""Scenarios 16 to 34 of `test_consensus_scenarios`: what f liars in a committee can say, and that it harms nobody."""

import pytest
from msgspec.structs import replace

from consensus.messages import (
    Certificate,
    Finalize,
    Message,
    Notarize,
    Nullify,
    Proposed,
    Vote,
    decode_message,
)
from primitives.identifiers import Epoch, View
from tests.consensus import test_byzantine, test_network, test_twins
from tests.consensus.harness import Cluster
from tests.consensus.makers import CheapScheme, make_certificate, make_committee, make_proposed, make_vote
from tests.consensus.solo import Solo
from tests.scenarios.committees import JUNK, SIZES, honest, liars_of, lying, running, signed


def _also_for_another(cluster: Cluster, liar: int, message: Message) -> list[Message]:
    """Each vote for a block, and one for another block."""
    if not isinstance(message, Vote) or isinstance(message.statement, Nullify):
        return [message]
    other = replace(message.statement.proposal, block_id=bytes(32))
    return [message, signed(cluster, type(message.statement)(other), liar)]


@SIZES
def test_16_conflicting_votes_are_evidence(n: int) -> None:
    cluster = running(n)
    lying(cluster, *liars_of(n), says=lambda liar, message: _also_for_another(cluster, liar, message))
    assert cluster.reaches(10, 20_000, honest(cluster))
    blamed = set(cluster.monitor.blames)
    assert {culprit for culprit, _ in blamed} == set(liars_of(n))
    assert {name for _, name in blamed} >= {"conflicting_notarize", "conflicting_finalize"}


@pytest.mark.parametrize(("n", "signers"), [(4, [1, 2, 3]), (7, [2, 3, 4, 5, 6])])
def test_17_equivocating_leader_and_its_victim_recovers(n: int, signers: list[int]) -> None:
    test_byzantine.test_an_equivocating_leader_is_blamed_and_its_view_given_up()
    test_byzantine.test_the_victim_of_an_equivocation_takes_the_notarized_block_and_goes_on(n, signers)


@SIZES
def test_18_nullify_and_finalize(n: int) -> None:
    cluster = running(n)

    def says(liar: int, message: Message) -> list[Message]:
        if isinstance(message, Vote) and isinstance(message.statement, Finalize):
            statement = Nullify(Epoch(0), message.statement.view)
            return [signed(cluster, statement, liar), message]
        return [message]

    lying(cluster, *liars_of(n), says=says)
    assert cluster.reaches(10, 20_000, honest(cluster))
    assert set(cluster.monitor.blames) == {(liar, "nullify_finalize") for liar in liars_of(n)}


@SIZES
def test_19_impersonated_signer(n: int) -> None:
    cluster = running(n)

    def says(_liar: int, message: Message) -> list[Message]:
        """Also in the names of all others: with their true signatures even, which it cannot have."""
        if not isinstance(message, Vote):
            return [message]
        return [message, *(signed(cluster, message.statement, other) for other in honest(cluster))]

    lying(cluster, *liars_of(n), says=says)
    assert cluster.reaches(10, 20_000, honest(cluster))
    assert any("impersonation" in note.detail for note in cluster.notes("refused"))
    assert not cluster.monitor.blames


@SIZES
def test_20_corrupt_signature_in_a_quorum(n: int) -> None:
    cluster = running(n)

    def says(_liar: int, message: Message) -> list[Message]:
        return [replace(message, signature=JUNK)] if isinstance(message, Vote) else [message]

    lying(cluster, *liars_of(n), says=says)
    assert cluster.reaches(10, 20_000, honest(cluster))
    assert not cluster.monitor.blames


@pytest.mark.parametrize("change", ["epoch", "shard", "chain", "other_kind"])
def test_21_wrong_epoch_or_shard_replay(change: str) -> None:
    test_byzantine.test_votes_of_another_epoch_shard_chain_or_kind_count_nothing(change)
    test_byzantine.test_a_certificate_of_another_epoch_is_refused()
    elsewhere = make_committee(4, CheapScheme(), shard=2)
    cluster = running()

    def says(liar: int, message: Message) -> list[Message]:
        return [make_vote(elsewhere, message.statement, liar)] if isinstance(message, Vote) else [message]

    lying(cluster, 1, says=says)
    assert cluster.reaches(10, 20_000, honest(cluster))
    assert not cluster.monitor.blames


def test_22_outdated_votes() -> None:
    cluster = running()
    said: list[Message] = []

    def says(_liar: int, message: Message) -> list[Message]:
        said.append(message)
        return [*said[:3], *said[-40::8], message]

    lying(cluster, 1, says=says)
    assert cluster.reaches(30, 60_000, honest(cluster))
    assert not cluster.monitor.blames
    test_byzantine.test_votes_of_long_finalized_views_are_answered_with_the_finalization_and_kept_nowhere()


@SIZES
def test_23_forged_duplicate_signer_and_sub_quorum_certificates(n: int) -> None:
    cluster = running(n)
    far = Nullify(Epoch(0), View(1_000))

    def says(liar: int, message: Message) -> list[Message]:
        if not isinstance(message, Vote):
            return [message]
        alone = make_certificate(cluster.committee, far, [liar])
        own = alone.quorum.signatures[0]
        repeated = replace(alone, quorum=replace(alone.quorum, signatures=(own,) * cluster.committee.quorum))
        everyone = make_certificate(cluster.committee, far, list(range(n)))
        forged = replace(everyone, quorum=replace(everyone.quorum, signatures=(own,) * n))
        return [alone, repeated, forged, message]

    lying(cluster, *liars_of(n), says=says)
    assert cluster.reaches(10, 20_000, honest(cluster))
    assert max(cluster.replica(index).view for index in honest(cluster)) < 100, "none of them was believed"
    assert any("bad_certificate" in note.detail for note in cluster.notes("refused"))
    assert not cluster.monitor.blames


@pytest.mark.parametrize("leader", range(4))
def test_24_certified_split_with_each_leader(leader: int) -> None:
    test_network.test_a_certified_split_is_mended_by_the_justification(leader)


@pytest.mark.parametrize("seed", range(10, 12))
def test_25_views_split_between_notarized_and_nullified(seed: int) -> None:
    test_network.test_views_split_between_notarized_and_nullified_do_not_lock_up(seed)


def test_26_notarization_arrives_after_the_own_nullify() -> None:
    test_byzantine.test_a_notarization_after_our_own_nullify_is_certified_but_not_finalized_by_us()
    cluster = running()

    def late(source: int, to: int, raw: bytes) -> bytes | None:
        """The proposals of validator 1, and votes for them, take longer than the others wait."""
        message = decode_message(raw)
        if to != 0 or not isinstance(message, Proposed | Vote | Certificate):
            return raw
        statement = message.vote.statement if isinstance(message, Proposed) else message.statement
        if isinstance(statement, Notarize) and statement.view % 4 == 1 and cluster.now_ms < 20_000:
            cluster.at(2_000, lambda: cluster.inject(source, to, raw))
            return None
        return raw

    cluster.outgoing = dict.fromkeys(range(4), late)
    assert cluster.reaches(12, 40_000)


@pytest.mark.parametrize("seed", range(3))
def test_27_certificate_conflicts_with_the_local_proposal(seed: int) -> None:
    cluster = Cluster(4, seed=seed)
    cluster.add_twin(1, {0, 1}, {1, 2, 3})  # what 0 is shown, only 0 is shown
    cluster.start()
    assert cluster.reaches(8, 40_000, [0, 2, 3])
    assert {culprit for culprit, _ in cluster.monitor.blames} == {1}


def test_28_block_withheld_after_the_notarization() -> None:
    test_network.test_a_block_withheld_from_some_is_fetched_once_it_is_notarized()
    test_byzantine.test_a_withheld_block_is_asked_for_at_one_peer_after_another()


def test_29_proposal_that_skips_a_view_that_is_not_nullified_is_refused() -> None:
    test_byzantine.test_a_proposal_that_skips_a_view_without_its_nullification_is_refused()
    test_byzantine.test_a_justification_other_than_the_one_the_vote_names_is_refused()


def test_30_parent_below_the_last_finalized_view() -> None:
    test_byzantine.test_a_proposal_below_the_last_finalized_view_is_invalid()


def test_31_a_flood_of_votes_of_the_far_future_is_bounded() -> None:
    test_byzantine.test_a_flood_of_votes_from_the_far_future_is_not_kept()
    cluster = running()

    def says(liar: int, message: Message) -> list[Message]:
        flood = [signed(cluster, Nullify(Epoch(0), View(10**6 + step)), liar) for step in range(50)]
        return [*flood, message]

    lying(cluster, 1, says=says)
    assert cluster.reaches(20, 20_000, honest(cluster))
    for index in honest(cluster):
        assert len(cluster.replica(index)._context.views._states) <= cluster.rules.retention_views + 2


def test_32_a_stall_of_finality_over_10_000_views_keeps_memory_bounded() -> None:
    solo = Solo()
    final = solo.make(1)
    final.arrive()
    for certificate in (final.notarization, final.finalization):
        solo.hear(1, certificate)
    for view in range(2, 10_001):
        solo.hear(1 + view % 3, solo.nullification(view))
    views = solo.replica._context.views
    assert views.current == 10_001
    kept = sum(state.tally is not None for state in views._states.values())
    assert kept <= solo.rules.retention_views + 2, "of the others there is a nullification each, and nothing else"
    # A proposal carries the last 64 of the 10,000 nullifications; we hold the rest.
    after = solo.make(10_001, final)
    justification = replace(after.justification, nullifications=after.justification.nullifications[-64:])
    proposed = make_proposed(solo.committee, 10_001, after.block, after.block_id, 1, justification)
    solo.hear(solo.leader(10_001), proposed)
    statement = proposed.vote.statement
    assert isinstance(statement, Notarize)
    assert solo.said[-1] == statement
    solo.hear(1, solo.certificate(statement))
    solo.hear(1, solo.certificate(Finalize(statement.proposal)))
    assert solo.replica.tip.block_id == after.block_id
    assert len(views._states) <= solo.rules.retention_views + 3
    test_network.test_a_stall_of_finality_keeps_memory_small_and_ends_well()


@SIZES
def test_33_proposal_of_the_wrong_leader(n: int) -> None:
    test_byzantine.test_a_proposal_of_somebody_who_does_not_lead_is_refused()
    cluster = running(n)
    ahead = [View(step) for step in range(1, 3)]

    def says(liar: int, message: Message) -> list[Message]:
        if not isinstance(message, Proposed) or not isinstance(message.vote.statement, Notarize):
            return [message]
        mine = message.vote.statement.proposal
        usurped = [
            replace(message, vote=signed(cluster, Notarize(replace(mine, view=View(mine.view + step))), liar))
            for step in ahead
        ]
        return [message, *usurped]

    lying(cluster, *liars_of(n), says=says)
    assert cluster.reaches(12, 20_000, honest(cluster))
    assert any("wrong_leader" in note.detail for note in cluster.notes("refused"))


@pytest.mark.parametrize("seed", range(50, 54))
@SIZES
def test_34_twins(n: int, seed: int) -> None:
    test_twins.test_f_twins_neither_fork_the_chain_nor_stop_it_when_they_are_gone(n, seed)
