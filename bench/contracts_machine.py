"""What the contract machine costs: `python -m bench.contracts_machine [calls] [gas] [awaits]`.

- `calls`: µs of a call by stage, in this process and through the worker; a suspension with its resumption.
- `awaits`: µs of the resumption after n awaits, each of which is replayed.
- `gas`: CPU time per gas of every hostile program that takes at least 20,000 gas; the worst against the mean.

The first run after a change of the image compiles it (10 s), which is not counted.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contracts.machine.crossing import Export
from contracts.machine.local import LocalMachine
from contracts.machine.restoring import Restorer
from contracts.outcomes import Completed, Invocation, Outcome
from contracts.port import Machine
from contracts.session import Session
from contracts.values import encode
from contracts.worker.client import WorkerMachine
from tests.contracts.hostile.run import GROUPS, programs
from tests.contracts.support import MemoryWorld, deployed, invocation, ok, resumed, run_one

TOKEN = """
from ostraka_contract import emit, get, msg, put

class NotEnough(Exception): ...

def transfer(to: str, amount: int) -> int:
    have = get(f"balance/{msg.sender}", 0)
    if have < amount:
        raise NotEnough(f"have {have}, need {amount}")
    put(f"balance/{msg.sender}", have - amount)
    put(f"balance/{to}", get(f"balance/{to}", 0) + amount)
    emit("Transfer", sender=msg.sender, to=to, amount=amount)
    return have - amount

def nothing() -> None: ...
"""

WAITING = """
from ostraka_contract import call

async def wait(count: int) -> int:
    return sum([await call(1, "c", "m", n, gas=20_000) for n in range(count)])
"""

CALLS = 400
ROUNDS = 7
LEAST_GAS = 20_000
"""Programs that take less measure the start of a call."""


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


@contextmanager
def timed(owner: type, name: str, spent: dict[str, float]) -> Iterator[None]:
    """Add up what a method takes, under its name."""
    original = getattr(owner, name)
    label = f"{owner.__name__}.{name}"

    def timing(*arguments: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            spent[label] = spent.get(label, 0.0) + time.perf_counter() - begin

    setattr(owner, name, timing)
    try:
        yield
    finally:
        setattr(owner, name, original)


def run(machine: Machine, batch: list[Invocation], world: MemoryWorld) -> list[Outcome]:
    """Run a batch, applying each outcome."""
    outcomes: list[Outcome] = []

    def settle(_index: int, outcome: Outcome) -> None:
        outcomes.append(outcome)
        world.apply(outcome)

    machine.run(batch, world, settle)
    return outcomes


def token(machine: Machine) -> tuple[MemoryWorld, list[Invocation]]:
    """A world with a token, and transfers to a few payees."""
    world = MemoryWorld()
    world.storage[b"balance/osk1alice"] = encode(10**12)
    code = deployed(machine, world, TOKEN)
    return world, [invocation(code, "transfer", f"osk1payee{n % 50}", 1) for n in range(CALLS)]


def measure_calls() -> None:
    """Calls by stage."""
    machine = LocalMachine()
    world, transfers = token(machine)
    nothing = [invocation(transfers[0].code_hash, "nothing")] * CALLS
    for name, batch in (("token transfer", transfers), ("empty method", nothing)):
        outcome = run(machine, batch, world)[-1]
        print(f"{name}: {best(lambda: run(machine, batch, world)) / CALLS * 1e6:.0f} us, {outcome.cost.used} gas")  # noqa: B023 - called at once
    spent: dict[str, float] = {}
    with timed(Export, "call", spent), timed(Session, "ask", spent), timed(Restorer, "restore", spent):
        run(machine, transfers, world)
    ask = spent["Session.ask"]
    stages = {
        "guest with crossings": spent["Export.call"] - ask,
        "host answers": ask,
        "restore": spent["Restorer.restore"],
    }
    print("  of a transfer: " + ", ".join(f"{name} {time / CALLS * 1e6:.0f} us" for name, time in stages.items()))
    worker = WorkerMachine()
    try:
        world, transfers = token(worker)
        run(worker, transfers, world)
        print(f"token transfer through the worker: {best(lambda: run(worker, transfers, world)) / CALLS * 1e6:.0f} us")
    finally:
        worker.close()
    cold = LocalMachine()
    cold.warm(1)
    code = deployed(cold, world, TOKEN)
    call = invocation(code, "nothing")
    run(cold, [call], world)
    print(f"empty method, module loaded for it: {best(lambda: forget_homes(cold, call, world)) * 1e6:.0f} us")


def forget_homes(machine: LocalMachine, call: Invocation, world: MemoryWorld) -> None:
    """A call of a contract that is not kept loaded."""
    machine.chamber._calls.clear()  # noqa: SLF001 - what keeps it from being kept
    run(machine, [call], world)


def measure_awaits() -> None:
    """Suspension and resumption, by the number of awaits before."""
    machine, world = LocalMachine(), MemoryWorld()
    code = deployed(machine, world, WAITING)
    call = invocation(code, "wait", 64)
    outcome = run_one(machine, world, call)
    print(f"first stretch, suspended: {best(lambda: run(machine, [call], MemoryWorld(world.sources))) * 1e6:.0f} us")
    total = outcome.cost.used
    for number in range(64):
        again = resumed(call, outcome, ok(number, number))
        if number in (0, 3, 15, 31, 63):
            seconds = best(lambda: run(machine, [again], MemoryWorld(world.sources)))  # noqa: B023 - called at once
            print(f"resumption after {number + 1} awaits: {seconds * 1e6:.0f} us")
        outcome = run_one(machine, world, again)
        total += outcome.cost.used
    assert isinstance(outcome, Completed), outcome
    print(f"all 65 runs of a call with 64 awaits: {total} gas")


def measure_gas() -> None:
    """CPU time per gas."""
    machine = LocalMachine()
    found: list[tuple[float, str, int]] = []
    for group in GROUPS:
        source, methods = programs(group)
        world = MemoryWorld()
        code = deployed(machine, world, source)
        for method in methods:
            call = invocation(code, method, gas=400_000)
            times, used = [], 0
            for _ in range(3):
                begin = time.process_time()
                [outcome] = run(machine, [call], MemoryWorld(world.sources))
                times.append(time.process_time() - begin)
                used = outcome.cost.used
            if used >= LEAST_GAS:
                found.append((min(times) / used * 1e9, f"{group}.{method}", used))
    found.sort()
    mean = statistics.mean(nanoseconds for nanoseconds, _, _ in found)
    median = statistics.median(nanoseconds for nanoseconds, _, _ in found)
    print(f"{len(found)} programs: mean {mean:.0f} ns a gas, median {median:.0f}")
    for nanoseconds, name, used in found[-8:]:
        print(f"  {name}: {nanoseconds:.0f} ns a gas ({nanoseconds / mean:.1f} of the mean), {used} gas")


PARTS = {"calls": measure_calls, "awaits": measure_awaits, "gas": measure_gas}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        print(f"== {part}")
        PARTS[part]()
