"""Calls: what a method does, what it costs, what comes back with its end, and what the caller hears."""

from typing import Any

import pytest

from primitives.addresses import format_address
from primitives.amounts import unpack_amount
from shards.gas import MESSAGE_GAS
from shards.limits import MAX_DEPTH, MAX_QUEUED
from shards.messages import Outcome
from shards.receipts import RunCause, RunReceipt, RunState
from tests.calls.network import GAS, Network, Told, contract_call, program, result_of
from tests.shards.builders import BALANCE, receipts_of

OTHERS = [0, 1]
"""Where the callee is: on the caller's shard, or on another."""


def ask(shard: int, method: str, *arguments: Any, contract: str = "agent", **options: Any) -> list[Any]:
    """A step that calls and awaits."""
    return ["ask", shard, contract, method, list(arguments), options]


@pytest.fixture
def chain() -> Network:
    chain = Network(shards=3, restart=True)
    for shard in range(2):
        chain.deploy(shard, "agent", value=1_000)
    return chain


def play(chain: Network, *steps: list[Any], gas: int = GAS, value: int = 0) -> RunReceipt:
    """Have agent@0 take these steps; how it ends."""
    told = chain.call(0, "agent", "play", list(steps), gas=gas, value=value)
    chain.quiesce()
    return chain.end_of(told.call_id)


def test_a_transaction_runs_a_method_and_its_receipt_tells_the_result(chain: Network) -> None:
    told = chain.call(0, "agent", "add", "k", 5, value=3)
    assert (told.failure, told.result, told.run.state) == ("", 5, RunState.COMPLETED)
    assert told.run.sender == format_address(chain.alice.key)
    assert chain.stored(0, "agent", "k") == 5
    assert chain.held(0, "agent") == 1_003
    assert told.execution.notes[0].run == 0


def test_a_method_that_raises_undoes_everything_and_gives_the_value_back(chain: Network) -> None:
    before = chain.balance(0, chain.alice)
    told = chain.call(0, "agent", "fail", "why", value=50)
    assert (told.failure, told.receipt.detail) == ("raised", "Told: why")
    assert "in fail" in told.run.traceback
    assert unpack_amount(told.run.returned) == 50
    assert chain.stored(0, "agent", "failed") is None
    assert chain.held(0, "agent") == 1_000
    assert chain.balance(0, chain.alice) == before - told.fee
    assert told.fee == told.receipt.gas_used < GAS, "what was not used is back"


def test_out_of_gas_costs_all_of_it_and_cannot_be_caught(chain: Network) -> None:
    told = chain.call(0, "agent", "burn", gas=50_000, value=50)
    assert (told.failure, told.run.gas_used, told.run.gas_left) == ("out_of_gas", 50_000, 0)
    assert "50000 gas" in told.receipt.detail
    assert chain.held(0, "agent") == 1_000


@pytest.mark.parametrize("gas", [0, 1, 2_000, 3_000])
def test_too_little_gas_to_begin_is_an_error_that_says_so(chain: Network, gas: int) -> None:
    told = chain.call(0, "agent", "say", 1, gas=gas)
    assert told.failure == "out_of_gas"
    assert told.run.gas_used + told.run.gas_left == gas


@pytest.mark.parametrize(
    ("name", "method", "arguments", "failure", "said"),
    [
        ("nobody", "m", [], "no_contract", "no contract nobody on shard 0"),
        ("agent", "nothing_like_it", [], "no_method", "no method 'nothing_like_it'"),
        ("agent", "say", [], "raised", "TypeError"),
        ("agent", "say", [1, 2], "raised", "TypeError"),
    ],
)
def test_what_cannot_be_called_is_a_clear_failure(
    chain: Network, name: str, method: str, arguments: list[Any], failure: str, said: str
) -> None:
    told = chain.call(0, name, method, *arguments, value=9)
    assert told.failure == failure
    assert said in told.receipt.detail
    assert told.fee < 20_000


