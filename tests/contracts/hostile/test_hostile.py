"""Every hostile program ends, in the same way and for the same gas everywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from contracts.machine.local import LocalMachine
from contracts.outcomes import Invocation, Outcome
from contracts.runtime.identity import manifest, target
from tests.contracts.hostile.run import GAS, GROUPS, programs
from tests.contracts.support import MemoryWorld, deployed, invocation, run_batch

GOLDEN = Path(__file__).parent / "golden.json"
Found = Mapping[str, list[str | int]]


def run_in_a_process_of_its_own(hash_seed: int) -> Found:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, "-m", "tests.contracts.hostile.run"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=300)
    found: Found = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found() -> Found:
    return run_in_a_process_of_its_own(1)


def test_there_are_at_least_a_hundred_and_twenty_programs() -> None:
    assert sum(len(programs(group)[1]) for group in GROUPS) >= 120


def test_four_processes_with_different_hash_seeds_agree(found: Found) -> None:
    assert [run_in_a_process_of_its_own(seed) for seed in (2, 3, 4)] == [found] * 3


@pytest.mark.skipif(target() != "x86_64-unknown-linux-gnu", reason="gas is pinned for each target (decision 0012)")
def test_what_became_of_each_program_is_what_the_golden_vectors_say(found: Found) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden["image_sha256"] == manifest()["image_sha256"], "a new image needs new vectors: run this file"
    assert {name: vector for name, vector in found.items() if golden["programs"].get(name) != vector} == {}
    assert set(golden["programs"]) == set(found)


def test_no_program_reaches_the_world_outside(found: Found) -> None:
    reaching = {
        "clock", "monotonic", "os_urandom", "system_random", "files", "exit", "abort", "now", "standard_output",
    }  # fmt: skip
    assert {name: found[f"escapes.reach_{name}"][0] for name in reaching} == dict.fromkeys(reaching, "Failed:trap:")
    assert found["escapes.reach_open"][0] == "Failed:raised:PermissionError"


def test_every_endless_loop_pays_all_of_its_gas(found: Found) -> None:
    endless = ("while_true", "swallow_everything", "return_in_finally", "suppressing", "sticky_del", "async_loop")
    assert {found[f"loops.{name}"][1] for name in endless} == {GAS}


def test_no_hostile_call_changes_what_an_honest_one_does_after_it() -> None:
    """Patched libraries, leaked objects, full memories: the next call of the same instance notices nothing."""
    machine, honest_source = LocalMachine(), (Path(__file__).parent / "honest.py").read_text()
    world = MemoryWorld()
    honest = invocation(deployed(machine, world, honest_source), "work", 7)
    alone = run_batch(machine, MemoryWorld(world.sources), [honest])[0]
    for group in GROUPS:
        source, methods = programs(group)
        code = deployed(machine, world, source)
        batch = [call for method in methods for call in (invocation(code, method, gas=GAS), honest)]
        outcomes = run_fresh(machine, world, batch)
        assert [index for index, outcome in enumerate(outcomes[1::2]) if outcome != alone] == []


def run_fresh(machine: LocalMachine, world: MemoryWorld, batch: list[Invocation]) -> list[Outcome]:
    """Each call on the empty state: what one did is not applied before the next."""
    outcomes: list[Outcome] = []
    machine.run(batch, MemoryWorld(world.sources), lambda _index, outcome: outcomes.append(outcome))
    return outcomes


if __name__ == "__main__":
    vectors = {"image_sha256": manifest()["image_sha256"], "programs": run_in_a_process_of_its_own(1)}
    GOLDEN.write_text(json.dumps(vectors, indent=0) + "\n")
