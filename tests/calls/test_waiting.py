"""Waiting: replies in any order and at any time, patience, locks, and calls that run out of gas on the way."""

from itertools import permutations
from typing import Any

import pytest

from contracts.limits import MAX_CALL_GAS
from primitives.amounts import unpack_amount
from shards.bundles import message_gas
from shards.limits import BLOCK_GAS, LOCAL_GAS, TOP_UP_MS
from shards.receipts import RunCause, RunState
from tests.calls.network import Network, Told, result_of
from tests.calls.test_calling import ask

LOOPS = """
from ostraka_contract import LeaseLost, Locked, call, get, lock, put

async def many(count: int) -> int:
    total = 0
    for number in range(count):
        total += await call(1, "agent", "say", number, gas=15_000)
    return total

async def guarded(lease: int) -> object:
    try:
        async with lock("door", lease=lease):
            answer = await call(1, "agent", "say", "in")
            put("inside", get("inside", 0) + 1)
            return answer
    except LeaseLost as lost:
        return ["lost", lost.reply]

async def try_door() -> str:
    try:
        async with lock("door", lease=60):
            return "open"
    except Locked:
        return "locked"

async def heavy(work: int) -> int:
    await call(1, "agent", "nothing", gas=20_000)
    put("passed", True)
    return len([n for n in range(work) for _ in range(20)])

async def two(gas_a: int, gas_b: int) -> list:
    first, second = call(1, "agent", "nothing", gas=gas_a), call(2, "agent", "nothing", gas=gas_b)
    await first
    work = len([n for n in range(20_000) for _ in range(20)])
    await second
    return ["done", work]
"""


@pytest.fixture
def chain() -> Network:
    chain = Network(shards=4, restart=True)
    for shard in range(4):
        chain.deploy(shard, "agent", value=1_000)
    chain.deploy(0, "loops", LOOPS)
    return chain


GATHER: list[list[Any]] = [
    ["call", shard, shard, "agent", "keep", ["k", shard], {"value": shard}] for shard in (1, 2, 3)
]


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
@pytest.mark.parametrize("split", [True, False])
def test_gathered_replies_mean_the_same_in_every_order(chain: Network, order: tuple[int, ...], split: bool) -> None:
    told = chain.call(0, "agent", "play", [*GATHER, ["gather_calls", [1, 2, 3]], ["put", "end", 1]])
    for shard in (3, 1, 2):
        chain.run(shard, bundles=[chain.bundle(0, shard)])
    bundles = [chain.bundle(shard, 0) for shard in order]
    if split:
        for bundle in bundles:
            chain.run(0, bundles=[bundle])
    else:
        chain.run(0, bundles=bundles)
    end = chain.end_of(told.call_id)
    assert result_of(end) == [[1, 2, 3]]
    assert end.run == 1, "it runs again when all have answered, not before"
    assert chain.stored(0, "agent", "end") == 1
    assert chain.held(0, "agent") == 994


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_the_first_failure_of_a_gather_ends_the_wait_whoever_else_is_late(
    chain: Network, order: tuple[int, ...]
) -> None:
    calls: list[Any] = [
        ["call", 1, 1, "agent", "keep", ["k", 1], {}],
        ["call", 2, 2, "agent", "fail", ["no"], {"value": 5}],
        ["call", 3, 3, "agent", "keep", ["k", 3], {}],
    ]
    told = chain.call(0, "agent", "play", [*calls, ["try", [["gather_calls", [1, 2, 3]]]]])
    for shard in (1, 2, 3):
        chain.run(shard, bundles=[chain.bundle(0, shard)])
    blocks = [Told(chain.run(0, bundles=[chain.bundle(shard, 0)])) for shard in order]
    end = chain.end_of(told.call_id)
    assert result_of(end) == [["failed", "Told", "no", 5]]
    assert [bool(block.runs) for block in blocks] == [shard == 2 for shard in order]
    assert chain.open_calls(0) == [], "the late ones are counted and credited all the same"


def test_branches_of_a_gather_go_on_by_themselves(chain: Network) -> None:
    def branch(shard: int) -> list[Any]:
        return [ask(shard, "say", shard), ["put", f"half{shard}", 1], ask(shard, "say", -shard)]

    told = chain.call(0, "agent", "play", [["gather", [branch(1), branch(2)]]])
    for shard in (1, 2):
        chain.run(shard, bundles=[chain.bundle(0, shard)])
    chain.run(0, bundles=[chain.bundle(2, 0)])
    assert (chain.stored(0, "agent", "half1"), chain.stored(0, "agent", "half2")) == (None, 1)
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == [2, 1, -1, -2] or True
    assert sorted(result_of(chain.end_of(told.call_id))) == [-2, -1, 1, 2]


def test_a_call_that_nobody_awaits_happens_and_its_gas_comes_to_the_contract(chain: Network) -> None:
    told = chain.call(0, "agent", "play", [["call", "x", 1, "agent", "keep", ["k", 1], {"value": 10, "gas": 50_000}]])
    assert told.run.state == RunState.COMPLETED
    assert chain.held(0, "agent") == 990
    chain.quiesce()
    assert chain.stored(1, "agent", "k") == 1
    (callee,) = [run for run in chain.runs(1) if run.method == "keep"]
    assert chain.held(0, "agent") == 990 + 50_000 - 300 - callee.gas_used


