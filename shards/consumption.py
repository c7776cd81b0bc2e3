"""Consuming a bundle: what its head acknowledges is settled, its messages are consumed once each, in order.

The bundle was verified against its source's committee before the vote (`shards.bundles`), so what it says is what a
quorum of that committee certified. An honest quorum never certifies what contradicts what we know; one that does has
been captured, and the lane with that shard (only) is frozen with the evidence before any message is consumed:

- `equivocation`: another commitment for a height of which we have seen one;
- `impossible_acknowledgement`, `impossible_receipt`: it consumed messages or value that we never sent;
- `impossible_begin`: it saw us acknowledge messages that we have not consumed;
- `fork`: the mountain range over the messages we have consumed is not the one we know;
- `impossible_value`: its messages carry more than its head says it sent, or more than there is on the whole chain;
- `too_many_calls`: more unanswered calls than an honest shard lets open.

What is below `recv_next` is skipped, so a bundle that is late, repeated or overlapping does no harm. Every call that
is consumed is answered by exactly one reply. Nothing that a captured committee puts into a message stops execution: a
body that cannot be read is consumed without effect, a reply to a call that we never made leaves its value in escrow.
"""

from typing import NamedTuple

from primitives import mmr
from primitives.amounts import Amount, unpack_amount
from primitives.codec import encode
from primitives.errors import Refused, invariant
from primitives.identifiers import Hash, MessageId, Sequence
from primitives.marks import sometimes
from shards.bundles import Bundle
from shards.calls.arrivals import MAX_DETAIL, Consumed, consume_call, consume_reply, value_of
from shards.commitments import commitment_hash
from shards.lanes import LaneDraft
from shards.limits import MAX_OPEN_CALLS_PER_LANE
from shards.messages import Call, Message, Reply, message_decoder, message_id_of
from shards.receipts import DiscardReceipt, FreezeReceipt
from shards.state import Freeze, freeze_key
from shards.working_state import WorkingState


class Arrival(NamedTuple):
    """A message that is consumed now; without `message`, its body cannot be read for the reason in `problem`."""

    sequence: Sequence
    message_id: MessageId
    message: Message | None
    problem: str

    def value(self) -> int:
        """Base units that arrive with it, prepaid gas included."""
        return value_of(self.message) if self.message is not None else 0


class Contradiction(NamedTuple):
    """What a peer's committee certified although it cannot be."""

    reason: str
    detail: str


def consume_bundle(state: WorkingState, bundle: Bundle, item: int) -> None:
    """Execute a verified bundle, which is item number `item` of the block."""
    head = bundle.head
    source = head.source
    invariant(head.destination == state.shard and source != state.shard, "a bundle is executed where it belongs")
    lane = state.lane(source)
    if lane.frozen:
        return
    invariant(bundle.first <= lane.received.size, "bundles are included in the order of their sequence numbers")
    arrivals, known = _split(state, lane, bundle)
    contradiction = _contradiction(lane, bundle, known)
    if contradiction is None:
        lane.see(head, bundle.certificate.commitment)
        state.acknowledge(source, head.ack_next)
        contradiction = _excess(state, lane, bundle, arrivals)
    if contradiction is not None:
        _freeze(state, lane, bundle, item, contradiction)
        return
    for arrival in arrivals:
        lane.received, _ = mmr.append(lane.received, Hash(arrival.message_id))
        state.receive(source, Amount(arrival.value()))
        consumed = Consumed(source, arrival.sequence, arrival.message_id)
        match arrival.message:
            case Call() as call:
                consume_call(state, consumed, call)
            case Reply() as reply:
                consume_reply(state, consumed, reply)
            case None:
                sometimes("a message that cannot be read")
                state.add_receipt(
                    DiscardReceipt(
                        source=source,
                        sequence=arrival.sequence,
                        message_id=arrival.message_id,
                        detail=arrival.problem,
                    )
                )