def test_who_cannot_pay_for_the_gas_calls_nothing(chain: Network) -> None:
    told = chain.call(0, "agent", "add", "k", 1, value=BALANCE)
    assert (told.failure, told.runs) == ("overdraft", [])
    assert chain.stored(0, "agent", "k") is None


@pytest.mark.parametrize("shard", OTHERS)
def test_a_call_is_answered_with_what_the_method_returns(chain: Network, shard: int) -> None:
    end = play(chain, ask(shard, "who", value=7))
    assert result_of(end) == [["agent@0", 7, shard]]
    assert end.cause == RunCause.REPLY
    (callee,) = [run for run in chain.runs(shard, "agent") if run.method == "who"]
    assert (callee.depth, callee.parent_call_id, callee.trace_id) == (1, end.call_id, end.trace_id)


@pytest.mark.parametrize("shard", OTHERS)
def test_a_call_to_its_own_shard_runs_in_a_later_block_like_any_other(chain: Network, shard: int) -> None:
    told = chain.call(0, "agent", "play", [ask(shard, "keep", "k", 1)])
    assert told.run.state == RunState.SUSPENDED
    assert told.run.calls[0].sent is not None
    assert chain.stored(shard, "agent", "k") is None
    chain.quiesce()
    assert chain.stored(shard, "agent", "k") == 1
    (callee,) = [run for run in chain.runs(shard, "agent") if run.method == "keep"]
    assert callee.call_id == told.run.calls[0].call_id


@pytest.mark.parametrize("shard", OTHERS)
def test_value_is_kept_by_a_callee_that_completes(chain: Network, shard: int) -> None:
    play(chain, ask(shard, "who", value=100), gas=GAS)
    expected = {0: 1_000, 1: 1_000}
    expected[0] -= 100
    expected[shard] += 100
    assert [chain.held(0, "agent"), chain.held(1, "agent")] == [expected[0], expected[1]]


@pytest.mark.parametrize("shard", OTHERS)
def test_value_comes_back_whole_when_the_callee_fails_before_its_first_commit(chain: Network, shard: int) -> None:
    end = play(chain, ["try", [ask(shard, "fail", "no", value=100)]])
    assert result_of(end) == [["failed", "Told", "no", 100]]
    assert (chain.held(0, "agent"), chain.held(1, "agent")) == (1_000, 1_000)


@pytest.mark.parametrize("shard", OTHERS)
def test_value_stays_where_it_is_when_the_callee_fails_after_a_commit(chain: Network, shard: int) -> None:
    inner = [["put", "a", 1], ask(1, "say", "x"), ["put", "a", 2], ["fail", "late"]]
    end = play(chain, ["try", [ask(shard, "play", inner, value=100, gas=200_000)]])
    assert result_of(end) == [["failed", "Told", "late", 0]]
    assert chain.held(shard, "agent") == (1_100 if shard else 1_000)
    assert chain.stored(shard, "agent", "a") == 1, "what was committed stays, what was not is undone"


def test_a_failure_is_raised_at_the_await_with_the_whole_traceback(chain: Network) -> None:
    end = play(chain, ask(1, "play", [ask(0, "play", [ask(1, "fail", "deep")], gas=150_000)], gas=200_000))
    assert (end.state, end.kind, end.error_type) == (RunState.FAILED, "raised", "CallFailed")
    assert end.error_text.endswith("Told: deep")
    assert end.traceback.startswith("  shard 0 · ")
    assert "in fail" in end.traceback
    assert end.traceback.index("in play") < end.traceback.index("in fail"), "caller first"


def test_a_transactions_gas_is_used_sent_on_or_returned_to_the_last_unit(chain: Network) -> None:
    before = sum(chain.balance(shard, chain.alice) for shard in range(2))
    fees = sum(_fees(chain, shard) for shard in range(2))
    play(chain, ["work", 200], ask(1, "say", "x"), ["try", [ask(1, "fail", "y")]], ask(0, "say", "z"))
    after = sum(chain.balance(shard, chain.alice) for shard in range(2))
    assert before - after == sum(_fees(chain, shard) for shard in range(2)) - fees


