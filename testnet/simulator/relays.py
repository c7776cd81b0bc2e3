"""A simulated relay process: the production courier and a shell that fetches and delivers over simulated links.

A relay has no disk. It dies with all it knows and starts again from nothing.
"""

from collections.abc import Callable, Mapping
from functools import partial

from consensus.effects import CancelTimer, Note, SetTimer
from consensus.events import TimerFired
from primitives.errors import NotYet, OstrakaError, Refused
from primitives.identifiers import Height, Milliseconds, Sequence, ShardId, ValidatorIndex
from primitives.instant import Instant
from primitives.signatures import SignatureScheme
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
from shards import chain_store, queries
from shards.genesis import ChainContext
from shards.node.faults import StorageFault
from shards.validator.effects import BlockApplied, BlockFinalized, HeightCertified, Submission
from testnet.simulator.faults import Name, relay_name, validator_name
from testnet.simulator.heap import MICROSECONDS_PER_MS, Heap
from testnet.simulator.network import Network, flip_bit
from testnet.simulator.post import BundlePost
from testnet.simulator.settings import GENESIS_TIME_MS
from testnet.simulator.trace import Trace
from testnet.simulator.validators import SimulatedValidator

ANSWER_MS = 2_000
"""How long a request may go unanswered before the shell reports that it failed."""

Back = Callable[[Event], None]
"""Takes an answer back to the relay."""

Question = Callable[[SimulatedValidator, bytes, Back], None]
"""What is to happen at a validator that is asked, with the bytes that arrive there."""


