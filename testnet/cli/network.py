"""`ostraka up`, `down`, `reset`, `status`, `logs`: the testnet as a whole."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from testnet.cli.common import (
    INTERRUPTED,
    USAGE,
    CommandFailed,
    HomeOption,
    JsonOption,
    command,
    example,
    find_home,
    output,
    people,
    running,
    say,
    show,
    shown_path,
)

if TYPE_CHECKING:
    from testnet.launcher import Launch
    from testnet.manifest import Manifest
    from testnet.reports import NodeReport
    from testnet.run_file import RunInfo

MAX_FOLLOW_SLEEP = 0.2
"""Pause between two looks at logs that are followed."""


def add_to(app: typer.Typer) -> None:
    """Hang this module's commands under `app`."""
    app.command(epilog=example("ostraka up --detach", "ostraka up --detach --shards 2 --validators 4 --home ./two"))(up)
    app.command(epilog=example("ostraka status", "ostraka status --json"))(status)
    app.command(epilog=example("ostraka logs s0/v1", "ostraka logs s0/v1 --lines 5"))(logs)
    app.command(epilog=example("ostraka down"))(down)
    app.command(epilog=example("ostraka reset --yes"))(reset)


def choose_manifest(home: Path, file: Path | None, overrides: dict[str, int]) -> "Manifest":
    """Manifest of `up`: the file named, else ./ostraka.toml, else what the home was made from, else the defaults."""
    import msgspec

    from testnet.home import is_home, open_manifest
    from testnet.manifest import MANIFEST_NAME, load_manifest, parse_manifest

    if file is not None or Path(MANIFEST_NAME).is_file():
        return load_manifest(file or Path(MANIFEST_NAME), overrides)
    made_from = msgspec.to_builtins(open_manifest(home)) if is_home(home) else {}
    return parse_manifest({**made_from, **overrides}, "command line")


