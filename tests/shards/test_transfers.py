"""What an included transaction costs and does, and that a failed one does nothing but pay."""

import pytest

from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.errors import InvariantViolated
from primitives.identifiers import ShardId
from shards import lanes, transfers
from shards.gas import MESSAGE_GAS, OPERATION_GAS, REPLY_GAS, SEND_GAS, TRANSACTION_GAS
from shards.items import ItemKind, pack_item
from shards.limits import MAX_VALIDITY_MS
from shards.messages import Call, message_decoder
from shards.outcome import Execution
from shards.receipts import TransactionReceipt
from shards.state import decode_open_call, message_key, open_call_key
from shards.transactions import Operation, Transfer, parse_transaction
from tests.shards.builders import BALANCE, GENESIS_TIME, TestAccount, TestChain, receipts_of
from tests.shards.captured import CapturedShard

LOCAL_FEE = TRANSACTION_GAS + OPERATION_GAS
REMOTE_HOME_FEE = TRANSACTION_GAS + OPERATION_GAS + SEND_GAS
REMOTE_FEE = REMOTE_HOME_FEE + MESSAGE_GAS + REPLY_GAS


@pytest.fixture
def chain() -> TestChain:
    return TestChain(shards=2)


def receipt_of(execution: Execution, place: int = 0) -> TransactionReceipt:
    receipt = receipts_of(execution)[place]
    assert isinstance(receipt, TransactionReceipt)
    return receipt


def held_fees(chain: TestChain, shard: int = 0) -> int:
    return unpack_amount(chain.shards[shard].ledger.commitment.supply.held_fees)


def to(account: TestAccount, amount: int) -> Transfer:
    return Transfer(to=account.key, amount=pack_amount(Amount(amount)))


