"""The contract machine of a validator: one worker process for all threads, which ends with the validator."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.outcomes import Compilation, Compiled
from contracts.worker.client import MachineFault, WorkerMachine
from shards.node.faults import Stopping
from shards.node.machine import NodeMachine
from shards.node.metrics import NodeMetrics
from tests.node.fakes import a_log

SOURCE = "def hello():\n    return 1\n"
LOADS_FOR_EVER = (sys.executable, "-c", "import sys; sys.stdin.read()")
DIES_AT_ONCE = (sys.executable, "-c", "")


class Kept:
    """A machine, and what the test looks at."""

    def __init__(self, tmp_path: Path, worker: WorkerMachine) -> None:
        self.worker = worker
        self.metrics = NodeMetrics()
        self._log = a_log(tmp_path)
        self.machine = NodeMachine(worker, self.metrics, self._log.__enter__())

    def close(self) -> None:
        self.machine.close()
        self._log.__exit__(None, None, None)

    def replaced(self) -> float | None:
        return self.metrics.registry.get_sample_value("ostraka_contract_workers_replaced_total")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[[WorkerMachine], Kept]]:
    made: list[Kept] = []

    def keep(worker: WorkerMachine) -> Kept:
        made.append(Kept(tmp_path, worker))
        return made[-1]

    yield keep
    for each in made:
        each.close()


def pid_of(worker: WorkerMachine) -> int:
    """Process of the worker, once there is one."""
    while worker._worker is None:
        pass
    return worker._worker._process.pid


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def in_thread(job: Callable[[], Compilation]) -> tuple[threading.Thread, list[Compilation | BaseException]]:
    """Run a job on a thread; the list gets what it returned or raised."""
    heard: list[Compilation | BaseException] = []

    def run() -> None:
        try:
            heard.append(job())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            heard.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, heard


def test_no_process_is_there_before_the_first_use_and_none_after_the_end(
    kept: Callable[[WorkerMachine], Kept],
) -> None:
    worker = WorkerMachine()
    used = kept(worker)
    assert worker._worker is None
    assert isinstance(used.machine.compile(SOURCE, 1_000_000), Compiled)
    pid = pid_of(worker)
    assert exists(pid)
    used.close()
    assert not exists(pid)
    with pytest.raises(Stopping):
        used.machine.compile(SOURCE, 1_000_000)
    assert worker._worker is None, "nothing is started any more"


def test_a_crashed_worker_is_counted_and_nobody_notices(kept: Callable[[WorkerMachine], Kept]) -> None:
    used = kept(WorkerMachine())
    before = used.machine.compile(SOURCE, 1_000_000)
    assert used.replaced() == 0
    os.kill(pid_of(used.worker), signal.SIGKILL)
    assert used.machine.compile(SOURCE, 1_000_000) == before
    assert used.replaced() == 1


def test_a_machine_that_does_not_work_says_so_and_is_not_taken_for_an_end(
    kept: Callable[[WorkerMachine], Kept],
) -> None:
    used = kept(WorkerMachine(command=DIES_AT_ONCE))
    used.machine.warm()
    with pytest.raises(MachineFault, match="Contracts cannot be executed on this computer"):
        used.machine.compile(SOURCE, 1_000_000)
    count = used.replaced()
    assert count
    assert count >= 5


def test_whoever_comes_while_the_worker_loads_waits_for_it_and_not_longer_than_to_the_end(
    kept: Callable[[WorkerMachine], Kept],
) -> None:
    used = kept(WorkerMachine(command=LOADS_FOR_EVER))
    used.machine.warm()
    pid = pid_of(used.worker)
    thread, heard = in_thread(lambda: used.machine.compile(SOURCE, 1_000_000))
    assert heard == []
    used.machine.stop()
    thread.join(10)
    assert [type(each) for each in heard] == [Stopping]
    used.close()
    assert not exists(pid)


def test_a_contract_that_runs_is_no_reason_to_wait_with_the_end(kept: Callable[[WorkerMachine], Kept]) -> None:
    used = kept(WorkerMachine(command=LOADS_FOR_EVER))
    thread, heard = in_thread(lambda: used.machine.compile(SOURCE, 1_000_000))
    pid_of(used.worker)
    used.machine.stop()
    thread.join(10)
    assert [type(each) for each in heard] == [Stopping]
    assert used.replaced() == 0, "it was ended, it did not fail"