@pytest.mark.parametrize("method", ["say", "fail"])
def test_a_calls_gas_that_is_left_comes_back_to_the_call_that_made_it(chain: Network, method: str) -> None:
    told = chain.call(0, "agent", "play", [["try", [ask(1, method, "x", gas=100_000)]], ["put", "k", 1]])
    left = told.run.gas_left
    chain.quiesce()
    end = chain.end_of(told.call_id)
    (callee,) = [run for run in chain.runs(1) if run.method == method]
    assert end.gas_left == left + 100_000 - MESSAGE_GAS - callee.gas_used - end.gas_used


def test_a_call_from_another_shards_account_runs_and_is_answered(chain: Network) -> None:
    chain.call_remotely(2, 1, "agent", "who", value=30)
    chain.quiesce()
    (run,) = [run for run in chain.runs(1) if run.method == "who"]
    address = format_address(chain.alice.key)
    assert result_of(run) == [f"{address}@2", 30, 1], "an account is shown with its shard: it is another one's word"
    assert chain.held(1, "agent") == 1_030
    assert chain.balance(2, chain.alice) == BALANCE - 30 - _fees(chain, 2) - run.gas_used - MESSAGE_GAS


@pytest.mark.parametrize("gas", [0, 299, 300, 2_799, 5_000])
def test_a_remote_call_with_too_little_gas_fails_and_returns_its_value(chain: Network, gas: int) -> None:
    chain.call_remotely(2, 1, "agent", "who", value=30, gas=gas)
    chain.quiesce()
    assert chain.held(1, "agent") in (1_000, 1_030)
    if gas < 2_800:
        assert chain.held(1, "agent") == 1_000
        assert chain.balance(2, chain.alice) == BALANCE - _fees(chain, 2) - gas


@pytest.mark.parametrize("shard", OTHERS)
def test_a_call_that_is_consumed_after_its_deadline_expires(chain: Network, shard: int) -> None:
    told = chain.call(0, "agent", "play", [["try", [ask(shard, "keep", "k", 1, value=5, deadline=1)]]])
    chain.wait(5_000)
    chain.quiesce()
    (found,) = result_of(chain.end_of(told.call_id))
    assert (found[0], found[3]) == ("expired", 5)
    assert chain.stored(shard, "agent", "k") is None


def test_a_deadline_of_this_very_block_is_met(chain: Network) -> None:
    told = chain.call(0, "agent", "play", [["try", [ask(1, "say", 1, deadline=1)]]])
    chain.time_ms += 900
    chain.run(1, bundles=chain.bundles_for(1))
    assert chain.time_ms == told.execution.commitment.time_ms + 1_000
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == [1]


REFUSED: list[tuple[list[Any], str]] = [
    (["ask", 7, "agent", "say", [1], {}], "there is no shard 7"),
    (["ask", 1, "nobody", "say", [1], {}], "there is no contract nobody@1"),
    (["ask", 0, "nobody", "say", [1], {}], "there is no contract nobody@0"),
    (["ask", 1, "agent", "none", [1], {}], "has no method 'none'"),
    (["ask", 1, "agent", "init", [1], {}], "'init' cannot be called"),
    (["ask", 1, "agent", "_play", [1], {}], "'_play' cannot be called"),
]


