"""`python -m tests.hunt`: look for witnesses of the planted bugs, and say how many of a hundred seeds see each."""

import json
import math
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import msgspec

from primitives.errors import InvariantViolated, Refused
from testnet.cli.common import people
from testnet.progress import progress
from testnet.simulator.mutation import planted
from testnet.sweep.results import RecordsFile, code_hash
from testnet.sweep.sweep import process_pool, spread
from tests.hunt.scores import Results, Score, left, score_of, table, unsound
from tests.hunt.suspects import Suspect, suspects
from tests.hunt.trials import HuntHeader, TrialResult, run_trial

FAILED, USAGE, INTERRUPTED = 1, 2, 130

SEEDS = 10
"""Of each bug: twelve minutes of a core. One that so many do not see needs other settings, or is no bug."""


def make_parser() -> ArgumentParser:
    """Make the parser of the command line."""
    parser = ArgumentParser(prog="python -m tests.hunt", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MUTANT", help="names, or parts like `calls`; all when left out")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"for each; {SEEDS} when left out")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed; 1 when left out")
    parser.add_argument("--until-killed", action="store_true", help="one seed that sees a bug is enough")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=int, default=None, help="stop after so long, as Ctrl-C does")
    parser.add_argument("--results", type=Path, default=None, help="keep results in this file, and go on where it ends")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def named(words: Sequence[str]) -> list[Suspect]:
    """The bugs that were asked for.

    Raises:
        Refused: `unknown_mutant`.

    """
    known = suspects()
    unknown = [word for word in words if word not in known and word not in {each.part for each in known.values()}]
    if unknown:
        raise Refused("unknown_mutant", f"{unknown[0]!r} is neither a mutant nor a part; --seeds 0 lists them all")
    return [each for each in known.values() if not words or each.name in words or each.part in words]


def unfit(suspect: Suspect) -> str:
    """Why a bug cannot be planted any more: the code has changed, and it must be planted anew. Empty when it can."""
    try:
        with planted(suspect):
            return ""
    except InvariantViolated as misfit:
        return f"✗ {suspect.name} cannot be planted: {misfit}"


def hunt(chosen: Sequence[Suspect], seeds: range, given: Namespace) -> Results:
    """Run what is left; all results that there are then."""
    header = HuntHeader(code=code_hash("tests/consensus"))
    end = math.inf if given.seconds is None else time.monotonic() + given.seconds
    with RecordsFile(given.results, header, TrialResult, lambda each: each.key, "hunt") as file:
        done = sum((suspect.name, seed) in file.results for suspect in chosen for seed in seeds)
        pieces = left(chosen, seeds, file.results, until_killed=given.until_killed)
        with (
            process_pool(given.jobs) as executor,
            progress(people(stderr=True), len(chosen) * len(seeds), done) as told,
        ):

            def take(result: TrialResult) -> None:
                nonlocal done
                file.add(result)
                done += not result.is_clean
                told(done, f"{result.name}, seed {result.seed}: {result.checker or 'nothing seen'}")

            with suppress(KeyboardInterrupt):
                spread(run_trial, takewhile(lambda _: time.monotonic() < end, pieces), executor, given.jobs, take)
        return file.results


def tell(scores: Sequence[Score], clean: Sequence[TrialResult], *, as_json: bool) -> None:
    """The table, and what must be mended."""
    stale = [score for score in scores if score.is_stale]
    if as_json:
        say(
            json.dumps(
                {
                    "mutants": [score.plain() for score in scores],
                    "stale_witnesses": [score.suspect.name for score in stale],
                    "unsound": [msgspec.to_builtins(result) for result in clean],
                }
            )
        )
        return
    say(table(scores))
    if stale:
        say("\nwitnesses to record in testnet/simulator/mutants.py:")
        say("\n".join(score.witness() for score in stale))
    for result in clean:
        say(f"✗ without any bug, {result.name}, seed {result.seed}: {result.checker}: {result.detail}")


def say(text: str) -> None:
    """Some lines for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Hunt; 1 when a witness or a mutant is stale or a clean run is not clean, 2 for what cannot be done."""
    given = make_parser().parse_args()
    seeds = range(given.first, given.first + given.seeds)
    try:
        chosen = named(given.names)
        misfits = {suspect.name: why for suspect in chosen if (why := unfit(suspect))}
        chosen = [suspect for suspect in chosen if suspect.name not in misfits]
        results = hunt(chosen, seeds, given)
    except Refused as refused:
        sys.stderr.write(f"{refused.detail}\n")
        return USAGE
    scores, clean = [score_of(suspect, results) for suspect in chosen], unsound(chosen, results)
    tell(scores, clean, as_json=given.json)
    sys.stderr.writelines(f"{why}\n" for why in misfits.values())
    if next(left(chosen, seeds, results, until_killed=given.until_killed), None) is not None:
        sys.stderr.write("stopped; the same command with the same --results goes on\n")
        return INTERRUPTED
    return FAILED if clean or misfits or any(score.is_stale for score in scores) else 0


if __name__ == "__main__":
    sys.exit(main())
