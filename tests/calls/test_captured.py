"""What a captured shard's messages can do to another shard's contracts: speak for its own shard, and nothing else."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.limits import MAX_CALL_GAS
from contracts.values import encode
from primitives.addresses import format_address
from primitives.identifiers import CallId, Milliseconds, Sequence, ShardId, TransactionId
from shards.limits import MAX_OPEN_CALLS_PER_LANE, RESUME_GAS
from shards.messages import Outcome, call_id_of, child_call_id
from shards.receipts import CallReceipt, RunReceipt, RunState
from shards.state import open_call_key
from shards.transactions import parse_transaction
from tests.calls.network import Network, Told, contract_call, result_of
from tests.calls.test_calling import ask
from tests.shards.builders import receipts_of
from tests.shards.captured import CapturedShard, call_body, reply_body

CAPTURED = 1
LARGE = 500_000_000
TRACE = TransactionId(b"\x07" * 32)


class Siege:
    """Shard 0 honest with an agent, shard 1 captured, shard 2 honest."""

    def __init__(self) -> None:
        self.chain = Network(shards=3)
        self.chain.deploy(0, "agent", value=1_000)
        self.chain.deploy(2, "agent", value=1_000)
        self.chain.captured = {CAPTURED}
        self.captured = CapturedShard(self.chain, CAPTURED)
        self.bodies: list[bytes] = []

    def send(self, *bodies: bytes, value: int = LARGE, ack: int = 0) -> Told:
        """Have shard 0 consume more messages of the captured one."""
        first = len(self.bodies)
        self.bodies += bodies
        bundle = self.captured.bundle(0, self.bodies, first, value_sent=value, ack_next=ack)
        return Told(self.chain.run(0, bundles=[bundle]))

    def rest(self) -> None:
        """Have the honest shards exchange what there is between them."""
        for _ in range(4):
            self.chain.deliver(0, 2)
            self.chain.deliver(2, 0)

    def call(self, method: str = "who", *, gas: int = 100_000, value: int = 0, **changes: Any) -> bytes:
        """A call of agent@0 as an honest shard 1 would send it next, but for `changes`."""
        arguments = changes.pop("arguments", encode([]))
        known: dict[str, Any] = {
            "call_id": call_id_of(self.chain.context.chain_id, ShardId(CAPTURED), TRACE, 0),
            "trace_id": TRACE,
            "method": method,
            "arguments": arguments,
            "gas": gas,
        }
        target = changes.pop("target", b"agent@0")
        return call_body(target, value, **{**known, **changes})


@pytest.fixture
def siege() -> Siege:
    return Siege()


def only_call(told: Told) -> CallReceipt:
    (receipt,) = told.calls
    return receipt


@pytest.mark.parametrize(
    "sender",
    [
        b"agent@0",
        b"agent@2",
        b"agent",
        b"agent@1@0",
        b"agent@0@1",
        b"Agent@1",
        b"@1",
        b"a\xff@1",
        "ägent@1".encode(),
        b"a" * 27 + b"@1",
        b"a" * 33,
        b"a" * 31,
        b"agent@01",
        b"agent@1\n",
    ],
)
def test_a_sender_that_the_captured_shard_cannot_speak_for_is_refused(siege: Siege, sender: bytes) -> None:
    receipt = only_call(siege.send(siege.call(sender=sender, value=50)))
    assert receipt.outcome == Outcome.REFUSED
    assert "its sender" in receipt.detail
    assert siege.chain.held(0, "agent") == 1_000


def test_its_accounts_and_contracts_are_shown_with_its_shard(siege: Siege) -> None:
    alice = siege.chain.alice.key
    told = siege.send(siege.call(sender=alice))
    assert result_of(told.run) == [f"{format_address(alice)}@1", 0, 0]
    told = siege.send(siege.call(sender=b"agent@1"))
    assert result_of(told.run) == ["agent@1", 0, 0]
    longest = b"a" * 26 + b"@1"
    assert result_of(siege.send(siege.call(sender=longest)).run) == [longest.decode(), 0, 0]


@pytest.mark.parametrize(
    "target", [b"agent@1", b"agent@2", b"agent", b"agent@00", b"@0", b"\xff@0", b"x" * 128, b"nobody@0", b"a" * 31]
)
def test_a_target_that_is_not_here_is_refused(siege: Siege, target: bytes) -> None:
    receipt = only_call(siege.send(siege.call(target=target, value=50)))
    assert receipt.outcome == Outcome.REFUSED
    assert "no contract" in receipt.detail


@pytest.mark.parametrize(
    "arguments",
    [b"", b"\xff", b"\x91", encode({}), encode(5), b"\x91" * 4000, b"\xc1" * 16_384, encode([])[:0] + b"\x00"],
)
def test_arguments_that_are_no_list_fail_the_call_and_nothing_else(siege: Siege, arguments: bytes) -> None:
    told = siege.send(siege.call("say", arguments=arguments, value=9))
    assert told.run.state == RunState.FAILED
    assert siege.chain.held(0, "agent") == 1_000


@pytest.mark.parametrize("method", ["init", "migrate", "_play", "no such", "\x00", "ö" * 64, "__class__"])
def test_methods_that_are_none_are_refused(siege: Siege, method: str) -> None:
    assert only_call(siege.send(siege.call(method, value=9))).outcome == Outcome.REFUSED
    assert siege.chain.held(0, "agent") == 1_000


def test_money_for_a_contract_without_a_method_is_refused(siege: Siege) -> None:
    assert only_call(siege.send(siege.call("", value=9))).outcome == Outcome.REFUSED


def test_an_id_that_its_shard_does_not_give_to_this_call_is_refused(siege: Siege) -> None:
    chain = siege.chain
    raw = chain.transaction(0, chain.alice, [contract_call("agent", "say", "x")])
    transaction = parse_transaction(raw)
    guessed = call_id_of(chain.context.chain_id, ShardId(0), transaction.id, 0)
    place = child_call_id(chain.context.chain_id, ShardId(CAPTURED), ShardId(0), Sequence(0))
    cases = [
        siege.call(call_id=guessed, trace_id=transaction.id),
        siege.call(call_id=guessed, trace_id=transaction.id, parent_call_id=b"\x01" * 32),
        siege.call(call_id=place, parent_call_id=b"\x01" * 32),
        siege.call(call_id=CallId(bytes(32))),
        siege.call(call_id=call_id_of(chain.context.chain_id, ShardId(CAPTURED), TRACE, 16)),
    ]
    for case in cases:
        if case is cases[2]:
            continue
        receipt = only_call(siege.send(case))
        assert (receipt.outcome, "its id" in receipt.detail) == (Outcome.REFUSED, True)
    assert only_call(siege.send(cases[2])).outcome == Outcome.REFUSED, "the right id, but of another place"


def test_the_same_id_twice_is_refused_while_the_first_is_under_way(siege: Siege) -> None:
    waiting = encode([[ask(2, "say", "x")]])
    first = siege.send(siege.call("play", arguments=waiting))
    assert only_call(first).outcome == Outcome.UNDER_WAY
    again = siege.send(siege.call("play", arguments=waiting, value=5))
    assert (only_call(again).outcome, "under way" in only_call(again).detail) == (Outcome.REFUSED, True)


@pytest.mark.parametrize("gas", [0, 1, 299, MAX_CALL_GAS, MAX_CALL_GAS + 200_000, 400_000_000])
def test_no_gas_is_too_little_or_too_much_to_be_handled(siege: Siege, gas: int) -> None:
    spend = encode([[["call", "a", 2, "agent", "say", [1], {"gas": 20_000}], ["await", "a"]]])
    told = siege.send(siege.call("play", gas=gas, arguments=spend))
    assert told.calls[0].outcome == (Outcome.FAILED if gas < MAX_CALL_GAS else Outcome.UNDER_WAY)
    for note in told.execution.notes:
        assert 0 <= note.record.gas <= MAX_CALL_GAS
        assert 0 <= note.record.purse <= MAX_CALL_GAS
    siege.rest()


def open_call(siege: Siege) -> tuple[bytes, bytes, int]:
    """A call of agent@0 that waits for the captured shard: its id, its call's id, and what it set aside to resume."""
    step: list[Any] = ["try", [["ask", CAPTURED, "agent", "say", [1], {"value": 100, "gas": 50_000}]]]
    told = siege.chain.call(0, "agent", "play", [step, ["put", "on", 1]])
    (made,) = told.run.calls
    (opened,) = [call for call in siege.chain.open_calls(0) if call.parent_call_id == told.call_id]
    return told.call_id, made.call_id, opened.resume_gas


