"""Consuming bundles: exactly once, in order, whatever is repeated, late, hostile or malformed."""

import pytest

from primitives.amounts import Amount, unpack_amount
from primitives.errors import InvariantViolated
from primitives.identifiers import ZERO_HASH, CallId, Sequence, ShardId
from primitives.signatures import ED25519
from shards import consumption, lanes
from shards.bundles import Bundle, verify_bundle
from shards.commitments import commitment_hash
from shards.gas import MESSAGE_GAS, REPLY_GAS
from shards.messages import Call, Outcome, Reply, message_decoder
from shards.outcome import Execution
from shards.receipts import CallReceipt, DiscardReceipt, FreezeReceipt, ReplyReceipt
from shards.state import decode_freeze, freeze_key, message_key, open_call_key
from tests.shards.builders import BALANCE, TestAccount, TestChain, receipts_of
from tests.shards.captured import CapturedShard, call_body, reply_body

SOURCE, HOME = ShardId(1), ShardId(0)


@pytest.fixture
def chain() -> TestChain:
    return TestChain(shards=3)


def reply_of(execution: Execution, place: int = 0) -> Reply:
    reply = message_decoder.decode(execution.sent[place].body)
    assert isinstance(reply, Reply)
    return reply


def call_receipt(execution: Execution, place: int = 0) -> CallReceipt:
    receipt = receipts_of(execution)[place]
    assert isinstance(receipt, CallReceipt)
    return receipt


def reply_receipt(execution: Execution, place: int = 0) -> ReplyReceipt:
    receipt = receipts_of(execution)[place]
    assert isinstance(receipt, ReplyReceipt)
    return receipt


def held(chain: TestChain, shard: int) -> int:
    return unpack_amount(chain.shards[shard].ledger.commitment.supply.held_fees)


def escrow(chain: TestChain, shard: int) -> int:
    return unpack_amount(chain.shards[shard].ledger.commitment.supply.escrow)


def include(chain: TestChain, bundle: Bundle) -> Execution:
    """A block of HOME with a bundle that passes the checks before the vote."""
    verify_bundle(bundle, chain.context, HOME, ED25519)
    return chain.run(HOME, bundles=[bundle])


