"""Planted bugs: the proof that the checkers check. Each has a recorded witness, a run in which a checker catches it."""

from dataclasses import replace

from testnet.simulator.contract_mutants import CONTRACT_MUTANTS
from testnet.simulator.mutation import Mutant, Rewrite, Witness
from testnet.simulator.settings import SimulationSettings

_CHAOS = SimulationSettings(0, shards=2, seconds=40, intensity=4)
_CALM = SimulationSettings(0, shards=2, seconds=20, chaos_seconds=5)
_BUSY = SimulationSettings(
    0, shards=2, seconds=24, transactions_per_second=6, accounts=20, relays=3, intensity=2, flush_blocks=1
)
_LYING = SimulationSettings(0, byzantine_relays=("forging", "reordering", "replaying"), seconds=30)
_REORDERING = replace(_BUSY, relays=1, byzantine_relays=("reordering", "reordering"), intensity=3)
_FLOODED = SimulationSettings(
    0, shards=2, seconds=40, chaos_seconds=5, faults=(), byzantine_validators={"s0v1": "future-flood"}
)
_DAMAGED = SimulationSettings(0, shards=1, seconds=40, intensity=6, catalogue="whole")
_LONG = SimulationSettings(0, shards=1, seconds=90, chaos_seconds=5, faults=())

