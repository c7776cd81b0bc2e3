"""Runs every hostile program and prints what became of it: `python -m tests.contracts.hostile.run [GROUP ...]`.

Each program gets the same gas and, when it suspends, a reply to each of its calls, until it ends.
"""

import hashlib
import json
import sys
from pathlib import Path

from contracts.machine.local import LocalMachine
from contracts.outcomes import Compiled, Failed, Outcome, Reply, Suspended
from contracts.port import Machine
from primitives.codec import encode as encode_record
from tests.contracts.support import MemoryWorld, invocation, ok, resumed, run_one

GROUPS = ("loops", "builtins", "memory", "escapes", "data")
GAS = 200_000
"""About 20 ms for what takes all of it."""

MAX_ROUNDS = 70


def programs(group: str) -> tuple[str, list[str]]:
    """The group's source, and its methods."""
    source = (Path(__file__).parent / f"{group}.py").read_text()
    lines = [line.removeprefix("async ") for line in source.splitlines()]
    return source, [line[4:].partition("(")[0] for line in lines if line.startswith("def ") and line[4] != "_"]


def describe(outcome: Outcome) -> str:
    return (
        f"{type(outcome).__name__}:{outcome.kind}:{outcome.error}"
        if isinstance(outcome, Failed)
        else type(outcome).__name__
    )


def run_program(machine: Machine, source: str, method: str) -> list[str | int]:
    """How it ended, the gas of all its runs, and a digest of all its outcomes."""
    world = MemoryWorld()
    call = invocation(world.add(source), method, gas=GAS)
    outcome = run_one(machine, world, call)
    digest, gas = hashlib.sha256(encode_record(outcome)), outcome.cost.used
    for _ in range(MAX_ROUNDS):
        if not isinstance(outcome, Suspended):
            break
        made = {sent.number: sent.method for sent in outcome.effects.calls}
        waited = sorted({number for wait in outcome.waits for number in wait.numbers})
        replies: list[Reply] = [ok(n, "x" * 3000 if made.get(n) == "long" else 1) for n in waited]
        call = resumed(call, outcome, *replies)
        outcome = run_one(machine, world, call)
        digest.update(encode_record(outcome))
        gas += outcome.cost.used
    return [describe(outcome), gas, digest.hexdigest()[:16]]


def main(groups: tuple[str, ...]) -> dict[str, list[str | int]]:
    machine = LocalMachine()
    found: dict[str, list[str | int]] = {}
    for group in groups:
        source, methods = programs(group)
        compilation = machine.compile(source, 5_000_000)
        assert isinstance(compilation, Compiled), compilation
        for method in methods:
            found[f"{group}.{method}"] = run_program(machine, source, method)
    return found


if __name__ == "__main__":
    print(json.dumps(main(tuple(sys.argv[1:]) or GROUPS), indent=0))  # noqa: T201 - read by the tests
