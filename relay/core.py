"""The courier: decides which certified bundles to carry where. Pure: events in, effects out, no clock, no I/O.

It starts from nothing and resumes from what the chains say, so it can be killed, duplicated or started anywhere:
for each lane, `relay.lanes` derives what the destination still needs from two certified heads.

What it believes and what not:

- A validator's news counts only with a certificate that a quorum of its committee signed and heads that hash to the
  certified outbox root; both are checked here. Older news than the newest known is not checked and not used.
- A fetched bundle is verified before it is delivered (`CourierSettings.verify_bundles`), so a lying source is caught
  before a destination sees it. Whoever is caught rests for a minute.
- That a destination took a bundle means nothing until its certified head moves. If it does not within a lane's
  patience, the bundle is fetched again and delivered to another validator.
- "Nothing certified yet", a refusal, or silence may be lies: each costs a repetition at another validator.

Lanes never wait for one another: one bundle in hand each, own failures, own backoff. `max_in_hand` bounds memory; the
lanes that failed last time share half of it, so that halted shards cannot take it all. Free hands go round in order.
No bundle is kept: a delivery that failed is fetched again.
"""

from collections.abc import Mapping
from typing import assert_never

from consensus.effects import CancelTimer, Note, SetTimer
from consensus.events import TimerFired
from primitives.errors import Refused
from primitives.identifiers import Height, Sequence, ShardId, ValidatorIndex
from primitives.instant import Instant
from primitives.marks import sometimes
from primitives.signatures import SignatureScheme
from relay.effects import Deliver, Effect, Fetch
from relay.events import (
    BundleFetched,
    Delivered,
    DeliveryFailed,
    Event,
    FetchFailed,
    ShardSeen,
    Started,
    SubscriptionLost,
)
from relay.lanes import Hand, Lane, ShardView
from relay.links import Links, Pair, report_lane, report_shard
from relay.members import MAX_REASON_LENGTH, ShardMembers
from relay.news import check_news
from relay.settings import DELIVERY_TIMEOUT_MS, FETCH_TIMEOUT_MS, FROZEN_CODE, CourierReport, CourierSettings
from shards.bundles import Bundle, decode_bundle, verify_bundle
from shards.commitments import CommitmentCertificate, check_certificate
from shards.genesis import ChainContext
from shards.limits import MAX_BUNDLE_BYTES, MAX_BUNDLE_MESSAGES