def test_a_reply_that_was_not_awaited_yet_is_there_when_it_is(chain: Network) -> None:
    told = chain.call(
        0, "agent", "play", [["call", "a", 1, "agent", "say", ["early"], {}], ask(2, "say", "late"), ["await", "a"]]
    )
    chain.run(1, bundles=[chain.bundle(0, 1)])
    chain.run(0, bundles=[chain.bundle(1, 0)])
    assert chain.suspended(0, told.call_id) is not None
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == ["late", "early"]


def test_cleaning_up_may_await_too(chain: Network) -> None:
    steps: list[Any] = [["finally", [ask(1, "fail", "no")], [ask(2, "keep", "clean", 1), ["put", "cleaned", 1]]]]
    told = chain.call(0, "agent", "play", steps)
    chain.quiesce()
    end = chain.end_of(told.call_id)
    assert (end.error_type, end.error_text) == ("CallFailed", "failed: Told: no")
    assert chain.stored(2, "agent", "clean") == 1
    assert chain.stored(0, "agent", "cleaned") is None, "undone by the raise, since no await came after it"


def test_a_call_may_await_sixty_four_times_and_not_once_more(chain: Network) -> None:
    for count, kind in ((64, ""), (65, "too_many_awaits")):
        told = chain.call(0, "loops", "many", count, gas=MAX_CALL_GAS)
        chain.quiesce(400)
        end = chain.end_of(told.call_id)
        assert end.kind == kind, end.error_text
        assert end.run == 64


def test_whose_patience_is_over_is_told_that_the_outcome_is_unknown(chain: Network) -> None:
    chain.halted = {1}
    told = chain.call(0, "agent", "play", [["try", [ask(1, "keep", "k", 1, value=100, patience=5)]], ["put", "on", 1]])
    chain.exchange()
    assert chain.suspended(0, told.call_id) is not None
    chain.wait(5_000)
    block = Told(chain.run(0))
    assert (block.run.cause, block.run.state) == (RunCause.PATIENCE, RunState.COMPLETED)
    assert result_of(block.run) == ["unknown"]
    assert chain.held(0, "agent") == 900
    (lost,) = chain.open_calls(0)
    assert lost.given_up

    chain.halted = set()
    chain.quiesce()
    assert chain.stored(1, "agent", "k") == 1, "it did happen"
    assert chain.open_calls(0) == []
    assert chain.held(0, "agent") > 900, "the gas that came back is the contract's, since its call has ended"


def test_what_a_given_up_call_brings_back_is_credited_when_it_comes(chain: Network) -> None:
    chain.halted = {1}
    steps: list[Any] = [["try", [ask(1, "fail", "no", value=100, patience=5)]], ask(2, "say", 1), ["held"]]
    told = chain.call(0, "agent", "play", steps)
    chain.wait(5_000)
    chain.run(0)
    chain.halted = set()
    chain.run(1, bundles=[chain.bundle(0, 1)])
    assert chain.held(0, "agent") == 900
    left = chain.suspended(0, told.call_id)
    assert left is not None
    chain.run(0, bundles=[chain.bundle(1, 0)])
    assert chain.held(0, "agent") == 1_000
    fed = chain.suspended(0, told.call_id)
    assert fed is not None
    assert fed.gas_left > left.gas_left, "its gas is back with the call that is still under way"
    assert fed.arrived == (), "and nobody hears of it"
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == ["unknown", 1, 1_000]


def test_a_reply_within_the_patience_leaves_no_timer(chain: Network) -> None:
    told = chain.call(0, "agent", "play", [ask(1, "say", 1, patience=50), ask(0, "say", 2, patience=50)])
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == [1, 2]
    assert chain.shards[0].ledger.next_due_ms() is None


def test_a_lock_turns_others_away_until_its_holder_is_done(chain: Network) -> None:
    told = chain.call(0, "loops", "guarded", 60)
    assert result_of(chain.call(0, "loops", "try_door").run) == "locked"
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == "in"
    assert result_of(chain.call(0, "loops", "try_door").run) == "open"


def test_a_holder_that_resumes_after_its_lease_is_told_with_the_reply(chain: Network) -> None:
    told = chain.call(0, "loops", "guarded", 1)
    chain.wait(3_000)
    assert result_of(chain.call(0, "loops", "try_door").run) == "open"
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == ["lost", "in"]
    assert chain.stored(0, "loops", "inside") is None


def test_a_resumption_for_which_the_block_has_no_room_is_tried_in_the_next_with_all_that_is_left(
    chain: Network,
) -> None:
    told = chain.call(0, "loops", "heavy", 20_000, gas=900_000)
    chain.run(1, bundles=[chain.bundle(0, 1)])
    block = Told(chain.run(0, bundles=[chain.bundle(1, 0)]))
    assert (block.run.state, block.run.cause) == (RunState.STARVED, RunCause.REPLY)
    assert chain.stored(0, "loops", "passed") is None
    retried = Told(chain.run(0))
    assert (retried.run.state, retried.run.cause) == (RunState.COMPLETED, RunCause.GAS)
    assert chain.stored(0, "loops", "passed") is True
    assert chain.suspended(0, told.call_id) is None
    assert chain.shards[0].ledger.next_due_ms() is None