def test_a_call_credits_its_target_keeps_its_gas_and_is_answered(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    sent = chain.run(0, [chain.remote(0, alice, 1, bob, 25)]).sent[0]
    execution = chain.deliver(0, 1)
    assert chain.balance(1, bob) == BALANCE + 25
    assert held(chain, 1) == MESSAGE_GAS
    receipt = call_receipt(execution)
    assert (receipt.outcome, receipt.gas_used, receipt.call_id) == (Outcome.OK, MESSAGE_GAS, sent.call_id)
    assert (receipt.message_id, receipt.trace_id, receipt.source) == (sent.message_id, sent.trace_id, 0)
    reply = reply_of(execution)
    assert (reply.call_id, reply.outcome, unpack_amount(reply.returned)) == (sent.call_id, Outcome.OK, 0)
    assert (reply.gas_used, reply.reply_gas) == (MESSAGE_GAS, REPLY_GAS)


def test_a_reply_closes_the_call_at_home(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    sent = chain.run(0, [chain.remote(0, alice, 1, bob, 25)]).sent[0]
    left = chain.balance(0, alice)
    chain.deliver(0, 1)
    receipt = reply_receipt(chain.deliver(1, 0))
    assert (receipt.call_id, receipt.trace_id, receipt.outcome) == (sent.call_id, sent.trace_id, Outcome.OK)
    assert chain.balance(0, alice) == left
    assert chain.account(0, alice).open_calls == 0
    ledger = chain.shards[0].ledger
    assert ledger.get(open_call_key(sent.call_id)) is None
    assert ledger.get(message_key(ShardId(1), sent.sequence)) is None


@pytest.mark.parametrize("expired", [True, False])
def test_a_call_is_expired_only_after_its_deadline_and_its_value_comes_home(chain: TestChain, expired: bool) -> None:
    alice, bob = chain.accounts[:2]
    deadline = chain.time_ms + 200 - expired
    chain.run(0, [chain.remote(0, alice, 1, bob, 25, deadline_ms=deadline)])
    left = chain.balance(0, alice)
    execution = chain.deliver(0, 1)
    assert call_receipt(execution).outcome == (Outcome.EXPIRED if expired else Outcome.OK)
    assert unpack_amount(reply_of(execution).returned) == (25 if expired else 0)
    assert chain.balance(1, bob) == BALANCE + (0 if expired else 25)
    receipt = reply_receipt(chain.deliver(1, 0))
    assert bool(receipt.detail) == expired
    assert chain.balance(0, alice) == left + (25 if expired else 0)
    assert held(chain, 1) == MESSAGE_GAS


@pytest.mark.parametrize(
    ("target", "method", "said"),
    [
        (b"shop@0", "", "no contract shop@0"),
        (b"shop@1", "buy", "no contract shop@1"),
        (b"\x02" * 32, "buy", "an account has no methods"),
        (b"\xff" * 31, "", "no contract"),
    ],
)
def test_a_call_to_what_is_not_there_is_refused_and_its_value_returns(
    chain: TestChain, target: bytes, method: str, said: str
) -> None:
    body = call_body(target, 40, gas=1_000, method=method)
    bundle = CapturedShard(chain, SOURCE).bundle(HOME, [body], value_sent=1_040)
    execution = include(chain, bundle)
    assert call_receipt(execution).outcome == Outcome.REFUSED
    reply = reply_of(execution)
    assert (unpack_amount(reply.returned), reply.error_type) == (40 + 1_000 - MESSAGE_GAS, "refused")
    assert said in reply.error_text
    assert held(chain, HOME) == MESSAGE_GAS


def test_gas_that_is_not_used_returns_and_less_than_the_price_is_all_taken(chain: TestChain) -> None:
    target = chain.accounts[0].key
    bodies = [call_body(target, 1, "rich", gas=MESSAGE_GAS + 7), call_body(target, 1, "poor", gas=5)]
    execution = include(chain, CapturedShard(chain, SOURCE).bundle(HOME, bodies, value_sent=10_000))
    assert [unpack_amount(reply_of(execution, place).returned) for place in (0, 1)] == [7, 0]
    assert held(chain, HOME) == MESSAGE_GAS + 5


def test_messages_are_consumed_in_order_and_a_failing_one_holds_up_none(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    soon = chain.time_ms + 150
    chain.run(0, [chain.remote(0, alice, 1, bob, 1 + n, n, soon if n == 1 else None) for n in range(4)])
    execution = chain.deliver(0, 1)
    assert [call_receipt(execution, n).sequence for n in range(4)] == [0, 1, 2, 3]
    assert [call_receipt(execution, n).outcome for n in range(4)] == [0, Outcome.EXPIRED, 0, 0]
    assert [reply.sequence for reply in execution.sent] == [0, 1, 2, 3]
    assert chain.balance(1, bob) == BALANCE + 1 + 3 + 4


def test_repeated_overlapping_and_stale_bundles_change_nothing_twice(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    first = chain.run(0, [chain.remote(0, alice, 1, bob, 1, n) for n in range(3)])
    chain.run(0, [chain.remote(0, alice, 1, bob, 1, 3 + n) for n in range(3)])
    stale = chain.shards[0].bundle(1, 0, execution=first)
    part = chain.bundle(0, 1, first=0, count=2)
    overlap = chain.bundle(0, 1, first=1, count=4)
    whole = chain.bundle(0, 1, first=0)
    bundles = [part, part, overlap, stale, whole, whole, stale]
    receipts = receipts_of(chain.run(1, bundles=bundles))
    assert [receipt.sequence for receipt in receipts if isinstance(receipt, CallReceipt)] == list(range(6))
    assert len(receipts) == 6
    receipts = receipts_of(chain.run(1, bundles=bundles[::-1]))
    assert receipts == []
    assert chain.balance(1, bob) == BALANCE + 6
    lane = chain.shards[1].ledger.lane(HOME)
    assert (lane.recv_next, lane.end, lane.frozen) == (6, 6, False)


def test_a_bundle_beyond_what_was_consumed_is_our_own_error(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1, n) for n in range(2)])
    with pytest.raises(InvariantViolated):
        chain.deliver(0, 1, first=1)


def test_a_bundle_for_another_shard_is_our_own_error(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
    with pytest.raises(InvariantViolated):
        chain.run(2, bundles=[chain.bundle(0, 1)])


def test_an_acknowledgement_takes_settled_messages_out_of_the_state(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1, n) for n in range(4)])
    ledger = chain.shards[0].ledger
    chain.deliver(0, 1, count=3)
    chain.deliver(1, 0)
    lane = ledger.lane(ShardId(1))
    assert (lane.begin, lane.end, lane.open_requests) == (3, 4, 1)
    assert [ledger.get(message_key(ShardId(1), Sequence(n))) is not None for n in range(4)] == [False] * 3 + [True]
    chain.settle()
    lane = ledger.lane(ShardId(1))
    assert (lane.begin, lane.end, lane.open_requests) == (4, 4, 0)
    assert all(ledger.get(message_key(ShardId(1), Sequence(n))) is None for n in range(4))


def test_a_stale_head_never_takes_an_acknowledgement_or_a_counter_back(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
    old = chain.deliver(0, 1)
    chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
    chain.deliver(0, 1)
    chain.deliver(1, 0)
    before = chain.shards[0].ledger.lane(ShardId(1))
    chain.run(0, bundles=[chain.shards[1].bundle(0, 0, execution=old)])
    assert chain.shards[0].ledger.lane(ShardId(1)) == before


def test_a_body_that_cannot_be_read_is_consumed_without_effect(chain: TestChain) -> None:
    target = chain.accounts[0].key
    good = call_body(target, 5)
    bodies = [b"", b"\xff\xff", good + b"\x00", good]
    execution = include(chain, CapturedShard(chain, SOURCE).bundle(HOME, bodies, value_sent=10_000))
    receipts = receipts_of(execution)
    assert [type(receipt) for receipt in receipts] == [DiscardReceipt] * 3 + [CallReceipt]
    assert len(execution.sent) == 1
    assert chain.balance(HOME, chain.accounts[0]) == BALANCE + 5
    assert chain.shards[HOME].ledger.lane(SOURCE).recv_next == 4


def test_a_reply_to_no_call_leaves_its_value_in_escrow(chain: TestChain) -> None:
    body = reply_body(b"\x07" * 32, 55)
    receipt = reply_receipt(include(chain, CapturedShard(chain, SOURCE).bundle(HOME, [body], value_sent=55)))
    assert "escrow" in receipt.detail
    assert (bytes(receipt.trace_id), int(unpack_amount(receipt.returned))) == (bytes(ZERO_HASH), 55)
    assert escrow(chain, HOME) == 55


def test_only_the_shard_that_was_called_can_answer(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    call_id = chain.run(HOME, [chain.remote(HOME, alice, 2, bob, 25)]).sent[0].call_id
    forged = CapturedShard(chain, SOURCE).bundle(HOME, [reply_body(call_id, 0)], value_sent=0)
    assert "escrow" in reply_receipt(include(chain, forged)).detail
    assert chain.account(HOME, alice).open_calls == 1
    chain.deliver(HOME, 2)
    assert reply_receipt(chain.deliver(2, HOME)).detail == ""
    assert chain.account(HOME, alice).open_calls == 0


def test_a_second_reply_to_a_call_settles_nothing_again(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    call_id = chain.run(HOME, [chain.remote(HOME, alice, SOURCE, bob, 25)]).sent[0].call_id
    left = chain.balance(HOME, alice)
    bodies = [reply_body(call_id, 25), reply_body(call_id, 25)]
    include(chain, CapturedShard(chain, SOURCE).bundle(HOME, bodies, ack_next=1, value_sent=50))
    assert chain.balance(HOME, alice) == left + 25
    assert (chain.account(HOME, alice).open_calls, escrow(chain, HOME)) == (0, 25)
    assert chain.shards[HOME].ledger.lane(SOURCE).open_calls == 0


def lies(chain: TestChain, reason: str, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A certified bundle that contradicts what HOME knows; 2 messages of SOURCE are consumed, 1 was sent to it."""
    captured = CapturedShard(chain, SOURCE)
    target = chain.accounts[1].key
    known = [call_body(target, 5, f"call{number}") for number in range(2)]
    known_value = 2 * (5 + MESSAGE_GAS)
    chain.run(HOME, [chain.remote(HOME, chain.accounts[0], SOURCE, chain.accounts[1], 25)])
    include(chain, captured.bundle(HOME, known, value_sent=known_value))
    more = [*known, call_body(target, 5, "new")]
    value = known_value + 5 + MESSAGE_GAS
    match reason:
        case "equivocation":
            return captured.bundle(HOME, more, 2, height=captured.height, value_sent=value)
        case "impossible_acknowledgement":
            return captured.bundle(HOME, more, 2, ack_next=4, value_sent=value)
        case "impossible_receipt":
            return captured.bundle(HOME, more, 2, value_received=10**6, value_sent=value)
        case "impossible_begin":
            return captured.bundle(HOME, more, 2, begin=3, value_sent=value)
        case "fork":
            return captured.bundle(HOME, [call_body(target, 6), *more[1:]], 0, value_sent=value)
        case "fork_without_overlap":
            return captured.bundle(HOME, [call_body(target, 6), *more[1:]], 2, value_sent=value)
        case "impossible_value":
            return captured.bundle(HOME, more, 2, value_sent=value - 1)
        case "more_than_there_is":
            huge = call_body(target, 2**127)
            return captured.bundle(HOME, [*known, huge], 2, value_sent=2**128 - 1)
        case "too_many_calls":
            monkeypatch.setattr(consumption, "MAX_OPEN_CALLS_PER_LANE", 2)
            return captured.bundle(HOME, more, 2, value_sent=value)
        case _:
            raise AssertionError(reason)


CODES = {"fork_without_overlap": "fork", "more_than_there_is": "impossible_value"}


@pytest.mark.parametrize(
    "reason",
    [
        "equivocation",
        "impossible_acknowledgement",
        "impossible_receipt",
        "impossible_begin",
        "fork",
        "fork_without_overlap",
        "impossible_value",
        "more_than_there_is",
        "too_many_calls",
    ],
)
def test_a_contradiction_freezes_that_lane_only_and_keeps_the_evidence(
    chain: TestChain, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = lies(chain, reason, monkeypatch)
    alice, bob = chain.accounts[:2]
    before = chain.balance(HOME, bob)
    execution = include(chain, bundle)
    (receipt,) = receipts_of(execution)
    assert isinstance(receipt, FreezeReceipt)
    assert (receipt.source, receipt.reason) == (SOURCE, CODES.get(reason, reason))
    assert receipt.commitment_hash == commitment_hash(bundle.certificate.commitment)
    ledger = chain.shards[HOME].ledger
    lane = ledger.lane(SOURCE)
    assert (lane.frozen, lane.recv_next) == (True, 2)
    assert chain.balance(HOME, bob) == before
    raw = ledger.get(freeze_key(SOURCE))
    assert raw is not None
    evidence = decode_freeze(raw)
    assert (evidence.reason, evidence.height, evidence.item) == (receipt.reason, ledger.height, 0)
    assert (evidence.certificate, evidence.head) == (bundle.certificate, bundle.head)
    # Nothing more comes from that shard or goes to it; the others do not notice.
    assert include(chain, bundle).receipts == ()
    assert not ledger.lane(ShardId(2)).frozen
    chain.run(HOME, [chain.remote(HOME, alice, 2, bob, 25)])
    chain.deliver(HOME, 2)
    assert reply_receipt(chain.deliver(2, HOME)).outcome == Outcome.OK
    assert chain.balance(2, bob) == BALANCE + 25


def test_the_same_commitment_at_the_same_height_is_no_contradiction(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
    bundle = chain.bundle(0, 1)
    chain.run(1, bundles=[bundle, bundle])
    assert not chain.shards[1].ledger.lane(HOME).frozen


def test_a_lane_takes_as_many_calls_as_an_honest_peer_can_have_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "STREAM_WINDOW", 4)
    monkeypatch.setattr(lanes, "MAX_OPEN_CALLS_PER_LANE", 4)
    monkeypatch.setattr(consumption, "MAX_OPEN_CALLS_PER_LANE", 4)
    chain = TestChain(shards=2)
    alice, bob = chain.accounts[:2]
    for _ in range(4):
        nonce = chain.account(0, alice).nonce
        chain.run(0, [chain.remote(0, alice, 1, bob, 1, nonce + n) for n in range(5)])
        chain.deliver(0, 1)
        assert not chain.shards[1].ledger.lane(HOME).frozen
        chain.deliver(1, 0)
    assert chain.balance(1, bob) == BALANCE + 16


def test_hostile_counters_and_texts_never_stop_execution(chain: TestChain) -> None:
    target = chain.accounts[0].key
    hostile = [
        call_body(target, 2**100, "a", gas=2**63 - 1),
        call_body(target, 0, "b", sender=b"\x00", reply_gas=2**63 - 1, deadline_ms=0),
        call_body(b"\xff" * 128, 0, "c", depth=16, parent_call_id=b"x" * 32),
        reply_body(b"\x00" * 32, 2**128 - 1, error_text="\u202e" * 1024, traceback="x" * 8192),
        reply_body(b"\x01" * 32, 0, outcome=3, error_text="\U0001f525" * 1024),
    ]
    for count in range(1, len(hostile) + 1):
        fresh = TestChain(shards=3)
        include(fresh, CapturedShard(fresh, SOURCE).bundle(HOME, hostile[:count], value_sent=2**128 - 1))
        include(fresh, CapturedShard(fresh, SOURCE).bundle(HOME, [hostile[count - 1]], height=2))


def test_a_stranger_paid_from_elsewhere_has_an_account_with_a_proof(chain: TestChain) -> None:
    stranger = TestAccount("stranger")
    chain.run(0, [chain.remote(0, chain.accounts[0], 1, stranger, 9)])
    chain.deliver(0, 1)
    assert chain.balance(1, stranger) == 9


def test_calls_made_by_one_transaction_have_ids_that_bind_chain_shard_and_place(chain: TestChain) -> None:
    alice, bob = chain.accounts[:2]
    sent = chain.run(0, [chain.transaction(0, alice, [chain.send(1, bob, 1), chain.send(2, bob, 1)])]).sent
    assert len({each.call_id for each in sent}) == 2
    for each in sent:
        call = message_decoder.decode(each.body)
        assert isinstance(call, Call)
        assert call.call_id == CallId(each.call_id)
        assert Amount(unpack_amount(call.value)) == 1
