"""What has become final, executed and certified, as it happens: to event streams and to requests that wait for it."""

import asyncio
from collections import deque
from collections.abc import Callable

from primitives.errors import Refused
from primitives.identifiers import Height
from shards.chain_store import decode_receipt
from shards.commitments import CommitmentCertificate
from shards.node.metrics import NodeMetrics
from shards.node.parts import News
from shards.receipts import TransactionReceipt
from shards.validator.effects import BlockApplied, BlockFinalized, HeightCertified
from shards.validator.status import CoreStatus

MAX_SUBSCRIBERS = 64
"""Open event streams of one validator; an explorer, a few relays and tests, with room to spare."""

MAX_WAITING_NEWS = 1024
"""For one subscriber: over 30 s of blocks. One that falls further behind is cut off and resumes from the store."""


class Subscription:
    """News in order, for one subscriber."""

    def __init__(self) -> None:
        self._waiting: deque[News] = deque()
        self._wake = asyncio.Event()
        self._cut_off = False

    def put(self, news: News) -> None:
        """Queue one piece of news; the subscriber is cut off when it is too far behind."""
        if len(self._waiting) >= MAX_WAITING_NEWS:
            self.cut_off()
        else:
            self._waiting.append(news)
            self._wake.set()

    def cut_off(self) -> None:
        """Let the subscriber take what waits, and then None."""
        self._cut_off = True
        self._wake.set()

    async def take(self) -> News | None:
        """Next piece of news; None when this subscriber is cut off."""
        while not self._waiting:
            if self._cut_off:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


class NewsDesk:
    """Passes on what the core publishes, and knows the heights that are durable here (the core is ahead of them).

    `recovered` is where the core stood when it had only read its store.
    """

    def __init__(self, metrics: NodeMetrics, recovered: CoreStatus) -> None:
        self._metrics = metrics
        self._subscriptions: dict[int, Subscription] = {}
        self._last = 0
        self._certificates: dict[Height, list[asyncio.Future[CommitmentCertificate]]] = {}
        self.finalized_height = recovered.finalized_height
        self.executed_height = recovered.executed_height
        self.certified_height = recovered.certified_height
        self.progress: Callable[[News], None] | None = None
        """Told everything too; for the start-up's log."""

    def publish(self, news: News) -> None:
        """Pass on one piece of news, which is durable by now."""
        match news:
            case BlockFinalized():
                self.finalized_height = max(self.finalized_height, news.height)
            case BlockApplied():
                self.executed_height = Height(news.execution.commitment.height)
                self._count(news.execution.receipts)
            case HeightCertified():
                height = Height(news.certificate.commitment.height)
                self.certified_height = max(self.certified_height, height)
                for waiting in [each for each in self._certificates if each <= height]:
                    for future in self._certificates.pop(waiting):
                        if not future.done():
                            future.set_result(news.certificate)
        for subscription in self._subscriptions.values():
            subscription.put(news)
        if self.progress is not None:
            self.progress(news)

    def _count(self, receipts: tuple[bytes, ...]) -> None:
        transactions = sum(isinstance(decode_receipt(raw), TransactionReceipt) for raw in receipts)
        self._metrics.executed_transactions.inc(transactions)
        self._metrics.receipts.labels("transaction").inc(transactions)
        self._metrics.receipts.labels("message").inc(len(receipts) - transactions)

    def subscribe(self) -> tuple[int, Subscription]:
        """Open a subscription; `Refused("too_many_subscribers")` when there is no place."""
        if len(self._subscriptions) >= MAX_SUBSCRIBERS:
            raise Refused("too_many_subscribers", f"{MAX_SUBSCRIBERS} event streams are open; close one or ask another")
        self._last += 1
        subscription = self._subscriptions[self._last] = Subscription()
        self._metrics.subscribers.set(len(self._subscriptions))
        return self._last, subscription

    def unsubscribe(self, number: int) -> None:
        """End a subscription."""
        self._subscriptions.pop(number, None)
        self._metrics.subscribers.set(len(self._subscriptions))

    def close(self) -> None:
        """End all subscriptions: the validator stops."""
        for subscription in self._subscriptions.values():
            subscription.cut_off()

    async def certificate_from(self, height: Height, timeout_s: float) -> CommitmentCertificate | None:
        """First certificate of at least this height that comes in from now on; None when none does in time."""
        future: asyncio.Future[CommitmentCertificate] = asyncio.get_running_loop().create_future()
        self._certificates.setdefault(height, []).append(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting = self._certificates.get(height, [])
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._certificates[height]