@pytest.mark.parametrize(("step", "said"), REFUSED)
def test_what_nobody_takes_up_is_refused_with_everything_back(chain: Network, step: list[Any], said: str) -> None:
    step[5] = {"value": 40}
    end = play(chain, ["try", [step]])
    ((kind, _, message, returned),) = result_of(end)
    assert (kind, returned) == ("refused", 40)
    assert said in message
    assert (chain.held(0, "agent"), chain.held(1, "agent")) == (1_000, 1_000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"value": 5_000}, "InsufficientBalance"),
        ({"value": -1}, "LimitExceeded"),
        ({"value": 1 << 200}, "LimitExceeded"),
        ({"gas": 5}, "LimitExceeded"),
        ({"gas": 1 << 70}, "LimitExceeded"),
        ({"deadline": 1 << 60}, "LimitExceeded"),
        ({"patience": -5}, "LimitExceeded"),
    ],
)
def test_amounts_gas_and_times_beyond_their_bounds_are_errors_at_the_call(
    chain: Network, options: dict[str, Any], said: str
) -> None:
    end = play(chain, ["try", [ask(1, "say", 1, **options)]])
    ((kind, _text),) = result_of(end)
    assert kind == said


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_money_is_sent_to_an_account_by_a_call_without_a_method(chain: Network, shard: int) -> None:
    bob = format_address(chain.bob.key)
    end = play(chain, ["ask", shard, bob, "", [], {"value": 60}])
    assert end.state == RunState.COMPLETED
    assert chain.balance(shard, chain.bob) == BALANCE + 60
    assert chain.held(0, "agent") == 940


def test_an_account_has_no_methods(chain: Network) -> None:
    bob = format_address(chain.bob.key)
    end = play(chain, ["try", [["ask", 1, bob, "pay", [], {"value": 60}]]])
    assert "no contract's name" in str(result_of(end))
    assert chain.balance(1, chain.bob) == BALANCE


@pytest.mark.parametrize("amount", [0, 1, 1_000, 1_001, 1 << 100, -1])
def test_a_transfer_moves_what_there_is_and_no_more(chain: Network, amount: int) -> None:
    bob = format_address(chain.bob.key)
    end = play(chain, ["try", [["transfer", bob, amount], ["transfer", bob, 0]]])
    paid = amount if 0 <= amount <= 1_000 else 0
    assert chain.balance(0, chain.bob) == BALANCE + paid
    assert chain.held(0, "agent") == 1_000 - paid
    assert (result_of(end) == []) == (paid == amount)


def test_a_contract_sees_what_it_holds_with_the_value_that_came(chain: Network) -> None:
    end = play(chain, ["held"], ask(1, "say", 1, value=10), ["held"], value=5)
    assert result_of(end) == [1_005, 1, 995]


def test_a_contract_may_call_itself_and_others_run_in_between(chain: Network) -> None:
    end = play(chain, ["put", "k", 1], ask(0, "add", "k", 10), ["get", "k"])
    assert result_of(end) == [11, 11]


def test_calls_that_call_are_bounded_in_depth(chain: Network) -> None:
    told = chain.call(0, "agent", "dive", MAX_DEPTH, [0, 1], 40_000, gas=1_000_000)
    chain.quiesce(100)
    assert result_of(chain.end_of(told.call_id)) == MAX_DEPTH
    told = chain.call(0, "agent", "dive", MAX_DEPTH + 1, [0, 1], 40_000, gas=1_000_000)
    chain.quiesce(100)
    assert f"at most {MAX_DEPTH} deep" in chain.end_of(told.call_id).error_text
    assert max(run.depth for run in chain.runs()) == MAX_DEPTH


def test_events_tell_what_was_emitted_in_order(chain: Network) -> None:
    end = play(chain, ["emit", "A", {"n": 1}], ask(1, "say", 1), ["emit", "B", {"x": "y"}], ["emit", "C", {}])
    assert [event.name for event in end.events] == ["B", "C"]
    assert [event.name for event in chain.runs(0, "agent")[1].events] == ["A"]


def test_storage_keeps_what_was_written_and_forgets_what_was_deleted(chain: Network) -> None:
    end = play(
        chain,
        ["put", "p/1", [1, {"a": b"\0"}]],
        ["put", "p/2", 2],
        ["delete", "p/2"],
        ["delete", "never"],
        ["keys", "p/"],
        ask(1, "say", 1),
        ["keys", "p/"],
        ["delete", "p/1"],
        ["keys", "p/"],
    )
    assert result_of(end) == [["p/1"], 1, ["p/1"], []]
    assert chain.stored(0, "agent", "p/1") is None