@pytest.mark.parametrize("outcome", list(range(5)))
@pytest.mark.parametrize(
    ("returned", "gas_used"), [(0, 0), (40_000, 0), (50_100, 50_000), (10, 2**62), (400_000_000, 0)]
)
def test_a_reply_that_lies_about_money_credits_what_it_brings_and_no_more(
    siege: Siege, outcome: int, returned: int, gas_used: int
) -> None:
    call_id, child, _ = open_call(siege)
    before = siege.chain.held(0, "agent")
    told = siege.send(
        reply_body(child, returned, outcome=outcome, gas_used=gas_used, reply_gas=10**6), value=LARGE, ack=1
    )
    end = siege.chain.end_of(call_id)
    (found,) = result_of(end)
    refund = min(returned, max(50_000 - gas_used, 0))
    assert siege.chain.held(0, "agent") - before == returned - refund
    if outcome == Outcome.OK:
        assert found is None
    else:
        assert found[0] == ("failed", "expired", "refused", "refused")[outcome - 1]
        assert found[3] == returned - refund
    assert told.replies


@pytest.mark.parametrize("result", [b"\xc1", b"\xff" * 16_384, b"\x91", b"\xd9\x01\xff", b"\xdd\xff\xff\xff\xff"])
def test_a_result_that_is_no_value_is_an_error_at_the_await(siege: Siege, result: bytes) -> None:
    call_id, child, _ = open_call(siege)
    siege.send(reply_body(child, 0, result=result, reply_gas=10**6), ack=1)
    assert siege.chain.end_of(call_id).error_type == "BadValue"