def _split(state: WorkingState, lane: LaneDraft, bundle: Bundle) -> tuple[list[Arrival], mmr.Peaks]:
    """Messages not consumed before, and the bundle's peaks over what was (as far as the bundle reaches)."""
    head = bundle.head
    known = mmr.Peaks(bundle.first, bundle.peaks)
    arrivals = []
    for sequence, body in enumerate(bundle.bodies, start=bundle.first):
        message_id = message_id_of(state.chain_id, head.source, head.destination, Sequence(sequence), body)
        if sequence < lane.received.size:
            sometimes("a message that was consumed before")
            known, _ = mmr.append(known, Hash(message_id))
        else:
            arrivals.append(_read(Sequence(sequence), message_id, body))
    return arrivals, known


def _read(sequence: Sequence, message_id: MessageId, body: bytes) -> Arrival:
    try:
        return Arrival(sequence, message_id, message_decoder.decode(body), "")
    except Refused as refused:
        # The code only: the rest of the text is the decoder's, and receipts are hashed.
        return Arrival(sequence, message_id, None, f"its body cannot be read: {refused.code}")


def _contradiction(lane: LaneDraft, bundle: Bundle, known: mmr.Peaks) -> Contradiction | None:
    """What in the head contradicts what we know of the lane."""
    head, commitment = bundle.head, bundle.certificate.commitment
    if commitment.height == lane.peer_height != 0 and commitment_hash(commitment) != lane.peer_commitment:
        return Contradiction("equivocation", f"two different commitments are certified for height {commitment.height}")
    if head.ack_next > lane.sent.size:
        return Contradiction(
            "impossible_acknowledgement", f"{head.ack_next} messages are acknowledged, {lane.sent.size} were sent"
        )
    received = unpack_amount(head.value_received)
    if received > lane.value_sent:
        return Contradiction("impossible_receipt", f"{received} base units are received, {lane.value_sent} were sent")
    if head.begin > lane.received.size:
        return Contradiction(
            "impossible_begin", f"{head.begin} messages are settled, {lane.received.size} are consumed here"
        )
    if known.size == lane.received.size and known.hashes != lane.received.hashes:
        return Contradiction("fork", f"the first {known.size} messages are not the ones that were certified before")
    return None


def _excess(state: WorkingState, lane: LaneDraft, bundle: Bundle, arrivals: list[Arrival]) -> Contradiction | None:
    """What in the messages is more than there can be, once the head's acknowledgement has been counted."""
    if not arrivals:
        return None  # the head may be older than what we have consumed, and say less
    value, calls = 0, lane.pending_replies()
    for arrival in arrivals:
        value += arrival.value()
        calls += isinstance(arrival.message, Call)
    declared = unpack_amount(bundle.head.value_sent)
    if lane.value_received + value > declared:
        return Contradiction(
            "impossible_value", f"the messages carry {lane.value_received + value} base units, the head says {declared}"
        )
    if state.holdings() + value > state.total_supply:
        return Contradiction("impossible_value", "there is not as much money on this chain as arrived here")
    if calls > MAX_OPEN_CALLS_PER_LANE:
        return Contradiction("too_many_calls", f"{calls} calls are open, the limit is {MAX_OPEN_CALLS_PER_LANE}")
    return None


def _freeze(state: WorkingState, lane: LaneDraft, bundle: Bundle, item: int, contradiction: Contradiction) -> None:
    """Stop both streams with this peer."""
    sometimes("a lane frozen")
    lane.frozen = True
    source = bundle.head.source
    reason, detail = contradiction.reason, contradiction.detail[:MAX_DETAIL]
    state.put(
        freeze_key(source),
        encode(
            Freeze(
                reason=reason,
                detail=detail,
                height=state.height,
                item=item,
                certificate=bundle.certificate,
                head=bundle.head,
            )
        ),
    )
    commitment = commitment_hash(bundle.certificate.commitment)
    state.add_receipt(FreezeReceipt(source=source, reason=reason, detail=detail, commitment_hash=commitment))
