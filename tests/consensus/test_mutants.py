"""Planted bugs: each rule that matters is taken out once, and a scenario must notice."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import pytest

from consensus import catchup, committee, context, intake, outbox, repeater, views, voter
from tests.consensus import test_byzantine as byzantine
from tests.consensus import test_network as network
from tests.consensus import test_restart as restart
from tests.consensus.harness import Cluster

ANY_FAILURE = (Exception, pytest.fail.Exception)


class Mutant(NamedTuple):
    name: str
    module: ModuleType
    owner: str
    methods: str
    old: str
    new: str
    """Replaced wherever `old` occurs in the method."""
    scenario: Callable[[], object]


def partitioned_halves() -> None:
    cluster = Cluster(4)
    cluster.partition({0, 1}, {2, 3})
    cluster.start()
    cluster.run(20_000)


def twins() -> None:
    cluster = Cluster(4)
    cluster.add_twin(1, {0, 2, 3}, {0, 2, 3})
    cluster.start()
    cluster.run(4_000)
    assert cluster.monitor.blames


MUTANTS = [
    Mutant(
        "votes are not journaled",
        context,
        "Context",
        "_sign",
        "self.outbox.write(vote_write(vote))",
        "pass",
        restart.test_a_journaled_vote_is_said_again_and_never_signed_anew,
    ),
    Mutant(
        "votes leave before they are durable",
        outbox,
        "Outbox",
        "flush",
        "(Persist(tuple(self._writes)), *self._effects)",
        "(*self._effects, Persist(tuple(self._writes)))",
        partitioned_halves,
    ),
    Mutant(
        "the quorum is off by one",
        committee,
        "Committee",
        "__init__",
        "self.quorum = self.size - self.max_faulty",
        "self.quorum = self.size - self.max_faulty - 1",
        partitioned_halves,
    ),
    Mutant(
        "notarize after nullify",
        voter,
        "Voter",
        "judge hear_verdict",
        "state.own_votes",
        "{}",
        restart.test_no_notarize_after_a_restart_in_a_view_that_was_nullified,
    ),
    Mutant(
        "finalize after nullify",
        voter,
        "Voter",
        "_may_finalize",
        "or Nullify.kind in own",
        "",
        byzantine.test_a_notarization_after_our_own_nullify_is_certified_but_not_finalized_by_us,
    ),
    Mutant(
        "finalize of another proposal than was notarized",
        voter,
        "Voter",
        "_may_finalize",
        "notarized is not None and notarized.statement != Notarize(proposal)",
        "False",
        lambda: byzantine.test_the_victim_of_an_equivocation_takes_the_notarized_block_and_goes_on(7, [2, 3, 4, 5, 6]),
    ),
    Mutant(
        "certify is refused after nullify",
        voter,
        "Voter",
        "certify",
        "if state.notarization is None:",
        "if state.notarization is None or Nullify.kind in state.own_votes:",
        byzantine.test_a_notarization_after_our_own_nullify_is_certified_but_not_finalized_by_us,
    ),
    Mutant(
        "the leader is not checked",
        intake,
        "Intake",
        "_hear_proposed",
        "context.committee.leader(proposal.view) != sender",
        "False",
        byzantine.test_a_proposal_of_somebody_who_does_not_lead_is_refused,
    ),
    Mutant(
        "the justification's hash is not checked",
        intake,
        "Intake",
        "_hear_proposed",
        "justification_hash(message.justification) != proposal.justification_hash",
        "False",
        byzantine.test_a_justification_other_than_the_one_the_vote_names_is_refused,
    ),
    Mutant(
        "certificates are not verified",
        context,
        "Context",
        "hear_certificate",
        "check_quorum(certificate.quorum",
        "(lambda *_: None)(certificate.quorum",
        byzantine.test_a_proposal_that_skips_a_view_without_its_nullification_is_refused,
    ),
    Mutant(
        "own votes do not count after a restart",
        context,
        "Context",
        "_restore",
        "state.tally.add(vote, verified=True)",
        "pass",
        restart.test_own_votes_count_after_a_restart,
    ),
    Mutant(
        "a lost journal does not matter",
        context,
        "Context",
        "may_sign",
        "self.signing_from is not None and view >= self.signing_from",
        "True",
        restart.test_a_wiped_journal_signs_in_later_views_only_and_remembers_that,
    ),
    Mutant(
        "history is not checked against our tip",
        catchup,
        "CatchUp",
        "_check_chunk",
        "if not joints or joints[0].parent != tip.block_id:",
        "if False:",
        lambda: byzantine.test_history_is_believed_only_with_hash_links_to_a_finalization("foreign_root"),
    ),
    Mutant(
        "finalize votes are said once only",
        repeater,
        "Repeater",
        "_retry_due_ms",
        " or context.views.highest_certified > context.views.finalized",
        "",
        network.test_lost_finalize_votes_at_an_idle_tip_are_said_again,
    ),
    Mutant(
        "equivocation is not evidence",
        context,
        "Context",
        "_blame",
        "self.outbox.emit(Blame(",
        "(lambda _: None)((",
        twins,
    ),
    Mutant(
        "views are not forgotten",
        views,
        "Views",
        "prune",
        "if view < self.floor",
        "if view < 0",
        restart.test_the_journal_forgets_what_is_long_final,
    ),
]


def plant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the module once more with the bug in these methods, and put them in the place of the sound ones."""
    owner = getattr(mutant.module, mutant.owner)
    source = inspect.getsource(mutant.module)
    for name in mutant.methods.split():
        sound = inspect.getsource(getattr(owner, name))
        assert mutant.old in sound
        source = source.replace(sound, sound.replace(mutant.old, mutant.new))
    namespace = {"__name__": mutant.module.__name__}
    exec(compile(source, "mutant", "exec"), namespace)
    for name in mutant.methods.split():
        monkeypatch.setattr(owner, name, getattr(namespace[mutant.owner], name))


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_planted_bug_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.scenario()  # passes while nothing is planted
    plant(mutant, monkeypatch)
    with pytest.raises(ANY_FAILURE):
        mutant.scenario()
