"""Model shards, couriers and a bad network in virtual time. One seed decides everything."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from consensus.effects import CancelTimer, Note, SetTimer
from consensus.events import TimerFired
from primitives.identifiers import Hash, Milliseconds, Sequence, ShardId, ValidatorIndex
from primitives.instant import Instant
from relay.core import Courier
from relay.effects import Deliver, Effect, Fetch, Unwatch, Watch
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
from relay.links import Links
from relay.settings import CourierSettings
from tests.relay.model import CheapScheme, ModelShard, make_context, sign

BLOCK_MS = 100
IDLE_MS = 10_000

BEHAVIOURS = (
    "down",
    "forge_heads",
    "forge_certificate",
    "deny_everything",
    "silent",
    "bad_bundle",
    "foreign_bundle",
    "withhold",
    "hang",
    "drip",
    "drop_deliveries",
    "refuse_deliveries",
    "cry_frozen",
)


class World:
    def __init__(
        self,
        shards: int = 3,
        validators: int = 4,
        couriers: int = 1,
        seed: int = 0,
        links: Links | None = None,
        settings: CourierSettings | None = None,
        loss: float = 0.0,
        duplication: float = 0.0,
    ) -> None:
        self.random = random.Random(seed)
        self.scheme = CheapScheme()
        self.context = make_context(shards, validators, self.scheme)
        self.shards = [ModelShard(self.context, shard, self.scheme) for shard in range(shards)]
        self.behaviour: dict[tuple[int, int], str] = {}
        self.links = links if links is not None else Links(shards)
        self.settings = settings
        self.loss, self.duplication = loss, duplication
        self.now = 1_000
        self.heap: list[tuple[int, int, Callable[[], object]]] = []
        self.order = 0
        self.couriers: list[Courier] = []
        self.watching: list[dict[tuple[int, int], int]] = []
        """By courier: watched validators with the number of the subscription."""
        self.timers: list[dict[str, int]] = []
        self.counts: Counter[str] = Counter()
        self.lane_counts: Counter[tuple[str, int, int]] = Counter()
        self.notes: list[Note] = []
        self.consumed_at: dict[tuple[int, int, int], int] = {}
        for shard in self.shards:
            self.after(BLOCK_MS, partial(self._block, shard))
            self.after(IDLE_MS, partial(self._idle, shard))
        for index in range(couriers):
            self.couriers.append(self._courier())
            self.watching.append({})
            self.timers.append({})
            self.give(index, Started())

    def _courier(self) -> Courier:
        return Courier(self.context, self.links, self.scheme, settings=self.settings)

    # Time

    def after(self, delay_ms: int, action: Callable[[], object]) -> None:
        self.order += 1
        heapq.heappush(self.heap, (self.now + delay_ms, self.order, action))

    def run(self, milliseconds: int) -> None:
        end = self.now + milliseconds
        while self.heap and self.heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self.heap)
            action()
        self.now = end

    def run_until(self, done: Callable[[], bool], limit_ms: int = 120_000) -> int:
        """Run until `done`; how long it took. Fails when it takes longer than `limit_ms`."""
        begun = self.now
        while not done():
            assert self.now - begun < limit_ms, "not done in time"
            self.run(10)
        return self.now - begun

    @property
    def at(self) -> Instant:
        return Instant(self.now, Milliseconds(0))

    # Couriers

    def give(self, index: int, event: Event) -> tuple[Effect, ...]:
        effects = self.couriers[index].handle(event, self.at)
        self.counts["events"] += 1
        for effect in effects:
            name = type(effect).__name__
            self.counts[name] += 1
            match effect:
                case SetTimer(name=timer, at_ms=at_ms):
                    assert at_ms > self.now, f"{timer} is due at once: that is a busy loop"
                    self.timers[index][timer] = at_ms
                    self.after(at_ms - self.now, partial(self._fire, index, timer, at_ms))
                case CancelTimer(name=timer):
                    self.timers[index].pop(timer, None)
                case Watch(shard=shard, validator=validator):
                    assert (shard, validator) not in self.watching[index]
                    self.order += 1
                    self.watching[index][shard, validator] = self.order
                    self.after(self._latency(), partial(self._first_news, index, shard, validator))
                case Unwatch(shard=shard, validator=validator):
                    del self.watching[index][shard, validator]
                case Fetch():
                    self.lane_counts["fetch", effect.source, effect.destination] += 1
                    self.after(self._latency(), partial(self._fetch, index, effect))
                case Deliver():
                    self.lane_counts["deliver", effect.source, effect.destination] += 1
                    self.after(self._latency(), partial(self._deliver, index, effect))
                case Note():
                    self.notes.append(effect)
        return effects

    def kill(self, index: int) -> None:
        """Start a courier anew from nothing. Answers to its predecessor still arrive."""
        self.couriers[index] = self._courier()
        self.watching[index].clear()
        self.timers[index].clear()
        self.give(index, Started())

    def _fire(self, index: int, timer: str, at_ms: int) -> None:
        if self.timers[index].get(timer) == at_ms:
            del self.timers[index][timer]
            self.give(index, TimerFired(timer))

    def _latency(self) -> int:
        return self.random.randint(1, 20)

    def _answer(self, index: int, event: Event) -> None:
        if self.random.random() < self.loss:
            return
        for _ in range(2 if self.random.random() < self.duplication else 1):
            self.after(self._latency(), partial(self.give, index, event))

    # Validators

    def _is(self, shard: int, validator: int, behaviour: str) -> bool:
        return self.behaviour.get((shard, validator)) == behaviour

    def _block(self, shard: ModelShard) -> None:
        self.after(BLOCK_MS, lambda: self._block(shard))
        if shard.block():
            self._published(shard)

    def _idle(self, shard: ModelShard) -> None:
        self.after(IDLE_MS, lambda: self._idle(shard))
        if not shard.halted:
            shard.certify()
            self._published(shard)

    def _published(self, shard: ModelShard) -> None:
        for peer, stream in list(shard.streams.items()):
            for sequence in range(len(stream.received)):
                self.consumed_at.setdefault((peer, shard.shard, sequence), self.now)
        for index, watched in enumerate(self.watching):
            for _, validator in [key for key in watched if key[0] == shard.shard]:
                self.after(self._latency(), partial(self._news, index, shard.shard, validator))

    def _first_news(self, index: int, shard: int, validator: int) -> None:
        if (shard, validator) not in self.watching[index]:
            return
        if self._is(shard, validator, "down"):
            self.lose(index, shard, validator, "connection refused")
            return
        self._news(index, shard, validator)

    def lose(self, index: int, shard: int, validator: int, reason: str) -> None:
        if self.watching[index].pop((shard, validator), None) is not None:
            self.give(index, SubscriptionLost(ShardId(shard), ValidatorIndex(validator), reason))

    def _news(self, index: int, shard: int, validator: int) -> None:
        if (shard, validator) not in self.watching[index] or self._is(shard, validator, "silent"):
            return
        certificate, heads = self.shards[shard].news
        if self._is(shard, validator, "deny_everything"):
            certificate, heads = None, ()
        elif certificate is not None and self._is(shard, validator, "forge_heads"):
            heads = tuple(replace(head, end=Sequence(head.end + 1), ack_next=Sequence(9_999)) for head in heads)
            certificate = replace(
                certificate, commitment=replace(certificate.commitment, height=certificate.commitment.height + 1)
            )
        elif certificate is not None and self._is(shard, validator, "forge_certificate"):
            certificate = sign(
                self.context, shard, certificate.commitment.height + 9, Hash(bytes(32)), self.scheme, signers=1
            )
        event = ShardSeen(ShardId(shard), ValidatorIndex(validator), certificate, heads)
        if self.random.random() < self.duplication:
            self.give(index, event)
        self.give(index, event)

    def _fetch(self, index: int, effect: Fetch) -> None:
        key = (effect.source, effect.validator, effect.destination, effect.first)
        behaviour = self.behaviour.get((effect.source, effect.validator))
        if behaviour == "down":
            self._answer(index, FetchFailed(*key, "connection refused"))
            return
        if behaviour == "hang":
            return
        shard = self.shards[effect.source]
        raw = shard.bundle(effect.destination, effect.first, 1 if behaviour == "drip" else 512)
        if behaviour == "withhold":
            raw = None
        elif behaviour == "bad_bundle" and raw is not None:
            place = self.random.randrange(len(raw))
            raw = raw[:place] + bytes((raw[place] ^ 1,)) + raw[place + 1 :]
        elif behaviour == "foreign_bundle":
            other = next(s for s in range(len(self.shards)) if s not in (effect.source, effect.destination))
            raw = shard.bundle(other, 0)
        self._answer(index, BundleFetched(*key, raw))

    def _deliver(self, index: int, effect: Deliver) -> None:
        key = (effect.source, effect.destination, effect.validator, effect.first)
        behaviour = self.behaviour.get((effect.destination, effect.validator))
        if behaviour == "down":
            self._answer(index, DeliveryFailed(*key, "connection refused"))
        elif behaviour == "drop_deliveries":
            self._answer(index, Delivered(*key, "accepted"))
        elif behaviour == "refuse_deliveries":
            self._answer(index, Delivered(*key, "refused", "bad_mood", "no"))
        elif behaviour == "cry_frozen":
            self._answer(index, Delivered(*key, "refused", "lane_frozen", "it is not"))
        elif behaviour != "hang":
            status, code = self.shards[effect.destination].deliver(effect.raw)
            assert status != "refused" or (self.settings is not None and not self.settings.verify_bundles), code
            self._answer(index, Delivered(*key, status, code, ""))  # type: ignore[arg-type]

    # What must hold

    def send(self, source: int, destination: int, count: int, tag: str = "") -> None:
        for number in range(count):
            self.shards[source].send(destination, f"call {tag}{source}>{destination} {number}".encode())

    def check_order(self) -> None:
        """At every destination stands a prefix of what was sent: each once, in order."""
        for source in self.shards:
            for peer, stream in list(source.streams.items()):
                received = self.shards[peer].streams[source.shard].received
                assert received == stream.bodies[: len(received)]

    def all_done(self, but: int | None = None) -> bool:
        """Everything sent is consumed and acknowledged, streams with shard `but` left out."""
        return all(
            len(self.shards[peer].streams[shard.shard].received) == len(stream.bodies) == stream.begin
            for shard in self.shards
            for peer, stream in list(shard.streams.items())
            if but not in (shard.shard, peer)
        )

    def standing(self, source: int, destination: int, courier: int = 0) -> tuple[str, str]:
        report = self.couriers[courier].report(self.at)
        lane = next(each for each in report.lanes if (each.source, each.destination) == (source, destination))
        return lane.standing.value, lane.why