MUTANTS: tuple[Mutant, ...] = (
    # Consensus
    Mutant(
        "vote_not_journaled",
        (Rewrite("consensus.context:Context._sign", "self.outbox.write(vote_write(vote))", "pass"),),
        _CHAOS,
    ),
    Mutant(
        "vote_sent_before_durable",
        (
            Rewrite(
                "consensus.outbox:Outbox.flush",
                "(Persist(tuple(self._writes)), *self._effects)",
                "(*self._effects, Persist(tuple(self._writes)))",
            ),
        ),
        _CHAOS,
    ),
    Mutant(
        "restart_forgets_own_votes",
        (Rewrite("consensus.context:Context._restore", "state.own_votes[vote.statement.kind] = vote", "pass"),),
        _CHAOS,
    ),
    Mutant(
        "notarize_after_nullify",
        (
            Rewrite(
                "consensus.voter:Voter.judge", "not (state.own_votes or", "not (Notarize.kind in state.own_votes or"
            ),
            Rewrite(
                "consensus.voter:Voter.hear_verdict",
                "or state.own_votes:",
                "or Notarize.kind in state.own_votes:",
            ),
            Rewrite(
                "consensus.context:Context.cast",
                'Nullify.kind not in own, f"view {statement.view}: notarize',
                'True, f"view {statement.view}: notarize',
            ),
        ),
        _CHAOS,
    ),
    Mutant(
        "finalize_after_nullify",
        (
            Rewrite("consensus.voter:Voter._may_finalize", "or Nullify.kind in own", ""),
            Rewrite(
                "consensus.context:Context.cast",
                'Nullify.kind not in own, f"view {statement.view}: finalize',
                'True, f"view {statement.view}: finalize',
            ),
        ),
        _CHAOS,
    ),
    Mutant(
        "quorum_off_by_one",
        (
            Rewrite(
                "consensus.committee:Committee.__init__",
                "self.size - self.max_faulty",
                "self.size - self.max_faulty - 1",
            ),
        ),
        _CALM,
    ),
    Mutant(
        "a_lost_journal_signs_at_once",
        (
            Rewrite(
                "consensus.journal:_recover_signing",
                "if earned is not None else None",
                "if earned is not None else View(1)",
            ),
        ),
        _DAMAGED,
    ),
    Mutant(
        "finalized_block_not_stored",
        (Rewrite("consensus.journal:finalized_writes", "Write(BLOCKS, integer_key(height), raw),", ""),),
        _CHAOS,
    ),
    # Validator
    Mutant(
        "commitment_signed_before_durable",
        (
            Rewrite(
                "shards.validator.pipeline:Pipeline.on_executed",
                "self._emit(Persist(chain_store.execution_writes(execution)))",
                "self._sign(commitment); self._emit(Persist(chain_store.execution_writes(execution)))",
            ),
        ),
        _CALM,
    ),
    Mutant(
        "final_transactions_not_indexed",
        (Rewrite("shards.validator.pipeline:Pipeline.on_finalized", "self._index(block)", "pass"),),
        _CHAOS,
    ),
    Mutant(
        "pending_nonces_forgotten",
        (Rewrite("shards.validator.pending:PendingChain.next_nonce", "+ self._nonces_used[sender]", ""),),
        _BUSY,
    ),
    Mutant(
        "bundle_sequence_unchecked",
        (Rewrite("shards.validator.inbox:fits", "bundle.first <= position.received and ", ""),),
        _REORDERING,
    ),
    Mutant(
        "votes_not_repeated",
        (
            Rewrite("consensus.repeater:Repeater.run", "self._is_starting = False\n        self._repeat()", "pass"),
            Rewrite(
                "consensus.repeater:Repeater.run", "self._repeats += 1\n        self._repeat()", "self._repeats += 1"
            ),
        ),
        _CHAOS,
    ),
    # Ledger and streams
    Mutant(
        "fee_not_charged",
        (
            Rewrite(
                "shards.transfers:_execute_transfers",
                "state.held_fees += fee - travelling",
                "state.held_fees += fee - travelling - 1; sender.balance += 1",
            ),
        ),
        _CALM,
    ),
    Mutant(
        "refund_to_nobody",
        (Rewrite("shards.calls.arrivals:consume_reply", "sender.balance += value", "state.escrow += value"),),
        _BUSY,
    ),
    Mutant(
        "refund_twice",
        (Rewrite("shards.calls.arrivals:consume_reply", "sender.balance += value", "sender.balance += 2 * value"),),
        _BUSY,
    ),
    Mutant(
        "expired_call_credited",
        (Rewrite("shards.calls.arrivals:_refusal", "state.time_ms > call.deadline_ms", "state.time_ms < 0"),),
        _BUSY,
    ),
    Mutant(
        "message_consumed_twice",
        (
            Rewrite(
                "shards.consumption:_split",
                "if sequence < lane.received.size:",
                "if sequence + 1 < lane.received.size:",
            ),
        ),
        _BUSY,
    ),
    Mutant(
        "acknowledges_too_much",
        (
            Rewrite(
                "shards.lanes:LaneDraft.acknowledge",
                "max(self.begin, ack_next)",
                "max(self.begin, min(self.sent.size, ack_next + 1))",
            ),
        ),
        _BUSY,
    ),
    Mutant(
        "window_leaks",
        (Rewrite("shards.working_state:WorkingState.acknowledge", "lane.open_requests -= is_request(body)", "pass"),),
        _CALM,
    ),
    Mutant(
        "certificate_quorum_unchecked",
        (Rewrite("consensus.quorum:check_quorum", "if len(signers) < committee.quorum:", "if not signers:"),),
        _LYING,
    ),
    Mutant(
        "bundle_bodies_unbound",
        (
            Rewrite(
                "shards.bundles:_check_stream",
                "mmr.extend(peaks, bundle.right, head.end).root() != head.mmr_root",
                "not peaks",
            ),
        ),
        _LYING,
    ),
    Mutant(
        "bundle_head_unbound",
        (
            Rewrite(
                "shards.bundles:verify_bundle",
                "not verify_inclusion(leaf, destination, context.shard_count, bundle.path, outbox_root)",
                "not leaf or not outbox_root",
            ),
        ),
        _LYING,
    ),
    Mutant(
        "flush_forgets_deletions",
        (
            Rewrite(
                "shards.ledger:Ledger.take_flush",
                "dict(sorted(changes.items()))",
                "{key: value for key, value in sorted(changes.items()) if value is not None}",
            ),
        ),
        _BUSY,
    ),
    Mutant(
        "result_depends_on_a_cache",
        (
            Rewrite(
                "shards.ledger:Ledger._conclude",
                "receipt_count=len(state.receipts),",
                "receipt_count=len(state.receipts) + (not self._paths),",
            ),
        ),
        replace(_CHAOS, transactions_per_second=4, accounts=16),
    ),
    # Relay
    Mutant(
        "courier_never_delivers_again",
        (Rewrite("relay.lanes:Lane.stalled", "bool(self.ahead) and", "False and"),),
        replace(_REORDERING, relays=0, intensity=4, seconds=40),
    ),
    # What is held for others
    Mutant(
        "votes_of_the_future_kept",
        (Rewrite("consensus.intake:Intake._hear_vote", "view > context.views.current + 1", "False"),),
        _FLOODED,
    ),
    Mutant(
        "signatures_of_the_future_kept",
        (
            Rewrite(
                "shards.validator.certifier:Certifier.add",
                "abs(vote.commitment.height - self._executed) > WINDOW",
                "False",
            ),
        ),
        _FLOODED,
    ),
    Mutant(
        "old_views_kept",
        (Rewrite("consensus.views:Views.prune", "view < self.floor", "False"),),
        _LONG,
    ),
    *CONTRACT_MUTANTS,
)

