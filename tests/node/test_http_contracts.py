"""Contracts through the HTTP API of a real validator: what is deployed, stored, viewed, estimated and recorded."""

import asyncio
from typing import Any

import msgspec
import pytest

from contracts.machine.local import LocalMachine
from contracts.outcomes import Completed, Invocation
from contracts.replaying import replay
from contracts.values import decode, encode
from shards.node import api_contracts as api
from shards.node import http_calls
from shards.node.client import NodeClient
from shards.node.view_desk import MAX_WAITING
from tests.node.support import Running
from tests.node.till import SOURCE, act, calling, pay, refused


async def test_a_deployed_contract_is_listed_with_its_methods(till: Running) -> None:
    client = till.clients[0]
    listed = await client.contracts()
    assert [each.name for each in listed.contracts] == ["till"]
    assert listed.next is None
    assert (await client.contracts(after="till")).contracts == []
    assert (await client.status()).contracts == 1
    shown = await client.contract("till", source=True)
    assert shown.source == SOURCE
    assert shown.balance == "77"
    assert shown.owner is not None
    assert {each.name for each in shown.methods if each.view} == {"total", "all_keys", "when", "burn"}
    assert [each.summary for each in shown.methods if each.name == "pay"] == ["Put money in."]
    assert listed.contracts[0].source is None
    assert await refused(client.contract("nothing")) == "not_found"


async def test_storage_is_paged_by_prefix_and_told_without_loss(till: Running) -> None:
    client = till.clients[0]
    first = await client.storage("till", limit=2)
    assert [entry.key for entry in first.entries] == ["owner", "rate"]
    assert [entry.value for entry in first.entries] == ["alice", {"$decimal": "1.50"}]
    rest = await client.storage("till", after=first.next or "")
    assert [entry.key for entry in rest.entries] == ["wide"]
    assert rest.entries[0].value == {"$int": str(2**200)}
    assert decode(bytes.fromhex(rest.entries[0].encoded)) == 2**200
    assert [entry.key for entry in (await client.storage("till", prefix="ra")).entries] == ["rate"]
    assert [entry.key for entry in (await client.storage("till", prefix="rate")).entries] == ["rate"]
    missing = await client.stored("till", "no/such key")
    assert (missing.found, missing.key, missing.encoded) == (False, "no/such key", "")


