"""A scenario on real processes with load throughout, and the observer beside and after it."""

import json
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from testnet.scenarios.scenario import load_scenario
from testnet.scenarios.simulated import run_simulated
from tests.testnet.real import COMMAND, Shell

pytestmark = pytest.mark.real

SHORT = """
name = "short and bad"
shards = 2
validators = 4
relays = 1
duration = "14s"
settle = "60s"

[load]
transfers_per_second = 2

[[step]]
at = "1s"
action = "partition"
target = ["s0/v0", "s0/v1"]
for = "2s"

[[step]]
at = "2s"
action = "drop"
target = "s1"
share = "10%"
for = "3s"

[[step]]
at = "4s"
action = "kill"
target = "s0/v3"
for = "2s"

[[step]]
at = "5s"
action = "halt"
target = "s1"
for = "3s"

[[step]]
at = "6s"
action = "cut"
target = "s0-s1"
for = "3s"

[[step]]
at = "8500ms"
action = "byzantine"
target = "s0/v1"
behaviour = "nullify-and-finalize"
for = "5s"

[[step]]
at = "12s"
action = "restart"
target = "all"
"""


def test_a_scenario_holds_on_processes_and_the_same_file_in_the_simulator(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    file, junit = tmp_path / "short.toml", tmp_path / "junit.xml"
    file.write_text(SHORT)
    done = shell.json("scenario", "run", str(file), "--fresh", "--junit", str(junit))
    assert done["findings"] == []
    assert done["passed"]
    assert [step["status"] for step in done["steps"]] == ["done"] * 7
    assert done["counts"]["guilty blamed"] == 1
    assert min(done["heights"]) > 5
    assert done["counts"]["transfers settled"] >= 10
    assert done["counts"]["messages consumed"] >= 4
    assert done["counts"]["results compared"] >= 8
    suite = ET.parse(junit).getroot()
    assert (suite.get("failures"), suite.get("tests")) == ("0", str(7 + len(done["judged"])))
    assert not shell.home.exists(), "a testnet of its own is gone afterwards"
    simulated = run_simulated(load_scenario(file), str(file))
    assert simulated.findings == ()


def test_the_observer_judges_a_testnet_and_ctrl_c_ends_it_with_the_verdict(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    file = tmp_path / "other.toml"
    file.write_text('name = "for another size"\n')
    shell.run("up", "--detach", "--shards", "2", "--validators", "1")
    try:
        shell.run("transfer", "alice", "bob@1", "1")
        process = subprocess.Popen(
            [*COMMAND, "observe", "--every", "100ms", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        shell.run("transfer", "alice", "bob@1", "1")
        seen = shell.json("observe", "--for", "200ms")
        assert seen["passed"]
        assert seen["counts"]["messages consumed"] >= 2
        assert min(seen["heights"]) >= 1
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert json.loads(output)["passed"]
        assert "--fresh" in shell.run("scenario", "run", str(file), code=2).stderr
    finally:
        shell.run("down", code=None)
