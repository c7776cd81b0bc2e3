"""Planted bugs of consensus: each rule that matters is taken out once, and a scenario notices.

Seeds find most of them too, `python -m tests.hunt` says how often; the scenario is there for the rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

from testnet.simulator.mutation import Rewrite
from tests.consensus import test_byzantine as byzantine
from tests.consensus import test_network as network
from tests.consensus import test_restart as restart
from tests.consensus.harness import Cluster


@dataclass(frozen=True)
class ConsensusMutant:
    """One planted bug."""

    name: str
    rewrites: tuple[Rewrite, ...]
    scenario: Callable[[], object]
    """Passes without the bug and fails with it."""


def partitioned_halves() -> None:
    cluster = Cluster(4)
    cluster.partition({0, 1}, {2, 3})
    cluster.start()
    cluster.run(20_000)


def equivocating_twins() -> None:
    cluster = Cluster(4)
    cluster.add_twin(1, {0, 2, 3}, {0, 2, 3})
    cluster.start()
    cluster.run(4_000)
    assert cluster.monitor.blames


def victim_of_an_equivocation() -> None:
    byzantine.test_the_victim_of_an_equivocation_takes_the_notarized_block_and_goes_on(7, [2, 3, 4, 5, 6])


def history_of_another_chain() -> None:
    byzantine.test_history_is_believed_only_with_hash_links_to_a_finalization("foreign_root")


CONSENSUS_MUTANTS = (
    ConsensusMutant(
        "votes are not journaled",
        (Rewrite("consensus.context:Context._sign", "self.outbox.write(vote_write(vote))", "pass"),),
        restart.test_a_journaled_vote_is_said_again_and_never_signed_anew,
    ),
    ConsensusMutant(
        "votes leave before they are durable",
        (
            Rewrite(
                "consensus.outbox:Outbox.flush",
                "(Persist(tuple(self._writes)), *self._effects)",
                "(*self._effects, Persist(tuple(self._writes)))",
            ),
        ),
        partitioned_halves,
    ),
    ConsensusMutant(
        "the quorum is off by one",
        (
            Rewrite(
                "consensus.committee:Committee.__init__",
                "self.quorum = self.size - self.max_faulty",
                "self.quorum = self.size - self.max_faulty - 1",
            ),
        ),
        partitioned_halves,
    ),
    ConsensusMutant(
        "notarize after nullify",
        (
            Rewrite("consensus.voter:Voter.judge", "state.own_votes", "{}"),
            Rewrite("consensus.voter:Voter.hear_verdict", "state.own_votes", "{}"),
        ),
        restart.test_no_notarize_after_a_restart_in_a_view_that_was_nullified,
    ),
    ConsensusMutant(
        "finalize after nullify",
        (Rewrite("consensus.voter:Voter._may_finalize", "or Nullify.kind in own", ""),),
        byzantine.test_a_notarization_after_our_own_nullify_is_certified_but_not_finalized_by_us,
    ),
    ConsensusMutant(
        "finalize of another proposal than was notarized",
        (
            Rewrite(
                "consensus.voter:Voter._may_finalize",
                "notarized is not None and notarized.statement != Notarize(proposal)",
                "False",
            ),
        ),
        victim_of_an_equivocation,
    ),
    ConsensusMutant(
        "certify is refused after nullify",
        (
            Rewrite(
                "consensus.voter:Voter.certify",
                "if state.notarization is None:",
                "if state.notarization is None or Nullify.kind in state.own_votes:",
            ),
        ),
        byzantine.test_a_notarization_after_our_own_nullify_is_certified_but_not_finalized_by_us,
    ),
    ConsensusMutant(
        "the leader is not checked",
        (
            Rewrite(
                "consensus.intake:Intake._hear_proposed", "context.committee.leader(proposal.view) != sender", "False"
            ),
        ),
        byzantine.test_a_proposal_of_somebody_who_does_not_lead_is_refused,
    ),
    ConsensusMutant(
        "the justification's hash is not checked",
        (
            Rewrite(
                "consensus.intake:Intake._hear_proposed",
                "justification_hash(message.justification) != proposal.justification_hash",
                "False",
            ),
        ),
        byzantine.test_a_justification_other_than_the_one_the_vote_names_is_refused,
    ),
    ConsensusMutant(
        "certificates are not verified",
        (
            Rewrite(
                "consensus.context:Context.hear_certificate",
                "check_quorum(certificate.quorum",
                "(lambda *_: None)(certificate.quorum",
            ),
        ),
        byzantine.test_a_proposal_that_skips_a_view_without_its_nullification_is_refused,
    ),
    ConsensusMutant(
        "own votes do not count after a restart",
        (Rewrite("consensus.context:Context._restore", "state.tally.add(vote, verified=True)", "pass"),),
        restart.test_own_votes_count_after_a_restart,
    ),
    ConsensusMutant(
        "a lost journal does not matter",
        (
            Rewrite(
                "consensus.context:Context.may_sign",
                "self.signing_from is not None and view >= self.signing_from",
                "True",
            ),
        ),
        restart.test_a_wiped_journal_signs_in_later_views_only_and_remembers_that,
    ),
    ConsensusMutant(
        "history is not checked against our tip",
        (
            Rewrite(
                "consensus.catchup:CatchUp._check_chunk",
                "if not joints or joints[0].parent != tip.block_id:",
                "if False:",
            ),
        ),
        history_of_another_chain,
    ),
    ConsensusMutant(
        "finalize votes are said once only",
        (
            Rewrite(
                "consensus.repeater:Repeater._retry_due_ms",
                " or context.views.highest_certified > context.views.finalized",
                "",
            ),
        ),
        network.test_lost_finalize_votes_at_an_idle_tip_are_said_again,
    ),
    ConsensusMutant(
        "equivocation is not evidence",
        (Rewrite("consensus.context:Context._blame", "self.outbox.emit(Blame(", "(lambda _: None)(("),),
        equivocating_twins,
    ),
    ConsensusMutant(
        "views are not forgotten",
        (Rewrite("consensus.views:Views.prune", "if view < self.floor", "if view < 0"),),
        restart.test_the_journal_forgets_what_is_long_final,
    ),
)