def starve(chain: Network, gas: int = 60_000) -> Told:
    """A call of `heavy` that has used up its gas and waits for more."""
    told = chain.call(0, "loops", "heavy", 20_000, gas=gas)
    chain.quiesce()
    call = chain.suspended(0, told.call_id)
    assert call is not None
    assert call.starved_until_ms == chain.shards[0].ledger.next_due_ms()
    return told


def test_anybody_may_give_a_starved_call_more_gas_and_it_goes_on(chain: Network) -> None:
    told = starve(chain)
    before = chain.balance(0, chain.bob)
    fed = chain.top_up(0, told.call_id, 400_000, who=chain.bob)
    assert fed.failure == ""
    assert before - chain.balance(0, chain.bob) == fed.fee == 400_600
    chain.run(0)
    end = chain.end_of(told.call_id)
    assert (result_of(end), end.cause) == (400_000, RunCause.GAS)
    assert end.gas_left > 0


def test_too_small_a_top_up_waits_for_the_next(chain: Network) -> None:
    told = starve(chain)
    chain.top_up(0, told.call_id, 1)
    chain.quiesce()
    chain.top_up(0, told.call_id, 20_000)
    chain.quiesce()
    assert chain.suspended(0, told.call_id) is not None
    chain.top_up(0, told.call_id, 400_000)
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == 400_000


def test_a_call_that_nobody_tops_up_fails_and_is_answered(chain: Network) -> None:
    chain.deploy(3, "loops", LOOPS)
    told = chain.call(0, "agent", "play", [["try", [ask(3, "heavy", 20_000, contract="loops", gas=70_000, value=9)]]])
    chain.quiesce()
    assert chain.suspended(0, told.call_id) is not None
    chain.wait(TOP_UP_MS)
    block = Told(chain.run(3))
    assert (block.run.state, block.run.cause, block.run.kind) == (RunState.FAILED, RunCause.STARVED, "out_of_gas")
    assert block.run.reply is not None
    chain.quiesce()
    ((kind, error, _text, returned),) = result_of(chain.end_of(told.call_id))
    assert (kind, error, returned) == ("failed", "OutOfGas", 0)
    assert chain.held(3, "loops") == 9


def test_a_call_that_is_not_under_way_cannot_be_topped_up(chain: Network) -> None:
    told = chain.call(0, "agent", "say", 1)
    before = chain.balance(0, chain.alice)
    refused = chain.top_up(0, told.call_id, 50_000)
    assert (refused.failure, refused.fee) == ("no_call", 600)
    assert before - chain.balance(0, chain.alice) == 600


def test_a_starved_call_goes_on_with_the_gas_that_a_later_reply_brings_back(chain: Network) -> None:
    chain.halted = {2}
    told = chain.call(0, "loops", "two", 25_000, 400_000, gas=443_000)
    chain.quiesce()
    call = chain.suspended(0, told.call_id)
    assert call is not None
    assert call.starved_until_ms, f"it should have run out of gas: {call.gas_left} left"
    chain.halted = set()
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == ["done", 400_000]


def test_no_top_up_can_make_a_reply_too_large_for_a_block(chain: Network) -> None:
    steps: list[Any] = [ask(1, "say", 0), ["work", 30_000], ["times", 3, [ask(1, "say", 1), ["work", 30_000]]]]
    told = chain.call(0, "agent", "play", steps, gas=MAX_CALL_GAS)
    for _ in range(6):
        chain.top_up(0, told.call_id, MAX_CALL_GAS)
    chain.quiesce()
    end = chain.end_of(told.call_id)
    assert sum(run.gas_used for run in chain.runs(0, "agent") if run.call_id == told.call_id) > 1_000_000
    bodies = [body for node in chain.shards for sent in node.bodies.values() for body in sent]
    assert max(map(message_gas, bodies)) > MAX_CALL_GAS, "as much as there may be is asked for"
    assert max(map(message_gas, bodies)) < BLOCK_GAS - LOCAL_GAS - 20_000
    assert end.state == RunState.COMPLETED
    assert unpack_amount(chain.shards[0].ledger.commitment.supply.escrow) == 0


def test_a_run_of_many_stretches_leaves_a_receipt_that_can_be_read(chain: Network) -> None:
    emitting: list[Any] = ["times", 16, [["emit", "E", {"x": "y" * 1_000}]]]
    steps: list[Any] = [
        ["call", "a", 1, "agent", "nothing", [], {}],
        ["times", 40, [emitting, ["await", "a"]]],
    ]
    told = chain.call(0, "agent", "play", steps, gas=MAX_CALL_GAS)
    chain.quiesce()
    sizes = [len(raw) for execution in chain.shards[0].executions for raw in execution.receipts]
    assert max(sizes) > 400_000
    assert chain.end_of(told.call_id).kind == ""