def test_two_contracts_never_see_each_others_storage(chain: Network) -> None:
    for name in ("agen", "agentx", "agenu"):
        chain.deploy(0, name, program("agent"))
        chain.call(0, name, "keep", f"mine-{name}", 1)
    chain.call(0, "agent", "keep", "mine", 1)
    end = play(chain, ["keys", ""], ["get", "mine-agen"])
    assert result_of(end) == [["init", "mine"], None]


def test_receipts_of_a_block_stand_in_order_with_runs_before_their_causes(chain: Network) -> None:
    raws = [
        chain.transaction(0, chain.alice, [contract_call("agent", "add", "k", 1)]),
        chain.transaction(0, chain.bob, [contract_call("agent", "fail", "x")]),
        chain.transaction(0, chain.carol, [contract_call("agent", "add", "k", 2)]),
        chain.local(0, chain.accounts[3], chain.alice, 5),
    ]
    kinds = [type(receipt).__name__ for receipt in receipts_of(chain.run(0, raws))]
    assert kinds == ["RunReceipt", "TransactionReceipt"] * 3 + ["TransactionReceipt"]
    assert chain.stored(0, "agent", "k") == 3


def test_a_full_queue_of_the_own_shard_is_lane_full_at_the_call(
    chain: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shards.calls.sending.MAX_QUEUED", 2)
    calls: list[Any] = [["call", n, 0, "agent", "say", [n], {"value": 1}] for n in range(4)]
    waits: list[Any] = [["try", [["await", n]]] for n in range(4)]
    end = play(chain, *calls, *waits, gas=700_000)
    found = result_of(end)
    assert found[:2] == [0, 1]
    assert [item[0] for item in found[2:]] == ["lane_full", "lane_full"]
    assert MAX_QUEUED > 2


def test_a_full_stream_is_lane_full_at_the_call(chain: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.lanes.STREAM_WINDOW", 1)
    end = play(chain, ["call", "a", 1, "agent", "say", [1], {}], ["try", [ask(1, "say", 2, value=8)]], ["await", "a"])
    (refused, first) = result_of(end)
    assert (refused[0], refused[3], first) == ("lane_full", 8, 1)


def test_a_contract_has_a_bounded_number_of_open_calls(chain: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.calls.sending.MAX_OPEN_CALLS_PER_ACCOUNT", 3)
    chain.halted = {1}
    calls: list[Any] = [["call", n, 1, "agent", "say", [n], {}] for n in range(5)]
    told = chain.call(0, "agent", "play", [*calls, ["try", [["await", 3]]], ["try", [["await", 4]]]], gas=700_000)
    chain.quiesce()
    found = result_of(chain.end_of(told.call_id))
    assert [item[0] for item in found] == ["lane_full", "lane_full"]
    contract = chain.contract(0, "agent")
    assert contract is not None
    assert contract.open_calls == 3


def test_a_call_receipt_says_under_way_until_the_run_that_ends_it(chain: Network) -> None:
    told = chain.call(0, "agent", "play", [ask(1, "play", [ask(0, "say", 1)], gas=200_000)])
    executions = chain.exchange(1)
    assert executions
    receipts = [call for node in chain.shards for execution in node.executions for call in Told(execution).calls]
    assert Outcome.UNDER_WAY in [receipt.outcome for receipt in receipts]
    assert all(receipt.reply is None for receipt in receipts if receipt.outcome == Outcome.UNDER_WAY)
    chain.quiesce()
    (inner,) = [run for run in chain.runs(1) if run.state == RunState.COMPLETED and run.method == "play"]
    assert inner.reply is not None
    assert chain.end_of(told.call_id).reply is None, "a transaction's call is answered by its receipt"


def _fees(chain: Network, shard: int) -> int:
    return unpack_amount(chain.shards[shard].ledger.commitment.supply.held_fees)
