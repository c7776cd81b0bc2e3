"""`ostraka sweep`: thousands of seeds of the simulator over processes."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testnet.cli.common import FAILED, INTERRUPTED, JsonOption, command, example, output, people, say, show

if TYPE_CHECKING:
    from testnet.sweep.jobs import SeedResult
    from testnet.sweep.sweep import Tally


MIN_SECONDS = 30
"""Of virtual time: half of it are faults, and what they have held up must settle in the other half."""


def add_to(app: typer.Typer) -> None:
    """Hang this module's command under `app`."""
    app.command(epilog=example("ostraka sweep --seeds 2 --seconds 30 --results sweep.jsonl"))(sweep)


@command
def sweep(
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=10_000_000, help="How many.")],
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=1024, help="Processes; one for each processor when left out.")
    ] = None,
    first: Annotated[int, typer.Option("--from", min=0, help="The first seed.")] = 0,
    seconds: Annotated[
        int, typer.Option("--seconds", min=MIN_SECONDS, max=86400, help="Of virtual time, each seed.")
    ] = 60,
    contracts: Annotated[
        str | None, typer.Option("--contracts", help="Share of the seeds that have contracts, like 10%.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Keep results in this file, and go on where it ends.")
    ] = None,
    failures: Annotated[
        Path, typer.Option("--failures", help="Folder for the faults of failing seeds, for `ostraka sim --faults`.")
    ] = Path("sweep-failures"),
    as_json: JsonOption = False,
) -> None:
    """Run many seeds of the simulator, and say what they broke and which rare states none of them reached.

    Most seeds are 3 shards of 4 validators, others draw another size; one in eight has relays that lie, one in eight a
    validator that does. The exit code is 1 when an invariant was violated. After Ctrl-C the same command with the
    same --results goes on.
    """
    from testnet.faults.amounts import parse_share
    from testnet.sweep.jobs import Job
    from testnet.sweep.results import Header, ResultsFile, code_hash
    from testnet.sweep.sweep import Tally, minimise_failures, process_pool
    from testnet.sweep.sweep import sweep as run_sweep

    permille = 0 if contracts is None else parse_share(contracts)
    workers = jobs or os.cpu_count() or 1
    header = Header(code=code_hash(), seconds=seconds, contracts_permille=permille)
    file = ResultsFile(results, header)
    tally, began = Tally(), time.monotonic()
    with file, process_pool(workers) as executor:
        wanted = range(first, first + seeds)
        for seed in wanted:
            if seed in file.results:
                tally.add(file.results[seed])
        left = [Job(seed, seconds, permille) for seed in wanted if seed not in file.results]
        known, interrupted = tally.seeds, False
        with _telling(seeds, known) as told:
            told(tally)

            def take(result: "SeedResult") -> None:
                file.add(result)
                tally.add(result)
                told(tally)

            try:
                run_sweep(left, executor, workers, take)
            except KeyboardInterrupt:
                interrupted = True
        failed = [Job(each.seed, seconds, permille) for each in sorted(tally.failed, key=lambda each: each.seed)]
        files: dict[int, Path] = {}
        if failed and not interrupted:
            say(f"{len(failed)} seeds failed; looking for the few faults that matter, which takes minutes")
            try:
                minimise_failures(failed, executor, failures, lambda job, path, _: files.update({job.seed: path}))
            except KeyboardInterrupt:
                interrupted = True
    _tell(tally, time.monotonic() - began, known, files, interrupted=interrupted)
    if interrupted:
        say(f"interrupted after {tally.seeds} of {seeds} seeds" + (f"; {results} has them" if results else ""))
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(FAILED)


@contextlib.contextmanager
def _telling(seeds: int, known: int) -> Iterator[Callable[["Tally"], None]]:
    """A bar on a terminal, with what there is to know; silence elsewhere."""
    if output.as_json:
        yield lambda _tally: None
        return
    from testnet.progress import progress

    with progress(people(stderr=True), seeds, known) as bar:

        def told(tally: "Tally") -> None:
            reached = len(tally.marks) - len(tally.never())
            bar(tally.seeds, f"{len(tally.failed)} failed · {reached}/{len(tally.marks)} marks")

        yield told


def _tell(tally: "Tally", seconds: float, known: int, files: dict[int, Path], *, interrupted: bool) -> None:
    """What a sweep came to."""
    failed = sorted(tally.failed, key=lambda each: each.seed)
    show(
        {
            "seeds": tally.seeds,
            "with_contracts": tally.contracts,
            "with_liars": tally.lying,
            "slowest_seed": None if tally.slowest is None else tally.slowest.seed,
            "slowest_seconds": None if tally.slowest is None else tally.slowest.real_seconds,
            "virtual_hours": round(tally.virtual_seconds / 3600, 3),
            "faults": tally.faults,
            "events": tally.events,
            "seconds": round(seconds, 1),
            "passed": not failed,
            "interrupted": interrupted,
            "failed": [
                {"seed": each.seed, "violations": list(each.violations), "faults": str(files.get(each.seed, ""))}
                for each in failed
            ],
            "marks": tally.marks,
            "never": tally.never(),
        }
    )
    say(
        f"{tally.seeds} seeds ({known} of them known before, {tally.contracts} with contracts, "
        f"{tally.lying} with liars), {tally.virtual_seconds / 3600:.2f} virtual hours, {tally.faults} faults, "
        f"{tally.events} events, {seconds:.0f} s"
    )
    for each in failed:
        say(f"✗ seed {each.seed}: {each.violations[0]}")
        if each.seed in files:
            say(f"    → ostraka sim --faults {files[each.seed]}")
    say(f"{len(tally.marks) - len(tally.never())} of {len(tally.marks)} rare states reached")
    for name in tally.never():
        say(f"  never: {name}")
    if not failed and tally.seeds:
        say("every invariant held")
