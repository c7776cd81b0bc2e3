"""What docs/faults.md says one has to write is enough."""

import re
from pathlib import Path
from typing import Any

import pytest

from consensus.block import Block
from shards.outcome import Execution
from testnet.simulator.byzantine import BYZANTINE_VALIDATORS
from testnet.simulator.byzantine_validator import ByzantineValidator
from testnet.simulator.findings import INVARIANTS
from testnet.simulator.judge import Judge
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.world import World, run_simulation

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
CALM = SimulationSettings(3, shards=2, seconds=12, chaos_seconds=3, faults=(), real_signatures=False)


def written(title: str) -> dict[str, Any]:
    """What the Python of a section defines."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    (source,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, str(PAGE), "exec", dont_inherit=True), names)
    return names


def test_the_conduct_of_the_page_lies_and_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BYZANTINE_VALIDATORS, "stammer", written("A new way to lie")["Stammer"])
    world = World(SimulationSettings(3, shards=2, seconds=20, byzantine_validators={"s0v1": "stammer"}))
    report = world.run()
    assert report.passed, report.text()
    liar = world.validators["s0v1"]
    assert isinstance(liar, ByzantineValidator)
    assert liar.lies > 100


@pytest.mark.parametrize("allowed_ms", [3_000, -60_000])
def test_the_check_of_the_page_checks(monkeypatch: pytest.MonkeyPatch, allowed_ms: int) -> None:
    names = written("A new check")
    names["FARTHEST_MS"] = allowed_ms
    hear = Judge.on_executed

    def on_executed(judge: Judge, node: str, block: Block, execution: Execution) -> None:
        hear(judge, node, block, execution)
        names["Times"](judge._heap, judge.findings).look(node, block)

    monkeypatch.setattr(Judge, "on_executed", on_executed)
    monkeypatch.setitem(INVARIANTS, "T1", "the time of a final block is never far ahead of everybody's clock")
    found = {violation.invariant for violation in run_simulation(CALM).violations}
    assert found == (set() if allowed_ms > 0 else {"T1"})