class SimulatedRelay:
    """One relay that serves all lanes."""

    def __init__(
        self,
        index: int,
        context: ChainContext,
        scheme: SignatureScheme,
        outside: tuple[Heap, Network, Trace],
        post: BundlePost | None = None,
    ) -> None:
        self.name: Name = relay_name(index)
        self._context = context
        self._scheme = scheme
        self._heap, self._network, self._trace = outside
        self.post = post or BundlePost()
        self.validators: dict[Name, SimulatedValidator] = {}
        self.courier: Courier | None = None
        self.lives = 0
        self.failure = ""
        self.lanes_cut: Mapping[tuple[int, int], int] = {}
        """Lanes on which nothing can be fetched now, by how many faults there are."""
        self.lanes_late_ms: Mapping[tuple[int, int], int] = {}
        """How much longer it takes to deliver what was fetched."""
        self.counts = {"relay crashes": 0, "bundles delivered": 0, "bundles refused": 0}
        self.refusals: dict[str, int] = {}
        self._timers: dict[str, int] = {}
        self._number = 0
        self._open: set[int] = set()
        """Requests that have been neither answered nor given up."""

    def start(self) -> None:
        """Start from nothing."""
        self.lives += 1
        self.courier = Courier(self._context, Links(self._context.shard_count), self._scheme)
        self._hear(Started())

    def crash(self) -> None:
        """Die with all it knows."""
        if self.courier is None:
            return
        self.courier = None
        self.counts["relay crashes"] += 1
        self._timers.clear()
        self._open.clear()
        for validator in self.validators.values():
            validator.subscribers.pop(self.name, None)

    def _hear(self, event: Event) -> None:
        courier = self.courier
        if courier is None:
            return
        now = self._heap.now_ms
        try:
            effects = courier.handle(event, Instant(now, Milliseconds(GENESIS_TIME_MS + now)))
        except Exception as error:  # noqa: BLE001 - whatever a core raises is a finding, not an end of the simulation
            self.failure = self.failure or f"handling {type(event).__name__} raised {error!r}"
            self.crash()
            return
        self._trace.add(self._heap.now_us, self.name, event, effects)
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Watch(shard, validator):
                self._watch(shard, validator)
            case Unwatch(shard, validator):
                self.validators[validator_name(shard, validator)].subscribers.pop(self.name, None)
            case Fetch():
                self._fetch(effect)
            case Deliver():
                carry = partial(self.post.carry, effect.raw, partial(self._deliver, effect))
                late_ms = self.lanes_late_ms.get((effect.source, effect.destination), 0)
                if late_ms:
                    self._heap.after(late_ms * MICROSECONDS_PER_MS, carry)
                else:
                    carry()
            case SetTimer(name, at_ms):
                self._number += 1
                self._timers[name] = self._number
                self._heap.at_ms(at_ms, partial(self._fire, name, self._number))
            case CancelTimer(name):
                self._timers.pop(name, None)
            case Note():
                pass

    def _fire(self, name: str, number: int) -> None:
        if self._timers.get(name) == number:
            del self._timers[name]
            self._hear(TimerFired(name))

    # Requests

    def _ask(
        self,
        shard: ShardId,
        index: ValidatorIndex,
        asked: Question,
        failed: Event,
        raw: bytes = b"",
    ) -> None:
        """Let `asked` happen at a validator, with `raw`; what it passes to its last argument comes back.

        Or `failed` does.
        """
        validator = self.validators[validator_name(shard, index)]
        self._number += 1
        number = self._number
        self._open.add(number)

        def answer(event: Event) -> None:
            if number in self._open:
                self._open.discard(number)
                self._hear(event)

        def back(event: Event) -> None:
            found = event.raw if isinstance(event, BundleFetched) else None
            self._network.send(validator.name, self.name, partial(answer, event), size=len(found or b""))

        def arrive(arrived: bytes) -> None:
            if validator.alive and not validator.paused:
                asked(validator, arrived, back)
            else:
                back(failed)

        spoilt = (lambda bit: arrive(flip_bit(raw, bit))) if raw else None
        self._network.send(self.name, validator.name, partial(arrive, raw), spoilt, len(raw))
        self._heap.at_ms(self._heap.now_ms + ANSWER_MS, partial(answer, failed))

    def _watch(self, shard: ShardId, index: ValidatorIndex) -> None:
        def subscribe(validator: SimulatedValidator, _: bytes, back: Back) -> None:
            try:
                back(self._news(validator))
            except StorageFault:
                validator.storage_fails()
                return
            validator.subscribers[self.name] = partial(self._on_news, validator)

        self._ask(shard, index, subscribe, SubscriptionLost(shard, index, "no answer"))

    def _news(self, validator: SimulatedValidator) -> ShardSeen:
        """The newest certificate whose heads the validator has stored, as its HTTP interface shows it."""
        certificate = chain_store.latest_certificate(validator.disk)
        heads = chain_store.heads_at(validator.disk, Height(certificate.commitment.height)) if certificate else None
        if certificate is None or heads is None:
            return ShardSeen(validator.shard, validator.index, None, ())
        return ShardSeen(validator.shard, validator.index, certificate, heads)

    def _on_news(
        self, validator: SimulatedValidator, news: BlockFinalized | BlockApplied | HeightCertified | None
    ) -> None:
        life = self.lives
        event: Event
        if news is None:
            event = SubscriptionLost(validator.shard, validator.index, "connection lost")
        elif isinstance(news, HeightCertified):
            event = self._news(validator)
        else:
            return
        self._network.send(validator.name, self.name, lambda: self._hear(event) if self.lives == life else None)

    def _fetch(self, effect: Fetch) -> None:
        lane = (effect.source, effect.validator, effect.destination, effect.first)

        def read(validator: SimulatedValidator, _: bytes, back: Back) -> None:
            if self.lanes_cut.get((effect.source, effect.destination)):
                back(BundleFetched(*lane, raw=None))  # as if there were nothing; the validator is not to blame
                return
            try:
                raw = queries.bundle_for(
                    validator.disk, self._context, effect.source, effect.destination, Sequence(effect.first)
                )
            except (NotYet, Refused) as error:
                back(FetchFailed(*lane, reason=str(error)))
            except StorageFault:
                validator.storage_fails()
                back(FetchFailed(*lane, reason="it has died"))
            except OstrakaError as error:
                self.failure = self.failure or f"bundle_for raised {error!r}"
            else:
                back(BundleFetched(*lane, raw=raw))

        self._ask(effect.source, effect.validator, read, FetchFailed(*lane, reason="no answer"))

    def _deliver(self, effect: Deliver, raw: bytes) -> None:
        lane = (effect.source, effect.destination, effect.validator, effect.first)

        def hand_in(validator: SimulatedValidator, arrived: bytes, back: Back) -> None:
            def answered(results: tuple[Submission, ...]) -> None:
                result = results[0]
                self.counts["bundles delivered"] += result.status == "accepted"
                if result.status == "refused":
                    self.counts["bundles refused"] += 1
                    self.refusals[result.code] = self.refusals.get(result.code, 0) + 1
                back(Delivered(*lane, status=result.status, code=result.code, detail=result.detail))

            validator.submit_bundle(arrived, answered)

        self._ask(effect.destination, effect.validator, hand_in, DeliveryFailed(*lane, reason="no answer"), raw)
