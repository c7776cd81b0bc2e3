"""An instance whose pages were put back is as good as a fresh one, whatever was written and whenever."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contracts import gas
from contracts.machine import restoring
from contracts.machine.chamber import KEPT_FROM_CALL
from contracts.machine.local import LocalMachine
from contracts.machine.restoring import GROWTH_BYTES
from contracts.outcomes import Completed, Cost, Invocation, Outcome, OutOfGas
from contracts.runtime import image
from primitives.codec import encode as encode_record
from primitives.identifiers import Hash
from tests.contracts.support import MemoryWorld, deployed, invocation

SOURCE = """
from ostraka_contract import get

KEPT = [[0] * 100 for _ in range(2000)]

def look():
    return len(KEPT)

def change(start, count):
    for number in range(start, start + count):
        KEPT[number][number % 100] += number
    return [KEPT[start][start % 100], get("k")]
"""


ROOM_PAGES = 64
"""More than the image has free."""

MUCH = 1_300_000
"""Between what `look` and what a change of everything writes."""


@pytest.fixture
def machine() -> LocalMachine:
    return LocalMachine()


@pytest.fixture
def code(machine: LocalMachine, world: MemoryWorld) -> Hash:
    """Of a contract that is kept loaded."""
    code = deployed(machine, world, SOURCE)
    run(machine, world, [invocation(code, "look")] * (KEPT_FROM_CALL + 1))
    return code


def run(machine: LocalMachine, world: MemoryWorld, calls: list[Invocation]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    machine.run(calls, world, lambda _index, outcome: outcomes.append(outcome))
    return outcomes


def holds_the_snapshot(machine: LocalMachine, code: Hash) -> bool:
    """Whether the memory of the contract's instance is byte for byte what its next call has to begin with."""
    home = machine.chamber._homes[code]
    assert home.instance is not None
    assert home.instance.memory is not None
    return home.instance.memory.content == home.snapshot.content


def test_pages_that_only_a_later_call_writes_are_put_back_as_well(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    for start, count in ((0, 1), (0, 1), (500, 5), (0, 1), (900, 200), (0, 1), (1500, 1)):
        call = invocation(code, "change", start, count)
        assert run(machine, world, [call]) == run(LocalMachine(), world, [call])
        assert holds_the_snapshot(machine, code)


def test_one_call_that_writes_much_is_not_paid_for_by_all_later_ones(
    machine: LocalMachine, world: MemoryWorld, code: Hash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "MAX_RESTORED_BYTES", MUCH)
    instance = machine.chamber._homes[code].instance
    assert instance is not None
    assert instance.memory is not None
    run(machine, world, [invocation(code, "change", 0, 2000)])
    assert holds_the_snapshot(machine, code)
    run(machine, world, [invocation(code, "look")])
    assert machine.chamber._homes[code].instance is instance
    assert sum(len(written) for written, _ in instance.memory.written) < MUCH


def test_contracts_in_turn_do_not_hide_each_others_writes(
    machine: LocalMachine, world: MemoryWorld, code: Hash
) -> None:
    other = deployed(machine, world, SOURCE + "\nOTHER = 1\n")
    calls = [
        invocation(each, "change", start, count)
        for start, count in [(0, 1)] * 6 + [(700, 9), (0, 1), (1200, 3), (0, 2)]
        for each in (code, other)
    ]
    outcomes = run(machine, world, calls)
    alone = {encode_record(call): run(LocalMachine(), world, [call])[0] for call in calls}
    assert outcomes == [alone[encode_record(call)] for call in calls]
    assert holds_the_snapshot(machine, code)
    assert holds_the_snapshot(machine, other)


def test_memory_that_grows_is_paid_for_by_its_size(machine: LocalMachine, world: MemoryWorld) -> None:
    source = "def take(count): return len(bytes(count))\n"
    code = deployed(machine, world, source)
    costs: dict[int, Cost] = {}
    for size in (1000, 10 << 20, 30 << 20, 1000, 30 << 20):
        outcome = run(machine, world, [invocation(code, "take", size)])[0]
        assert isinstance(outcome, Completed)
        assert costs.setdefault(size, outcome.cost) == outcome.cost
    small, more, most = (costs[size].used for size in (1000, 10 << 20, 30 << 20))
    pages = (10 << 20) // GROWTH_BYTES
    assert more - small > gas.RESTART_GAS + gas.GROWTH_GAS * (pages - ROOM_PAGES)
    assert most - more > 2 * pages * gas.GROWTH_GAS


def test_without_the_gas_for_the_memory_that_grew_nothing_is_done(machine: LocalMachine, world: MemoryWorld) -> None:
    source = "from ostraka_contract import put\ndef take():\n    put('k', len(bytes(10 << 20)))\n"
    code = deployed(machine, world, source)
    needed = run(machine, world, [invocation(code, "take")])[0].cost.used
    for limit, kind in ((needed - 1, OutOfGas), (needed, Completed)):
        outcome = run(machine, world, [invocation(code, "take", gas=limit)])[0]
        assert isinstance(outcome, kind)
        assert bool(outcome.effects.writes) == (kind is Completed)


def test_an_instance_whose_memory_cannot_be_found_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory grows unseen, gas would differ from everybody else's."""
    monkeypatch.setattr(restoring.Restorer, "memories", lambda _restorer: frozenset())
    with pytest.raises(restoring.MachineUnfit, match="cannot be found"):
        LocalMachine().warm(1)


def test_clearing_the_cache_while_contracts_run_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: MemoryWorld
) -> None:
    ours = tmp_path / "ostraka"
    ours.mkdir()
    for file in image.cache_folder().glob(f"{image.compiled_path().stem}.*"):
        shutil.copy(file, ours)
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(linked))
    machine = LocalMachine()
    code = deployed(machine, world, SOURCE)
    before = run(machine, world, [invocation(code, "change", 0, 10)])
    shutil.rmtree(ours)
    assert run(machine, world, [invocation(code, "change", 0, 10)] * (KEPT_FROM_CALL + 2))[-1] == before[0]


HELD_TO_THE_END = """
import sys
from contracts.machine import local

local.machine = local.LocalMachine()
local.machine.warm(2)
sys.kept = local
"""
"""As by a test's helper: the module of it is older than the binding of the engine, and outlives it."""


def test_a_machine_that_somebody_holds_to_the_end_of_the_process_ends_in_silence() -> None:
    ended = subprocess.run([sys.executable, "-c", HELD_TO_THE_END], check=True, capture_output=True, text=True)
    assert ended.stderr == ""
