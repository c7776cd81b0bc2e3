"""What clients and relays are told: how far a transaction is, what became of a message, and the bundle to carry."""

import pytest

from primitives.amounts import unpack_amount
from primitives.errors import Refused
from primitives.identifiers import Height, MessageId, ShardId, TransactionId
from primitives.identifiers import Sequence as SequenceNumber
from primitives.signatures import ED25519
from shards import pruning, queries
from shards.bundles import Bundle, decode_bundle, verify_bundle
from shards.chain_store import certificate_writes, execution_writes
from shards.gas import MESSAGE_GAS, PROOF_SIGNATURE_GAS
from shards.limits import LOCAL_GAS, MAX_BUNDLE_MESSAGES
from shards.messages import Call, Outcome, Reply
from shards.queries import Level, MessageState
from shards.transactions import SignedTransaction, parse_transaction, transaction_id
from tests.shards.builders import certify
from tests.shards.captured import CapturedShard, reply_body
from tests.support.stored_chain import StoredChain

ZERO, ONE, TWO = ShardId(0), ShardId(1), ShardId(2)


@pytest.fixture
def chain() -> StoredChain:
    return StoredChain(shards=3)


def nothing(_: TransactionId) -> SignedTransaction | None:
    return None


def status_of(chain: StoredChain, raw: bytes) -> queries.TransactionStatus:
    status = queries.transaction_status(chain.stores[0], transaction_id(raw), nothing)
    assert status is not None
    return status


def test_a_transaction_climbs_from_accepted_to_settled(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, 1, bob, 5)
    wanted = transaction_id(raw)
    assert queries.transaction_status(chain.stores[0], wanted, nothing) is None
    accepted = queries.transaction_status(chain.stores[0], wanted, lambda _: parse_transaction(raw))
    assert accepted == queries.TransactionStatus(wanted, Level.ACCEPTED, None, None, None, ())

    execution = chain.run(0, [raw], execute=False)
    finalized = status_of(chain, raw)
    assert (finalized.level, finalized.receipt) == (Level.FINALIZED, None)
    assert finalized.place is not None
    assert (finalized.place.height, finalized.place.index) == (1, 0)

    chain.stores[0].commit(execution_writes(execution))
    executed = status_of(chain, raw)
    assert executed.level is Level.EXECUTED
    assert executed.time_ms == execution.commitment.time_ms
    assert executed.receipt is not None
    assert [each.state for each in executed.sent] == [MessageState.PENDING]

    chain.stores[0].commit(certificate_writes(certify(execution.commitment, chain.context)))
    assert status_of(chain, raw).level is Level.CERTIFIED

    chain.carry(0, 1)
    chain.carry(1, 0)
    settled = status_of(chain, raw)
    assert settled.level is Level.SETTLED
    answer = settled.sent[0].answer
    assert settled.sent[0].state is MessageState.ANSWERED
    assert answer is not None
    assert (answer.outcome, answer.returned, answer.place.height) == (Outcome.OK, 0, 2)


def test_an_answer_in_an_uncertified_block_settles_nothing_yet(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, 1, bob, 5)
    chain.run(0, [raw])
    chain.carry(0, 1)
    chain.certified = False
    chain.carry(1, 0)
    assert status_of(chain, raw).level is Level.CERTIFIED
    chain.certified = True
    chain.run(0)
    assert status_of(chain, raw).level is Level.SETTLED


def test_a_message_that_came_back_says_why_and_with_what(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, 1, bob, 5, deadline_ms=chain.time_ms + 150)
    chain.run(0, [raw])
    chain.run(1)
    chain.round_trip(0, 1)
    status = status_of(chain, raw)
    assert status.level is Level.SETTLED
    answer = status.sent[0].answer
    assert answer is not None
    assert answer.outcome is Outcome.EXPIRED
    assert answer.returned == 5
    assert "after its deadline" in answer.detail


