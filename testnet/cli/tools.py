"""`ostraka sim`, `demo`, `doctor`: simulate, see the main job done, find out what is missing."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from testnet.cli.common import (
    FAILED,
    USAGE,
    CommandFailed,
    HomeOption,
    JsonOption,
    command,
    example,
    find_home,
    say,
    show,
    shown_path,
)


def add_to(app: typer.Typer) -> None:
    """Hang this module's commands under `app`."""
    app.command(epilog=example("ostraka demo"))(demo)
    app.command(epilog=example("ostraka sim --seed 7 --seconds 20"))(sim)
    app.command(epilog=example("ostraka doctor"))(doctor)


@command
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder of the demo's testnet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the main job for real in about a minute: transfers, contracts on three shards, a proof, crashes, recovery."""
    from testnet.cli.machine_setup import ensure_machine
    from testnet.demo import run_demo

    ensure_machine()
    report = run_demo(say, keep=keep)
    show(report)
    if not report["passed"]:
        raise typer.Exit(FAILED)


@command
def sim(
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Decides everything: the same seed is the same run.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option("--faults", help="A run with its faults, as `ostraka sweep` writes it; instead.")
    ] = None,
    shards: Annotated[int, typer.Option("--shards", min=1, max=64)] = 3,
    validators: Annotated[int, typer.Option("--validators", min=1, max=32, help="Of each shard.")] = 4,
    seconds: Annotated[int, typer.Option("--seconds", min=1, max=86400, help="Of virtual time.")] = 60,
    as_json: JsonOption = False,
) -> None:
    """Run the same validators and relays in virtual time, with faults; print the faults and the verdict.

    The exit code is 1 when an invariant was violated.
    """
    from testnet.simulator.run_files import load_run
    from testnet.simulator.settings import SimulationSettings
    from testnet.simulator.world import run_simulation

    if (seed is None) == (faults is None):
        raise CommandFailed(USAGE, "usage", "say --seed, or --faults with the file of a run")
    if faults is not None:
        settings, again = load_run(faults), f"ostraka sim --faults {faults}"
    else:
        settings = SimulationSettings(seed=seed or 0, shards=shards, validators=validators, seconds=seconds)
        again = settings.command()
    report = run_simulation(settings)
    show(
        {
            "seed": settings.seed,
            "passed": report.passed,
            "violations": [str(violation) for violation in report.violations],
            "trace_hash": report.trace_hash,
            "blocks": list(report.blocks),
            "again": again,
        }
    )
    say(report.text())
    if not report.passed:
        raise typer.Exit(FAILED)


@command
def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check this machine and this home, and say what to do about what is wrong."""
    from testnet.doctor import examine

    findings = examine(find_home(home))
    show(
        {
            "healthy": all(finding.ok for finding in findings),
            "findings": [{"name": f.name, "ok": f.ok, "detail": f.detail, "advice": f.advice} for f in findings],
        }
    )
    say(f"python {sys.version.split()[0]} · home {shown_path(find_home(home))} · {Path.cwd()}")
    for finding in findings:
        say(f"{'✓' if finding.ok else '✗'} {finding.name}: {finding.detail}")
        if not finding.ok:
            say(f"    → {finding.advice}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)
