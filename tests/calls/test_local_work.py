"""What a block does before its items: in order, within its gas, and never nothing while there is something to do."""

from typing import Any

import pytest

from shards.gas import REPLY_GAS
from shards.limits import LOCAL_GAS
from shards.receipts import RunCause, RunReceipt, RunState
from tests.calls.network import Network, Told, contract_call, result_of
from tests.calls.test_calling import ask
from tests.shards.builders import receipts_of


@pytest.fixture
def chain() -> Network:
    chain = Network(shards=2, restart=True)
    for shard in range(2):
        chain.deploy(shard, "agent", value=1_000)
    return chain


def spread(count: int, shard: int, gas: int, **options: Any) -> list[Any]:
    """Steps that make calls and await none."""
    return [["call", n, shard, "agent", "add", ["k", 1], {"gas": gas, **options}] for n in range(count)]


def local_gas(told: Told) -> int:
    """Gas that a block's runs used."""
    return sum(run.gas_used for run in told.runs)


def test_messages_to_itself_are_served_in_the_order_in_which_they_were_sent(chain: Network) -> None:
    for name in "abc":
        chain.call(0, "agent", "play", [["call", 1, 0, "agent", "keep", ["last", name], {}]])
    chain.call(0, "agent", "play", [["call", 1, 0, "agent", "keep", ["last", "d"], {}]])
    chain.quiesce()
    kept = [run for run in chain.runs(0) if run.method == "keep"]
    assert [result_of(run) for run in kept] == ["a", "b", "c", "d"]


def test_work_counts_with_what_it_used_so_many_small_calls_share_a_block(chain: Network) -> None:
    chain.call(0, "agent", "play", spread(20, 0, 50_000), gas=1_400_000)
    told = Told(chain.run(0))
    assert len(told.runs) == 20, "together they set aside a million gas, and use a twentieth of it"
    assert local_gas(told) < LOCAL_GAS


def test_a_block_stops_where_the_next_piece_of_work_might_be_too_much(chain: Network) -> None:
    chain.call(
        0, "agent", "play", [["call", n, 0, "agent", "burn", [], {"gas": 70_000}] for n in range(6)], gas=900_000
    )
    served = []
    while chain.shards[0].ledger.has_local_work(chain.time_ms):
        told = Told(chain.run(0))
        served.append(len([run for run in told.runs if run.method == "burn"]))
        assert local_gas(told) <= LOCAL_GAS
    assert served[:3] == [2, 2, 2]


def test_what_is_too_large_for_the_local_gas_has_its_turn_when_it_is_first(chain: Network) -> None:
    chain.call(
        0, "agent", "play", [*spread(1, 0, 30_000), ["call", 9, 0, "agent", "burn", [], {"gas": 600_000}]], gas=900_000
    )
    first, second = Told(chain.run(0)), Told(chain.run(0))
    assert [run.method for run in first.runs] == ["add"]
    assert [(run.method, run.gas_used) for run in second.runs] == [("burn", 599_700)]


def test_what_a_block_queues_waits_for_the_next(chain: Network) -> None:
    chain.call(0, "agent", "play", [ask(0, "play", [ask(0, "say", "x", gas=20_000)], gas=100_000)])
    depths = []
    while chain.shards[0].ledger.has_local_work(chain.time_ms):
        depths.append({run.depth for run in Told(chain.run(0)).runs})
    assert depths == [{1}, {2}, {1}, {0}]


def test_due_timers_come_before_the_queue_and_the_queue_before_the_items(chain: Network) -> None:
    chain.halted = {1}
    chain.call(0, "agent", "play", [["try", [ask(1, "say", 1, patience=1)]]])
    chain.wait(2_000)
    told = chain.call(0, "agent", "play", [["call", 1, 0, "agent", "keep", ["k", 1], {}]])
    assert [run.cause for run in told.runs] == [RunCause.PATIENCE, RunCause.TRANSACTION]
    chain.call(0, "agent", "play", [["try", [ask(1, "say", 1, patience=1)]]])
    chain.call(0, "agent", "play", [["call", 1, 0, "agent", "keep", ["k", 1], {}]])
    chain.wait(2_000)
    last = chain.transaction(0, chain.alice, [contract_call("agent", "say", 1)])
    block = Told(chain.run(0, [last]))
    assert [run.cause for run in block.runs] == [RunCause.PATIENCE, RunCause.MESSAGE, RunCause.TRANSACTION]


def test_timers_are_served_by_time_whoever_set_them_first(chain: Network) -> None:
    chain.halted = {1}
    late = chain.call(0, "agent", "play", [["try", [ask(1, "say", 1, patience=3)]]])
    early = chain.call(0, "agent", "play", [["try", [ask(1, "say", 1, patience=1)]]])
    chain.wait(10_000)
    assert [run.call_id for run in Told(chain.run(0)).runs] == [early.call_id, late.call_id]


def test_a_flood_of_timers_does_not_hold_up_the_queue(chain: Network) -> None:
    """Each might resume a dear call; but they are waited for together, so only the last does."""
    chain.halted = {1}
    calls = spread(60, 1, 15_000, patience=1)
    waits: list[Any] = ["try", [["gather_calls", list(range(60))]]]
    chain.call(0, "agent", "play", [["work", 20_000], *calls, waits], gas=1_500_000)
    chain.call(0, "agent", "play", [["call", 1, 0, "agent", "keep", ["k", "served"], {}]])
    chain.wait(5_000)
    blocks = 0
    while chain.stored(0, "agent", "k") != "served":
        chain.run(0)
        blocks += 1
    assert blocks <= 3


def test_a_flood_of_refusals_does_not_hold_up_the_queue(chain: Network) -> None:
    calls: list[Any] = [["call", n, 99, "agent", "say", [n], {"gas": 12_000}] for n in range(60)]
    waits: list[Any] = ["try", [["gather_calls", list(range(60))]]]
    chain.call(0, "agent", "play", [["work", 20_000], *calls, waits], gas=1_500_000)
    chain.call(0, "agent", "play", [["call", 1, 0, "agent", "keep", ["k", "served"], {}]])
    blocks = 0
    while chain.stored(0, "agent", "k") != "served":
        told = Told(chain.run(0))
        blocks += 1
        assert len(told.replies) <= LOCAL_GAS // REPLY_GAS
    assert blocks <= 3


def test_a_contract_that_sends_to_itself_for_ever_runs_out_of_gas_not_of_blocks(chain: Network) -> None:
    told = chain.call(0, "agent", "dive", 200, [0], 5_000, gas=400_000)
    for _ in range(30):
        chain.run(0)
    chain.quiesce()
    assert chain.end_of(told.call_id).state == RunState.FAILED


def test_local_work_of_any_length_keeps_one_receipt_for_each_run(chain: Network) -> None:
    chain.call(0, "agent", "play", spread(30, 0, 20_000), gas=1_400_000)
    chain.quiesce()
    runs = [r for e in chain.shards[0].executions for r in receipts_of(e) if isinstance(r, RunReceipt)]
    assert len([run for run in runs if run.method == "add"]) == 30
    assert chain.stored(0, "agent", "k") == 30