def test_a_local_transfer_moves_the_amount_and_holds_the_fee(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.local(0, alice, bob, 25)
    receipt = receipt_of(chain.run(0, [raw]))
    assert (receipt.transaction_id, receipt.failure) == (parse_transaction(raw).id, "")
    assert (unpack_amount(receipt.fee), receipt.gas_used) == (LOCAL_FEE, LOCAL_FEE)
    assert chain.balance(0, alice) == BALANCE - 25 - LOCAL_FEE
    assert chain.balance(0, bob) == BALANCE + 25
    assert held_fees(chain) == LOCAL_FEE
    assert chain.account(0, alice).nonce == 1


def test_a_transfer_creates_an_account_that_was_empty(chain: TestChain) -> None:
    stranger = TestAccount("stranger")
    chain.run(0, [chain.local(0, chain.accounts[0], stranger, 3)])
    assert chain.balance(0, stranger) == 3


def test_a_transfer_to_oneself_costs_only_the_fee(chain: TestChain) -> None:
    alice = chain.accounts[0]
    chain.run(0, [chain.local(0, alice, alice, 25)])
    assert chain.balance(0, alice) == BALANCE - LOCAL_FEE


def test_the_transactions_of_one_sender_follow_each_other_within_a_block(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    execution = chain.run(0, [chain.local(0, alice, bob, 1, nonce) for nonce in range(3)])
    assert [receipt_of(execution, place).failure for place in range(3)] == ["", "", ""]
    assert chain.balance(0, bob) == BALANCE + 3


def test_money_that_arrives_in_a_block_can_be_spent_in_the_same_block(chain: TestChain) -> None:
    alice, bob = chain.accounts[0], TestAccount("newcomer")
    spend = chain.local(0, bob, alice, 1_000)
    execution = chain.run(0, [chain.local(0, alice, bob, 1_000 + LOCAL_FEE), spend])
    assert receipt_of(execution, 1).failure == ""
    assert chain.balance(0, bob) == 0


def test_a_remote_transfer_leaves_with_its_gas_and_opens_a_call(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, 1, bob, 25, deadline_ms=GENESIS_TIME + 5_000)
    execution = chain.run(0, [raw])
    receipt = receipt_of(execution)
    (sent,) = receipt.sent
    assert (sent.destination, sent.sequence, unpack_amount(receipt.fee)) == (1, 0, REMOTE_FEE)
    assert chain.balance(0, alice) == BALANCE - 25 - REMOTE_FEE
    assert held_fees(chain) == REMOTE_HOME_FEE + REPLY_GAS
    assert unpack_amount(execution.heads[1].value_sent) == 25 + MESSAGE_GAS
    assert chain.account(0, alice).open_calls == 1
    ledger = chain.shards[0].ledger
    body = ledger.get(message_key(ShardId(1), sent.sequence))
    assert body == execution.sent[0].body
    call = message_decoder.decode(body)
    assert isinstance(call, Call)
    assert (call.target, call.gas, call.reply_gas, call.depth) == (bob.key, MESSAGE_GAS, REPLY_GAS, 0)
    assert (call.trace_id, call.deadline_ms) == (parse_transaction(raw).id, GENESIS_TIME + 5_000)
    stored = ledger.get(open_call_key(sent.call_id))
    assert stored is not None
    opened = decode_open_call(stored)
    assert (opened.sender, opened.destination, unpack_amount(opened.value)) == (alice.key, 1, 25)


def test_each_operation_of_a_transaction_makes_a_call_of_its_own(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    operations: list[Operation] = [chain.send(1, bob, 1), to(bob, 2), chain.send(1, bob, 1)]
    execution = chain.run(0, [chain.transaction(0, alice, operations)])
    sent = receipt_of(execution).sent
    assert [each.sequence for each in sent] == [0, 1]
    assert len({each.call_id for each in sent}) == 2
    assert chain.account(0, alice).open_calls == 2


def failing_operations(chain: TestChain, why: str) -> list[Operation]:
    """Operations of which the first could happen and the last cannot."""
    bob = chain.accounts[1]
    soon = chain.time_ms + 100
    match why:
        case "overdraft":
            return [to(bob, 5), to(bob, BALANCE)]
        case "unknown_shard":
            return [to(bob, 5), chain.send(9, bob, 5)]
        case "same_shard":
            return [to(bob, 5), chain.send(0, bob, 5)]
        case "deadline_past":
            return [chain.send(1, bob, 5), chain.send(1, bob, 5, soon)]
        case "deadline_too_far":
            return [chain.send(1, bob, 5), chain.send(1, bob, 5, soon + MAX_VALIDITY_MS + 1)]
        case "stream_full" | "too_many_open_calls" | "frozen":
            return [to(bob, 5), chain.send(1, bob, 5), chain.send(1, bob, 5)]
        case _:
            raise AssertionError(why)


@pytest.mark.parametrize(
    "why",
    [
        "overdraft",
        "unknown_shard",
        "same_shard",
        "deadline_past",
        "deadline_too_far",
        "stream_full",
        "too_many_open_calls",
        "frozen",
    ],
)
def test_a_failed_transaction_does_nothing_but_pay_for_the_gas_at_home(
    chain: TestChain, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "stream_full":
        monkeypatch.setattr(lanes, "STREAM_WINDOW", 1)
    if why == "too_many_open_calls":
        monkeypatch.setattr(transfers, "MAX_OPEN_CALLS_PER_ACCOUNT", 1)
    if why == "frozen":
        chain.run(0, bundles=[CapturedShard(chain, 1).bundle(0, [], ack_next=1)])
    alice, bob = chain.accounts[:2]
    operations = failing_operations(chain, why)
    remote = sum(not isinstance(operation, Transfer) for operation in operations)
    before = held_fees(chain)
    execution = chain.run(0, [chain.transaction(0, alice, operations)])
    fee = TRANSACTION_GAS + OPERATION_GAS * len(operations) + SEND_GAS * remote
    receipt = receipt_of(execution)
    assert (receipt.failure, unpack_amount(receipt.fee), receipt.sent) == (why, fee, ())
    assert receipt.detail
    assert (chain.account(0, alice).nonce, chain.account(0, alice).open_calls) == (1, 0)
    assert chain.balance(0, alice) == BALANCE - fee
    assert chain.balance(0, bob) == BALANCE
    assert held_fees(chain) == before + fee
    assert execution.sent == ()
    assert execution.heads[1].end == 0


def test_a_balance_below_the_fee_is_taken_whole(chain: TestChain) -> None:
    alice, poor = chain.accounts[0], TestAccount("poor")
    chain.run(0, [chain.local(0, alice, poor, 7)])
    receipt = receipt_of(chain.run(0, [chain.local(0, poor, alice, 1)]))
    assert (receipt.failure, unpack_amount(receipt.fee)) == ("overdraft", 7)
    assert chain.balance(0, poor) == 0
    assert chain.account(0, poor).nonce == 1


def test_exactly_what_is_there_can_be_spent_and_not_one_unit_more() -> None:
    for spare, failure in ((0, ""), (-1, "overdraft")):
        chain = TestChain(shards=2, balance=Amount(REMOTE_FEE + 10 + spare))
        alice, bob = chain.accounts[:2]
        assert receipt_of(chain.run(0, [chain.remote(0, alice, 1, bob, 10)])).failure == failure


def test_a_transaction_past_its_validity_or_above_its_fee_limit_fails(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    late = chain.transaction(0, alice, [to(bob, 1)], valid_until_ms=chain.time_ms)
    dear = chain.transaction(0, bob, [to(alice, 1)], fee_limit=LOCAL_FEE - 1)
    execution = chain.run(0, [late, dear])
    assert [receipt_of(execution, place).failure for place in (0, 1)] == ["expired", "fee_too_low"]


def test_the_window_bounds_unacknowledged_calls_and_an_acknowledgement_frees_it(
    chain: TestChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "STREAM_WINDOW", 2)
    alice, bob = chain.accounts[:2]
    sending = [chain.remote(0, alice, 1, bob, 1, nonce) for nonce in range(3)]
    execution = chain.run(0, sending)
    assert [receipt_of(execution, place).failure for place in range(3)] == ["", "", "stream_full"]
    assert chain.shards[0].ledger.lane(ShardId(1)).open_requests == 2
    chain.deliver(0, 1)
    chain.deliver(1, 0)
    lane = chain.shards[0].ledger.lane(ShardId(1))
    assert (lane.begin, lane.open_requests, lane.open_calls) == (2, 0, 0)
    assert receipt_of(chain.run(0, [chain.remote(0, alice, 1, bob, 1)])).failure == ""


def test_an_acknowledgement_without_the_replies_frees_the_window_but_not_the_open_calls(
    chain: TestChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "STREAM_WINDOW", 2)
    monkeypatch.setattr(lanes, "MAX_OPEN_CALLS_PER_LANE", 3)
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1, nonce) for nonce in range(2)])
    chain.deliver(0, 1)
    chain.deliver(1, 0, count=0)
    execution = chain.run(0, [chain.remote(0, alice, 1, bob, 1, 2 + extra) for extra in range(2)])
    assert [receipt_of(execution, place).failure for place in (0, 1)] == ["", "stream_full"]


def test_a_full_stream_stops_only_its_own_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "STREAM_WINDOW", 1)
    chain = TestChain(shards=3)
    alice, bob = chain.accounts[:2]
    destinations = [1, 1, 2]
    execution = chain.run(0, [chain.remote(0, alice, shard, bob, 1, n) for n, shard in enumerate(destinations)])
    assert [receipt_of(execution, place).failure for place in range(3)] == ["", "stream_full", ""]


def test_what_the_checks_before_the_vote_refuse_stops_the_validator(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    other = TestChain(shards=2, name="other")
    bodies = {
        "nonce": chain.local(0, alice, bob, 1, nonce=1),
        "shard": chain.local(1, alice, bob, 1),
        "chain": other.local(0, alice, bob, 1),
    }
    for raw in bodies.values():
        with pytest.raises(InvariantViolated):
            chain.run(0, [raw])
    with pytest.raises(InvariantViolated):
        chain.shards[0].execute([pack_item(ItemKind.TRANSACTION, b"junk")], chain.time_ms)
    with pytest.raises(InvariantViolated):
        chain.shards[0].execute([b""], chain.time_ms)
    assert chain.shards[0].ledger.height == 0


def test_evidence_is_executed_without_effect_and_other_kinds_are_not_executed(chain: TestChain) -> None:
    shard = chain.shards[0]
    before = dict(shard.ledger.entries())
    execution = shard.execute([pack_item(ItemKind.EVIDENCE, b"two votes")], chain.time_ms + 1)
    assert execution.receipts == ()
    assert len(dict(shard.ledger.entries())) == len(before)
    with pytest.raises(InvariantViolated):
        shard.execute([pack_item(ItemKind.MEMBERSHIP, b"")], chain.time_ms + 2)


def test_a_receipt_names_the_block_gas_that_the_leader_counted(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.transaction(0, alice, [to(bob, 1), chain.send(1, bob, 1)])
    assert receipt_of(chain.run(0, [raw])).gas_used == TRANSACTION_GAS + 2 * OPERATION_GAS + SEND_GAS


def test_the_fee_limit_is_not_what_is_paid(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.transaction(0, alice, [to(bob, 5)], fee_limit=10**9)
    assert unpack_amount(receipt_of(chain.run(0, [raw])).fee) == LOCAL_FEE
