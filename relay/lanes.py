"""One lane: an ordered pair of shards (source, destination) and how far a courier is with it.

What is to be done follows from two certified heads, and from nothing that a courier remembers:

- *messages*: source head (source -> destination) `end` > destination head (destination -> source) `ack_next`;
- *acknowledgement only*: source head's `ack_next` > destination head's `begin`.

What a courier remembers (the bundle in hand, those delivered ahead of the destination's certificates) only keeps it
from doing things twice at once; losing it costs a repetition, which the destination answers with `known`.
"""

from collections import deque
from dataclasses import dataclass, field

from primitives.identifiers import Height, Sequence, ShardId, ValidatorIndex
from relay.members import rest_after
from shards.commitments import CommitmentCertificate
from shards.lanes import unused_head
from shards.limits import STREAM_WINDOW
from shards.streams import StreamHead

MAX_AHEAD = 8
"""Bundles delivered and not yet seen in a certificate: 4,096 messages, which is the stream's whole window."""

PATIENCE_MS = 2_000
"""How long the destination may take to certify what was delivered before it is delivered again elsewhere: some ten
blocks, or one failed leader."""

LONGEST_PATIENCE_MS = 4_000
"""The same when it happens again and again: what a halted destination costs, and how late its return is noticed."""

URGENT_BACKLOG = STREAM_WINDOW // 4
"""With so many messages of the reverse stream unacknowledged, a bare acknowledgement does not wait for company."""

ZERO = Sequence(0)


class ShardView:
    """The newest certified heads of a shard; the genesis ones (all zero) while it has certified nothing."""

    def __init__(self, shard: ShardId, now: int) -> None:
        self.shard = shard
        self.height = Height(0)
        self.certificate: CommitmentCertificate | None = None
        self.heads: tuple[StreamHead, ...] = ()
        self.advanced_ms = now

    def advance(self, certificate: CommitmentCertificate, heads: tuple[StreamHead, ...], now: int) -> None:
        """Replace the view by a newer, checked one."""
        self.certificate, self.heads = certificate, heads
        self.height, self.advanced_ms = certificate.commitment.height, now

    def head(self, peer: ShardId) -> StreamHead:
        """Head of the stream towards `peer`."""
        return self.heads[peer] if self.heads else unused_head(self.shard, peer)


@dataclass(slots=True)
class Hand:
    """The one bundle that a lane is fetching from `fetched_from` or delivering to `deliver_to`."""

    first: Sequence
    fetched_from: ValidatorIndex
    deliver_to: ValidatorIndex
    deadline_ms: int
    failing: bool
    """It counts among the bundles of lanes that failed last time."""
    delivering: bool = False
    end: Sequence = ZERO
    ack_next: Sequence = ZERO


@dataclass(frozen=True, slots=True)
class Ahead:
    """A bundle that a validator took and that the destination has not certified yet."""

    first: Sequence
    end: Sequence
    ack_next: Sequence
    validator: ValidatorIndex

    def certified_in(self, head: StreamHead) -> bool:
        """Whether the destination's head shows that it was consumed (by whomever it was brought)."""
        return head.ack_next >= self.end if self.end > self.first else head.begin >= self.ack_next


@dataclass(slots=True)
class Lane:
    """What a courier remembers about one lane. All times are monotonic milliseconds."""

    source: ShardId
    destination: ShardId
    destination_faulty: int
    """How many of the destination's validators may lie."""
    hand: Hand | None = None
    ahead: deque[Ahead] = field(default_factory=deque)
    mark: tuple[Sequence, Sequence] = (ZERO, ZERO)
    """The destination's certified (ack_next, begin) when it last moved."""
    moved_ms: int = 0
    failures: int = 0
    """Times that everything there was to try has failed since the destination last moved."""
    retry_at_ms: int = 0
    ack_due_ms: int | None = None
    tried_sources: set[ValidatorIndex] = field(default_factory=set)
    tried_destinations: set[ValidatorIndex] = field(default_factory=set)
    frozen_by: set[ValidatorIndex] = field(default_factory=set)
    """Destination validators that say the lane is frozen."""
    timer_ms: int | None = None
    problem: str = ""
    bundles: int = 0
    messages: int = 0

    @property
    def name(self) -> str:
        """Name of the lane's timer, and of the lane in notes."""
        return f"lane/{self.source}/{self.destination}"

    @property
    def frozen(self) -> bool:
        """Whether at least one honest validator of the destination says that the lane is frozen."""
        return len(self.frozen_by) > self.destination_faulty

    @property
    def patience_ms(self) -> int:
        """How long to wait for the destination to certify what was delivered."""
        return min(PATIENCE_MS << min(self.failures, 4), LONGEST_PATIENCE_MS)

    def settle(self, destination: StreamHead, now: int) -> None:
        """Forget what the destination's head (destination -> source) shows to be done."""
        mark = (destination.ack_next, destination.begin)
        if mark != self.mark:
            self.mark, self.moved_ms = mark, now
            self.failures, self.retry_at_ms, self.problem = 0, 0, ""
            self.tried_sources.clear()
            self.tried_destinations.clear()
            self.frozen_by.clear()
        while self.ahead and self.ahead[0].certified_in(destination):
            self.ahead.popleft()

    def stalled(self, now: int) -> bool:
        """Whether what was delivered has led to nothing for too long."""
        return bool(self.ahead) and now - self.moved_ms >= self.patience_ms

    def wanted(self, source: StreamHead, destination: StreamHead, now: int, ack_delay_ms: int) -> Sequence | None:
        """First message of the bundle to carry next, or None; sets or clears the time of a bare acknowledgement."""
        cursor = max(destination.ack_next, self.ahead[-1].end if self.ahead else ZERO)
        if len(self.ahead) >= (1 if self.failures else MAX_AHEAD):
            return None
        if source.end > cursor:
            self.ack_due_ms = None
            return cursor
        acknowledged = max(destination.begin, max((each.ack_next for each in self.ahead), default=ZERO))
        if source.end < cursor or source.ack_next <= acknowledged:
            self.ack_due_ms = None
            return None
        if self.ack_due_ms is None:
            self.ack_due_ms = now + ack_delay_ms
        urgent = destination.end - destination.begin >= URGENT_BACKLOG
        return cursor if urgent or now >= self.ack_due_ms else None

    def took(self, hand: Hand, now: int) -> None:
        """A destination validator took the bundle in hand."""
        if not self.ahead:
            self.moved_ms = now
        self.ahead.append(Ahead(hand.first, hand.end, hand.ack_next, hand.deliver_to))
        self.ack_due_ms = None
        self.bundles += 1
        self.messages += hand.end - hand.first

    def back_off(self, now: int) -> None:
        """Everything there was to try has failed: wait before trying it all again."""
        self.tried_sources.clear()
        self.tried_destinations.clear()
        self.failures += 1
        self.retry_at_ms = now + rest_after(self.failures)

    def due_ms(self, now: int) -> int | None:
        """When to look at this lane again if nothing happens; None when only news can matter."""
        if self.hand is not None:
            return self.hand.deadline_ms
        times = [self.retry_at_ms, self.ack_due_ms or 0, self.moved_ms + self.patience_ms if self.ahead else 0]
        # What is due already and was not done waits for a shard to answer or for a free hand.
        return min((time for time in times if time > now), default=None)
