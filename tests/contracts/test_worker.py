"""The worker process: same outcomes as in this process, and none lost when it dies."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.limits import MAX_MEMORY_BYTES
from contracts.machine.local import LocalMachine
from contracts.outcomes import Completed, Outcome, Rejected
from contracts.values import decode
from contracts.worker.client import MAX_ATTEMPTS, MachineFault, WorkerMachine
from primitives.identifiers import Hash
from tests.contracts.support import PROGRAMS, MemoryWorld, deployed, invocation, run_batch

SCENARIOS = (PROGRAMS / "scenarios.py").read_text()


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerMachine]:
    machine = WorkerMachine()
    yield machine
    machine.close()


def process_of(machine: WorkerMachine) -> int:
    assert machine._worker is not None
    return machine._worker._process.pid


def test_the_worker_gives_the_outcomes_of_the_machine(worker: WorkerMachine) -> None:
    local, world = LocalMachine(), MemoryWorld()
    code = deployed(worker, world, SCENARIOS)
    calls = [invocation(code, "deposit", n) for n in range(5)]
    calls += [invocation(code, "change_and_list"), invocation(code, "look"), invocation(code, "burn", gas=20_000)]
    calls += [invocation(code, "fan_out", 4), invocation(code, "write_then_raise"), invocation(code, "nothing")]
    assert worker.identity() == local.identity()
    assert run_batch(worker, MemoryWorld(world.sources), calls) == run_batch(local, MemoryWorld(world.sources), calls)


def test_a_source_that_is_no_contract_is_rejected_by_the_worker_too(worker: WorkerMachine) -> None:
    assert worker.compile("def f(", 1_000_000) == LocalMachine().compile("def f(", 1_000_000)
    assert isinstance(worker.compile("def f(", 1_000_000), Rejected)


def test_a_worker_killed_in_the_middle_of_a_batch_is_replaced_and_no_outcome_changes(worker: WorkerMachine) -> None:
    world = MemoryWorld()
    code = deployed(worker, world, SCENARIOS)
    # Listing keys asks the validator, so the worker cannot be ahead of it by more than a call.
    calls = [invocation(code, method, *args) for method, args in (("deposit", [1]), ("change_and_list", []))] * 5
    expected = run_batch(worker, MemoryWorld(world.sources), calls)
    before, mine = worker.replaced, MemoryWorld(world.sources)
    outcomes: list[Outcome] = []

    def settle(index: int, outcome: Outcome) -> None:
        outcomes.append(outcome)
        mine.apply(outcome)
        if index in (1, 6):
            os.kill(process_of(worker), signal.SIGKILL)

    worker.forget()
    worker.run(calls, mine, settle)
    assert outcomes == expected
    assert worker.replaced == before + 2


def test_a_hung_worker_is_replaced(worker: WorkerMachine) -> None:
    world = MemoryWorld()
    code = deployed(worker, world, SCENARIOS)
    impatient = WorkerMachine(guard_s=1)
    impatient.start()
    try:
        os.kill(process_of(impatient), signal.SIGSTOP)
        outcomes = run_batch(impatient, world, [invocation(code, "deposit", 3)])
        assert len(outcomes) == 1
        assert impatient.replaced == 1
    finally:
        impatient.close()


def test_an_error_of_the_ledger_in_the_middle_of_a_batch_is_the_ledgers(worker: WorkerMachine) -> None:
    world = MemoryWorld()
    code = deployed(worker, world, SCENARIOS)

    class Broken(MemoryWorld):
        def read(self, contract: str, key: bytes) -> bytes | None:
            raise ZeroDivisionError

    worker.forget()
    with pytest.raises(ZeroDivisionError):
        worker.run([invocation(code, "deposit", 1)], Broken(world.sources), lambda _index, _outcome: None)
    assert len(run_batch(worker, world, [invocation(code, "deposit", 1)])) == 1


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.exit(3)",
        "import os; os.write(1, bytes([255]) * 100)",
        "import os; os.write(1, b'\\0\\0\\0\\1x')",
    ],
)
def test_when_no_worker_works_the_validator_stops_and_invents_nothing(program: str) -> None:
    machine = WorkerMachine(command=(sys.executable, "-c", program))
    with pytest.raises(MachineFault, match="cannot be executed"):
        machine.run([invocation(Hash(bytes(32)), "f")], MemoryWorld(), lambda _index, _outcome: None)
    assert machine.replaced == MAX_ATTEMPTS


def test_the_worker_is_confined(worker: WorkerMachine) -> None:
    worker.start()
    limits = Path(f"/proc/{process_of(worker)}/limits")
    if not limits.exists():
        pytest.skip("the limits of a process are read from /proc")
    lines = {line[:25].strip(): line[25:].split()[0] for line in limits.read_text().splitlines()}
    found = [lines[name] for name in ("Max core file size", "Max file size", "Max open files")]
    assert found == ["0", str(MAX_MEMORY_BYTES), "64"]


def test_the_worker_ends_with_the_validator(worker: WorkerMachine) -> None:
    machine = WorkerMachine()
    machine.start()
    started = machine._worker
    assert started is not None
    assert started._process.stdin is not None
    started._process.stdin.close()
    assert started._process.wait(timeout=30) == 0
    machine.close()


def test_a_value_is_asked_for_once_until_a_run_writes_it_or_the_validator_says_forget(worker: WorkerMachine) -> None:
    world = MemoryWorld()
    code = deployed(worker, world, SCENARIOS)
    run_batch(worker, world, [invocation(code, "deposit", 5)])
    asked, seen = world.reads, []
    worker.run([invocation(code, "look")] * 3, world, lambda _index, outcome: seen.append(outcome))
    assert world.reads == asked
    worker.forget()
    world.storage.clear()
    worker.run([invocation(code, "look")], world, lambda _index, outcome: seen.append(outcome))
    assert [decode(outcome.result) for outcome in seen if isinstance(outcome, Completed)] == [5, 5, 5, 0]
