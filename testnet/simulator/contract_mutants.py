"""Bugs planted in how contracts' calls are run, answered, resumed and ended."""

from dataclasses import replace

from testnet.simulator.mutation import Mutant, Rewrite
from testnet.simulator.settings import SimulationSettings

_CALLS = SimulationSettings(0, shards=2, validators=1, relays=1, seconds=40, calls_per_minute=60, intensity=2)
_TOGETHER = replace(_CALLS, validators=4, seconds=20, chaos_seconds=5)

CONTRACT_MUTANTS: tuple[Mutant, ...] = (
    # Value and gas
    Mutant(
        "value_credited_before_the_first_commit",
        (Rewrite("shards.calls.runs:settle_new", "or outcome.journal:", "or True:"),),
        _CALLS,
    ),
    Mutant(
        "gas_refund_lost",
        (
            Rewrite(
                "shards.calls.arrivals:_settle",
                "gas_left=caller.gas_left + refund // GAS_PRICE",
                "gas_left=caller.gas_left",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "late_refund_to_nobody",
        (Rewrite("shards.calls.arrivals:_settle", "contract.balance += refund", "state.escrow += refund"),),
        _CALLS,
    ),
    Mutant(
        "failure_costs_nothing",
        (
            Rewrite(
                "shards.calls.runs:_conclude",
                "call, cost = attempt.call, outcome.cost",
                "call, cost = attempt.call, outcome.cost; "
                "cost = Cost(0, cost.sent) if isinstance(outcome, Failed) else cost",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "refused_call_keeps_its_gas",
        (
            Rewrite(
                "shards.calls.sending:send_call",
                "_refusal(call_id, outgoing, obstacle, carried",
                "_refusal(call_id, outgoing, obstacle, value",
            ),
            Rewrite(
                "shards.calls.sending:send_call",
                "resume_gas), caller.trace_id, carried)\n    else",
                "resume_gas), caller.trace_id, value)\n        state.held_fees += carried - value\n    else",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "top_up_lost",
        (
            Rewrite(
                "shards.calls.operations:_top_up", "gas_left=call.gas_left + operation.gas", "gas_left=call.gas_left"
            ),
        ),
        replace(_CALLS, seconds=80),
    ),
    Mutant(
        "value_of_a_refused_call_kept",
        (
            Rewrite(
                "shards.calls.arrivals:_answer",
                "returned += unpack_amount(call.value)",
                "state.held_fees += unpack_amount(call.value)",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "open_calls_never_end",
        (Rewrite("shards.calls.arrivals:_settle", "contract.open_calls -= 1", "pass"),),
        _CALLS,
    ),
    Mutant(
        "value_credited_twice",
        (Rewrite("shards.calls.runs:settle_new", ".balance += value", ".balance += 2 * value"),),
        _CALLS,
    ),
    Mutant(
        "resumed_with_more_than_reserved",
        (
            Rewrite(
                "shards.calls.arrivals:_deliver", "cause, gas_limit)\n    else", "cause, caller.gas_left)\n    else"
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "value_that_comes_back_late_lost",
        (
            Rewrite(
                "shards.calls.arrivals:_settle",
                "contract.balance += value - refund",
                "state.escrow += value - refund if open_call.given_up else 0; "
                "contract.balance += 0 if open_call.given_up else value - refund",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "spends_what_it_has_spent",
        (Rewrite("contracts.session:Session._held", " - self._committed.spent - self.pending.spent", ""),),
        _CALLS,
    ),
    # Replies and journals
    Mutant(
        "reply_delivered_twice",
        (
            Rewrite("shards.calls.runs:_delivered", "state.put(reply_key(call_id, arrived.number), None)", "pass"),
            Rewrite("shards.calls.runs:_delivered", "return replace(call, arrived=())", "return call"),
        ),
        _CALLS,
    ),
    Mutant(
        "reply_after_giving_up",
        (Rewrite("shards.calls.arrivals:_settle", "if open_call.given_up:", "if False:"),),
        _CALLS,
    ),
    Mutant(
        "journal_dropped",
        (
            Rewrite(
                "shards.calls.runs:_conclude",
                "replace(call, journal=outcome.journal, waits=outcome.waits)",
                "replace(call, journal=outcome.journal[-1:], waits=outcome.waits)",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "patience_not_set",
        (Rewrite("shards.calls.sending:send_call", "    if patience:\n", "    if False:\n"),),
        _CALLS,
    ),
    Mutant(
        "patience_ignored",
        (Rewrite("shards.calls.local:execute_local", "give_up(state, call_id)", "pass"),),
        _CALLS,
    ),
    Mutant(
        "starving_for_ever",
        (Rewrite("shards.calls.local:_starved", "fail_starved(state, call_id, call)", "pass"),),
        replace(_CALLS, seconds=80),
    ),
    Mutant(
        "timers_ring_late",
        (Rewrite("shards.calls.queue:due_timers", "state.time_ms + 1", "state.time_ms - 1000"),),
        _CALLS,
    ),
    Mutant(
        "patience_timer_stays",
        (
            Rewrite(
                "shards.calls.arrivals:consume_reply",
                "clear_timer(state, open_call.patience_until_ms, TimerKind.PATIENCE, CallId(reply.call_id))",
                "pass",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "replies_in_another_order",
        (
            Rewrite(
                "shards.calls.arrivals:_deliver",
                "(*caller.arrived, Arrived(reply.number, reply.kind))",
                "(Arrived(reply.number, reply.kind), *caller.arrived)",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "resumed_by_any_reply",
        (
            Rewrite(
                "shards.calls.arrivals:_goes_on",
                "return bool(caller.starved_until_ms) or is_worth_resuming(caller.waits, kinds)",
                "return bool(kinds)",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "failure_waits_for_the_others",
        (Rewrite("contracts.outcomes:is_worth_resuming", "wait.early and", "False and"),),
        _CALLS,
    ),
    Mutant(
        "reason_of_a_failure_lost",
        (Rewrite("shards.calls.ending:end_call", "clipped(ending.error_text, MAX_ERROR_LENGTH)", "''"),),
        _CALLS,
    ),
    # Who runs, what, when
    Mutant(
        "expired_call_executed",
        (
            Rewrite(
                "shards.calls.arrivals:_refusal",
                "state.time_ms > call.deadline_ms",
                "state.time_ms > call.deadline_ms and not call.method",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "sender_of_another_shard_passes_for_ours",
        (
            Rewrite(
                "shards.calls.arrivals:principal_text",
                'return address if source == shard else f"{address}@{source}"',
                "return address",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "init_can_be_called",
        (Rewrite("shards.calls.arrivals:_refusal", "call.method in RESERVED_METHODS or ", ""),),
        _CALLS,
    ),
    Mutant(
        "upgrade_switches_a_call_under_way",
        (
            Rewrite(
                "shards.calls.runs:invocation_of",
                "code_hash=call.code_hash",
                "code_hash=(call if attempt.new_code else state.existing_contract(call.contract).record).code_hash",
            ),
        ),
        replace(_CALLS, seconds=80),
    ),
    Mutant(
        "contract_reads_the_state_before_the_block",
        (Rewrite("shards.calls.world:LedgerWorld.read", "self._state.get(", "self._state._read("),),
        _CALLS,
    ),
    Mutant(
        "endless_depth",
        (Rewrite("shards.calls.sending:_obstacle", "caller.depth >= MAX_DEPTH", "caller.depth > MAX_DEPTH"),),
        replace(_CALLS, seconds=80),
    ),
    Mutant(
        "anybody_upgrades",
        (
            Rewrite(
                "shards.calls.operations:_upgrade",
                "contract.record.owner != transaction.body.sender",
                "not contract.record.owner",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "name_taken_twice",
        (Rewrite("shards.calls.operations:_deploy", "state.contract(operation.name) is not None", "False"),),
        _CALLS,
    ),
    Mutant(
        "deadline_moved",
        (
            Rewrite(
                "shards.calls.sending:_message",
                "deadline_ms=outgoing.deadline_ms",
                "deadline_ms=outgoing.deadline_ms + 60_000",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "failure_undoes_nothing",
        (
            Rewrite(
                "contracts.machine.local:Run._failed",
                "session = self._session",
                "session = self._session; session._merge()",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "own_keys_unlisted",
        (
            Rewrite(
                "contracts.session:Session._keys",
                "layers = (self._committed.writes, self.pending.writes)",
                "layers = (self._committed.writes,)",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "deleted_keys_listed",
        (Rewrite("shards.working_state:WorkingState._stored_between", "if key in self._gone_keys:", "if False:"),),
        _CALLS,
    ),
    Mutant(
        "migrate_skipped",
        (
            Rewrite(
                "shards.calls.operations:_install",
                "if not _has(compiled.methods, method):",
                "if not _has(compiled.methods, method) or method == 'migrate':",
            ),
        ),
        _CALLS,
    ),
    # The queue
    Mutant(
        "queue_taken_from_the_wrong_end",
        (
            Rewrite(
                "shards.calls.queue:queued",
                "body = state.get(queue_key(first))",
                "body = state.get(queue_key(first if end - first > 2 else end - 1))",
            ),
        ),
        _CALLS,
    ),
    Mutant(
        "queued_in_this_block_and_executed",
        (Rewrite("shards.calls.local:execute_local", "queued(state, end)", "queued(state, queue_of(state).end)"),),
        _CALLS,
    ),
    Mutant(
        "queued_item_stays",
        (Rewrite("shards.calls.queue:dequeue", "state.put(queue_key(queue.first), None)", "pass"),),
        _CALLS,
    ),
    Mutant(
        "queue_takes_the_whole_block",
        (Rewrite("shards.calls.local:Budget.allows", "if gas > self._left:", "if False:"),),
        _CALLS,
    ),
    # Determinism
    Mutant(
        "gas_depends_on_the_moment",
        (
            Rewrite(
                "shards.calls.runs:_conclude",
                "call, cost = attempt.call, outcome.cost",
                "used = max(0, outcome.cost.used - __import__('time').perf_counter_ns() % 2); "
                "outcome = replace(outcome, cost=Cost(used, outcome.cost.sent)); "
                "call, cost = attempt.call, outcome.cost",
            ),
        ),
        _TOGETHER,
    ),
    Mutant(
        "failure_tells_the_time",
        (
            Rewrite(
                "shards.calls.runs:_conclude",
                "error_text=outcome.message,",
                "error_text=f\"{outcome.message} {__import__('time').perf_counter_ns()}\",",
            ),
        ),
        _TOGETHER,
    ),
    Mutant(
        "log_tells_the_time",
        (
            Rewrite(
                "shards.calls.runs:note_run",
                "log=outcome.log",
                "log=(str(__import__('time').perf_counter_ns()),)",
            ),
        ),
        _TOGETHER,
    ),
)
