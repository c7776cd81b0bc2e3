"""The threads for long work: signatures, execution, reads. Each answers on the event loop.

libsodium and LMDB let go of the interpreter lock while they work, so a thread for each keeps the loop responsive.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

from primitives.identifiers import PublicKey, Signature
from primitives.signatures import SignatureScheme
from shards.node.faults import Stopping, StorageFault
from shards.node.metrics import NodeMetrics

T = TypeVar("T")
Refuse = Callable[[BaseException], None]
SignedItem = tuple[PublicKey, bytes, Signature]

CHUNK_SIGNATURES = 64
"""About 2.6 ms of one core: what a batch behind another one waits for at a time."""

INLINE_SIGNATURES = 2
"""Up to this many are verified on the loop: 80 µs, less than handing them to a thread and back."""

MAX_REMEMBERED_SIGNATURES = 4096
"""Good ones, some 2 MB. Under load a block overtakes the gossip of its transactions and both ask for the same
signatures while neither is answered; without this a third of all verifying was done twice."""

READING_THREADS = 2
"""One for a slow archive answer, one for everybody else; the records are in the page cache as a rule."""


class Workers:
    """Runs jobs on threads and answers on the loop.

    A job that raises ends the run through `fail`: it is our error. Only a job for somebody who waits has a `refuse`,
    which is told instead, unless the store is at fault.
    """

    def __init__(self, scheme: SignatureScheme, metrics: NodeMetrics, fail: Callable[[BaseException], None]) -> None:
        self._scheme = scheme
        self._metrics = metrics
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._verifying: Final = ThreadPoolExecutor(1, thread_name_prefix="verify")
        self._executing: Final = ThreadPoolExecutor(1, thread_name_prefix="execute")
        self._reading: Final = ThreadPoolExecutor(READING_THREADS, thread_name_prefix="read")
        self._good: dict[SignedItem, None] = {}  # of the verifying thread alone

    def verify(self, items: Sequence[SignedItem], answer: Callable[[tuple[bool, ...]], None]) -> None:
        """Verify signatures; batches are answered in the order in which they came, small ones at once."""
        if len(items) <= INLINE_SIGNATURES:
            answer(tuple(self._verify_chunk(items)))
            return
        chunks = [items[at : at + CHUNK_SIGNATURES] for at in range(0, len(items), CHUNK_SIGNATURES)]
        verdicts: list[bool] = []

        def collect(part: list[bool]) -> None:
            verdicts.extend(part)
            if len(verdicts) == len(items):
                answer(tuple(verdicts))

        for chunk in chunks:
            self._hand(self._verifying.submit(self._verify_unknown, chunk), collect)

    def _verify_unknown(self, items: Sequence[SignedItem]) -> list[bool]:
        """Verify those that were not found good lately."""
        unknown = [item for item in items if item not in self._good]
        verdicts = iter(self._verify_chunk(unknown) if unknown else ())
        answers = [item in self._good or next(verdicts) for item in items]
        for item, good in zip(items, answers, strict=True):
            if good:
                self._good[item] = None
        for oldest in list(islice(self._good, max(0, len(self._good) - MAX_REMEMBERED_SIGNATURES))):
            del self._good[oldest]
        return answers

    def _verify_chunk(self, items: Sequence[SignedItem]) -> list[bool]:
        began = time.perf_counter()
        verdicts = self._scheme.verify_many(items)
        self._metrics.verify_seconds.observe(time.perf_counter() - began)
        self._metrics.verified_signatures.inc(len(items))
        return verdicts

    def execute(self, job: Callable[[], T], answer: Callable[[T], None], refuse: Refuse | None = None) -> None:
        """Run a job on the one thread that executes blocks, after those before it."""
        self._hand(self._executing.submit(job), answer, refuse)

    def read(self, job: Callable[[], T], answer: Callable[[T], None], refuse: Refuse | None = None) -> None:
        """Run a job that reads from a store."""
        self._hand(self._reading.submit(job), answer, refuse)

    def _hand(self, future: "Future[T]", answer: Callable[[T], None], refuse: Refuse | None = None) -> None:
        future.add_done_callback(lambda done: self._on_loop(self._answered, done, answer, refuse))

    def _on_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop was closed under a job that nobody waits for any more
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _answered(self, future: "Future[T]", answer: Callable[[T], None], refuse: Refuse | None) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, Stopping):
            return  # as good as cancelled: nobody waits for a block that was being executed at the end
        if error is None:
            answer(future.result())
            return
        if refuse is not None:
            refuse(error)
        if refuse is None or isinstance(error, StorageFault):
            self._fail(error)

    def close(self) -> None:
        """Let go of what has not begun and wait for what has."""
        for pool in (self._verifying, self._executing, self._reading):
            pool.shutdown(wait=True, cancel_futures=True)
