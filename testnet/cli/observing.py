"""`ostraka observe`: a judge beside a running testnet."""

import contextlib
import time
from typing import TYPE_CHECKING, Annotated

import typer

from testnet.cli.common import FAILED, HomeOption, JsonOption, command, example, output, people, running, say, show

if TYPE_CHECKING:
    from testnet.observer.watch import Observer
    from testnet.run_file import RunInfo


def add_to(app: typer.Typer) -> None:
    """Hang this module's command under `app`."""
    app.command(epilog=example("ostraka observe", "ostraka observe --for 60s --json"))(observe)


@command
def observe(
    lasts: Annotated[str | None, typer.Option("--for", help="Stop after so long, like 60s. Default: Ctrl-C.")] = None,
    every: Annotated[str, typer.Option("--every", help="How often everyone is asked.")] = "1s",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask all validators again and again and judge what they say; exit code 1 when an invariant broke.

    Blocks, results, certificates, messages and money of all shards are compared, over restarts too. Progress is
    demanded only while nothing is broken on purpose.
    """
    import asyncio

    import msgspec

    from testnet.faults.amounts import parse_delay, parse_lasts
    from testnet.observer.checker import JUDGED
    from testnet.scenarios.reports import findings_of

    info = running(home)
    lasts_ms, every_ms = parse_lasts(lasts), parse_delay(every)
    if lasts_ms is None:
        say("observing; Ctrl-C ends it with the verdict")
    began = time.monotonic()
    observer = asyncio.run(_observe(info, None if lasts_ms is None else lasts_ms / 1000, every_ms / 1000))
    findings = findings_of(observer.findings.all())
    counts = dict(sorted(observer.checker.counts.items()))
    heights = [observer.heights[shard] for shard in range(info.shards)]
    seconds = round(time.monotonic() - began, 1)
    show(
        {
            "passed": not findings,
            "seconds": seconds,
            "heights": heights,
            "findings": msgspec.to_builtins(findings),
            "counts": counts,
            "judged": JUDGED,
        }
    )
    for found in findings:
        say(f"✗ {found.invariant} at {found.node}, height {found.height}: {found.detail}")
    say("  " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    if findings:
        raise typer.Exit(FAILED)
    say(f"✓ every invariant held for {seconds:g} s ({' '.join(JUDGED)})")


async def _observe(info: "RunInfo", seconds: float | None, every_seconds: float) -> "Observer":
    """Look until the time is over or somebody presses Ctrl-C, then judge."""
    import asyncio
    import signal

    import aiohttp

    from testnet.faults.control import FaultControl
    from testnet.observer.watch import Observer

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    control = FaultControl(info)
    async with aiohttp.ClientSession() as session:
        observer = Observer(info, session)
        deadline = None if seconds is None else loop.time() + seconds
        with contextlib.ExitStack() as shown:
            console = people(stderr=True)
            status = shown.enter_context(console.status("")) if console.is_terminal and not output.as_json else None
            while not stop.is_set():
                broken = bool(await asyncio.to_thread(control.listing))
                nodes = await asyncio.to_thread(control.nodes)
                observer.checker.guilty.update(node.name for node in nodes if node.behaviour)
                await observer.look(broken=broken)
                if status is not None:
                    status.update(_line(observer, broken=broken))
                if observer.findings or (deadline is not None and loop.time() >= deadline):
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), every_seconds)
        observer.checker.verdict(must_be_settled=False)
    return observer


def _line(observer: "Observer", *, broken: bool) -> str:
    """How it stands."""
    heights = "  ".join(f"s{shard} h{height}" for shard, height in observer.heights.items())
    silent = f"  silent: {' '.join(observer.silent[:6])}" if observer.silent else ""
    return f"{heights}{silent}{'  (something is broken on purpose)' if broken else ''}"