async def test_a_view_reads_the_latest_state_and_changes_nothing(till: Running) -> None:
    client = till.clients[0]
    assert (await client.view("till", "total", encode([]))).result == 0
    await act(till, 1, pay(5))
    answer = await client.view("till", "total", encode([]))
    assert (answer.result, answer.failure) == (5, None)
    assert answer.gas_used > 1000
    listed = await client.view("till", "all_keys", encode([]))
    assert [key[:8] for key in listed.result] == ["payer/os"]
    when = await client.view("till", "when", encode([]), sender="osk1me")
    assert when.result == [when.height, when.time_ms // 1000, "osk1me"]


async def test_what_is_no_view_is_refused_and_a_runaway_one_ends(till: Running) -> None:
    client = till.clients[0]
    assert await refused(client.view("till", "pay", encode([1]))) == "not_a_view"
    assert await refused(client.view("till", "nope", encode([]))) == "no_method"
    assert await refused(client.view("nope", "total", encode([]))) == "not_found"
    assert await refused(client.view("till", "total", encode(1))) == "bad_value"
    assert await refused(client.view("till", "total", b"\xc1")) == "bad_value"
    wrong = await client.view("till", "total", encode([1]))
    assert wrong.failure is not None
    assert wrong.failure.error == "TypeError"
    burnt = await client.view("till", "burn", encode([]))
    assert burnt.failure is not None
    assert burnt.failure.kind == "out_of_gas"


async def test_views_beyond_the_limit_are_told_to_come_back(till: Running) -> None:
    client = till.clients[0]
    asked = [client.view("till", "burn", encode([])) for _ in range(3)]
    quick = [client.view("till", "total", encode([])) for _ in range(MAX_WAITING + 8)]
    answers = await asyncio.gather(*asked, *quick, return_exceptions=True)
    problems = [str(each) for each in answers if isinstance(each, Exception)]
    assert problems
    assert all("busy" in problem for problem in problems)
    assert sum(isinstance(each, api.ViewAnswer) for each in answers) >= MAX_WAITING


async def test_an_estimate_says_what_a_call_would_take_and_does_none_of_it(till: Running) -> None:
    client = till.clients[0]
    estimate = await client.estimate("till", "pay", encode([3]))
    assert estimate.state == "completed"
    wanted = await act(till, 1, pay(3))
    call = await client.call(wanted)
    # The first key of a name costs what it costs; sender and key lengths differ by a few bytes of the address.
    assert abs(call.gas_used - estimate.gas_used) < 200
    assert estimate.gas_used < estimate.suggested_gas
    assert (await client.view("till", "total", encode([]))).result == 3
    asks = await client.estimate("till", "ask_away", encode(["owl"]))
    assert asks.state == "suspended"
    assert [(each.contract, each.method, each.arguments) for each in asks.calls] == [("other", "quote", ["owl"])]
    spoilt = await client.estimate("till", "spoil", encode([]))
    assert spoilt.failure is not None
    assert (spoilt.failure.error, spoilt.failure.message) == ("ValueError", "no such thing")


async def test_a_call_tells_its_runs_log_and_events_and_can_be_replayed(till: Running) -> None:
    client = till.clients[0]
    wanted = await act(till, 1, pay(4))
    call = await client.call(wanted)
    assert (call.state, call.result, call.failure) == ("completed", 4, None)
    [run] = call.runs
    assert run.log == ["paid 4"]
    assert [(event.name, event.data) for event in run.events] == [("Paid", {"amount": 4})]
    assert (await client.call(bytes.fromhex(call.call_id))) == call
    record = await client.call_record(wanted)
    [recorded] = record.runs
    outcome = replayed(bytes.fromhex(recorded.record), record.source)
    assert isinstance(outcome, Completed)
    assert decode(outcome.result) == 4
    assert await refused(client.call(bytes(32))) == "not_found"


def replayed(raw: bytes, source: str) -> object:
    machine = LocalMachine()
    return replay(msgspec.msgpack.decode(raw, type=Invocation), source, machine)


async def test_a_call_that_awaits_another_contract_of_its_shard_ends_refused_when_there_is_none(till: Running) -> None:
    client = till.clients[0]
    wanted = await act(till, 1, calling("ask_away", "owl"))
    call = await client.call(wanted)
    assert call.state == "failed"
    assert call.failure is not None
    assert call.failure.error == "CallFailed"
    [child] = call.calls
    assert (child.contract, child.outcome) == ("other", "refused")
    assert len(call.runs) == 2
    trace = await client.trace(wanted)
    assert {each.receipt.kind for each in trace.receipts} >= {"transaction", "call", "reply", "run"}
    message = await client.message(bytes.fromhex(child.message.message_id if child.message else ""))
    assert (message.source, message.destination, message.provable) == (0, 0, False)
    assert await refused(client.message_proof(bytes.fromhex(message.message_id))) == "not_provable"


async def test_runs_come_in_pages_that_tear_no_block_apart(till: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    client = till.clients[0]
    for nonce in (1, 2):
        await act(till, nonce, pay(nonce))
    whole = await client.runs()
    assert [(run.method, run.state) for run in whole.runs] == [("init", "completed"), *[("pay", "completed")] * 2]
    assert whole.next is None
    assert whole.height >= whole.runs[-1].height
    monkeypatch.setattr(http_calls, "MAX_RUNS", 1)
    paged: list[api.PlacedRun] = []
    begin: int | None = 1
    while begin is not None:
        page = await client.runs(begin)
        assert len({run.height for run in page.runs}) <= 1
        paged += page.runs
        begin = page.next
    assert paged == whole.runs


async def test_blocks_show_every_kind_of_operation(till: Running) -> None:
    await act(till, 1, pay(4))
    shown = await operations(till.clients[0])
    assert [each.kind for each in shown] == ["deploy", "call"]
    assert (shown[1].contract, shown[1].method, shown[1].arguments, shown[1].gas) == ("till", "pay", [4], 400_000)


async def operations(client: NodeClient) -> list[Any]:
    page = await client.blocks(1, 100)
    blocks = [await client.block(summary.height) for summary in page.blocks if summary.items]
    return [
        operation
        for block in blocks
        for item in block.items
        if item.transaction is not None
        for operation in item.transaction.operations
    ]