_SEEN: dict[str, tuple[int, str]] = {
    "vote_not_journaled": (2, "S4"),
    "vote_sent_before_durable": (1, "D1"),
    "restart_forgets_own_votes": (1, "A1"),
    "notarize_after_nullify": (1, "S4"),
    "finalize_after_nullify": (2, "S4"),
    "quorum_off_by_one": (1, "S3"),
    "a_lost_journal_signs_at_once": (4, "S4"),
    "finalized_block_not_stored": (1, "D1"),
    "commitment_signed_before_durable": (1, "S4"),
    "final_transactions_not_indexed": (1, "D1"),
    "pending_nonces_forgotten": (2, "H1"),
    "bundle_sequence_unchecked": (4, "H1"),
    "votes_not_repeated": (1, "L1"),
    "fee_not_charged": (1, "V1"),
    "refund_to_nobody": (1, "V1"),
    "refund_twice": (1, "H1"),
    "expired_call_credited": (1, "X4"),
    "message_consumed_twice": (3, "X1"),
    "acknowledges_too_much": (1, "X1"),
    "window_leaks": (1, "X4"),
    "certificate_quorum_unchecked": (1, "S3"),
    "bundle_bodies_unbound": (1, "X2"),
    "bundle_head_unbound": (1, "A1"),
    "flush_forgets_deletions": (1, "D1"),
    "courier_never_delivers_again": (2, "X4"),
    "result_depends_on_a_cache": (1, "S2"),
    "votes_of_the_future_kept": (1, "R1"),
    "signatures_of_the_future_kept": (1, "R1"),
    "old_views_kept": (2, "R1"),
    "value_credited_before_the_first_commit": (1, "V1"),
    "gas_refund_lost": (1, "V1"),
    "late_refund_to_nobody": (1, "V1"),
    "failure_costs_nothing": (1, "V1"),
    "refused_call_keeps_its_gas": (1, "V1"),
    "top_up_lost": (1, "V1"),
    "value_of_a_refused_call_kept": (1, "X4"),
    "open_calls_never_end": (1, "V1"),
    "value_credited_twice": (1, "H1"),
    "resumed_with_more_than_reserved": (1, "X4"),
    "value_that_comes_back_late_lost": (4, "V1"),
    "spends_what_it_has_spent": (1, "H1"),
    "reply_delivered_twice": (1, "X4"),
    "reply_after_giving_up": (4, "X4"),
    "journal_dropped": (1, "X4"),
    "patience_not_set": (1, "C1"),
    "patience_ignored": (2, "X4"),
    "starving_for_ever": (1, "X4"),
    "timers_ring_late": (1, "X4"),
    "patience_timer_stays": (1, "X4"),
    "replies_in_another_order": (1, "X4"),
    "resumed_by_any_reply": (1, "X1"),
    "failure_waits_for_the_others": (1, "X4"),
    "reason_of_a_failure_lost": (1, "X4"),
    "expired_call_executed": (1, "X4"),
    "sender_of_another_shard_passes_for_ours": (1, "X4"),
    "init_can_be_called": (1, "X4"),
    "upgrade_switches_a_call_under_way": (1, "X4"),
    "contract_reads_the_state_before_the_block": (1, "C1"),
    "endless_depth": (1, "X2"),
    "anybody_upgrades": (2, "S2"),
    "name_taken_twice": (1, "S2"),
    "deadline_moved": (1, "C1"),
    "failure_undoes_nothing": (2, "C1"),
    "own_keys_unlisted": (1, "C1"),
    "deleted_keys_listed": (3, "C1"),
    "migrate_skipped": (1, "X4"),
    "queue_taken_from_the_wrong_end": (1, "X4"),
    "queued_in_this_block_and_executed": (1, "S2"),
    "queued_item_stays": (1, "X1"),
    "queue_takes_the_whole_block": (1, "X4"),
    "gas_depends_on_the_moment": (1, "S2"),
    "failure_tells_the_time": (1, "S2"),
    "log_tells_the_time": (1, "S2"),
}
"""Mutant -> the seed that catches it and the invariant it breaks;
found by `python -m tests.hunt`, kept by the tests."""

WITNESSES: tuple[Witness, ...] = tuple(
    Witness(mutant, *_SEEN[mutant.name]) for mutant in MUTANTS if mutant.name in _SEEN
)
"""One for each mutant."""


def mutant_named(name: str) -> Mutant:
    """The mutant of this name."""
    return next(mutant for mutant in MUTANTS if mutant.name == name)
