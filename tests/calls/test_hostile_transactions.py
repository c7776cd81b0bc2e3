"""Transactions that try it on: each ends in a clear error at the same step everywhere, and no money moves by itself."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.limits import MAX_CALL_GAS, MAX_CALLS, MAX_WRITES
from contracts.values import MAX_VALUE_BYTES, encode
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import CallId, Milliseconds, ShardId
from shards.gas import fee_of
from shards.limits import BLOCK_GAS
from shards.receipts import RunState
from shards.state import ZERO_AMOUNT
from shards.transactions import ContractCall, Operation, RemoteCall, TopUp, parse_transaction
from tests.calls.network import Network, Told, contract_call, result_of
from tests.calls.test_calling import ask
from tests.shards.builders import BALANCE

LIMITS = """
from ostraka_contract import call, msg, put

def store(key: str, size: int) -> None:
    put(key, b"x" * size)

def store_odd(kind: str) -> None:
    odd = {"float": 1.5, "set": {1}, "object": object(), "wide": 1 << 300, "surrogate": "\\ud800", "nan": float("nan")}
    put("k", odd[kind])

def many_keys(count: int) -> None:
    for number in range(count):
        put(str(number), 1)

def many_calls(count: int) -> None:
    for number in range(count):
        call(1, msg.sender, "")

def result(size: int) -> bytes:
    return b"x" * size

def strange(kind: str) -> object:
    if kind == "raise":
        raise ValueError("\\ud800" * 10)
    if kind == "long":
        raise ValueError("x" * 100_000)
    if kind == "type":
        raise type("\\ud800" * 100, (Exception,), {})("x")
    if kind == "exit":
        raise SystemExit
    if kind == "deep":
        return strange(kind)
    return "\\ud800"

def memory() -> int:
    return len(bytearray(1 << 30))

async def huge_arguments(size: int) -> None:
    await call(1, "agent", "say", b"x" * size)

async def collects(count: int, size: int) -> int:
    from ostraka_contract import gather
    found = await gather(*[call(1, "limits", "result", size, gas=30_000) for _ in range(count)])
    return sum(len(item) for item in found)

async def forever() -> None:
    await call(1, "agent", "nothing", gas=20_000)
    while True:
        pass