class Courier:
    """See the module's docstring.

    `validators` are those that can be reached, by shard; all of every committee when left out. Its shell calls
    `handle` for one event after the other and does what the effects say, in order.
    """

    def __init__(
        self,
        context: ChainContext,
        links: Links,
        scheme: SignatureScheme,
        validators: Mapping[ShardId, tuple[ValidatorIndex, ...]] | None = None,
        settings: CourierSettings | None = None,
    ) -> None:
        self.context = context
        self.links = links
        self.scheme = scheme
        self.settings = settings if settings is not None else CourierSettings()
        self._lanes = {pair: Lane(*pair, context.committee(pair[1]).max_faulty) for pair in links.pairs()}
        self._by_name = {lane.name: pair for pair, lane in self._lanes.items()}
        self._members: dict[ShardId, ShardMembers] = {}
        for shard in links.shards():
            size = context.committee(shard).size
            everybody = tuple(ValidatorIndex(index) for index in range(size))
            reachable = everybody if validators is None else tuple(validators.get(shard, ()))
            self._members[shard] = ShardMembers(shard, reachable, size)
        self._views: dict[ShardId, ShardView] = {}
        self._shard_timers: dict[ShardId, int] = {}
        self._unsettled: dict[ShardId, None] = {}
        """Shards whose watch changed in this event (a dict for its order)."""
        self._touched: dict[Pair, None] = {}
        """Lanes that this event concerns."""
        self._queue: dict[Pair, None] = {}
        """Lanes that wait for a free hand, first come first served."""
        self._in_hand = 0
        self._failing_in_hand = 0
        self._effects: list[Effect] = []

    def handle(self, event: Event, at: Instant) -> tuple[Effect, ...]:
        """Take in one event and say what to do, in order."""
        now = at.monotonic_ms
        match event:
            case Started():
                for shard, members in self._members.items():
                    self._effects += members.start(now)
                    self._unsettled[shard] = None
            case ShardSeen():
                self._shard_seen(event, now)
            case SubscriptionLost():
                self._subscription_lost(event, now)
            case BundleFetched():
                self._bundle_fetched(event, now)
            case Delivered():
                self._delivered(event, now)
            case FetchFailed() | DeliveryFailed():
                self._request_failed(event, now)
            case TimerFired():
                self._timer_fired(event.name)
            case _:
                assert_never(event)
        self._keep_watch(now)
        self._look_at_lanes(now)
        effects, self._effects = tuple(self._effects), []
        return effects

    def report(self, at: Instant) -> CourierReport:
        """What works, and why not, for every shard that is served and every ordered pair of shards of the chain."""
        now = at.monotonic_ms
        shards = {shard: report_shard(self._members[shard], self._views.get(shard), now) for shard in self._members}
        count = self.context.shard_count
        lanes = tuple(
            report_lane((source, destination), self._lanes.get((source, destination)), self.links, shards, self._views)
            for source in map(ShardId, range(count))
            for destination in map(ShardId, range(count))
            if source != destination
        )
        return CourierReport(tuple(shards.values()), lanes)

    # News of shards

    def _shard_seen(self, event: ShardSeen, now: int) -> None:
        members = self._members.get(event.shard)
        member = members.watched(event.validator) if members is not None else None
        if members is None or member is None:
            return
        view, certificate = self._views.get(event.shard), event.certificate
        height = certificate.commitment.height if certificate is not None else Height(0)
        newer = height > (view.height if view is not None else 0)
        if certificate is not None and newer:
            try:
                check_news(certificate, event.heads, event.shard, self.context, self.scheme)
            except Refused as error:
                sometimes("news refused by a relay")
                self._condemn(event.shard, event.validator, f"news refused: {error}", now)
                return
        if view is None:
            view = self._views[event.shard] = ShardView(event.shard, now)
            self._touch(event.shard)
        if certificate is not None and newer:
            view.advance(certificate, event.heads, now)
            self._touch(event.shard)
        if members.saw(member, height, now):
            # The shard or this validator is back: whatever waited for it need not wait longer.
            for lane in self._touch(event.shard):
                lane.retry_at_ms = 0

    def _subscription_lost(self, event: SubscriptionLost, now: int) -> None:
        if event.shard in self._members:
            self._members[event.shard].lost(event.validator, event.reason, now)
            self._unsettled[event.shard] = None

    def _condemn(self, shard: ShardId, validator: ValidatorIndex, reason: str, now: int) -> None:
        self._effects += self._members[shard].condemn(validator, reason, now)
        self._unsettled[shard] = None
        self._note("liar", f"s{shard}/v{validator} {reason}")

    def _keep_watch(self, now: int) -> None:
        """Fill places among the watched and keep one timer for each shard."""
        for shard in self._unsettled:
            self._effects += self._members[shard].refill(now)
            due, armed = self._members[shard].due_ms(), self._shard_timers.get(shard)
            # News put the time off; a timer that comes too early is cheaper than setting it anew for every block.
            if due is not None and (armed is None or due < armed):
                self._shard_timers[shard] = due
                self._effects.append(SetTimer(f"shard/{shard}", due))
        self._unsettled.clear()

    def _timer_fired(self, name: str) -> None:
        if name in self._by_name:
            pair = self._by_name[name]
            self._lanes[pair].timer_ms = None
            self._touched[pair] = None
            return
        for shard in self._members:
            if name == f"shard/{shard}":
                self._shard_timers.pop(shard, None)
                self._unsettled[shard] = None

    # Answers to what was asked; those to nothing that is being waited for are ignored

    def _awaited(self, event: BundleFetched | FetchFailed | Delivered | DeliveryFailed) -> tuple[Lane, Hand] | None:
        lane = self._lanes.get((event.source, event.destination))
        delivering = isinstance(event, Delivered | DeliveryFailed)
        if lane is None or lane.hand is None or lane.hand.delivering != delivering or lane.hand.first != event.first:
            return None
        asked = lane.hand.deliver_to if delivering else lane.hand.fetched_from
        return (lane, lane.hand) if asked == event.validator else None

    def _bundle_fetched(self, event: BundleFetched, now: int) -> None:
        awaited = self._awaited(event)
        if awaited is None:
            return
        lane, hand = awaited
        try:
            bundle = self._open(event.raw, lane) if event.raw is not None else None
        except Refused as error:
            self._empty_hand(lane, f"s{lane.source}/v{hand.fetched_from} sent a bad bundle: {error}")
            sometimes("a bundle refused by a relay")
            self._condemn(lane.source, hand.fetched_from, f"bundle refused: {error}", now)
            self._try_elsewhere(lane, now, source=hand.fetched_from)
            return
        if event.raw is None or bundle is None or not self._is_news(bundle, lane, hand):
            self._empty_hand(lane, f"s{lane.source}/v{hand.fetched_from} has nothing new from message {hand.first} on")
            self._try_elsewhere(lane, now, source=hand.fetched_from)
            return
        hand.delivering, hand.deadline_ms = True, now + DELIVERY_TIMEOUT_MS
        hand.end, hand.ack_next = Sequence(bundle.first + len(bundle.bodies)), bundle.head.ack_next
        self._effects.append(Deliver(lane.source, lane.destination, hand.deliver_to, hand.first, event.raw))
        self._touched[lane.source, lane.destination] = None
        full = len(bundle.bodies) == MAX_BUNDLE_MESSAGES or len(event.raw) > MAX_BUNDLE_BYTES // 2
        if hand.end < self._views[lane.source].head(lane.destination).end and not full:
            self._members[lane.source].doubt(hand.fetched_from, "sent less than there was to send", now)

    def _is_news(self, bundle: Bundle, lane: Lane, hand: Hand) -> bool:
        """Whether a sound bundle is what was asked for and brings the destination something."""
        acknowledged = self._views[lane.destination].head(lane.source).begin
        return bundle.first == hand.first and bool(bundle.bodies or bundle.head.ack_next > acknowledged)

    def _open(self, raw: bytes, lane: Lane) -> Bundle:
        bundle = decode_bundle(raw)
        if (bundle.head.source, bundle.head.destination) != (lane.source, lane.destination):
            raise Refused("wrong_lane", f"it is of the stream {bundle.head.source} -> {bundle.head.destination}")
        if self.settings.verify_bundles:
            verify_bundle(bundle, self.context, lane.destination, self.scheme, self._check_certificate)
        return bundle

    def _check_certificate(self, certificate: CommitmentCertificate) -> None:
        """Most bundles come with the certificate that was in the news, signatures and all."""
        shard = certificate.commitment.shard
        if certificate != self._views[shard].certificate:
            check_certificate(certificate, self.context.committee(shard), self.scheme)

    def _delivered(self, event: Delivered, now: int) -> None:
        awaited = self._awaited(event)
        if awaited is None:
            return
        lane, hand = awaited
        if event.status != "refused":
            lane.took(hand, now)
            self._empty_hand(lane)
            return
        sometimes("a delivery refused")
        self._empty_hand(lane, f"s{lane.destination}/v{event.validator} refused: {event.code}: {event.detail}")
        self._note("refused", f"{lane.name} {lane.problem}")
        if event.code == FROZEN_CODE:
            lane.frozen_by.add(event.validator)
        # It may have been refused because what was delivered before it was lost: begin again from what is certified.
        lane.ahead.clear()
        suspect = None if self.settings.verify_bundles else hand.fetched_from
        if suspect is not None:
            self._members[lane.source].doubt(suspect, lane.problem, now)
        self._try_elsewhere(lane, now, source=suspect, destination=event.validator)

    def _request_failed(self, event: FetchFailed | DeliveryFailed, now: int) -> None:
        awaited = self._awaited(event)
        if awaited is not None:
            self._give_up(*awaited, event.reason, now)

    def _give_up(self, lane: Lane, hand: Hand, reason: str, now: int) -> None:
        """A request got no answer, or none in time."""
        sometimes("a request that nobody answers")
        shard, validator = (lane.destination, hand.deliver_to) if hand.delivering else (lane.source, hand.fetched_from)
        self._members[shard].strike(validator, reason, now)
        self._empty_hand(lane, f"s{shard}/v{validator} did not answer: {reason}")
        if hand.delivering:
            self._try_elsewhere(lane, now, destination=validator)
        else:
            self._try_elsewhere(lane, now, source=validator)

    def _try_elsewhere(
        self,
        lane: Lane,
        now: int,
        *,
        source: ValidatorIndex | None = None,
        destination: ValidatorIndex | None = None,
    ) -> None:
        """Try others than these at once; when everybody has been tried, wait."""
        if source is not None:
            lane.tried_sources.add(source)
        if destination is not None:
            lane.tried_destinations.add(destination)
        if self._choose(lane, now) is None:
            sometimes("a lane on which everything has failed")
            lane.back_off(now)

    def _empty_hand(self, lane: Lane, problem: str = "") -> None:
        if lane.hand is not None:
            self._in_hand -= 1
            self._failing_in_hand -= lane.hand.failing
        lane.hand = None
        if problem:
            lane.problem = problem[:MAX_REASON_LENGTH]
        self._touched[lane.source, lane.destination] = None

    # What to do next

    def _touch(self, shard: ShardId) -> list[Lane]:
        """Look at all lanes of this shard after this event."""
        graph = self.links.graph
        pairs = [*graph.out_edges(shard), *graph.in_edges(shard)]
        self._touched.update(dict.fromkeys(pairs))
        return [self._lanes[pair] for pair in pairs]

    def _look_at_lanes(self, now: int) -> None:
        """Decide for all lanes that this event concerns; those that have waited for a free hand come first."""
        for pair in tuple(self._touched):
            self._clear_up(self._lanes[pair], now)
        waiting = tuple(self._queue) if self._in_hand < self.settings.max_in_hand else ()
        for pair in dict.fromkeys((*waiting, *self._touched)):
            lane = self._lanes[pair]
            if lane.hand is None:
                self._begin(lane, now)
            due = lane.due_ms(now)
            if due != lane.timer_ms:
                lane.timer_ms = due
                self._effects.append(SetTimer(lane.name, due) if due is not None else CancelTimer(lane.name))
        self._touched.clear()

    def _clear_up(self, lane: Lane, now: int) -> None:
        """Take in what the destination has certified, and give up what takes too long."""
        if lane.hand is not None and now >= lane.hand.deadline_ms:
            self._give_up(lane, lane.hand, "no answer in time", now)
        if lane.destination in self._views:
            lane.settle(self._views[lane.destination].head(lane.source), now)
        if not lane.stalled(now):
            return
        sometimes("a delivery that led to nothing")
        problem = (
            f"shard {lane.destination} took a bundle from message {lane.ahead[0].first} on"
            f" and certified nothing of it in {lane.patience_ms} ms"
        )
        for validator in sorted({each.validator for each in lane.ahead}):
            self._members[lane.destination].doubt(validator, "took a bundle that did not appear in a block", now)
            lane.tried_destinations.add(validator)
        lane.ahead.clear()
        # What is in hand continues what was lost.
        self._empty_hand(lane, problem)
        lane.failures += 1
        if self._choose(lane, now) is None:
            lane.tried_sources.clear()
            lane.tried_destinations.clear()
        self._note("stalled", f"{lane.name} {problem}")

    def _begin(self, lane: Lane, now: int) -> None:
        """Fetch what the lane's destination needs next, if there is something and somebody to ask."""
        pair = (lane.source, lane.destination)
        first = self._wanted(lane, now) if now >= lane.retry_at_ms else None
        if first is None:
            self._queue.pop(pair, None)
            return
        limit = self.settings.max_in_hand
        failing = lane.failures > 0
        if self._in_hand >= limit or (failing and self._failing_in_hand >= max(limit // 2, 1)):
            self._queue.setdefault(pair)
            return
        self._queue.pop(pair, None)
        choice = self._choose(lane, now)
        if choice is None:
            lane.back_off(now)
            return
        lane.hand = Hand(first, *choice, now + FETCH_TIMEOUT_MS, failing)
        self._in_hand += 1
        self._failing_in_hand += failing
        self._effects.append(Fetch(lane.source, choice[0], lane.destination, first))

    def _wanted(self, lane: Lane, now: int) -> Sequence | None:
        source, destination = self._views.get(lane.source), self._views.get(lane.destination)
        answering = self._members[lane.source].answering and self._members[lane.destination].answering
        if source is None or destination is None or not answering:
            return None
        heads = source.head(lane.destination), destination.head(lane.source)
        return lane.wanted(*heads, now, self.settings.ack_delay_ms)

    def _choose(self, lane: Lane, now: int) -> tuple[ValidatorIndex, ValidatorIndex] | None:
        """(whom to fetch from, whom to deliver to): preferably one that has the newest certificate; spread by lane."""
        height = self._views[lane.source].height if lane.source in self._views else Height(0)
        source = self._members[lane.source].choose(now, lane.tried_sources, height, lane.destination)
        destination = self._members[lane.destination].choose(now, lane.tried_destinations, Height(0), lane.source)
        return (source, destination) if source is not None and destination is not None else None

    def _note(self, name: str, detail: str) -> None:
        self._effects.append(Note(name, detail[:MAX_REASON_LENGTH]))