@command
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when it is ready; it runs on.")] = False,
    shards: Annotated[int | None, typer.Option("--shards", min=1, help="Number of shards [3].")] = None,
    validators: Annotated[int | None, typer.Option("--validators", min=1, help="Validators of each shard [4].")] = None,
    relays: Annotated[int | None, typer.Option("--relays", min=0, help="Relay processes [1].")] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Default: ./ostraka.toml, if it is there.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a testnet of real processes, or go on with the one in this home: same chain, nothing lost.

    In the foreground Ctrl-C stops it; with --detach `ostraka down` does.
    """
    begin = time.monotonic()
    from testnet.home import is_home
    from testnet.start import start, wait_ready

    folder = find_home(home)
    if manifest is not None and home is None:
        from testnet.manifest import load_manifest

        folder = (manifest.parent / load_manifest(manifest).home).absolute()
    overrides = {"shards": shards, "validators": validators, "relays": relays}
    chosen = choose_manifest(folder, manifest, {key: value for key, value in overrides.items() if value is not None})
    resumed = is_home(folder)
    launched = start(folder, chosen, attached=not detach)
    try:
        with _progress("starting") as tick:
            wait_ready(launched.info, on_progress=tick)
    except BaseException:
        _stop(launched.info)
        raise
    _announce(launched.info, chosen, time.monotonic() - begin, resumed=resumed)
    if not detach:
        _watch(launched)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Any]:
    """A spinner with a count, on a terminal only."""
    console = people(stderr=True)
    if not console.is_terminal or output.as_json:
        yield None
        return
    with console.status(f"{what} …") as spinner:
        yield lambda done, total: spinner.update(f"{what} … {done}/{total} ready")


def _announce(info: "RunInfo", manifest: "Manifest", seconds: float, *, resumed: bool) -> None:
    """What somebody needs to know about a testnet that has just become ready."""
    from testnet.reports import node_reports

    reports = node_reports(info)
    home = Path(info.home)
    show(
        {
            "home": info.home,
            "run": str(home / "run.json"),
            "chain_id": info.chain_id,
            "resumed": resumed,
            "seconds": round(seconds, 2),
            "shards": info.shards,
            "validators": info.validators,
            "nodes": [{"name": node.name, "api": node.api, "pid": node.pid} for node in info.nodes],
        }
    )
    faulty = (manifest.validators - 1) // 3
    relays = f"{manifest.relays} relay{'' if manifest.relays == 1 else 's'}"
    say(
        f"ostraka {info.ostraka} · {info.shards} shard{'' if info.shards == 1 else 's'} × {info.validators}"
        f" validator{'' if info.validators == 1 else 's'}"
        f" (f={faulty}) · {relays} · home {shown_path(home)}{' · resumed' if resumed else ''}"
    )
    print_shards(info, reports)
    say(" accounts (funded on every shard; PUBLIC development keys)")
    shown = [f"{name}  {a.address[:6]}…{a.address[-2:]}" for name, a in list(info.accounts.items())[:3]]
    say("   " + "      ".join(shown) + ("      …  ostraka accounts" if len(info.accounts) > 3 else ""))
    api = next((node.api for node in info.nodes if node.kind == "validator"), "")
    say(f" API {api} · /openapi.json · events /v1/events · metrics /metrics")
    run = f" for scripts: {shown_path(home / 'run.json')} (0600)"
    say(f"{run:<47} ready in {seconds:.1f} s · next: ostraka transfer alice bob@{info.shards - 1} 25")


def print_shards(info: "RunInfo", reports: "list[NodeReport]") -> None:
    """One line for each shard: height, and how many of its validators are ready."""
    say(" shard  height  quorum  contracts")
    for shard in range(info.shards):
        here = [report for report in reports if report.node.kind == "validator" and report.node.shard == shard]
        height = max((report.executed for report in here), default=0)
        ready = sum(report.ready for report in here)
        contracts = max((report.contracts for report in here), default=0)
        say(f"   {shard:<4} {height:>5}   {ready:>4}/{len(here):<4}   {contracts or '–'}")


def _watch(launched: "Launch") -> None:
    """Show what happens until Ctrl-C, then stop everything."""
    from testnet.control import ask, stream

    control = Path(launched.info.control)
    shown: set[int] = set()
    try:
        for event in stream(control, {"do": "watch"}):
            if "event" in event:
                _show_end(event["node"], shown, expected=event["expected"])
                continue
            # Listening from here on; who ended before is found by asking.
            for node in ask(control, {"do": "status"})["nodes"]:
                _show_end(node, shown, expected=False)
            say(" Ctrl-C stops it")
        say("stopped")
    except KeyboardInterrupt:
        say("\nstopping …")
        _stop(launched.info)
        say(f"stopped; everything is kept in {shown_path(Path(launched.info.home))}, go on with `ostraka up`")
        raise typer.Exit(0) from None
    finally:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(launched.pid, 0)


def _show_end(node: dict[str, Any], shown: set[int], *, expected: bool) -> None:
    """Say that a process has ended though nobody asked it to; once."""
    if expected or node["state"] not in {"exited", "killed"} or node["pid"] in shown:
        return
    shown.add(node["pid"])
    how = f"killed by {node['signal']}" if node["signal"] else f"stopped with exit code {node['exit_code']}"
    say(f"✗ {node['name']} {how} · its log: {node['log']} · again: ostraka fault restart {node['name']}")


def _stop(info: "RunInfo") -> None:
    """Stop a testnet, whatever the terminal does meanwhile."""
    import signal

    from primitives.errors import Refused
    from testnet.control import stop_launcher

    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with contextlib.suppress(Refused):
            stop_launcher(Path(info.control))
    finally:
        signal.signal(signal.SIGINT, previous)


@command
def down(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop the testnet. Its chain stays in the home; `ostraka up` goes on with it."""
    from testnet.control import stop_launcher

    info = running(home)
    stop_launcher(Path(info.control))
    show({"home": info.home, "stopped": len(info.nodes)})
    count = len(info.nodes)
    say(f"✓ stopped {count} process{'' if count == 1 else 'es'}; the chain stays in {shown_path(Path(info.home))}")


