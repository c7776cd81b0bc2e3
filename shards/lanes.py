"""A lane: the two streams between this shard and one peer, while a block is executed.

Sending appends to the outgoing mountain range and counts the value that leaves; receiving moves `recv_next` over one
message; an acknowledgement in the peer's certified head takes what is settled from the front. At the block's end the
lane becomes one state record and one certified `StreamHead`.
"""

from primitives import mmr
from primitives.amounts import Amount, pack_amount, unpack_amount
from primitives.codec import encode
from primitives.errors import invariant
from primitives.identifiers import CallId, ChainId, Hash, Height, Sequence, ShardId, TransactionId
from shards.commitments import Commitment, commitment_hash
from shards.limits import MAX_OPEN_CALLS_PER_LANE, STREAM_WINDOW
from shards.messages import Call, Message, message_id_of
from shards.outcome import SentBody
from shards.state import UNUSED_LANE, Lane
from shards.streams import StreamHead

_CALL_TAG = 1


def is_request(body: bytes) -> bool:
    """Whether the encoded message is a call, which the window counts; only for bodies that this shard encoded.

    Its first byte is the array's header (fewer than 16 fields), its second the record's tag.
    """
    return body[1] == _CALL_TAG


def head_of(lane: Lane, source: ShardId, destination: ShardId) -> StreamHead:
    """Head that commits to the stream from `source` to `destination`; constant for a lane that was never used."""
    return StreamHead(
        source=source,
        destination=destination,
        begin=lane.begin,
        end=lane.end,
        mmr_root=mmr.Peaks(lane.end, lane.peaks).root(),
        ack_next=lane.recv_next,
        value_sent=lane.value_sent,
        value_received=lane.value_received,
    )


def unused_head(source: ShardId, destination: ShardId) -> StreamHead:
    """Head of a stream that was never used, and of a shard's own place in its outbox."""
    return head_of(UNUSED_LANE, source, destination)


def room(lane: "Lane | LaneDraft") -> int:
    """How many more calls the stream takes: the window minus what is unacknowledged, or less if few are answered."""
    return min(STREAM_WINDOW - lane.open_requests, MAX_OPEN_CALLS_PER_LANE - lane.open_calls)


class LaneDraft:
    """A lane that a block may change. Amounts are plain integers here and bytes in the record."""

    def __init__(self, chain_id: ChainId, shard: ShardId, peer: ShardId, record: Lane) -> None:
        self._chain_id = chain_id
        self._shard = shard
        self._peer = peer
        self.begin = record.begin
        self.sent = mmr.Peaks(record.end, record.peaks)
        self.open_requests = record.open_requests
        self.open_calls = record.open_calls
        self.value_sent = unpack_amount(record.value_sent)
        self.received = mmr.Peaks(record.recv_next, record.recv_peaks)
        self.value_received = unpack_amount(record.value_received)
        self.peer_height = record.peer_height
        self.peer_commitment = record.peer_commitment
        self.peer_end = record.peer_end
        self.peer_value_sent = unpack_amount(record.peer_value_sent)
        self.peer_value_received = unpack_amount(record.peer_value_received)
        self.frozen = record.frozen

    def pending_replies(self) -> int:
        """Replies that the peer has not acknowledged."""
        return self.sent.size - self.begin - self.open_requests

    def send(self, message: Message, call_id: CallId, trace_id: TransactionId, value: Amount) -> SentBody:
        """Append a message that carries `value` (prepaid gas included) in all."""
        if isinstance(message, Call):
            invariant(room(self) > 0, "a call is sent only when the stream has room")
            self.open_requests += 1
            self.open_calls += 1
        body = encode(message)
        sequence = Sequence(self.sent.size)
        message_id = message_id_of(self._chain_id, self._shard, self._peer, sequence, body)
        self.sent, nodes = mmr.append(self.sent, Hash(message_id))
        self.value_sent = Amount(self.value_sent + value)
        return SentBody(
            destination=self._peer,
            sequence=sequence,
            message_id=message_id,
            call_id=call_id,
            trace_id=trace_id,
            body=body,
            nodes=nodes,
        )

    def acknowledge(self, ack_next: Sequence) -> range:
        """Move the front up to `ack_next`; return the sequence numbers that are settled and leave the state by it."""
        settled = range(self.begin, max(self.begin, ack_next))
        invariant(settled.stop <= self.sent.size, "only what was sent is acknowledged")
        self.begin = Sequence(settled.stop)
        return settled

    def see(self, head: StreamHead, commitment: Commitment) -> None:
        """Take over the highest counters; a stale head changes nothing."""
        if commitment.height > self.peer_height:
            self.peer_height = Height(commitment.height)
            self.peer_commitment = commitment_hash(commitment)
        self.peer_end = Sequence(max(self.peer_end, head.end))
        self.peer_value_sent = max(self.peer_value_sent, unpack_amount(head.value_sent))
        self.peer_value_received = max(self.peer_value_received, unpack_amount(head.value_received))

    def record(self) -> Lane:
        """State record of the lane as it is now."""
        return Lane(
            begin=self.begin,
            end=Sequence(self.sent.size),
            peaks=self.sent.hashes,
            open_requests=self.open_requests,
            open_calls=self.open_calls,
            value_sent=pack_amount(self.value_sent),
            recv_next=Sequence(self.received.size),
            recv_peaks=self.received.hashes,
            value_received=pack_amount(self.value_received),
            peer_height=self.peer_height,
            peer_commitment=self.peer_commitment,
            peer_end=self.peer_end,
            peer_value_sent=pack_amount(self.peer_value_sent),
            peer_value_received=pack_amount(self.peer_value_received),
            frozen=self.frozen,
        )
