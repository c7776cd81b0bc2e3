"""Does what the courier says: watches, fetches, deliveries and timers on an event loop."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Final, assert_never

from consensus.effects import CancelTimer, Note, SetTimer
from consensus.events import TimerFired
from primitives.identifiers import Height, ShardId, ValidatorIndex
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
from relay.service.client import NEWS_WAIT_MS, Unusable, ValidatorClient
from relay.service.metrics import RelayMetrics
from shards.node.clock import Clock
from shards.node.logs import Log
from shards.node.timers import Timers

POLL_PAUSE_MS: Final = 10
"""Between two requests for news of one validator: far below a block interval, and no lie makes a busy loop."""

Place = tuple[ShardId, ValidatorIndex]


class RelayShell:
    """One courier with its connections. `failed` is set to the error when the courier itself breaks."""

    def __init__(
        self,
        courier: Courier,
        urls: Mapping[Place, str],
        client: ValidatorClient,
        clock: Clock,
        metrics: RelayMetrics,
        log: Log,
    ) -> None:
        self.courier = courier
        self.clock = clock
        self.metrics = metrics
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._urls = urls
        self._client = client
        self._log = log
        self._timers = Timers(clock, lambda name: self.hear(TimerFired(name)))
        self._watches: dict[Place, asyncio.Task[None]] = {}
        self._requests: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin from nothing."""
        self.hear(Started())

    async def close(self) -> None:
        """Stop everything; what was under way is not needed."""
        self._timers.clear()
        tasks = [*self._watches.values(), *self._requests]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watches.clear()
        self.failed.cancel()

    def hear(self, event: Event) -> None:
        """Tell the courier and do what it says; nothing of that happens before this returns."""
        if self.failed.done():
            return
        self.metrics.events.labels(type(event).__name__).inc()
        try:
            effects = self.courier.handle(event, self.clock())
        except Exception as error:  # noqa: BLE001 - our own fault, whatever it is: the process ends with the reason
            self.failed.set_exception(error)
            return
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Watch(shard, validator):
                task = asyncio.get_running_loop().create_task(self._watch(shard, validator))
                self._watches[shard, validator] = task
                self.metrics.watched.set(len(self._watches))
            case Unwatch(shard, validator):
                if (task_ended := self._watches.pop((shard, validator), None)) is not None:
                    task_ended.cancel()
                self.metrics.watched.set(len(self._watches))
            case Fetch():
                self._request(self._fetch(effect))
            case Deliver():
                self._request(self._deliver(effect))
            case SetTimer(name, at_ms):
                self._timers.set(name, at_ms)
            case CancelTimer(name):
                self._timers.cancel(name)
            case Note(name, detail):
                self.metrics.notes.labels(name).inc()
                self._log.warning(name, detail=detail)
            case _:
                assert_never(effect)

    def _request(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _watch(self, shard: ShardId, validator: ValidatorIndex) -> None:
        try:
            await self._follow(shard, validator)
        except Unusable as error:
            self._log.info("subscription_lost", shard=shard, validator=validator, reason=str(error))
            # First out of the way: the courier may want this validator watched again at once.
            self._watches.pop((shard, validator), None)
            self.metrics.watched.set(len(self._watches))
            self.hear(SubscriptionLost(shard, validator, str(error)))

    async def _follow(self, shard: ShardId, validator: ValidatorIndex) -> None:
        """Report the newest certificate, whatever it is, then every newer one; ends only with `Unusable`."""
        url = self._urls[shard, validator]
        known = Height(0)
        wait_ms = 0
        while True:
            asked_ms = self.clock().monotonic_ms
            news = await self._client.streams(url, known, wait_ms)
            if news is not None and news.height <= known:
                raise Unusable(f"asked for news after height {known}, it sent height {news.height}")
            if news is not None:
                known = news.height
                self.hear(ShardSeen(shard, validator, news.certificate, news.heads))
            elif wait_ms == 0:
                self.hear(ShardSeen(shard, validator, None, ()))
            wait_ms = NEWS_WAIT_MS
            pause_ms = POLL_PAUSE_MS - (self.clock().monotonic_ms - asked_ms)
            await asyncio.sleep(max(pause_ms, 0) / 1000)

    async def _fetch(self, effect: Fetch) -> None:
        lane = (effect.source, effect.validator, effect.destination, effect.first)
        try:
            raw = await self._client.bundle(
                self._urls[effect.source, effect.validator], effect.destination, effect.first
            )
        except Unusable as error:
            self.metrics.fetches.labels("failed").inc()
            self.hear(FetchFailed(*lane, reason=str(error)))
            return
        self.metrics.fetches.labels("nothing" if raw is None else "bundle").inc()
        self.hear(BundleFetched(*lane, raw=raw))

    async def _deliver(self, effect: Deliver) -> None:
        lane = (effect.source, effect.destination, effect.validator, effect.first)
        try:
            result = await self._client.deliver(self._urls[effect.destination, effect.validator], effect.raw)
        except Unusable as error:
            self.metrics.deliveries.labels("failed").inc()
            self.hear(DeliveryFailed(*lane, reason=str(error)))
            return
        self.metrics.deliveries.labels(result.status).inc()
        self.hear(Delivered(*lane, status=result.status, code=result.code, detail=result.detail))
