"""The contract machine of one validator: a worker process that starts with the first use and ends with the validator.

Blocks are executed on one thread; the worker may be loading on another one meanwhile (`warm`), which takes seconds
when the image has to be compiled. So whoever runs a contract takes turns here, and only they wait for the loading.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from contracts.outcomes import Compilation, Invocation
from contracts.port import MachineIdentity, Settle, World
from contracts.worker.client import MachineFault, WorkerMachine
from shards.node.faults import Stopping
from shards.node.logs import Log
from shards.node.metrics import NodeMetrics


class NodeMachine:
    """See `contracts.port.Machine`; for any thread. What is under way when it is stopped raises `Stopping`."""

    def __init__(self, worker: WorkerMachine, metrics: NodeMetrics, log: Log) -> None:
        self._worker = worker
        worker.on_lost = lambda why: log.warning("contract_worker_lost", reason=why)
        self._metrics = metrics
        self._log = log
        self._turns = threading.Lock()
        self._stopping = False
        self._replaced = 0
        self._warming: threading.Thread | None = None

    def identity(self) -> MachineIdentity:
        """See `Machine`."""
        return self._worker.identity()

    def compile(self, source: str, gas_limit: int) -> Compilation:
        """See `Machine`."""
        with self._turn():
            return self._worker.compile(source, gas_limit)

    def forget(self) -> None:
        """See `Machine`."""
        self._worker.forget()

    def run(self, batch: Sequence[Invocation], world: World, settle: Settle) -> None:
        """See `Machine`."""
        with self._turn():
            self._worker.run(batch, world, settle)

    def warm(self) -> None:
        """Start the worker in the background. If that fails, the first call tries again and says why."""
        self._warming = threading.Thread(target=self._warm, name="warm", daemon=True)
        self._warming.start()

    def stop(self) -> None:
        """End what is under way and refuse what comes; returns at once."""
        self._stopping = True
        self._worker.abandon()

    def close(self) -> None:
        """End the worker and wait until it is gone."""
        self.stop()
        if self._warming is not None:
            self._warming.join()
        with self._turns:
            self._worker.close()

    def _warm(self) -> None:
        with suppress(Stopping):
            try:
                with self._turn():
                    self._worker.start()
                self._log.info("machine_ready")
            except Exception as error:  # noqa: BLE001 - nothing depends on it yet, and whoever does will hear it
                self._log.warning("machine_not_ready", reason=str(error))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._turns:
            if self._stopping:
                raise Stopping("the validator is stopping")
            try:
                yield
            except MachineFault as fault:
                if self._stopping:
                    raise Stopping("the validator is stopping") from fault
                raise
            finally:
                self._metrics.replaced_workers.inc(self._worker.replaced - self._replaced)
                self._replaced = self._worker.replaced
