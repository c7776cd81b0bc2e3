"""Contracts through the HTTP API of a real validator: what is deployed, stored, viewed, estimated and recorded."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from contracts.machine.local import LocalMachine
from contracts.outcomes import Completed, Invocation
from contracts.replaying import replay
from contracts.values import Value, decode, encode
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from primitives.identifiers import Milliseconds, Nonce, ShardId
from primitives.signatures import ED25519, public_key_of
from primitives.state_tree import value_hash, verify_proof
from shards.calls.records import contract_key, decode_code, storage_key
from shards.commitments import certificate_decoder
from shards.genesis import ChainContext
from shards.node import api_contracts as api
from shards.node.client import NodeClient
from shards.node.clock import system_clock
from shards.node.proved_views import Question, VerifiedView, verify_view
from shards.node.view_desk import MAX_WAITING
from shards.state import path_of_key
from shards.transactions import (
    ContractCall,
    Deploy,
    Operation,
    Transaction,
    sign_transaction,
    transaction_id,
)
from tests.node.support import Running, key_of, make_configs, make_context, running, seed_of, until

SOURCE = '''
"""A till."""
from decimal import Decimal
from ostraka_contract import call, get, keys, put, view, msg, emit, block

def init(owner):
    put("owner", owner)
    put("rate", Decimal("1.50"))
    put("wide", 2**200)

def pay(amount: int) -> int:
    """Put money in."""
    total = get("total", 0) + amount
    put("total", total)
    put(f"payer/{msg.sender[:8]}", amount)
    print("paid", amount)
    emit("Paid", amount=amount)
    return total

async def ask_away(item):
    return await call(0, "other", "quote", item)

def spoil():
    raise ValueError("no such thing")

@view
def total() -> int:
    return get("total", 0)

@view
def all_keys():
    return keys("payer/")

@view
def when():
    return [block.height, block.time, msg.sender]

@view
def burn():
    while True:
        pass
'''

NOTHING = pack_amount(Amount(0))


@pytest_asyncio.fixture
async def till(tmp_path: Path) -> AsyncIterator[Running]:
    """A validator that is its whole shard, with a contract."""
    async with running(make_configs(tmp_path, make_context(validators=1))) as net:
        operation = Deploy(
            name="till",
            source=SOURCE,
            owner=key_of("alice"),
            arguments=encode(["alice"]),
            amount=pack_amount(Amount(77)),
            gas=500_000,
        )
        await act(net, 0, operation)
        yield net


async def act(net: Running, nonce: int, operation: Operation) -> bytes:
    """Sign, hand in, and wait until it is settled."""
    body = Transaction(
        version=1,
        chain_id=net.configs[0].context.chain_id,
        shard=ShardId(0),
        sender=public_key_of(seed_of("alice")),
        nonce=Nonce(nonce),
        valid_until_ms=Milliseconds(system_clock().wall_ms + 3_600_000),
        fee_limit=pack_amount(Amount(3_000_000)),
        operations=(operation,),
        memo=b"",
    )
    raw = sign_transaction(body, seed_of("alice"), ED25519)
    [result] = await net.clients[0].submit([raw])
    assert result.status == "accepted", result

    async def settled() -> bool | None:
        try:  # it is in no index while its block is voted on
            found = await net.clients[0].transaction(transaction_id(raw))
        except Refused:
            return None
        return found.level == "settled" or None

    await until(settled)
    return transaction_id(raw)


def pay(amount: int) -> ContractCall:
    return calling("pay", amount)


def calling(method: str, *arguments: Value) -> ContractCall:
    return ContractCall(contract="till", method=method, arguments=encode(list(arguments)), amount=NOTHING, gas=400_000)


async def refused(answer: Any) -> str:
    with pytest.raises(Refused) as refusal:
        await answer
    return refusal.value.code


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


async def test_a_stored_key_comes_with_a_proof_of_presence_or_absence(till: Running) -> None:
    for key, expected in (("rate", Decimal("1.50")), ("nothing", None)):
        answer = await till.clients[0].stored("till", key, proof=True)
        assert answer.proof is not None
        [entry] = checked(answer.proof)
        assert entry[0] == storage_key("till", key.encode())
        assert (None if entry[1] is None else decode(entry[1])) == expected


def checked(evidence: api.StateEvidence) -> list[tuple[bytes, bytes | None]]:
    """Entries whose proofs hold under the certificate's state root."""
    root = certificate_decoder.decode(bytes.fromhex(evidence.certificate)).commitment.state_root
    found = []
    for entry in evidence.entries:
        key, value = bytes.fromhex(entry.key), None if entry.value is None else bytes.fromhex(entry.value)
        proved = verify_proof(root, path_of_key(key), bytes.fromhex(entry.proof))
        assert proved == (None if value is None else value_hash(value))
        found.append((key, value))
    return found


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