@command
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete the chain in this home. The testnet must be stopped."""
    from testnet.home import HomeLock, erase_home, is_home
    from testnet.orphans import end_orphans

    folder = find_home(home)
    if not is_home(folder):
        raise CommandFailed(USAGE, "no_home", f"there is no testnet in {shown_path(folder)}; nothing to delete")
    if not yes:
        if output.as_json or not sys.stdin.isatty():
            raise CommandFailed(USAGE, "unconfirmed", "this deletes a chain; confirm it with --yes")
        typer.confirm(f"Delete the chain in {shown_path(folder)}?", abort=True)
    lock = HomeLock(folder)
    try:
        end_orphans(folder)
        erase_home(folder)
    finally:
        lock.release()
    show({"home": str(folder), "erased": True})
    say(f"✓ deleted the chain in {shown_path(folder)}")


@command
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show every shard and node: heights, readiness, processes, and what is broken on purpose."""
    from testnet.faults.control import FaultControl
    from testnet.reports import node_reports

    info = running(home)
    reports = node_reports(info)
    broken = [fault.text for fault in FaultControl(info).listing()]
    show(
        {
            "home": info.home,
            "chain_id": info.chain_id,
            "launcher_pid": info.launcher_pid,
            "broken": broken,
            "nodes": [
                {
                    "name": report.node.name,
                    "kind": report.node.kind,
                    "shard": report.node.shard,
                    "state": report.node.state,
                    "pid": report.node.pid,
                    "api": report.node.api,
                    "link_port": report.node.link_port,
                    "ready": report.ready,
                    "finalized": report.finalized,
                    "executed": report.executed,
                    "certified": report.certified,
                    "contracts": report.contracts,
                    "detail": report.detail,
                }
                for report in reports
            ],
        }
    )
    if output.as_json:
        return
    print_shards(info, reports)
    say(" node    state    pid      finalized  executed  certified")
    for report in reports:
        node = report.node
        heights = f"{report.finalized:>9}  {report.executed:>8}  {report.certified:>9}" if report.answers else ""
        say(f" {node.name:<7} {node.state:<8} {node.pid:<8} {heights}{'  ' + report.detail if report.detail else ''}")
    if broken:
        more = f" and {len(broken) - 4} more" if len(broken) > 4 else ""
        say(f" broken: {', '.join(broken[:4])}{more} · ostraka fault list")


@command
def logs(
    node: Annotated[
        str | None, typer.Argument(help="Like s0/v1 or r0; all nodes and the launcher if left out.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="How many last lines of each.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they grow, until Ctrl-C.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what nodes have logged; works on a stopped testnet too.

    --json prints one object with all lines; with --follow it prints one object for each line, as it comes.
    """
    from testnet.logs import follow_logs, last_lines, log_files

    folder = find_home(home)
    files = log_files(folder, node)
    if not files:
        raise CommandFailed(
            USAGE, "no_logs", f"{shown_path(folder)} has no logs{' of ' + node if node else ''}; see `ostraka status`"
        )
    if output.as_json and not follow:
        show({"lines": [{"node": name, "line": line} for name, line in last_lines(files, lines)]})
        return
    for name, line in last_lines(files, lines):
        _print_log_line(name, line)
    try:
        while follow:
            for name, line in follow_logs(files):
                _print_log_line(name, line)
            time.sleep(MAX_FOLLOW_SLEEP)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _print_log_line(name: str, line: str) -> None:
    """One line of one log."""
    from testnet.logs import readable

    show({"node": name, "line": line})
    say(f"{name:<9} {readable(line)}")
