"""A run is repeated from what was kept of it, on the machine and under a debugger, without a ledger."""

import bdb
from types import FrameType

import msgspec
import pytest

from contracts.machine.local import LocalMachine
from contracts.outcomes import Completed, Failed, Invocation, Outcome, OutOfGas, Reply, Suspended
from contracts.replaying import record_of, replay
from contracts.values import decode
from ostraka_contract import CallFailed
from ostraka_contract.replaying import WAITING, Diverged, replay_here
from primitives.errors import Refused
from primitives.identifiers import Hash
from tests.contracts.support import PROGRAMS, MemoryWorld, deployed, failed, invocation, ok, resumed, run_one

SCENARIOS = (PROGRAMS / "scenarios.py").read_text()


@pytest.fixture
def code(machine: LocalMachine, world: MemoryWorld) -> Hash:
    return deployed(machine, world, SCENARIOS)


def last_run(
    machine: LocalMachine, world: MemoryWorld, call: Invocation, *replies: Reply
) -> tuple[Invocation, Outcome]:
    outcome = run_one(machine, world, call)
    for height, reply in enumerate(replies, 6):
        call = resumed(call, outcome, reply, height=height)
        outcome = run_one(machine, world, call)
    return call, outcome


RUNS: dict[str, tuple[str, list[int], tuple[Reply, ...]]] = {
    "completed": ("deposit", [5], ()),
    "raised": ("write_then_raise", [], ()),
    "suspended": ("fan_out", [3], ()),
    "resumed": ("read_around", [], (ok(0, None),)),
    "looped": ("loop", [3], (ok(0, 1), ok(1, 2), ok(2, 3))),
    "compensated": ("claim_then_fail", [], (failed(0),)),
    "several stretches in one run": ("await_again", [], (ok(0, 1),)),
    "declined": ("look_and_touch", [], ()),
}


@pytest.mark.parametrize("name", list(RUNS))
def test_a_run_is_repeated_without_the_ledger(machine: LocalMachine, world: MemoryWorld, code: Hash, name: str) -> None:
    method, arguments, replies = RUNS[name]
    run_one(machine, world, invocation(code, "deposit", 100))
    call, outcome = last_run(machine, world, invocation(code, method, *arguments), *replies)
    again = replay(record_of(call, outcome), SCENARIOS, machine)
    assert type(again) is type(outcome)
    if name != "several stretches in one run":
        assert again == outcome
    elif isinstance(again, Failed) and isinstance(outcome, Failed):
        assert (again.error, again.traceback, again.last) == (outcome.error, outcome.traceback, outcome.last)


def test_a_run_that_ended_without_gas_is_repeated(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    call, outcome = last_run(machine, world, invocation(code, "burn", gas=30_000))
    assert isinstance(outcome, OutOfGas)
    assert replay(record_of(call, outcome), SCENARIOS, machine) == outcome


def test_another_source_is_refused(machine: LocalMachine, world: MemoryWorld, code: Hash) -> None:
    call, outcome = last_run(machine, world, invocation(code, "deposit", 5))
    for repeat in (lambda: replay(record_of(call, outcome), SCENARIOS + "#", machine), lambda: replay_here(call, "")):
        with pytest.raises(Refused, match="other_code"):
            repeat()
    with pytest.raises(Refused, match="no_record"):
        replay(call, SCENARIOS, machine)


def test_answers_that_are_not_those_of_the_run_are_noticed(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call, outcome = last_run(machine, world, invocation(code, "deposit", 5))
    record = msgspec.structs.replace(record_of(call, outcome), recorded=())
    again = replay(record, SCENARIOS, machine)
    assert isinstance(again, Failed)
    assert again.kind == "replay_diverged"
    with pytest.raises(Diverged, match="asks more"):
        replay_here(record, SCENARIOS)


def test_under_ordinary_python_a_replay_returns_what_the_method_returned(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    run_one(machine, world, invocation(code, "deposit", 100))
    for method, arguments, replies in (("deposit", [5], ()), ("loop", [2], (ok(0, 1), ok(1, 2)))):
        call, outcome = last_run(machine, world, invocation(code, method, *arguments), *replies)
        assert isinstance(outcome, Completed)
        assert replay_here(record_of(call, outcome), SCENARIOS) == decode(outcome.result)


def test_under_ordinary_python_a_replay_raises_what_the_method_raised(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call, outcome = last_run(machine, world, invocation(code, "claim_then_fail"), failed(0, "expired"))
    with pytest.raises(CallFailed, match="expired"):
        replay_here(record_of(call, outcome), SCENARIOS)


def test_under_ordinary_python_a_run_that_suspended_suspends(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    call, outcome = last_run(machine, world, invocation(code, "fan_out", 2))
    assert isinstance(outcome, Suspended)
    assert replay_here(record_of(call, outcome), SCENARIOS) is WAITING


def test_a_breakpoint_in_the_contract_is_met_after_the_await(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    """The debugger sees the value that the recorded run read, though the ledger has moved on."""
    run_one(machine, world, invocation(code, "deposit", 41))
    call, outcome = last_run(machine, world, invocation(code, "read_around"), ok(0, None))
    record = record_of(call, outcome)
    line = SCENARIOS.splitlines().index('    return [before, get("total", 0)]') + 1
    seen: list[object] = []

    class Debugger(bdb.Bdb):
        def user_line(self, frame: FrameType) -> None:
            if frame.f_lineno == line and frame.f_code.co_name == "read_around":
                seen.append(frame.f_locals["before"])

    debugger = Debugger()
    assert debugger.runcall(replay_here, record, SCENARIOS, "shop.py") == [41, 41]
    assert seen == [41]
