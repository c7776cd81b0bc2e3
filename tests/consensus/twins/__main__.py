"""`python -m tests.consensus.twins --n 4 --rounds 3`: run all scenarios of a shape, some of them, or one again."""

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import takewhile

from primitives.marks import recording
from testnet.cli.common import people
from testnet.progress import progress
from testnet.sweep.sweep import process_pool, spread
from tests.consensus.twins.batches import Batch, Failure, Found, batches, run_batch, sample
from tests.consensus.twins.cluster import run_case
from tests.consensus.twins.scenarios import Shape

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def make_parser() -> ArgumentParser:
    """Make the parser of the command line."""
    parser = ArgumentParser(prog="python -m tests.consensus.twins", description=__doc__)
    parser.add_argument("--n", type=int, default=4, help="validators; 4 when left out")
    parser.add_argument("--rounds", type=int, default=3, help="views that are scripted; 3 when left out")
    parser.add_argument("--twins", type=int, default=None, help="of the validators; f when left out")
    parser.add_argument("--parts", type=int, default=2, help="that a view splits the processes into at most; 2")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--case", type=int, default=None, metavar="NUMBER", help="only this one, and say what it is")
    which.add_argument("--sample", type=int, default=None, metavar="CASES", help="so many, drawn by --seed")
    which.add_argument("--from", type=int, default=0, dest="first", metavar="NUMBER", help="begin with this one")
    parser.add_argument("--cases", type=int, default=None, help="with --from: so many; all when left out")
    parser.add_argument("--seed", type=int, default=1, help="of --sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=int, default=None, help="stop after so long, as Ctrl-C does")
    return parser


def command(shape: Shape, *words: str) -> str:
    """What to type to see cases of this shape."""
    options = [f"--n {shape.validators}", f"--rounds {shape.rounds}"]
    options += [f"--twins {shape.twins}"] if shape.twins is not None else []
    options += [f"--parts {shape.parts}"] if shape.parts != Shape.parts else []
    return " ".join(("python -m tests.consensus.twins", *options, *words))


def say(text: str) -> None:
    """One line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(shape: Shape, failure: Failure) -> None:
    """A case that broke something: what it is, and how to see it again."""
    say(f"✗ case {failure.index}: {failure.error}")
    for number, each in enumerate(shape.scenario(failure.index), 1):
        say(f"    view {number}, led by {each.text(shape.validators)}")
    say(f"    → {command(shape, f'--case {failure.index}')}")


def again(shape: Shape, index: int) -> int:
    """Run one case in this process, where a debugger can stop it."""
    for number, each in enumerate(shape.scenario(index), 1):
        say(f"view {number}, led by {each.text(shape.validators)}")
    with recording() as marks:
        outcome = run_case(shape, index)
    say(f"every promise held; height {outcome.height} after the splits, {outcome.blames} convictions")
    say("\n".join(f"  {name} ({times}×)" for name, times in sorted(marks.items())))
    return 0


def run(shape: Shape, indices: Sequence[int], jobs: int, seconds: int | None) -> Found:
    """Run the cases over processes; fewer than all when it was stopped."""
    found = Found()
    pieces: Iterator[Batch] = batches(shape, indices)
    if seconds is not None:
        end = time.monotonic() + seconds
        pieces = takewhile(lambda _batch: time.monotonic() < end, pieces)
    with process_pool(jobs) as executor, progress(people(stderr=True), len(indices)) as told:

        def take(part: Found) -> None:
            for failure in part.failures:
                tell(shape, failure)
            found.add(part)
            told(found.cases, f"{len(found.failures)} failed · {found.blamed} with convictions")

        with suppress(KeyboardInterrupt):
            spread(run_batch, pieces, executor, jobs, take)
    return found


def main() -> int:
    """Run; 0 when every promise held, 1 when one was broken, 2 for what cannot be done, 130 when it was stopped."""
    given = make_parser().parse_args()
    try:
        shape = Shape(given.n, given.rounds, given.twins, given.parts)
        shape.scenario(given.first if given.case is None else given.case)
    except (ValueError, IndexError) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    say(
        f"{shape.validators} validators, {shape.guilty} of them twins: {len(shape.choices)} ways to lead and split "
        f"a view, {shape.all_names} scenarios of {shape.rounds} views, {shape.count} up to names"
    )
    if given.case is not None:
        return again(shape, given.case)
    indices = chosen(shape, given)
    began = time.monotonic()
    found = run(shape, indices, given.jobs, given.seconds)
    took = max(time.monotonic() - began, 1e-9)
    say(
        f"{found.cases} cases in {took:.0f} s ({found.cases / took:.0f}/s): {len(found.failures)} failed, "
        f"{found.blamed} with convictions, {found.grown} with final blocks in spite of the splits"
    )
    say("rare states: " + ", ".join(f"{name} {times}" for name, times in sorted(found.marks.items())))
    is_whole = found.cases == len(indices)
    if not is_whole:
        say(f"stopped; it goes on with: {resumption(shape, indices, found, given)}")
    return FAILED if found.failures else 0 if is_whole else INTERRUPTED


def chosen(shape: Shape, given: Namespace) -> Sequence[int]:
    """Numbers of the cases that were asked for."""
    if given.sample is not None:
        return sample(shape, given.sample, given.seed)
    last = shape.count if given.cases is None else min(shape.count, given.first + given.cases)
    return range(given.first, last)


def resumption(shape: Shape, indices: Sequence[int], found: Found, given: Namespace) -> str:
    """The command that runs what is left; batches behind the first that is missing are run again."""
    if given.sample is not None:
        return command(shape, f"--sample {given.sample} --seed {given.seed}")
    done = {part[0] for part in found.done}
    first = next(batch.indices[0] for batch in batches(shape, indices) if batch.indices[0] not in done)
    return command(shape, f"--from {first}", f"--cases {indices[-1] + 1 - first}")


if __name__ == "__main__":
    sys.exit(main())