"""


@pytest.fixture
def chain() -> Network:
    chain = Network(shards=2)
    for shard in range(2):
        chain.deploy(shard, "agent", value=1_000)
        chain.deploy(shard, "limits", LIMITS)
    return chain


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("store", ["k", MAX_VALUE_BYTES], "longer than"),
        ("store", ["k" * 257, 1], "256"),
        ("store", ["", 1], "key"),
        ("store_odd", ["float"], "float"),
        ("store_odd", ["set"], "set"),
        ("store_odd", ["object"], "object"),
        ("store_odd", ["wide"], "bits"),
        ("store_odd", ["surrogate"], "surrogate"),
        ("store_odd", ["nan"], "float"),
        ("many_keys", [MAX_WRITES + 1], "keys written"),
        ("many_calls", [MAX_CALLS + 1], "128"),
        ("result", [MAX_VALUE_BYTES], "not a value"),
        ("strange", ["raise"], "ValueError"),
        ("strange", ["long"], "ValueError: xxx"),
        ("strange", ["type"], "surrogates not allowed"),
        ("strange", ["exit"], "SystemExit"),
        ("strange", ["deep"], "RecursionError"),
        ("strange", ["return"], "not a value"),
        ("memory", [], "MemoryError"),
        ("huge_arguments", [MAX_VALUE_BYTES], "longer than"),
    ],
)
def test_what_exceeds_a_limit_fails_by_its_name_and_changes_nothing(
    chain: Network, method: str, arguments: list[Any], said: str
) -> None:
    before = dict(chain.shards[0].ledger.entries())
    told = chain.call(0, "limits", method, *arguments, gas=MAX_CALL_GAS, value=3)
    assert told.failure in ("raised", "trap")
    assert said in told.receipt.detail
    after = dict(chain.shards[0].ledger.entries())
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key) and key[0] >= 4} == set()


def test_the_largest_results_come_together_and_are_all_delivered(chain: Network) -> None:
    told = chain.call(0, "limits", "collects", 40, 16_000, gas=MAX_CALL_GAS)
    chain.quiesce()
    assert result_of(chain.end_of(told.call_id)) == 640_000


def test_a_loop_after_an_await_is_charged_and_the_call_can_only_be_fed_more(chain: Network) -> None:
    told = chain.call(0, "limits", "forever", gas=70_000)
    chain.quiesce()
    fed = chain.top_up(0, told.call_id, 100_000, who=chain.bob)
    assert fed.failure == ""
    chain.quiesce()
    call = chain.suspended(0, told.call_id)
    assert call is not None
    assert call.gas_left < 12_000
    assert call.gas_used > 100_000
    chain.wait(11 * 60 * 1000)
    chain.quiesce()
    assert chain.end_of(told.call_id).kind == "out_of_gas"


@pytest.mark.parametrize("gas", [0, 1, MAX_CALL_GAS])
def test_a_top_up_of_a_strangers_call_moves_only_the_giver_s_money(chain: Network, gas: int) -> None:
    told = chain.call(0, "agent", "play", [ask(1, "say", 1), ["work", 100]])
    alice = chain.balance(0, chain.alice)
    fed = chain.top_up(0, told.call_id, gas, who=chain.bob)
    assert fed.fee == 600 + gas
    assert chain.balance(0, chain.bob) == BALANCE - 600 - gas
    chain.quiesce()
    end = chain.end_of(told.call_id)
    assert chain.balance(0, chain.alice) == alice + end.gas_left, "what is left goes to who made the call"


def test_the_last_unit_of_a_balance_can_be_spent_and_no_more(chain: Network) -> None:
    operation = contract_call("agent", "say", 1, gas=20_000)
    fee = fee_of(parse_transaction(chain.transaction(0, chain.carol, [operation])).body)
    exact = contract_call("agent", "say", 1, gas=20_000, value=BALANCE - fee)
    beyond = contract_call("agent", "say", 1, gas=20_000, value=BALANCE - fee + 1)
    told = Told(chain.run(0, [chain.transaction(0, chain.carol, [beyond])]))
    assert told.failure == "overdraft"
    charged = told.fee
    exact = contract_call("agent", "say", 1, gas=20_000, value=BALANCE - fee - charged)
    assert Told(chain.run(0, [chain.transaction(0, chain.carol, [exact])])).failure == ""
    assert chain.balance(0, chain.carol) < 20_000


def test_a_sender_who_spends_twice_in_a_block_pays_for_what_fails(chain: Network) -> None:
    nonce = chain.account(0, chain.carol).nonce
    raws = [
        chain.transaction(
            0, chain.carol, [contract_call("agent", "add", "k", 1, value=BALANCE - 200_000)], nonce=nonce + n
        )
        for n in range(3)
    ]
    told = Told(chain.run(0, raws))
    assert [receipt.failure for receipt in told.transactions] == ["", "overdraft", "overdraft"]
    assert chain.stored(0, "agent", "k") == 1


@pytest.mark.parametrize("name", ["play", "agent@0", "Agent", "agent ", "аgent"])
def test_names_that_look_like_a_contract_are_not_it(chain: Network, name: str) -> None:
    assert chain.call(0, name, "say", 1).failure == "no_contract"


def test_operations_out_of_their_bounds_are_no_transactions(chain: Network) -> None:
    too_long = ContractCall("agent", "say", b"\xc0" * (MAX_VALUE_BYTES + 1), ZERO_AMOUNT, 1)
    bad: list[list[Operation]] = [
        [contract_call("agent", "say", gas=MAX_CALL_GAS + 1)],
        [contract_call("agent", "say", gas=-1)],
        [contract_call("agent", "say"), contract_call("agent", "say")],
        [contract_call("a" * 65, "say")],
        [contract_call("agent", "m" * 65)],
        [too_long],
        [TopUp(CallId(b"short"), 1)],
        [TopUp(CallId(bytes(32)), 1), TopUp(CallId(bytes(32)), 1)],
    ]
    for operations in bad:
        with pytest.raises(Refused):
            parse_transaction(chain.transaction(0, chain.alice, operations))


@settings(deadline=None, max_examples=40)
@given(
    arguments=st.one_of(st.binary(max_size=60), st.sampled_from([encode([]), encode([1]), encode({}), b"\x91\xc1"])),
    method=st.one_of(st.text(min_size=1, max_size=12), st.sampled_from(["say", "play", "add", "burn", "dive"])),
    gas=st.one_of(st.integers(0, 60_000), st.just(300_000)),
    value=st.integers(0, 2_000),
    remote=st.booleans(),
)
def test_any_call_is_included_pays_and_leaves_one_receipt(
    arguments: bytes, method: str, gas: int, value: int, remote: bool
) -> None:
    chain = SHARED
    amount = pack_amount(Amount(value))
    operation: ContractCall | RemoteCall = ContractCall("agent", method, arguments, amount, gas)
    if remote:
        deadline = Milliseconds(chain.time_ms + 60_000)
        operation = RemoteCall(ShardId(1), "agent", method, arguments, amount, gas, deadline)
    before = chain.balance(0, chain.alice)
    told = chain.act(0, operation)
    assert told.receipt.gas_used <= BLOCK_GAS
    assert 0 <= before - chain.balance(0, chain.alice) <= told.fee + value
    chain.quiesce()
    assert all(run.state != RunState.STARVED or run.gas_left < 12_000 for run in told.runs)


SHARED = Network(shards=2)
for _shard in range(2):
    SHARED.deploy(_shard, "agent")