def test_long_and_strange_texts_of_a_failure_are_carried_and_bounded(siege: Siege) -> None:
    call_id, child, _ = open_call(siege)
    body = reply_body(
        child,
        0,
        outcome=1,
        error_type="ö" * 64,
        error_text="\u202e" * 1_024,
        traceback="\x00" * 8_192,
        result=b"\xc0" * 15_000,
        reply_gas=10**6,
    )
    siege.send(body, ack=1)
    ((kind, error, text, _),) = result_of(siege.chain.end_of(call_id))
    assert (kind, error, text) == ("failed", "ö" * 64, "\u202e" * 1_024)


def test_a_reply_that_reserved_nothing_resumes_nobody_in_its_block(siege: Siege) -> None:
    call_id, child, resume_gas = open_call(siege)
    assert resume_gas >= RESUME_GAS
    told = siege.send(reply_body(child, 0, reply_gas=0), ack=1)
    assert [run.gas_used for run in told.runs] == [0], "it waits for the queue, which has gas of its own"
    siege.chain.run(0)
    assert siege.chain.end_of(call_id).state == RunState.COMPLETED


def test_a_reply_to_another_shards_call_is_credited_to_nobody(siege: Siege) -> None:
    told = siege.chain.call(0, "agent", "play", [ask(2, "say", 1)])
    (made,) = told.run.calls
    siege.chain.stray[0] += 77
    siege.send(reply_body(made.call_id, 77, result=encode("forged"), reply_gas=10**6))
    assert siege.chain.suspended(0, told.call_id) is not None
    siege.rest()
    assert result_of(siege.chain.end_of(told.call_id)) == [1]