def test_a_failed_transaction_is_settled_with_its_reason(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.local(0, alice, bob, 10**9)
    chain.run(0, [raw])
    status = status_of(chain, raw)
    assert status.level is Level.SETTLED
    assert status.receipt is not None
    assert status.receipt.failure == "overdraft"


def test_an_acknowledged_call_without_its_reply_is_said_to_be_just_that(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, 1, bob, 5)
    chain.run(0, [raw])
    chain.carry(0, 1)
    # The destination's head acknowledges the call; its reply is held back.
    held_back = chain.shards[1].bundle(0, first=0, count=0)
    chain.run(0, bundles=[held_back])
    status = status_of(chain, raw)
    assert status.level is Level.CERTIFIED
    assert status.sent[0].state is MessageState.ACKNOWLEDGED


def test_an_answer_from_a_shard_that_was_not_asked_answers_nothing(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raw = chain.remote(0, alice, 1, bob, 5)
    call_id = chain.run(0, [raw]).sent[0].call_id
    forged = CapturedShard(chain, 2).bundle(0, [reply_body(call_id, 0)])
    chain.run(0, bundles=[forged])
    status = status_of(chain, raw)
    assert status.level is Level.CERTIFIED
    assert status.sent[0].state is MessageState.PENDING


def test_both_shards_show_a_message_from_their_side(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    sent = chain.run(0, [chain.remote(0, alice, 1, bob, 5)]).sent[0]
    chain.round_trip(0, 1)
    here = queries.message_view(chain.stores[0], sent.message_id)
    there = queries.message_view(chain.stores[1], sent.message_id)
    assert here is not None
    assert there is not None
    assert (
        (here.source, here.destination, here.sequence) == (there.source, there.destination, there.sequence) == (0, 1, 0)
    )
    assert not here.received
    assert here.provable
    assert isinstance(here.message, Call)
    assert unpack_amount(here.message.value) == 5
    assert here.status is not None
    assert here.status.state is MessageState.ANSWERED
    assert there.received
    assert not there.provable
    assert there.status is None
    assert there.place.height == 1
    reply = queries.message_view(chain.stores[1], MessageId(chain.shards[1].executions[0].sent[0].message_id))
    assert reply is not None
    assert isinstance(reply.message, Reply)
    assert reply.status is not None
    assert reply.status.state is MessageState.ACKNOWLEDGED
    assert queries.message_view(chain.stores[2], sent.message_id) is None


# --- bundles ----------------------------------------------------------------------------------------------------------


def bundle_of(chain: StoredChain, first: int, destination: int = 1, **keywords: int) -> Bundle | None:
    raw = queries.bundle_for(
        chain.stores[0],
        chain.context,
        ZERO,
        ShardId(destination),
        SequenceNumber(first),
        **keywords,  # type: ignore[arg-type]  # ack_only is a bool, which is an int
    )
    if raw is None:
        return None
    bundle = decode_bundle(raw)
    verify_bundle(bundle, chain.context, ShardId(destination), ED25519)
    return bundle


def test_a_bundle_has_all_that_is_certified_from_the_asked_message_on(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    for count in (2, 3):
        nonce = chain.account(0, alice).nonce
        chain.run(0, [chain.remote(0, alice, 1, bob, 1, nonce=nonce + each) for each in range(count)])
    chain.certified = False
    chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
    for first in range(5):
        bundle = bundle_of(chain, first)
        assert bundle is not None
        assert (bundle.first, len(bundle.bodies)) == (first, 5 - first)
        assert bundle.certificate.commitment.height == 2
    assert bundle_of(chain, 6) is None


def test_when_nothing_is_new_there_is_an_acknowledgement_or_nothing_as_asked(chain: StoredChain) -> None:
    assert bundle_of(chain, 0) is None
    chain.run(0)
    empty = bundle_of(chain, 0)
    assert empty is not None
    assert empty.bodies == ()
    assert bundle_of(chain, 0, ack_only=False) is None
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
    assert bundle_of(chain, 0, ack_only=False) is not None
    assert bundle_of(chain, 1, ack_only=False) is None


def test_a_bundle_keeps_within_its_bounds_but_always_makes_progress(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    operations = [chain.send(1, bob, 1)] * 16
    for _ in range(2):
        nonce = chain.account(0, alice).nonce
        chain.run(0, [chain.transaction(0, alice, operations, nonce=nonce + each) for each in range(20)])
    full = bundle_of(chain, 0)
    assert full is not None
    assert len(full.bodies) == MAX_BUNDLE_MESSAGES
    raw = queries.bundle_for(chain.stores[0], chain.context, ZERO, ONE, SequenceNumber(3), max_bytes=30_000)
    assert raw is not None
    assert 10_000 < len(raw) <= 30_000
    least = bundle_of(chain, 3, max_bytes=1)
    assert least is not None
    assert len(least.bodies) == 1


def test_a_bundle_ends_where_a_block_has_no_more_gas_for_it(
    chain: StoredChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1, nonce) for nonce in range(5)])
    proof = 3 * PROOF_SIGNATURE_GAS
    for messages, gas in ((5, 5 * MESSAGE_GAS), (3, 4 * MESSAGE_GAS - 1), (1, MESSAGE_GAS), (1, 0)):
        monkeypatch.setattr(queries, "BLOCK_GAS", LOCAL_GAS + proof + gas)
        raw = queries.bundle_for(chain.stores[0], chain.context, ZERO, ONE, SequenceNumber(0))
        assert raw is not None
        assert len(decode_bundle(raw).bodies) == messages


def test_a_bundle_for_nobody_or_for_what_is_long_gone_is_refused(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    for _ in range(2):
        chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
        chain.round_trip(0, 1)
    with pytest.raises(Refused, match="unknown_shard"):
        bundle_of(chain, 0, destination=3)
    with pytest.raises(Refused, match="same_shard"):
        bundle_of(chain, 0, destination=0)
    chain.run(0, [chain.remote(0, alice, 1, bob, 1)])
    while writes := pruning.pruning_writes(chain.stores[0], Height(5)):
        chain.stores[0].commit(writes)
    with pytest.raises(Refused, match="pruned: message 0 to shard 1"):
        bundle_of(chain, 0)
    assert bundle_of(chain, 2) is not None
