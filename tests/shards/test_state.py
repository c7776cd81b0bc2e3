"""The keys and records of the replicated state, and the lane that is one of them."""

import pytest
from msgspec.structs import replace

from primitives import mmr
from primitives.codec import encode
from primitives.errors import InvariantViolated
from primitives.identifiers import CallId, Hash, PublicKey, Sequence, ShardId, TransactionId
from primitives.state_tree import path_of
from shards import lanes
from shards.lanes import LaneDraft, head_of, is_request, room, unused_head
from shards.messages import Call, message_decoder, message_id_of
from shards.state import (
    CHAIN_KEY,
    UNUSED_LANE,
    Lane,
    Namespace,
    account_key,
    decode_lane,
    freeze_key,
    lane_key,
    message_key,
    open_call_key,
    path_of_key,
)
from shards.streams import head_leaf
from tests.shards.builders import BOND, TestChain
from tests.shards.captured import CapturedShard, call_body, reply_body

CALL, TRACE = CallId(b"\x03" * 32), TransactionId(b"\x04" * 32)
HERE, PEER = ShardId(0), ShardId(1)


def call(name: str = "call") -> Call:
    message = message_decoder.decode(call_body(b"\x05" * 32, 7, name))
    assert isinstance(message, Call)
    return message


def draft(record: Lane = UNUSED_LANE) -> LaneDraft:
    return LaneDraft(TestChain().context.chain_id, HERE, PEER, record)


@pytest.mark.parametrize(
    ("key", "namespace", "name"),
    [
        (CHAIN_KEY, Namespace.CHAIN, b""),
        (account_key(PublicKey(b"\x01" * 32)), Namespace.ACCOUNT, b"\x01" * 32),
        (lane_key(ShardId(258)), Namespace.LANE, b"\x01\x02"),
        (message_key(ShardId(258), Sequence(5)), Namespace.MESSAGE, b"\x01\x02" + bytes(7) + b"\x05"),
        (open_call_key(CALL), Namespace.OPEN_CALL, CALL),
        (freeze_key(ShardId(258)), Namespace.FREEZE, b"\x01\x02"),
    ],
)
def test_a_raw_key_says_its_place_in_the_state_tree(key: bytes, namespace: Namespace, name: bytes) -> None:
    assert key == bytes((namespace,)) + b"\0\0" + name
    assert path_of_key(key) == path_of(namespace, b"", name)


def test_a_key_with_a_contract_is_cut_where_its_length_says() -> None:
    assert path_of_key(b"\x09" + b"\x00\x02" + b"ab" + b"c") == path_of(9, b"ab", b"c")
    assert path_of_key(b"\x09" + b"\x00\x01" + b"a" + b"bc") != path_of_key(b"\x09" + b"\x00\x02" + b"ab" + b"c")


def test_the_form_of_a_message_shows_whether_the_window_counts_it() -> None:
    assert is_request(call_body(b"\x05" * 32, 1))
    assert is_request(call_body(b"\x05" * 128, 2**127, method="m" * 64, arguments=b"a" * 16_000))
    assert not is_request(reply_body(CALL, 1))
    assert not is_request(reply_body(CALL, 2**127, result=b"r" * 16_000, traceback="t" * 8_000))


def test_a_lane_is_the_same_after_a_round_through_its_record() -> None:
    lane = draft()
    for name in "abc":
        lane.send(call(name), CALL, TRACE, BOND)
    lane.received, _ = mmr.append(lane.received, Hash(b"\x07" * 32))
    lane.frozen = True
    record = lane.record()
    assert decode_lane(encode(record)) == record
    assert draft(record).record() == record
    assert (record.end, record.open_requests, record.open_calls, record.recv_next) == (3, 3, 3, 1)


def test_a_lane_that_was_never_used_has_a_constant_head() -> None:
    head = unused_head(HERE, PEER)
    assert head == head_of(draft().record(), HERE, PEER)
    assert head.mmr_root == mmr.EMPTY.root()
    assert (head.begin, head.end, head.ack_next) == (0, 0, 0)


def test_every_field_of_a_head_changes_its_leaf() -> None:
    chain = TestChain().context.chain_id
    head = unused_head(HERE, PEER)
    changed = [
        replace(head, source=PEER),
        replace(head, destination=HERE),
        *(replace(head, **{name: Sequence(1)}) for name in ("begin", "end", "ack_next")),
        replace(head, mmr_root=Hash(bytes(32))),
        *(replace(head, **{name: b"\x01" * 16}) for name in ("value_sent", "value_received")),
    ]
    leaves = {head_leaf(chain, each) for each in (head, *changed)}
    assert len(leaves) == len(changed) + 1


def test_a_sent_message_is_the_leaf_that_its_place_says() -> None:
    lane = draft()
    bodies = [lane.send(call(name), CALL, TRACE, BOND) for name in "ab"]
    peaks = mmr.EMPTY
    for place, sent in enumerate(bodies):
        expected = message_id_of(TestChain().context.chain_id, HERE, PEER, Sequence(place), sent.body)
        assert (sent.sequence, sent.message_id) == (place, expected)
        assert sent.nodes[0].hash == Hash(expected)
        peaks, _ = mmr.append(peaks, Hash(expected))
    assert lane.sent == peaks


def test_a_call_without_room_is_our_own_error_and_a_reply_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "STREAM_WINDOW", 1)
    lane = draft()
    lane.send(call(), CALL, TRACE, BOND)
    assert room(lane) == room(lane.record()) == 0
    with pytest.raises(InvariantViolated):
        lane.send(call(), CALL, TRACE, BOND)
    lane.send(message_decoder.decode(reply_body(CALL, 1)), CALL, TRACE, BOND)
    assert lane.pending_replies() == 1


def test_an_acknowledgement_never_goes_back_nor_beyond_what_was_sent() -> None:
    lane = draft()
    for name in "abc":
        lane.send(call(name), CALL, TRACE, BOND)
    assert lane.acknowledge(Sequence(2)) == range(2)
    assert not lane.acknowledge(Sequence(1))
    assert lane.begin == 2
    with pytest.raises(InvariantViolated):
        lane.acknowledge(Sequence(4))


def test_seen_counters_are_the_highest_ever_seen() -> None:
    captured = CapturedShard(TestChain(), PEER)
    old = captured.bundle(HERE, [call_body(b"\x05" * 32, 1)], value_sent=500, value_received=9)
    new = captured.bundle(HERE, [call_body(b"\x05" * 32, 1)] * 2, value_sent=900, value_received=3)
    lane = draft()
    for bundle in (old, new, old):
        lane.see(bundle.head, bundle.certificate.commitment)
    record = lane.record()
    assert (record.peer_height, record.peer_end) == (2, 2)
    assert int.from_bytes(record.peer_value_sent, "big") == 900
    assert int.from_bytes(record.peer_value_received, "big") == 9
