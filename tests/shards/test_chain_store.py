"""What is written is found again, by height, id and place in a stream; pruning breaks no proof of the rest."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.archive import finalized_block
from consensus.block import decode_block
from primitives import mmr
from primitives.codec import encode
from primitives.identifiers import Hash, Height, MessageId, ShardId, TransactionId
from primitives.identifiers import Sequence as SequenceNumber
from primitives.signatures import ED25519
from primitives.storage import Write
from shards import chain_store, pruning, queries, stream_store
from shards.bundles import decode_bundle, verify_bundle
from shards.commitments import commitment_hash
from shards.proofs import verify_message_proof
from shards.receipts import CallReceipt, ReplyReceipt, TransactionReceipt
from shards.transactions import transaction_id
from shards.validator import reading
from tests.support.memory_store import MemoryStore
from tests.support.stored_chain import StoredChain

ONE, TWO = ShardId(1), ShardId(2)


@pytest.fixture
def chain() -> StoredChain:
    return StoredChain(shards=3)


def test_a_block_loaded_for_execution_comes_with_its_own_commitment_hash(chain: StoredChain) -> None:
    execution = chain.run(0)
    loaded = reading.load_finalized(chain.stores[0], Height(1))
    assert loaded.raw == encode(chain.shards[0].blocks[0])
    assert loaded.commitment_hash == commitment_hash(execution.commitment)


def test_a_block_that_is_final_but_not_executed_is_loaded_without_a_commitment(chain: StoredChain) -> None:
    chain.run(0, execute=False)
    loaded = reading.load_finalized(chain.stores[0], Height(1))
    assert loaded.raw is not None
    assert loaded.commitment_hash is None
    assert reading.load_finalized(chain.stores[0], Height(9)).raw is None


def test_commitment_certificate_receipts_and_heads_of_a_height_come_back(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    executions = [
        chain.run(0, [chain.local(0, alice, bob, 5)]),
        chain.run(0, [chain.remote(0, alice, 1, bob, 7), chain.remote(0, bob, 2, alice, 1)]),
    ]
    store = chain.stores[0]
    for execution in executions:
        height = Height(execution.commitment.height)
        assert chain_store.commitment_at(store, height) == execution.commitment
        assert chain_store.receipts_at(store, height) == execution.receipts
        assert chain_store.heads_at(store, height) == execution.heads
        certificate = chain_store.certificate_at(store, height)
        assert certificate is not None
        assert certificate.commitment == execution.commitment
    assert chain_store.executed_height(store) == 2
    assert chain_store.heads_at(store, Height(3)) is None
    assert chain_store.receipts_at(store, Height(3)) == ()


def test_the_newest_certificate_is_found_past_heights_without_one(chain: StoredChain) -> None:
    assert chain_store.latest_certificate(chain.stores[0]) is None
    chain.run(0)
    chain.certified = False
    chain.run(0)
    newest = chain_store.latest_certificate(chain.stores[0])
    assert newest is not None
    assert newest.commitment.height == 1
    assert chain_store.certificate_at(chain.stores[0], Height(2)) is None


def test_a_transaction_is_found_by_id_from_finalization_on(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    raws = [chain.local(0, alice, bob, 5), chain.local(0, bob, alice, 6)]
    chain.run(0, raws, execute=False)
    for index, raw in enumerate(raws):
        assert chain_store.transaction_place(chain.stores[0], transaction_id(raw)) == chain_store.Place(
            Height(1), index
        )
    assert chain_store.transaction_place(chain.stores[0], TransactionId(bytes(32))) is None
    assert chain_store.transaction_place(chain.stores[1], transaction_id(raws[0])) is None


def test_a_transaction_is_found_whatever_era_it_was_in(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    item = b"\1" + chain.local(0, alice, bob, 5)
    heights = (1, chain_store.ERA_BLOCKS - 1, chain_store.ERA_BLOCKS, 5 * chain_store.ERA_BLOCKS + 7)
    for height in heights:
        store = MemoryStore()
        other = [b"\1" + chain.local(0, bob, alice, each) for each in (1, 2)]
        store.commit(chain_store.block_index_writes(Height(2), [other[0]]))
        store.commit(chain_store.block_index_writes(Height(9 * chain_store.ERA_BLOCKS), [other[1]]))
        store.commit(chain_store.block_index_writes(Height(height), [b"\2bundle", item]))
        assert chain_store.transaction_place(store, transaction_id(item[1:])) == chain_store.Place(Height(height), 1)


def test_both_shards_find_a_message_by_id_and_by_its_place_in_the_stream(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    sent = chain.run(0, [chain.remote(0, alice, 1, bob, 1 + each, nonce=each) for each in range(3)]).sent[1]
    chain.carry(0, 1)
    at_source = chain_store.message_place(chain.stores[0], sent.message_id)
    at_destination = chain_store.message_place(chain.stores[1], sent.message_id)
    assert at_source == chain_store.MessagePlace(
        chain_store.Place(Height(1), 1), False, ShardId(0), ONE, SequenceNumber(1)
    )
    assert at_destination is not None
    assert at_destination.received
    assert (at_destination.source, at_destination.sequence) == (0, 1)
    assert chain_store.message_place(chain.stores[2], sent.message_id) is None
    found = stream_store.received_place(chain.stores[1], ShardId(0), SequenceNumber(1))
    assert found is not None
    assert isinstance(found.receipt, CallReceipt)
    assert found.receipt.message_id == sent.message_id
    assert stream_store.received_place(chain.stores[1], ShardId(0), SequenceNumber(3)) is None
    assert stream_store.message_body(chain.stores[0], ONE, SequenceNumber(1)) == sent.body
    assert stream_store.message_body(chain.stores[0], ONE, SequenceNumber(3)) is None
    assert stream_store.sent_height(chain.stores[0], ONE, SequenceNumber(2)) == 1
    assert stream_store.sent_height(chain.stores[0], ONE, SequenceNumber(3)) is None


def test_a_call_is_found_where_it_was_sent_consumed_and_answered(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    call = chain.run(0, [chain.remote(0, alice, 1, bob, 7)]).sent[0].call_id
    chain.round_trip(0, 1)
    at_home = [type(each.receipt) for each in chain_store.call_places(chain.stores[0], call)]
    assert at_home == [TransactionReceipt, ReplyReceipt]
    assert [type(each.receipt) for each in chain_store.call_places(chain.stores[1], call)] == [CallReceipt]
    assert chain_store.call_places(chain.stores[2], call) == ()


def test_bodies_are_read_in_order_across_blocks_from_any_place(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    for count in (1, 3, 2):
        nonce = chain.account(0, alice).nonce
        chain.run(0, [chain.remote(0, alice, 1, bob, 1 + each, nonce=nonce + each) for each in range(count)])
        chain.run(0, [chain.remote(0, bob, 2, bob, 1)])
    expected = chain.shards[0].bodies[1]
    for first in range(8):
        assert list(stream_store.message_bodies(chain.stores[0], ONE, SequenceNumber(first))) == expected[first:]


def test_a_block_writes_one_record_for_each_lane_that_it_hears_from_or_sends_to(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    chain.run(0, [chain.remote(0, alice, 1, bob, 1, nonce=each) for each in range(5)])
    chain.carry(0, 1)
    assert chain.stores[0].size(chain_store.SENT) == chain.stores[0].size(chain_store.STREAM_NODES) == 1
    assert chain.stores[1].size(chain_store.RECEIVED) == chain.stores[1].size(chain_store.SENT) == 1


def test_storing_an_execution_again_changes_nothing(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    execution = chain.run(0, [chain.remote(0, alice, 1, bob, 7)])
    sizes = [chain.stores[0].size(table) for table in chain_store.TABLES]
    chain.stores[0].commit(chain_store.execution_writes(execution))
    assert [chain.stores[0].size(table) for table in chain_store.TABLES] == sizes


def test_a_block_of_transfers_writes_one_record_for_each_transaction_and_four_for_itself(chain: StoredChain) -> None:
    alice, bob = chain.accounts[:2]
    execution = chain.run(0, [chain.local(0, alice, bob, 1, nonce=each) for each in range(20)])
    assert len(chain_store.execution_writes(execution)) == 4
    assert len(chain_store.block_index_writes(Height(1), chain.shards[0].blocks[0].items)) == 20


@settings(deadline=None, max_examples=25)
@given(batches=st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_every_node_of_a_stream_is_found_in_its_batch(batches: list[int]) -> None:
    peaks, store, nodes = mmr.EMPTY, MemoryStore(), {}
    for batch in batches:
        first, made = peaks.size, b""
        for _ in range(batch):
            peaks, new = mmr.append(peaks, Hash(peaks.size.to_bytes(32, "big")))
            made += b"".join(node.hash for node in new)
            nodes.update({(node.level, node.index): node.hash for node in new})
        key = chain_store.lane_record_key(ONE, SequenceNumber(first))
        store.commit([Write(chain_store.STREAM_NODES, key, made)])
    read = stream_store.stream_nodes(store, ONE)
    assert {place: read(*place) for place in nodes} == nodes
    assert read(0, peaks.size) is None
    assert mmr.peaks_at(peaks.size, read) == peaks


def busy_chain(blocks: int, destinations: Sequence[int] = (1,)) -> StoredChain:
    """A chain whose shard 0 sends to the destinations in every block and hears from shard 1 after every fifth."""
    chain = StoredChain(shards=3)
    alice, bob = chain.accounts[:2]
    for number in range(blocks):
        chain.run(
            0, [chain.transaction(0, alice, [chain.send(each, bob, 1 + number) for each in destinations for _ in "ab"])]
        )
        if number % 5 == 4:
            chain.round_trip(0, 1)
    return chain


def prune(store: MemoryStore, below: int) -> int:
    pieces = 0
    while writes := pruning.pruning_writes(store, Height(below)):
        store.commit(writes)
        pieces += 1
        assert pieces < 1000
    return pieces


@pytest.mark.parametrize("below", [1, 2, 7, 8, 16, 17, 23, 31])
def test_after_pruning_everything_that_is_kept_is_still_proved(below: int) -> None:
    chain = busy_chain(33)
    store = chain.stores[0]
    prune(store, below)
    assert chain_store.commitment_at(store, Height(below - 1)) is None
    assert chain_store.commitment_at(store, Height(below)) is not None
    end = chain.shards[0].executions[-1].heads[1].end
    kept = [each for each in range(end) if stream_store.message_body(store, ONE, SequenceNumber(each)) is not None]
    assert kept == list(range(kept[0], end))
    for sequence in kept:
        raw = queries.bundle_for(store, chain.context, ShardId(0), ONE, SequenceNumber(sequence))
        assert raw is not None
        verify_bundle(decode_bundle(raw), chain.context, ONE, ED25519)
    for execution in chain.shards[0].executions[below:]:
        for sent in execution.sent:
            proof = queries.message_proof(store, MessageId(sent.message_id))
            assert verify_message_proof(proof, chain.context, ED25519).message_id == sent.message_id
    history = stream_store.history_nodes(store)
    height = len(chain.shards[0].executions)
    assert mmr.peaks_at(height, history).root() == chain.shards[0].executions[-1].commitment.history_root
    for older in range(below, height):
        assert len(mmr.inclusion_path(older, height, history)) <= height.bit_length()


def test_pruning_forgets_receipts_and_ids_of_past_eras_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_store, "ERA_BLOCKS", 8)
    monkeypatch.setattr(pruning, "ERA_BLOCKS", 8)
    chain = busy_chain(20)
    store = chain.stores[0]
    sent = [execution.sent for execution in chain.shards[0].executions]
    prune(store, 17)
    assert all(int.from_bytes(key[:4], "big") >= 2 for key, _ in store.scan(chain_store.IDS))
    assert chain_store.message_place(store, sent[4][0].message_id) is None
    assert chain_store.message_place(store, sent[18][0].message_id) is not None
    assert store.size(chain_store.RECEIPTS) == len(chain.shards[0].executions) - 16


def test_pruning_keeps_what_is_not_acknowledged_and_the_newest_certificate() -> None:
    chain = busy_chain(20, destinations=(1, 2))
    store = chain.stores[0]
    prune(store, 1000)
    first_to_two = chain.shards[0].bodies[2]
    assert list(stream_store.message_bodies(store, TWO, SequenceNumber(0))) == first_to_two
    raw = queries.bundle_for(store, chain.context, ShardId(0), TWO, SequenceNumber(0))
    assert raw is not None
    bundle = decode_bundle(raw)
    verify_bundle(bundle, chain.context, TWO, ED25519)
    assert len(bundle.bodies) == len(first_to_two)
    assert chain_store.latest_certificate(store) is not None


def test_pruning_goes_in_bounded_pieces_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MAX_PRUNED_BLOCKS", 5)
    monkeypatch.setattr(pruning, "MAX_PRUNED_RECORDS", 3)
    chain = busy_chain(20)
    heights = len(chain.shards[0].executions)
    assert prune(chain.stores[0], 18) >= 4
    assert chain.stores[0].size(chain_store.COMMITMENTS) == heights - 17
    assert pruning.pruning_writes(MemoryStore(), Height(5)) == ()


def test_blocks_stay_where_consensus_keeps_them(chain: StoredChain) -> None:
    chain.run(0)
    raw = finalized_block(chain.stores[0], Height(1))
    assert raw is not None
    assert decode_block(raw).header.height == 1
