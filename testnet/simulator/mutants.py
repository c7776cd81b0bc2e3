"""Planted bugs: the proof that the checkers check.

A mutant rewrites a few words of production functions, in memory and for the time of a `with`. `WITNESSES` records for
each the settings under which a checker was seen to catch it; `hunt` looks for such settings. A mutant whose words are
not found any more fails loudly: production code has changed, and the mutant must be planted anew.
"""

import inspect
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from primitives.errors import invariant
from testnet.simulator.findings import Violation
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import run_simulation


class Rewrite(NamedTuple):
    """Where (`module:function` or `module:Class.method`), the words to replace, and what they become."""

    where: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug."""

    name: str
    rewrites: tuple[Rewrite, ...]
    settings: SimulationSettings = SimulationSettings(0)
    """Where to hunt: the seed is replaced."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A run that catches a mutant, and the invariant that it is caught by."""

    mutant: str
    seed: int
    invariant: str


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Production code with this bug in it."""
    with ExitStack() as stack:
        for rewrite in mutant.rewrites:
            stack.enter_context(_rewritten(rewrite))
        yield


@contextmanager
def _rewritten(rewrite: Rewrite) -> Iterator[None]:
    module_name, _, path = rewrite.where.partition(":")
    module = import_module(module_name)
    *owners, name = path.split(".")
    owner: Any = module
    for each in owners:
        owner = getattr(owner, each)
    raw = inspect.getattr_static(owner, name)
    function = raw.__func__ if isinstance(raw, staticmethod) else raw
    # A setter cannot be rewritten in place: the code object is what every reference to the function shares.
    before = function.__code__
    function.__code__ = _compile(module, function, rewrite).__code__
    try:
        yield
    finally:
        function.__code__ = before


def _compile(module: ModuleType, function: FunctionType, rewrite: Rewrite) -> FunctionType:
    source = textwrap.dedent(inspect.getsource(function))
    invariant(source.count(rewrite.old) == 1, f"{rewrite.where} must contain {rewrite.old!r} exactly once")
    source = source.replace(rewrite.old, rewrite.new)
    # Without its decorators: the code object below them is what is exchanged.
    source = source[source.index("def ") :]
    scope: dict[str, Any] = {}
    exec(compile(source, f"<{rewrite.where}, mutated>", "exec"), module.__dict__, scope)  # noqa: S102 - our own source
    mutated: FunctionType = scope[function.__name__]
    invariant(mutated.__code__.co_freevars == function.__code__.co_freevars, f"{rewrite.where} is no closure")
    return mutated


_LYING = SimulationSettings(0, byzantine_relays=("forging", "reordering", "replaying"), seconds=30)
_CALM = SimulationSettings(0, seconds=30, chaos_seconds=10)

MUTANTS: tuple[Mutant, ...] = (
    # Consensus
    Mutant(
        "vote_not_journaled",
        (Rewrite("consensus.context:Context._sign", "self.outbox.write(vote_write(vote))", "pass"),),
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
    ),
    Mutant(
        "restart_forgets_own_votes",
        (
            Rewrite(
                "consensus.context:Context._restore", "state.own_votes[vote.statement.kind] = vote", "pass"
            ),
        ),
    ),
    Mutant(
        "notarize_after_nullify",
        (
            Rewrite("consensus.voter:Voter.judge", "not (state.own_votes or", "not (Notarize.kind in state.own_votes or"),
            Rewrite(
                "consensus.voter:Voter.hear_verdict",
                "or state.own_votes:",
                "or Notarize.kind in state.own_votes:",
            ),
            Rewrite("consensus.context:Context.cast", "Nullify.kind not in own, f\"view {statement.view}: notarize", "True, f\"view {statement.view}: notarize"),
        ),
    ),
    Mutant(
        "finalize_after_nullify",
        (
            Rewrite("consensus.voter:Voter._may_finalize", "or Nullify.kind in own", ""),
            Rewrite("consensus.context:Context.cast", "Nullify.kind not in own, f\"view {statement.view}: finalize", "True, f\"view {statement.view}: finalize"),
        ),
    ),
    Mutant(
        "quorum_off_by_one",
        (
            Rewrite(
                "consensus.committee:Committee.__init__", "self.size - self.max_faulty", "self.size - self.max_faulty - 1"
            ),
        ),
        _CALM,
    ),
    Mutant(
        "finalized_block_not_stored",
        (Rewrite("consensus.journal:finalized_writes", "Write(BLOCKS, integer_key(height), raw),", ""),),
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
    ),
    Mutant(
        "pending_nonces_forgotten",
        (Rewrite("shards.validator.pending:PendingChain.next_nonce", "+ self._nonces_used[sender]", ""),),
        _CALM,
    ),
    Mutant(
        "pending_messages_forgotten",
        (
            Rewrite(
                "shards.validator.pending:PendingChain.position", "received = max(received, StreamSequence(each.end))", "pass"
            ),
        ),
        _CALM,
    ),
    Mutant(
        "bundle_sequence_unchecked",
        (
            Rewrite("shards.validator.inbox:fits", "bundle.first <= position.received and ", ""),
        ),
        _LYING,
    ),
    # Ledger and streams
    Mutant(
        "fee_not_charged",
        (Rewrite("shards.transfers:execute_transaction", "state.held_fees += held", "state.held_fees += held - fee; sender.balance += fee - (fee - fee)"),),
        _CALM,
    ),
    Mutant(
        "refund_to_nobody",
        (Rewrite("shards.consumption:_consume_reply", "sender.balance += value", "state.escrow += value"),),
    ),
    Mutant(
        "refund_twice",
        (Rewrite("shards.consumption:_consume_reply", "sender.balance += value", "sender.balance += 2 * value"),),
    ),
    Mutant(
        "expired_call_credited",
        (Rewrite("shards.consumption:_judge", "state.time_ms > call.deadline_ms", "state.time_ms < 0"),),
    ),
    Mutant(
        "message_consumed_twice",
        (
            Rewrite("shards.consumption:_split", "if sequence < lane.received.size:", "if sequence + 1 < lane.received.size:"),
        ),
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
        _CALM,
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
        (Rewrite("shards.bundles:_check_stream", "mmr.extend(peaks, bundle.right, head.end).root() != head.mmr_root", "not peaks"),),
        _LYING,
    ),
    Mutant(
        "bundle_head_unbound",
        (Rewrite("shards.bundles:verify_bundle", "not verify_inclusion(leaf, destination, context.shard_count, bundle.path, outbox_root)", "not leaf or not outbox_root"),),
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
    ),
    # Relay
    Mutant("courier_never_delivers_again", (Rewrite("relay.lanes:Lane.stalled", "bool(self.ahead) and", "False and"),), replace(_LYING, relays=0)),
)

WITNESSES: tuple[Witness, ...] = ()


def mutant_named(name: str) -> Mutant:
    """The mutant of this name."""
    return next(mutant for mutant in MUTANTS if mutant.name == name)


def hunt(mutant: Mutant, seeds: Iterable[int]) -> tuple[Witness, Violation] | None:
    """The first seed that catches the mutant while its clean run is clean."""
    for seed in seeds:
        settings = replace(mutant.settings, seed=seed, real_signatures=False)
        with planted(mutant):
            report = run_simulation(settings)
        if not report.passed and run_simulation(settings).passed:
            found = report.violations[0]
            return Witness(mutant.name, seed, found.invariant), found
    return None