def test_a_reply_twice_is_delivered_once(siege: Siege) -> None:
    call_id, child, _ = open_call(siege)
    siege.chain.stray[0] += 5
    body = reply_body(child, 5, reply_gas=10**6)
    siege.send(body, body, ack=1)
    assert siege.chain.end_of(call_id).state == RunState.COMPLETED
    assert siege.chain.shards[0].ledger.get(open_call_key(CallId(child))) is None


def test_a_storm_of_calls_is_answered_up_to_the_limit_and_freezes_the_lane_beyond(siege: Siege) -> None:
    chain_id = siege.chain.context.chain_id
    calls = [
        siege.call(
            "nothing",
            gas=20_000,
            call_id=call_id_of(chain_id, ShardId(CAPTURED), TransactionId(n.to_bytes(32, "big")), 0),
            trace_id=TransactionId(n.to_bytes(32, "big")),
        )
        for n in range(60)
    ]
    told = siege.send(*calls)
    assert [receipt.outcome for receipt in told.calls] == [Outcome.OK] * 60
    assert len(told.calls) < MAX_OPEN_CALLS_PER_LANE


def test_a_frozen_shard_is_refused_at_the_call_and_calls_on_it_wait_for_nobody(siege: Siege) -> None:
    chain = siege.chain
    waiting = chain.call(0, "agent", "play", [["try", [ask(CAPTURED, "say", 1, value=5, patience=60)]]])
    siege.captured.bundle(0, [])
    siege.send(siege.call(), value=0)
    assert chain.shards[0].ledger.lane(ShardId(CAPTURED)).frozen
    told = chain.call(0, "agent", "play", [["try", [ask(CAPTURED, "say", 1, value=5)]]])
    chain.run(0)
    ((kind, _, text, returned),) = result_of(chain.end_of(told.call_id))
    assert (kind, returned, "frozen" in text) == ("refused", 5, True)
    chain.wait(60_000)
    chain.run(0)
    assert result_of(chain.end_of(waiting.call_id)) == ["unknown"]


principals = st.one_of(
    st.binary(min_size=1, max_size=128),
    st.binary(min_size=32, max_size=32),
    st.sampled_from([b"agent@0", b"agent@1", b"agent@2", b"x@1", b"\x02" * 32]),
    st.text(max_size=30).map(lambda text: (text + "@1").encode()[:128]),
)


@settings(deadline=None, max_examples=60)
@given(
    sender=principals,
    target=principals,
    method=st.sampled_from(["", "who", "say", "play", "fail", "burn", "init", "\x00"]),
    arguments=st.one_of(st.binary(max_size=40), st.sampled_from([encode([]), encode([1]), encode([[["fail", "x"]]])])),
    value=st.integers(0, 10_000),
    gas=st.one_of(st.integers(0, 40_000), st.just(10**6)),
    deadline=st.sampled_from([0, 1, 2**62]),
    depth=st.integers(0, 16),
    parent=st.sampled_from([b"", b"\x01" * 32, b"short"]),
)
def test_whatever_a_captured_shard_certifies_is_consumed_and_answered(
    sender: bytes,
    target: bytes,
    method: str,
    arguments: bytes,
    value: int,
    gas: int,
    deadline: int,
    depth: int,
    parent: bytes,
) -> None:
    siege = SIEGE
    place = child_call_id(siege.chain.context.chain_id, ShardId(CAPTURED), ShardId(0), Sequence(len(siege.bodies)))
    body = siege.call(
        method,
        sender=sender,
        target=target,
        arguments=arguments,
        value=value,
        gas=gas,
        deadline_ms=Milliseconds(deadline),
        depth=depth,
        parent_call_id=parent,
        **({"call_id": place} if parent else {}),
    )
    before = siege.chain.shards[0].ledger.lane(ShardId(CAPTURED)).end
    siege.captured.height = len(siege.bodies)
    told = siege.send(body, value=LARGE)
    assert len(told.calls) == 1
    assert siege.chain.shards[0].ledger.lane(ShardId(CAPTURED)).end == before + 1, "one call, one reply"
    assert all(isinstance(receipt, CallReceipt | RunReceipt) for receipt in receipts_of(told.execution))


SIEGE = Siege()
"""One chain for all examples: they have to stand beside each other."""
