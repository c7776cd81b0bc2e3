"""Calls on the machine: stretches, replies, replays, gas, failures."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import gas, limits
from contracts.machine.chamber import KEPT_FROM_CALL, SNAPSHOTS
from contracts.machine.local import LocalMachine
from contracts.outcomes import (
    Compiled,
    Completed,
    Cost,
    Failed,
    Invocation,
    Outcome,
    OutOfGas,
    Rejected,
    Reply,
    Suspended,
    is_contract_name,
    is_worth_resuming,
    journal_decoder,
)
from contracts.values import Value, decode
from primitives.addresses import format_address
from primitives.amounts import unpack_amount
from primitives.codec import encode as encode_record
from primitives.identifiers import Hash, SecretSeed
from primitives.signatures import public_key_of
from tests.contracts.support import (
    PROGRAMS,
    MemoryWorld,
    deployed,
    failed,
    invocation,
    ok,
    result,
    resumed,
    run_batch,
    run_one,
)

SCENARIOS = (PROGRAMS / "scenarios.py").read_text()


@pytest.fixture
def code(machine: LocalMachine, world: MemoryWorld) -> Hash:
    return deployed(machine, world, SCENARIOS)


def finish(machine: LocalMachine, world: MemoryWorld, call: Invocation, *replies: Reply) -> Outcome:
    """Run a call to its end, one reply at a time."""
    outcome = run_one(machine, world, call)
    for height, reply in enumerate(replies, 6):
        call = resumed(call, outcome, reply, height=height)
        outcome = run_one(machine, world, call)
    return outcome


def test_a_method_returns_and_writes(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = run_one(machine, world, invocation(code, "deposit", 5))
    assert result(outcome) == 5
    assert world.get("total") == 5
    assert result(run_one(machine, world, invocation(code, "deposit", 6))) == 11
    assert outcome.log == ("deposited 5 by osk1alice",)


def test_a_method_that_raises_leaves_nothing_and_says_where(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    outcome = run_one(machine, world, invocation(code, "write_then_raise"))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.error, outcome.message) == ("raised", "TooMuch", "text")
    assert "write_then_raise\n    raise TooMuch" in outcome.traceback
    assert outcome.effects.writes == ()
    assert outcome.cost.used > gas.START_GAS


def test_what_was_written_before_an_await_is_committed_there(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call = invocation(code, "claim_then_fail")
    suspended = run_one(machine, world, call)
    assert world.get("claimed") is True
    assert [sent.method for sent in suspended.effects.calls] == ["reserve"]
    ended = run_one(machine, world, resumed(call, suspended, failed(0)))
    assert isinstance(ended, Failed)
    assert world.get("claimed") is True
    assert world.get("undone") is None


def test_a_read_after_an_await_sees_what_others_wrote_meanwhile(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call = invocation(code, "read_around")
    run_one(machine, world, invocation(code, "deposit", 1))
    suspended = run_one(machine, world, call)
    run_one(machine, world, invocation(code, "deposit", 41))
    assert result(run_one(machine, world, resumed(call, suspended, ok(0, None)))) == [1, 42]


def test_a_replay_reads_its_journal_not_the_state(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    call = invocation(code, "read_around")
    suspended = run_one(machine, world, call)
    world.storage.clear()
    world.reads = 0
    run_one(machine, world, resumed(call, suspended, ok(0, None)))
    assert world.reads == 1


def test_the_block_is_the_one_of_each_stretch(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = finish(machine, world, invocation(code, "blocks"), ok(0, 1), ok(1, 1))
    assert result(outcome) == [[5, 5], [6, 6], [7, 7]]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_gather_gives_its_results_in_order_whatever_the_order_of_replies(
    machine: LocalMachine, world: MemoryWorld, code: Hash, order: tuple[int, ...]
) -> None:
    call = invocation(code, "fan_out", 3)
    suspended = run_one(machine, world, call)
    replies = [ok(number, number * 10) for number in order]
    assert result(run_one(machine, world, resumed(call, suspended, *replies))) == [0, 10, 20]


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(6)))
def test_coroutines_side_by_side_give_the_same_whatever_the_order_of_replies(
    machine: LocalMachine, order: list[int]
) -> None:
    """Three coroutines with two awaits each; a reply that nobody awaits yet waits with the ledger."""
    world = MemoryWorld()
    call = invocation(deployed(machine, world, SCENARIOS), "three_branches")
    outcome = run_one(machine, world, call)
    under_way = [sent.number for sent in outcome.effects.calls]
    rank = {number: place for place, number in enumerate(order)}
    while isinstance(outcome, Suspended):
        number = min(under_way, key=lambda made: rank[made])
        under_way.remove(number)
        call = resumed(call, outcome, ok(number, 1))
        outcome = run_one(machine, world, call)
        under_way += [sent.number for sent in outcome.effects.calls]
    assert result(outcome) == [2, 2, 2]
    done = world.get("done")
    assert isinstance(done, list)
    assert sorted(map(str, done)) == ["a", "b", "c"]


def test_gather_raises_the_first_failure_at_once_and_the_others_run_on(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call = invocation(code, "fan_out_caught", 3)
    suspended = run_one(machine, world, call)
    assert isinstance(suspended, Suspended)
    assert is_worth_resuming(suspended.waits, {1: "failed"})
    assert not is_worth_resuming(suspended.waits, {1: "ok", 0: "ok"})
    assert is_worth_resuming(suspended.waits, {0: "ok", 1: "ok", 2: "ok"})
    assert result(run_one(machine, world, resumed(call, suspended, failed(1)))) == "caught failed"


def test_gather_can_return_the_failures(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    call = invocation(code, "fan_out_returned", 3)
    suspended = run_one(machine, world, call)
    assert isinstance(suspended, Suspended)
    assert not is_worth_resuming(suspended.waits, {1: "failed"})
    replies = (failed(1), ok(0, 5), Reply(2, "unknown", b"", "", "", "", bytes(16)))  # type: ignore[arg-type]
    assert result(run_one(machine, world, resumed(call, suspended, *replies))) == [5, "CallFailed", "OutcomeUnknown"]


@pytest.mark.parametrize("kind", ["failed", "expired", "refused", "lane_full"])
def test_a_failed_call_is_raised_where_it_is_awaited_with_its_kind(
    machine: LocalMachine, world: MemoryWorld, code: Hash, kind: str
) -> None:
    outcome = finish(machine, world, invocation(code, "caught"), failed(0, kind, "NoStock", "owl", "  there\n"))
    assert result(outcome) == [kind, "NoStock", "owl", "  there\n", 0]


def test_an_unknown_outcome_is_no_failed_call(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    unknown = Reply(0, "unknown", b"", "", "", "", bytes(16))  # type: ignore[arg-type]
    outcome = finish(machine, world, invocation(code, "caught"), unknown)
    assert isinstance(outcome, Failed)
    assert outcome.error == "OutcomeUnknown"


def test_an_uncaught_failure_carries_the_other_contracts_traceback_below_its_own(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    outcome = finish(
        machine, world, invocation(code, "loop", 1), failed(0, trace="  shard 2 · stock.py:9 in reserve\n")
    )
    assert isinstance(outcome, Failed)
    assert outcome.traceback.index("shop.py") < outcome.traceback.index("stock.py:9")


def test_finally_may_await_and_commits_there(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = finish(machine, world, invocation(code, "cleans_up"), failed(0), ok(1, None))
    assert isinstance(outcome, Failed)
    assert world.get("cleaning") is True
    assert world.get("cleaned") is None, "the last stretch raised, so it is undone"


@pytest.mark.parametrize("count", [1, 7, 64])
def test_a_loop_awaits_up_to_sixty_four_times(
    machine: LocalMachine, world: MemoryWorld, code: Hash, count: int
) -> None:
    outcome = finish(machine, world, invocation(code, "loop", count), *(ok(n, n) for n in range(count)))
    assert result(outcome) == sum(range(count))


def test_a_call_may_not_await_sixty_five_times(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = finish(machine, world, invocation(code, "loop", 65), *(ok(n, n) for n in range(64)))
    assert isinstance(outcome, Failed)
    assert outcome.kind == "too_many_awaits"


def test_awaiting_a_reply_that_is_already_there_commits(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    call = invocation(code, "await_again")
    suspended = run_one(machine, world, call)
    outcome = run_one(machine, world, resumed(call, suspended, ok(0, 1)))
    assert isinstance(outcome, Failed)
    assert world.get("between") == 1
    assert world.get("after") is None


def test_a_call_that_nobody_awaits_leaves_with_its_stretch(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    outcome = run_one(machine, world, invocation(code, "fire_and_forget"))
    assert [(sent.shard, sent.contract, sent.method, decode(sent.arguments)) for sent in outcome.effects.calls] == [
        (3, "c", "m", [1, "x"])
    ]
    assert result(outcome) is None


def test_gas_sent_along_is_taken_from_the_call_and_not_counted_as_used(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    little = run_one(machine, world, invocation(code, "send_gas", gas.MIN_CALL_GAS))
    much = run_one(machine, world, invocation(code, "send_gas", 70_000))
    assert (little.cost.sent, much.cost.sent) == (gas.MIN_CALL_GAS, 70_000)
    assert abs(much.cost.used - little.cost.used) < 60
    assert [call.gas for call in much.effects.calls] == [70_000]
    short = run_one(machine, world, invocation(code, "send_gas", 70_000, gas=70_000))
    assert isinstance(short, OutOfGas)
    assert short.cost == Cost(70_000, 0)


def test_a_call_that_names_no_gas_sets_the_usual_amount_aside(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    outcome = run_one(machine, world, invocation(code, "fire_and_forget"))
    assert outcome.cost.sent == gas.DEFAULT_CALL_GAS
    assert [call.gas for call in outcome.effects.calls] == [gas.DEFAULT_CALL_GAS]


@pytest.mark.parametrize("amount", [0, gas.MIN_CALL_GAS - 1, limits.MAX_CALL_GAS + 1])
def test_gas_that_no_call_can_begin_with_is_declined(
    machine: LocalMachine, world: MemoryWorld, code: Hash, amount: int
) -> None:
    outcome = run_one(machine, world, invocation(code, "send_gas", amount))
    assert isinstance(outcome, Failed)
    assert (outcome.error, outcome.cost.sent) == ("LimitExceeded", 0)
    assert outcome.message == f"gas of a call: {gas.MIN_CALL_GAS} to {limits.MAX_CALL_GAS}, not {amount}"


PAYEE = format_address(public_key_of(SecretSeed(bytes(32))))


def test_a_payment_to_an_account_is_a_call_without_a_method(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    outcome = run_one(machine, world, invocation(code, "pay", PAYEE, "", []))
    assert [(c.contract, c.method, c.gas, unpack_amount(c.value)) for c in outcome.effects.calls] == [
        (PAYEE, "", gas.MESSAGE_GAS, 7)
    ]
    assert outcome.cost.sent == gas.MESSAGE_GAS


@pytest.mark.parametrize(
    ("to", "method", "arguments", "text"),
    [
        (PAYEE, "m", [], "is no contract's name"),
        (PAYEE, "", [1], "takes no arguments"),
        (PAYEE[:-1] + ("q" if PAYEE[-1] != "q" else "p"), "", [], "is no address: "),
        (PAYEE.upper(), "", [], "lower case"),
        ("wallet", "", [], "is no address"),
        ("Wallet", "m", [], "is no contract's name"),
        ("a" * 33, "m", [], "is no contract's name"),
    ],
)
def test_what_is_neither_a_call_nor_a_payment_is_declined(
    machine: LocalMachine, world: MemoryWorld, code: Hash, to: str, method: str, arguments: list[Value], text: str
) -> None:
    outcome = run_one(machine, world, invocation(code, "pay", to, method, arguments))
    assert isinstance(outcome, Failed)
    assert outcome.error == "ContractError"
    assert text in outcome.message
    assert outcome.effects.calls == ()


def test_a_transfer_goes_to_an_address_only(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = run_one(machine, world, invocation(code, "give", PAYEE))
    assert [(paid.to, unpack_amount(paid.amount)) for paid in outcome.effects.transfers] == [(PAYEE, 7)]
    refused = run_one(machine, world, invocation(code, "give", "wallet@1"))
    assert isinstance(refused, Failed)
    assert refused.error == "ContractError"
    assert "is no address" in refused.message


@pytest.mark.parametrize(
    ("name", "good"),
    [("a", True), ("shop-2_b", True), ("a" * 26, True)]
    + [(name, False) for name in ("", "a" * 27, "2a", "Shop", "a.b", "a@1", "-a", "a\n", "ä", PAYEE)],
)
def test_what_a_contract_can_be_called(name: str, good: bool) -> None:
    assert is_contract_name(name) is good


def test_sixty_four_awaits_fit_into_the_largest_call(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    """All runs together, each replaying those before it; what is set aside comes back with every reply."""
    call = msgspec.structs.replace(invocation(code, "loop", 64), gas=limits.MAX_CALL_GAS)
    left, height, outcome = limits.MAX_CALL_GAS, 6, run_one(machine, world, call)
    while isinstance(outcome, Suspended):
        left -= outcome.cost.used
        call = msgspec.structs.replace(resumed(call, outcome, ok(height - 6, 1), height=height), gas=left)
        outcome, height = run_one(machine, world, call), height + 1
    assert result(outcome) == 64


def test_a_run_out_of_gas_says_whether_anything_was_committed(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    """Replies are consumed by the first commit: the journal has grown, or the same run may be repeated."""
    call = invocation(code, "await_again")
    again = resumed(call, run_one(machine, world, call), ok(0, 1))
    full = run_one(machine, MemoryWorld(world.sources), again)
    seen = set()
    for limit in range(gas.START_GAS, full.cost.used + gas.RESTART_GAS, 100):
        outcome = run_one(machine, MemoryWorld(world.sources), msgspec.structs.replace(again, gas=limit))
        assert isinstance(outcome, OutOfGas)
        grew = len(outcome.journal) > len(again.journal)
        assert bool(outcome.effects.writes) == grew
        assert outcome.last.replies == (() if grew else again.replies)
        seen.add(grew)
    assert seen == {False, True}


def test_running_out_of_gas_keeps_what_was_committed_and_more_gas_goes_on_from_there(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call = invocation(code, "busy_after_await")
    suspended = run_one(machine, world, call)
    again = resumed(call, suspended, ok(0, 20_000))
    starved = run_one(machine, world, msgspec.structs.replace(again, gas=20_000))
    assert isinstance(starved, OutOfGas)
    assert starved.cost == Cost(20_000, 0)
    assert starved.journal == again.journal
    assert result(run_one(machine, world, again)) == 20_000


def test_out_of_gas_cannot_be_caught_and_no_effect_remains(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    outcome = run_one(machine, world, invocation(code, "burn", gas=30_000))
    assert isinstance(outcome, OutOfGas)
    assert outcome.cost == Cost(30_000, 0)
    assert world.storage == {}


def test_too_little_gas_to_begin_is_out_of_gas(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = run_one(machine, world, invocation(code, "deposit", 1, gas=gas.START_GAS - 1))
    assert isinstance(outcome, OutOfGas)


def test_every_gas_limit_gives_the_same_outcome_or_none(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    full = run_one(machine, MemoryWorld(world.sources), invocation(code, "deposit", 5))
    needed = full.cost.used + gas.RESTART_GAS
    for limit in range(gas.START_GAS, needed + 200, 97):
        outcome = run_one(machine, MemoryWorld(world.sources), invocation(code, "deposit", 5, gas=limit))
        if limit >= needed:
            assert outcome == full, limit
        else:
            assert isinstance(outcome, OutOfGas), limit
            assert outcome.cost == Cost(limit, 0), limit


def test_a_call_is_the_same_alone_and_in_any_batch(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    calls = [invocation(code, method, 3) for method in ("fan_out", "loop", "burn", "deposit", "caught_value")]
    calls = [msgspec.structs.replace(call, gas=40_000) for call in calls]
    alone = {call.method: run_one(LocalMachine(), MemoryWorld(world.sources), call) for call in calls}
    for order in itertools.permutations(calls):
        outcomes: list[Outcome] = []
        machine.run(order, MemoryWorld(world.sources), lambda _index, outcome: outcomes.append(outcome))  # noqa: B023
        assert outcomes == [alone[call.method] for call in order]


def test_a_batch_sees_what_its_earlier_calls_did(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcomes = run_batch(machine, world, [invocation(code, "deposit", n) for n in range(5)])
    assert [result(outcome) for outcome in outcomes] == [0, 1, 3, 6, 10]


def test_a_journal_survives_its_encoding(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    suspended = run_one(machine, world, invocation(code, "read_around"))
    assert isinstance(suspended, Suspended)
    assert journal_decoder.decode(encode_record(suspended.journal)) == suspended.journal


@pytest.mark.parametrize("place", ["answers", "digest", "more", "fewer"])
def test_a_replay_that_diverges_fails(machine: LocalMachine, world: MemoryWorld, code: Hash, place: str) -> None:
    call = invocation(code, "read_around")
    suspended = run_one(machine, world, call)
    assert isinstance(suspended, Suspended)
    stretch = suspended.journal[0]
    changed = {
        "answers": msgspec.structs.replace(stretch, answers=(*stretch.answers, b"\0")),
        "digest": msgspec.structs.replace(stretch, digest=Hash(bytes(32))),
        "more": stretch,
        "fewer": msgspec.structs.replace(stretch, answers=stretch.answers[:-1]),
    }[place]
    journal = (changed, stretch) if place == "more" else (changed,)
    again = msgspec.structs.replace(call, journal=journal, replies=(ok(0, None),))
    outcome = run_one(machine, world, again)
    assert isinstance(outcome, Failed)
    assert outcome.kind == "replay_diverged"
    assert outcome.effects.writes == ()


def test_a_lock_is_held_until_it_is_left_or_its_lease_runs_out(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    first, second = invocation(code, "locked", call=1), invocation(code, "locked", call=2)
    holding = run_one(machine, world, first)
    refused = run_one(machine, world, second)
    assert isinstance(refused, Failed)
    assert refused.error == "Locked"
    assert result(run_one(machine, world, resumed(first, holding, ok(0, 9)))) == 9
    assert isinstance(run_one(machine, world, second), Suspended)


def test_a_holder_that_comes_back_too_late_gets_its_reply_with_lease_lost(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    first = invocation(code, "locked", call=1)
    holding = run_one(machine, world, first)
    late = msgspec.structs.replace(invocation(code, "locked", call=2), time_ms=100_000)
    held_by_other = run_one(machine, world, late)
    assert isinstance(held_by_other, Suspended)
    before = dict(world.storage)
    outcome = run_one(machine, world, resumed(first, holding, ok(0, 9), height=101))
    assert result(outcome) == ["LeaseLost", 9]
    assert world.storage == before, "the other holder's lock stays"


def test_a_view_reads_and_cannot_write(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    run_one(machine, world, invocation(code, "deposit", 4))
    assert result(run_one(machine, world, invocation(code, "look"))) == 4
    outcome = run_one(machine, world, invocation(code, "look_and_touch"))
    assert isinstance(outcome, Failed)
    assert outcome.error == "NotAllowed"


def test_a_method_that_is_not_there_is_refused_before_anything_runs(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    for name in ("nothing", "_private", "TooMuch", "call", "put"):
        outcome = run_one(machine, world, invocation(code, name))
        assert isinstance(outcome, Failed)
        assert outcome.kind == "no_method"


def test_wrong_arguments_are_the_callers_error(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    outcome = run_one(machine, world, invocation(code, "deposit"))
    assert isinstance(outcome, Failed)
    assert (outcome.error, outcome.message) == (
        "TypeError",
        "deposit() missing 1 required positional argument: 'amount'",
    )


def test_compiling_lists_the_methods(machine: LocalMachine) -> None:
    source = '@view\ndef a(x: int = 1) -> int:\n    """Look.\n\n    More."""\n\nasync def b(): ...\n\ndef _c(): ...\n'
    compilation = machine.compile(f"from ostraka_contract import view\n{source}", 1_000_000)
    assert isinstance(compilation, Compiled)
    assert [(m.name, m.view, m.parameters, m.summary) for m in compilation.methods] == [
        ("a", True, "x: int=1", "Look."),
        ("b", False, "", ""),
    ]


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("def f(:\n", "SyntaxError", 1),
        ("x = 1\n", "public functions", 0),
        ("\0", "NUL", 0),
        ("#" * (limits.MAX_SOURCE_BYTES + 1), "at most", 0),
        ("def f(): pass\n\n  x", "IndentationError", 3),
        ("(" * 5000, "too complex", 0),
        ("x = " + "-" * 20_000 + "1\ndef f(): pass", "", 0),
        ("\ud800", "", 0),
    ],
)
def test_source_that_is_no_contract_is_rejected_with_the_line(
    machine: LocalMachine, source: str, message: str, line: int
) -> None:
    compilation = machine.compile(source, 3_000_000)
    assert isinstance(compilation, Rejected)
    assert message in compilation.message
    assert compilation.line == line


def test_compiling_takes_no_more_than_its_limit(machine: LocalMachine) -> None:
    compilation = machine.compile("def f():\n" + "    x = 1\n" * 4000, 20_000)
    assert isinstance(compilation, Rejected)
    assert "gas" in compilation.message
    assert compilation.gas_used <= 20_000 + 2 * 40_100


def test_keys_are_listed_in_order_with_what_this_call_changed(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    run_one(machine, world, invocation(code, "fill", ["a/1", "a/3", "b/1"]))
    outcome = run_one(machine, world, invocation(code, "change_and_list"))
    assert result(outcome) == [["a/2", "a/3"], ["a/3"], ["a/2"], []]


def test_an_instance_that_was_restored_is_as_good_as_a_fresh_one(world: MemoryWorld) -> None:
    """Where the system cannot restore, every call gets a fresh instance: outcome and gas must be equal."""
    restoring, plain = LocalMachine(), LocalMachine()
    restorer = plain.chamber._restorer
    restorer._pagemap = None  # type: ignore[misc]  # final everywhere but here
    code = deployed(restoring, world, SCENARIOS)
    calls = [invocation(code, "deposit", n) for n in range(3)] + [invocation(code, "fan_out", n) for n in range(3)]
    one = run_batch(restoring, MemoryWorld(world.sources), calls)
    assert run_batch(plain, MemoryWorld(world.sources), calls) == one


def test_a_call_is_the_same_whether_its_contract_was_kept_loaded_or_not(world: MemoryWorld) -> None:
    """The first calls load the module, later ones begin from a snapshot, in a new instance after one that stopped."""
    machine = LocalMachine()
    code = deployed(machine, world, SCENARIOS)
    call, stopped = invocation(code, "deposit", 5), invocation(code, "burn", gas=30_000)
    batch = [call] * (2 * KEPT_FROM_CALL) + [stopped, call, stopped, call, call]
    outcomes: list[Outcome] = []
    machine.run(batch, MemoryWorld(world.sources), lambda _index, outcome: outcomes.append(outcome))
    assert code in machine.chamber._homes
    assert {encode_record(outcome) for outcome in outcomes if isinstance(outcome, Completed)} == {
        encode_record(run_one(LocalMachine(), MemoryWorld(world.sources), call))
    }
    assert len({encode_record(outcome) for outcome in outcomes}) == 2


def test_contracts_in_turn_keep_apart_and_only_so_many_are_kept_loaded(world: MemoryWorld) -> None:
    machine = LocalMachine()
    sources = [f"N = []\ndef count():\n    N.append({n})\n    return [len(N), N[-1]]\n" for n in range(SNAPSHOTS + 2)]
    codes = [deployed(machine, world, source) for source in sources]
    for _ in range(KEPT_FROM_CALL + 1):
        for number, code in enumerate(codes):
            assert result(run_one(machine, world, invocation(code, "count"))) == [1, number]
    assert len(machine.chamber._homes) == SNAPSHOTS


@pytest.mark.parametrize(
    ("module", "message", "line"),
    [
        ("x = 1\ny = 1 // 0\n", "running its module raises ZeroDivisionError", 2),
        ("from ostraka_contract import put\nput('k', 1)\n", "no method is being called", 2),
        ("import os\n", "cannot import 'os'", 1),
        ("while True:\n    pass\n", "takes more than 50000 gas", 0),
        ("import sys\n", "cannot import 'sys'", 1),
        ("class A:\n    def __init__(self): raise TypeError('no')\nA()\n", "raises TypeError: no", 2),
        ("x = bytes(1 << 30)\n", "MemoryError", 1),
    ],
)
def test_a_module_that_cannot_be_loaded_is_no_contract(
    machine: LocalMachine, module: str, message: str, line: int
) -> None:
    compilation = machine.compile(f"{module}\ndef f(): pass\n", 1_000_000)
    assert isinstance(compilation, Rejected)
    assert message in compilation.message
    assert compilation.line == line


def test_a_module_that_takes_the_runner_to_ask_the_host_is_no_contract(machine: LocalMachine) -> None:
    source = "import dataclasses\ndataclasses.sys.modules['wit_world'].ask(1, 'k')\n\ndef f(): pass\n"
    compilation = machine.compile(source, 1_000_000)
    assert isinstance(compilation, Rejected)
    assert "a module cannot use the ledger" in compilation.message


def test_every_call_pays_for_loading_its_module(machine: LocalMachine, world: MemoryWorld) -> None:
    plain = deployed(machine, world, "def f(): pass\n")
    heavy = deployed(machine, world, "x = [n for n in range(20000)]\n\ndef f(): pass\n")
    costs = [[run_one(machine, world, invocation(code, "f")).cost.used for _ in range(6)] for code in (plain, heavy)]
    assert [len(set(cost)) for cost in costs] == [1, 1]
    assert costs[1][0] > costs[0][0] + 500


def test_a_run_that_is_stopped_pays_for_the_instance_it_took(machine: LocalMachine, world: MemoryWorld) -> None:
    source = "def trap():\n    import datetime\n    return datetime.datetime.now()\n\ndef f(): pass\n"
    code = deployed(machine, world, source)
    trapped = run_one(machine, world, invocation(code, "trap"))
    assert isinstance(trapped, Failed)
    assert trapped.kind == "trap"
    assert trapped.cost.used > gas.RESTART_GAS + gas.START_GAS
    assert run_one(machine, world, invocation(code, "f")).cost.used < gas.RESTART_GAS
