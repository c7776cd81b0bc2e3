"""`ostraka scenario run`, `ostraka observe`: what goes wrong when, from a file; and the judge of a running testnet."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testnet.cli.common import FAILED, HomeOption, JsonOption, command, example, output, people, running, say, show

if TYPE_CHECKING:
    from testnet.run_file import RunInfo
    from testnet.scenarios.real import Told
    from testnet.scenarios.reports import ScenarioReport
    from testnet.scenarios.scenario import Scenario

app = typer.Typer(
    help="Run files that say what goes wrong when, on a testnet or in the simulator.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Keep `run` a command of its own."""


@app.command(
    epilog=example(
        "ostraka scenario run bad-minute.toml --simulate",
        "ostraka scenario run bad-minute.toml --fresh --junit report.xml",
    )
)
@command
def run(
    file: Annotated[Path, typer.Argument(help="The scenario, as examples/scenarios/bad-minute.toml.")],
    simulate: Annotated[
        bool, typer.Option("--simulate", help="In the simulator: virtual time, every checker, the same each time.")
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the simulator, instead of the file's.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="On a new testnet of the file's size, which is removed afterwards.")
    ] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write a JSON report here.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write a JUnit report here.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Break a testnet as a file says, with load throughout, and judge it; exit code 1 when an invariant broke.

    Faults end by themselves, whatever becomes of this command.
    """
    import msgspec

    from testnet.scenarios.reports import json_report, junit_report
    from testnet.scenarios.scenario import load_scenario

    scenario = load_scenario(file)
    if simulate:
        from testnet.scenarios.simulated import run_simulated

        done = run_simulated(scenario, str(file), seed)
    elif fresh:
        with _fresh(scenario) as info:
            done = _run_real(scenario, info, str(file))
    else:
        done = _run_real(scenario, running(home), str(file))
    for path, text in ((report, json_report), (junit, junit_report)):
        if path is not None:
            path.write_text(text(done), encoding="utf-8")
    show(msgspec.to_builtins(done))
    _say_verdict(done)
    if not done.passed:
        raise typer.Exit(FAILED)


@contextlib.contextmanager
def _fresh(scenario: "Scenario") -> Iterator["RunInfo"]:
    """A testnet of its own for a scenario, gone afterwards."""
    from testnet.control import stop_launcher
    from testnet.manifest import parse_manifest
    from testnet.start import start, wait_ready

    shape = scenario.shape
    manifest = parse_manifest(
        {"shards": shape.shards, "validators": shape.validators, "relays": shape.relays}, "scenario"
    )
    with tempfile.TemporaryDirectory(prefix="ostraka-scenario-") as folder:
        launched = start(Path(folder) / "home", manifest, attached=True)
        try:
            wait_ready(launched.info)
            yield launched.info
        finally:
            stop_launcher(Path(launched.info.control))


def _run_real(scenario: "Scenario", info: "RunInfo", source: str) -> "ScenarioReport":
    """Run on a testnet, with a bar on a terminal and a line for each step elsewhere."""
    import asyncio

    from testnet.scenarios.real import RealRun

    with _telling(scenario) as told:
        return asyncio.run(RealRun(scenario, info, told).run(source))


@contextlib.contextmanager
def _telling(scenario: "Scenario") -> Iterator["Told"]:
    """Who is told what happens."""
    from testnet.scenarios.real import Told

    def line(at: float, text: str) -> None:
        say(f"{at:7.1f} s  {text}")

    console = people(stderr=True)
    if output.as_json or not console.is_terminal:
        yield Told(line, lambda _at, _text: None)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(TimeElapsedColumn(), BarColumn(24), TextColumn("{task.description}", markup=False), console=console)
    with bar:
        whole = bar.add_task("", total=(scenario.chaos_ms + scenario.settle_ms) / 1000)
        yield Told(
            lambda at, text: bar.print(f"{at:7.1f} s  {text}", markup=False, highlight=False),
            lambda at, text: bar.update(whole, completed=at, description=text),
        )


def _say_verdict(done: "ScenarioReport") -> None:
    """The end of the story."""
    for step in done.steps:
        if step.status == "failed":
            say(f"✗ {step.at_ms / 1000:g} s: {step.text}: {step.detail}")
    for found in done.findings:
        say(f"✗ {found.invariant} at {found.node}, height {found.height}: {found.detail}")
    heights = ", ".join(f"s{shard} h{height}" for shard, height in enumerate(done.heights))
    kind = "virtual" if done.world == "simulated" else "real"
    say(f"  {len(done.steps)} steps, {done.seconds:.0f} s of {kind} time, {heights}")
    say("  " + ", ".join(f"{name} {count}" for name, count in done.counts.items() if count))
    if done.memory:
        worst = max(done.memory, key=lambda report: report.growth_percent)
        held = f"{worst.first_kb / 1024:.0f} → {worst.last_kb / 1024:.0f} MB in {worst.seconds:.0f} s"
        say(f"  memory: {worst.node} grew most, {worst.growth_percent:+.1f} % ({held})")
    if done.passed:
        say(f"✓ {done.name}: every invariant held ({' '.join(done.judged)})")
    else:
        say(f"✗ {done.name}: failed · again: {done.again}")
