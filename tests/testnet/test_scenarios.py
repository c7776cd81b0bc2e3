"""Scenario files: what they may say, what each step is in the simulator, and the reports of a run."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from primitives.errors import Refused
from testnet.faults.control import FaultControl
from testnet.lying import BEHAVIOURS
from testnet.run_file import NodeRun, NodeState, RunInfo
from testnet.scenarios import simulated
from testnet.scenarios.memory import WARM_UP_SECONDS, MemoryReport, MemoryWatch, overgrown
from testnet.scenarios.real import RealRun, Told, carry_out
from testnet.scenarios.reports import FindingReport, ScenarioReport, StepReport, json_report, junit_report
from testnet.scenarios.scenario import load_scenario, parse_scenario
from testnet.scenarios.simulated import faults_of, settings_of
from testnet.simulator.faults import Fault, FaultKind
from testnet.simulator.findings import Violation
from testnet.simulator.network import flip_bit
from testnet.simulator.settings import SimulationReport, SimulationSettings
from testnet.simulator.world import World
from tests.testnet.test_cli import ALL, run

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenarios").glob("*.toml"))


def scenario(*steps: dict[str, Any], **more: Any) -> Any:
    table = {"name": "test", "duration": "30s", "relays": 2, "step": [{"at": "5s", **step} for step in steps]}
    return parse_scenario(table | more, "test.toml")


@pytest.mark.parametrize(
    ("step", "faults"),
    [
        ({"action": "partition", "target": ["s0/v0", "s0/v2"]}, [(FaultKind.PARTITION, "s0", 0b101)]),
        ({"action": "cut", "target": "s1/v3"}, [(FaultKind.PARTITION, "s1", 0b1000)]),
        ({"action": "cut", "target": "s1/v3>s1/v0"}, [(FaultKind.ONE_WAY, "s1v3>s1v0", 0)]),
        ({"action": "cut", "target": "0-2"}, [(FaultKind.LANE_CUT, "s0>s2", 0), (FaultKind.LANE_CUT, "s2>s0", 0)]),
        ({"action": "cut", "target": "r0-s1"}, [(FaultKind.RELAY_CUT, "r0>s1", 0)]),
        ({"action": "cut", "target": "r1"}, [(FaultKind.RELAY_CUT, f"r1>s{shard}", 0) for shard in range(3)]),
        (
            {"action": "delay", "target": "s0/v0>s0/v1", "by": "80ms", "jitter": "20ms"},
            [(FaultKind.LATE, "s0v0>s0v1", 80), (FaultKind.SLOW, "s0v0>s0v1", 20)],
        ),
        (
            {"action": "delay", "target": ["s0>s2", "r1-s0/v1"], "by": "80ms"},
            [(FaultKind.LATE, "s0>s2", 80), (FaultKind.LATE, "r1>s0v1", 80), (FaultKind.LATE, "s0v1>r1", 80)],
        ),
        (
            {"action": "drop", "target": ["s0", "r1"], "share": "5%"},
            [(FaultKind.LOSSY, "s0", 50), (FaultKind.LOSSY, "r1", 50)],
        ),
        ({"action": "duplicate", "target": "s0/v1", "share": "1%"}, [(FaultKind.DUPLICATING, "s0v1", 10)]),
        ({"action": "corrupt", "target": "s0", "share": "2%"}, [(FaultKind.CORRUPTING, "s0", 20)]),
        (
            {"action": "drop", "target": ["s0/v0-s0/v1", "r0-s2"], "share": "5%"},
            [(FaultKind.LOSSY, link, 50) for link in ("s0v0>s0v1", "s0v1>s0v0", "r0>s2", "s2>r0")],
        ),
        ({"action": "cut", "target": "r0-s0/v1"}, [(FaultKind.RELAY_CUT, "r0>s0v1", 0)]),
        ({"action": "skew", "target": "s0/v1", "by": "-900ms"}, [(FaultKind.CLOCK, "s0v1", -900)]),
        ({"action": "disk", "effect": "slow", "target": "s0/v1", "by": "50ms"}, [(FaultKind.SLOW_DISK, "s0v1", 50)]),
        ({"action": "disk", "effect": "eio", "target": "s0/v1"}, [(FaultKind.EIO, "s0v1", 0)]),
        ({"action": "disk", "effect": "full", "target": "s0/v1"}, [(FaultKind.FULL, "s0v1", 0)]),
        (
            {"action": "kill", "target": ["s0/v1", "r0"]},
            [(FaultKind.HALT, "s0v1", 1), (FaultKind.RELAY_CRASH, "r0", 0)],
        ),
        ({"action": "halt", "target": "s2"}, [(FaultKind.HALT, "s2", 1)]),
        ({"action": "byzantine", "target": "s0/v1", "behaviour": "equivocate"}, [(FaultKind.LYING, "s0v1", 0)]),
        ({"action": "pause", "target": "s0/v1"}, [(FaultKind.PAUSE, "s0v1", 0)]),
    ],
)  # fmt: skip
def test_each_step_is_a_fault_of_the_simulator(step: dict[str, Any], faults: list[tuple[FaultKind, str, int]]) -> None:
    for_ever, for_a_time = faults_of(scenario(step)), faults_of(scenario(step | {"for": "4s"}))
    assert list(for_ever) == [Fault(kind, target, 5_000, 30_000, amount) for kind, target, amount in faults]
    assert list(for_a_time) == [Fault(kind, target, 5_000, 9_000, amount) for kind, target, amount in faults]


def test_a_restart_is_short_and_a_heal_ends_what_began_before_it() -> None:
    made = scenario(
        {"action": "restart", "target": "all"},
        {"at": "6s", "action": "kill", "target": "s0/v1"},
        {"at": "9s", "action": "heal"},
        {"at": "10s", "action": "kill", "target": "s0/v2"},
    )
    faults = faults_of(made)
    assert [(each.kind, each.target) for each in faults[:5]] == [
        *((FaultKind.HALT, f"s{shard}") for shard in range(3)),
        *((FaultKind.RELAY_CRASH, f"r{relay}") for relay in range(2)),
    ]
    assert {each.end_ms for each in faults[:5]} == {5_300}
    assert [(each.start_ms, each.end_ms) for each in faults[5:]] == [(6_000, 9_000), (10_000, 30_000)]


@pytest.mark.parametrize(
    "step",
    [
        {"action": "corrupt", "target": "0-2", "share": "5%"},
        {"action": "drop", "target": "0-2", "share": "5%"},
        {"action": "delay", "target": "0-2", "by": "5ms", "jitter": "5ms"},
    ],
)
def test_what_the_simulator_has_not_is_said(step: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"not_simulated.*leave --simulate out"):
        faults_of(scenario(step))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name"),
        ({"color": "red"}, "Allowed there: name, description"),
        ({"setle": "5s"}, "did you mean settle?"),
        ({"step": [{"at": "5s", "action": "heal", "fro": "1s"}]}, "did you mean for?"),
        ({"shards": 0}, "shards"),
        ({"duration": "soon"}, "duration: 'soon' is no duration"),
        ({"settle": "48h"}, "longer than 24h"),
        ({"step": [{"at": "5s", "action": "melt", "target": "s0"}]}, "actions are cut, partition"),
        ({"step": [{"at": "5", "action": "halt", "target": "s0"}]}, "step 1: at: '5' is no duration"),
        ({"step": [{"at": "5s", "action": "halt"}]}, "step 1 (halt at 5s): halt needs target"),
        ({"step": [{"at": "5s", "action": "drop", "target": "s0"}]}, "drop needs share"),
        ({"step": [{"at": "5s", "action": "disk", "effect": "slow", "target": "s0"}]}, "disk needs by"),
        ({"step": [{"at": "5s", "action": "heal", "target": "s0"}]}, "heal has no target; it takes nothing"),
        ({"step": [{"at": "5s", "action": "cut", "target": "s0", "share": "5%"}]}, "cut has no share"),
        ({"step": [{"at": "5s", "action": "cut", "target": "s7"}]}, "there is no shard s7"),
        ({"step": [{"at": "5s", "action": "partition", "target": ["s0/v0", "s1/v0"]}]}, "several shards"),
        ({"step": [{"at": "5s", "action": "skew", "target": "r0", "by": "5s"}]}, "no disk and no clock"),
        ({"step": [{"at": "5s", "action": "delay", "target": "s0", "by": "5"}]}, "is no duration"),
        ({"step": [{"at": "31s", "action": "halt", "target": "s0"}]}, "the chaos is over at 30s"),
        ({"step": [{"at": "29s", "action": "halt", "target": "s0", "for": "2s"}]}, "the chaos is over at 30s"),
        ({"step": [{"at": "5s", "action": "byzantine", "target": "s0/v0", "behaviour": "smile"}]}, "withhold-votes"),
        ({"step": [{"at": "5s", "action": "byzantine", "target": "r0", "behaviour": "equivocate"}]}, "is a relay"),
        ({"load": {"transfers_per_second": 0}}, "transfers_per_second"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_where_and_why(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        scenario(**change)
    assert refused.value.code == "bad_scenario"
    assert message in refused.value.detail
    assert "test.toml" in refused.value.detail


def test_without_a_duration_the_chaos_ends_a_second_after_the_last_fault() -> None:
    table = {"name": "x", "step": [{"at": "4s", "action": "halt", "target": "s0", "for": "2s"}]}
    assert parse_scenario(table, "x").chaos_ms == 7_000


def test_liars_of_a_scenario_are_liars_of_the_simulation() -> None:
    made = scenario({"action": "byzantine", "target": ["s0/v1", "s2/v3"], "behaviour": "half-send"})
    assert settings_of(made).byzantine_validators == {"s0v1": "half-send", "s2v3": "half-send"}


def test_a_liar_of_a_scenario_has_one_way_to_lie_in_the_simulator() -> None:
    step = {"at": "5s", "action": "byzantine", "target": "s0/v1", "for": "1s"}
    twice = scenario(step | {"behaviour": "half-send"}, step | {"at": "9s", "behaviour": "half-send"})
    assert [(each.start_ms, each.end_ms) for each in faults_of(twice)] == [(5_000, 6_000), (9_000, 10_000)]
    with pytest.raises(Refused, match="lies in one way only"):
        settings_of(scenario(step | {"behaviour": "half-send"}, step | {"at": "9s", "behaviour": "equivocate"}))


def test_what_is_no_file_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no_scenario"):
        load_scenario(tmp_path / "none.toml")
    for text in ("=", "[" * 10_000, "x" * 300_000):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(Refused, match="bad_scenario"):
            load_scenario(tmp_path / "bad.toml")


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_can_be_run_in_both_worlds(path: Path) -> None:
    made = load_scenario(path)
    settings = settings_of(made)
    assert settings.chaos_ms == made.chaos_ms
    assert len(settings.faults or ()) + len(settings.byzantine_validators) >= len(made.steps)


def test_the_guide_shows_what_there_is() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert [step.action for step in parse_scenario(tomllib.loads(toml), "docs/faults.md").steps] == [
        "partition",
        "restart",
    ]
    shape = scenario().shape
    rows = [row.split("|")[1] for row in guide.splitlines() if row.startswith("| `")]
    shown = [shlex.split(words) for row in rows for words in re.findall(r"`([^`]+)`", row)]
    faults = {path[1] for path, _ in ALL if path[0] == "fault"}
    assert {words[0] for words in shown} == faults - {"heal", "list"}
    (lies,) = re.findall(r"Its behaviours are (.*?):", guide, re.DOTALL)
    assert tuple(re.findall(r"`([^`]+)`", lies)) == BEHAVIOURS
    for words in shown:
        for word in words:
            if re.fullmatch(r"[sr][0-9/v>sr-]+", word):
                shape.parse(word)


def small(*faults: Fault, shards: int = 1, validators: int = 1) -> World:
    settings = SimulationSettings(
        3, shards=shards, validators=validators, relays=1, seconds=20, transactions_per_second=4, faults=faults
    )
    world = World(settings)
    assert world.run().passed
    return world


def test_nothing_settles_between_shards_whose_lanes_are_cut() -> None:
    cut = [Fault(FaultKind.LANE_CUT, f"s{one}>s{1 - one}", 0, 8_000) for one in range(2)]
    assert min(small(*cut, shards=2).judge.settled_ms.values()) > 8_000
    assert min(small(shards=2).judge.settled_ms.values()) < 4_000


def test_late_links_make_blocks_late() -> None:
    late = [
        Fault(FaultKind.LATE, f"s0v{one}>s0v{other}", 0, 20_000, 150)
        for one in range(4)
        for other in range(4)
        if one != other
    ]
    assert small(validators=4).judge.finalized_ms[0, 1] < 450
    assert small(*late, validators=4).judge.finalized_ms[0, 1] >= 450, "a block takes three messages"


def test_flipped_bits_are_refused_and_nobody_is_blamed() -> None:
    world = small(Fault(FaultKind.CORRUPTING, "s0", 0, 9_000, 200), validators=4)
    assert world.network.counts["corrupted"] > 100
    assert world.judge.books.shards[0].height > 20


@pytest.mark.parametrize("bit", [0, 7, 8, 31, 32, 2**32 - 1])
def test_exactly_one_bit_is_flipped(bit: int) -> None:
    flipped = flip_bit(b"vote", bit)
    assert sum((one ^ other).bit_count() for one, other in zip(b"vote", flipped, strict=True)) == 1
    assert flip_bit(b"", bit) == b""


def test_the_sample_holds_in_the_simulator(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "examples" / "scenarios" / "bad-minute.toml"
    report, junit = tmp_path / "report.json", tmp_path / "junit.xml"
    done = run("scenario", "run", str(sample), "--simulate", "--report", str(report), "--junit", str(junit))
    assert done.exit_code == 0, done.output
    assert "✓ a bad minute: every invariant held" in done.output
    written = json.loads(report.read_text())
    assert (written["passed"], written["world"], len(written["steps"])) == (True, "simulated", 13)
    happened = {name for name, count in written["counts"].items() if count}
    assert {"partition", "halt", "lane-cut", "late", "lossy", "pause", "clock", "slow-disk"} <= happened
    assert min(written["heights"]) > 20
    suite = ET.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == (str(13 + len(written["judged"])), "0")


def broken_run(settings: SimulationSettings) -> SimulationReport:
    found = Violation("S1", "s0v1", 7, "two final blocks at one height\x00")
    return SimulationReport(settings, (found,), "", 0, (7,), {}, {}, ())


def test_a_broken_invariant_fails_the_command_and_both_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "run_simulation", broken_run)
    file, junit = tmp_path / "x.toml", tmp_path / "junit.xml"
    file.write_text('name = "x"\n[[step]]\nat = "1s"\naction = "halt"\ntarget = "s0"\nfor = "1s"\n')
    done = run("scenario", "run", str(file), "--simulate", "--seed", "5", "--junit", str(junit))
    assert done.exit_code == 1
    assert "✗ S1 at s0v1, height 7: two final blocks at one height" in done.output
    assert f"again: ostraka scenario run {file} --simulate --seed 5" in done.output
    suite = ET.parse(junit).getroot()
    assert suite.get("failures") == "1"
    (failed,) = [case for case in suite if case.find("failure") is not None]
    assert str(failed.get("name")).startswith("S1: ")
    assert json.loads(run("scenario", "run", str(file), "--simulate", "--json").output)["passed"] is False


def test_a_step_that_could_not_be_done_is_a_failure_in_junit() -> None:
    report = ScenarioReport(
        name="x", world="real", seed=1, passed=False, seconds=1.0,
        steps=(StepReport(5, 5, "kill s0/v1", "failed", "s0/v1 is down"), StepReport(9, 5, "halt s1", "done")),
        judged=("S1", "D1"), findings=(FindingReport("D1", "load", 0, "lost"),), heights=(1,), counts={}, again="",
    )  # fmt: skip
    assert ET.fromstring(junit_report(report)).get("failures") == "2"
    assert json.loads(json_report(report))["steps"][0]["detail"] == "s0/v1 is down"


def a_run(*states: NodeState) -> RunInfo:
    nodes = tuple(
        NodeRun(name=f"s0/v{index}", kind="validator", shard=0, api=None, link_port=None, pid=1, state=state, log="")
        for index, state in enumerate(states)
    )
    return RunInfo(
        ostraka="0", home="/h", genesis="", chain_id="", launcher_pid=0, control="/c", shards=1,
        validators=len(states), nodes=nodes, accounts={},
    )  # fmt: skip


def test_a_scenario_is_not_run_on_a_testnet_of_another_size() -> None:
    with pytest.raises(Refused, match=r"other_testnet.*--fresh"):
        RealRun(scenario(), a_run("running"), Told(lambda *_: None, lambda *_: None))


class Remembers(FaultControl):
    """Does nothing but remember."""

    def __init__(self, info: RunInfo) -> None:
        super().__init__(info)
        self._info = info
        self.done: list[tuple[Any, ...]] = []

    def nodes(self) -> tuple[NodeRun, ...]:
        return self._info.nodes

    def process(self, operation: Any, node: str, lasts_ms: int | None = None, behaviour: str | None = None) -> NodeRun:
        self.done.append((operation, node, lasts_ms, *([behaviour] if behaviour else [])))
        return self._info.nodes[0]


def steps_of(*steps: dict[str, Any]) -> Any:
    return scenario(*steps, shards=1, validators=3, relays=0).steps


@pytest.mark.parametrize(
    ("step", "done"),
    [
        ({"action": "halt", "target": "s0", "for": "2s"}, [("kill", "s0/v0", 2_000)]),
        ({"action": "pause", "target": "s0/v0", "for": "2s"}, [("pause", "s0/v0", 2_000)]),
        (
            {"action": "byzantine", "target": "s0/v0", "behaviour": "half-send", "for": "2s"},
            [("byzantine", "s0/v0", 2_000, "half-send")],
        ),
        (
            {"action": "restart", "target": "all"},
            [
                ("kill", "s0/v0", None), ("kill", "s0/v2", None),
                *(("restart", f"s0/v{index}", None) for index in range(3)),
            ],
        ),
    ],
)  # fmt: skip
def test_processes_that_are_down_already_stay_as_they_are(step: dict[str, Any], done: list[tuple[Any, ...]]) -> None:
    control = Remembers(a_run("running", "killed", "paused"))
    carry_out(control, steps_of(step)[0])
    assert control.done == done


def test_a_step_that_repeats_happens_as_often_as_it_fits() -> None:
    (at, _), *others = [
        (step.at_ms, step.lasts_ms)
        for step in scenario({"action": "halt", "target": "s0", "for": "4s", "every": "7s"}).steps
    ]
    assert (at, others) == (5_000, [(12_000, 4_000), (19_000, 4_000), (26_000, 4_000)])
    restarts = scenario({"action": "restart", "target": "all", "every": "10s"}).steps
    assert [step.at_ms for step in restarts] == [5_000, 15_000, 25_000]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"every": "7s"}, "says for how long"),
        ({"every": "10ms", "for": "1s"}, "at most every 1s"),
        ({"every": "soon", "for": "1s"}, "is no duration"),
    ],
)
def test_a_step_that_repeats_must_end(step: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        scenario({"action": "halt", "target": "s0"} | step)


def test_a_file_has_so_many_steps_those_that_repeat_included() -> None:
    with pytest.raises(Refused, match="3595 steps"):
        scenario({"action": "halt", "target": "s0", "for": "1s", "every": "1s"}, duration="1h")


def test_memory_is_compared_from_the_end_of_the_warm_up_on(tmp_path: Path) -> None:
    watch = MemoryWatch(tmp_path)

    def holds(pid: int, kb: int) -> None:
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        (tmp_path / str(pid) / "status").write_text(f"VmRSS:\t  999999 kB\nRssAnon:\t{kb:>8} kB\n")

    for now, kb in ((0.0, 50), (WARM_UP_SECONDS, 100), (WARM_UP_SECONDS + 10, 90), (WARM_UP_SECONDS + 60, 104)):
        holds(1, kb)
        watch.look([("s0/v0", 1), ("s0/v1", 2)], now)
    holds(3, 70)
    watch.look([("s0/v1", 3)], WARM_UP_SECONDS + 61)
    (report,) = watch.reports()
    assert (report.node, report.seconds, report.first_kb, report.last_kb) == ("s0/v0", 60.0, 100, 104)
    assert report.growth_percent == pytest.approx(4.0)


def test_memory_that_grows_beyond_the_scenarios_limit_in_a_long_run_is_a_violation() -> None:
    limit = scenario(memory_growth="5%").memory_growth_permille
    reports = [
        MemoryReport("s0/v0", 1, 600.0, 1000, 1051),
        MemoryReport("s0/v1", 2, 3600.0, 1000, 1050),
        MemoryReport("s0/v2", 3, 599.0, 1000, 2000),
    ]
    assert [report.node for report in overgrown(reports, limit)] == ["s0/v0"]
    assert not overgrown(reports, scenario().memory_growth_permille)
    with pytest.raises(Refused, match="memory_growth: 'much' is no share"):
        scenario(memory_growth="much")