async def test_a_proved_view_can_be_repeated_from_the_proved_entries_alone(till: Running) -> None:
    await act(till, 1, pay(9))
    answer = await till.clients[0].view("till", "total", encode([]), proof=True)
    assert answer.proof is not None
    entries = dict(checked(answer.proof))
    code = next(decode_code(value) for key, value in entries.items() if value is not None and key[0] == 7)
    assert code.source == SOURCE
    assert contract_key("till") in entries
    assert decode(entries[storage_key("till", b"total")] or b"") == 9 == answer.result
    assert await refused(till.clients[0].view("till", "all_keys", encode([]), proof=True)) == "not_provable"


async def test_a_proved_view_is_verified_with_the_genesis_alone_and_a_changed_one_is_not(till: Running) -> None:
    await act(till, 1, pay(9))
    context, machine = till.configs[0].context, LocalMachine()
    question = Question("till", ShardId(0), "total", encode([]))
    answer = await till.clients[0].view("till", "total", encode([]), proof=True)

    def verify(answer: api.ViewAnswer, question: Question = question, context: ChainContext = context) -> VerifiedView:
        return verify_view(answer, question, context, ED25519, machine)

    verified = verify(answer)
    assert (verified.height, verified.signers, verified.committee_size) == (answer.height, 1, 1)
    assert answer.proof is not None
    assert verified.entries == len(answer.proof.entries) == 3
    for changed in forgeries(answer, answer.proof):
        with pytest.raises(Refused):
            verify(changed)
    with pytest.raises(Refused, match="no_proof"):
        verify(msgspec.structs.replace(answer, proof=None))
    with pytest.raises(Refused, match="what was not proved"):
        verify(answer, dataclasses.replace(question, method="all_keys"))
    with pytest.raises(Refused, match="something else"):
        verify(answer, dataclasses.replace(question, method="when"))
    with pytest.raises(Refused, match="wrong_chain"):
        verify(answer, context=make_context(validators=1, name="another"))


def flipped(text: str) -> str:
    """Bytes in hexadecimal with the lowest bit of the last one changed."""
    raw = bytes.fromhex(text)
    return (raw[:-1] + bytes((raw[-1] ^ 1,))).hex()


def forgeries(answer: api.ViewAnswer, proof: api.StateEvidence) -> list[api.ViewAnswer]:
    """The answer with each of its parts changed, or left out."""
    replace = msgspec.structs.replace
    other = [
        replace(answer, encoded=encode(10).hex()),
        replace(answer, failure=api.FailureView("raised", "ValueError", "", "")),
        replace(answer, height=answer.height + 1),
        replace(answer, time_ms=answer.time_ms + 1),
        replace(answer, contract="other"),
        replace(answer, proof=replace(proof, certificate=flipped(proof.certificate))),
        replace(answer, proof=replace(proof, certificate="")),
    ]
    entries = proof.entries
    for place, entry in enumerate(entries):
        for changed in (
            [],
            [replace(entry, value=None)],
            [replace(entry, value=encode(10).hex())],
            [replace(entry, proof=flipped(entry.proof))],
            [replace(entry, proof="")],
            [replace(entry, key="")],
            [replace(entry, key=entries[place - 1].key)],
        ):
            new = [*entries[:place], *changed, *entries[place + 1 :]]
            other.append(replace(answer, proof=replace(proof, entries=new)))
    return other


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
