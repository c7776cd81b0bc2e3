"""Runs the seeds of a sweep on an executor, keeps their results, and minimises the first few that fail.

The executor is the interface of `concurrent.futures`, and jobs and results are plain data: a cluster's executor takes
the place of `process_pool` as it stands.
"""

import gc
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar

from shards.node.hosting import GC_THRESHOLDS
from testnet.simulator.run_files import run_text
from testnet.sweep.jobs import Job, Minimised, SeedResult, minimise, run_seed
from testnet.sweep.marks import declared_marks

Piece = TypeVar("Piece")
Result = TypeVar("Result")

WAITING_PER_WORKER: Final = 2
"""Seeds handed to the executor beyond those that run, so that no worker waits and an interrupt leaves little behind."""

MAX_MINIMISED: Final = 5
"""Failing seeds that are minimised; one bug fails many, and each takes minutes."""


def _begin_worker() -> None:
    """Ctrl-C reaches every process of the terminal; the one that hands out the seeds decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(*GC_THRESHOLDS)


class WorkerPool(ProcessPoolExecutor):
    """Fresh processes on this computer, one piece of work at a time each."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, mp_context=get_context("spawn"), initializer=_begin_worker)

    def abandon(self) -> None:
        """Kill the processes, whatever they do: nobody wants their results any more."""
        for process in tuple(self._processes.values()):
            process.kill()


def process_pool(workers: int) -> Executor:
    """As many processes, in the place of which any other executor may stand."""
    return WorkerPool(workers)


@dataclass
class Tally:
    """What a sweep has found so far."""

    seeds: int = 0
    failed: list[SeedResult] = field(default_factory=list)
    virtual_seconds: int = 0
    events: int = 0
    faults: int = 0
    contracts: int = 0
    lying: int = 0
    """Seeds in which somebody lied."""
    slowest: SeedResult | None = None
    marks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(declared_marks(), 0))
    """Mark -> seeds that reached it."""

    def add(self, result: SeedResult) -> None:
        """Count a seed."""
        self.seeds += 1
        self.virtual_seconds += result.virtual_seconds
        self.events += result.events
        self.faults += result.faults
        self.contracts += result.contracts
        self.lying += result.liars > 0
        if self.slowest is None or result.real_seconds > self.slowest.real_seconds:
            self.slowest = result
        for name in result.marks:
            self.marks[name] = self.marks.get(name, 0) + 1
        if not result.passed:
            self.failed.append(result)

    def never(self) -> list[str]:
        """Marks that no seed reached."""
        return [name for name, seeds in self.marks.items() if not seeds]


def sweep(jobs: Iterable[Job], executor: Executor, workers: int, take: Callable[[SeedResult], None]) -> None:
    """Run the jobs; `take` is told each result as it comes. On Ctrl-C as `spread`."""
    spread(run_seed, jobs, executor, workers, take)


def spread(
    run: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    executor: Executor,
    workers: int,
    take: Callable[[Result], None],
) -> None:
    """Run any pieces of work; `take` is told each result as it comes.

    On Ctrl-C what has begun is finished and told, the rest is left, and `KeyboardInterrupt` goes on to the caller.
    """
    left = iter(pieces)
    running: set[Future[Result]] = set()
    try:
        while True:
            room = workers * (1 + WAITING_PER_WORKER) - len(running)
            for piece in islice(left, room):
                running.add(executor.submit(run, piece))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                take(future.result())
    except KeyboardInterrupt:
        for future in wait({each for each in running if not each.cancel()}).done:
            if future.exception() is None:  # else its process was interrupted before it could ignore that
                take(future.result())
        raise


def minimise_failures(
    failed: Sequence[Job], executor: Executor, folder: Path, take: Callable[[Job, Path, Minimised], None]
) -> None:
    """Write the few faults behind each of the first failing seeds where `ostraka sim --faults` reads them.

    `take` is told each file as it is written. On Ctrl-C what is not is given up at once, because it may take minutes,
    and `KeyboardInterrupt` goes on to the caller.
    """
    try:
        searches = {executor.submit(minimise, job): job for job in failed[:MAX_MINIMISED]}
        for search in as_completed(searches):
            job, found = searches[search], search.result()
            path = folder / f"seed-{job.seed}.toml"
            folder.mkdir(parents=True, exist_ok=True)
            comments = (*found.violations, f"again: ostraka sim --faults {path}")
            path.write_text(run_text(found.settings, comments), encoding="utf-8")
            take(job, path, found)
    except KeyboardInterrupt:
        if isinstance(executor, WorkerPool):
            executor.abandon()
        raise
