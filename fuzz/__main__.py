"""`python -m fuzz`: mutate the samples of every target, and keep what breaks one in `fuzz/cases/`."""

import sys
import time
from argparse import ArgumentParser
from pathlib import Path

from fuzz.campaign import Crash, attempt, campaign, cases, keep, minimised, share_of
from fuzz.guided import MISSING, run_guided
from fuzz.target import Target
from fuzz.targets import TARGETS

INPUTS = 20_000
"""For each target, when nothing is said: minutes in all."""


def make_parser() -> ArgumentParser:
    """Make the parser of the command line."""
    parser = ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all when left out: {', '.join(TARGETS)}")
    parser.add_argument("--seed", type=int, default=1, help="decides every input")
    parser.add_argument("--inputs", type=int, default=INPUTS, help=f"for each target, {INPUTS} when left out")
    parser.add_argument("--seconds", type=int, default=None, help="at most, for each target")
    parser.add_argument("--guided", action="store_true", help="one target under Atheris, by the code that it reaches")
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz-corpus"), help="where Atheris keeps its inputs")
    return parser


def fuzz(target: Target, seed: int, inputs: int, seconds: int | None) -> bool:
    """Run one target and print its line; false when something broke it."""
    began = time.monotonic()
    tally = campaign(target, seed, share_of(target, inputs), seconds=seconds)
    rate = tally.inputs / max(time.monotonic() - began, 1e-9)
    line = f"{target.name:<24} {tally.inputs:>9} inputs  {tally.taken:>8} taken  {rate:>8.0f}/s"
    sys.stdout.write(line + "\n")
    if tally.crash is not None:
        tell(target, minimised(target, tally.crash))
    sys.stdout.flush()
    return tally.crash is None


def tell(target: Target, crash: Crash) -> None:
    """Keep a crasher and say where it is."""
    path = keep(crash)
    sys.stdout.write(f"  BROKEN {target.name}: {crash.error[:500]}\n  {len(crash.raw)} bytes kept as {path}\n")


def main() -> int:
    """Fuzz; 0 when nothing broke, 1 when something did, 2 for what cannot be done."""
    given = make_parser().parse_args()
    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown or (given.guided and len(given.targets) != 1):
        sys.stderr.write(f"no target {unknown[0]}\n" if unknown else "--guided takes one target\n")
        return 2
    chosen = [TARGETS[name] for name in given.targets or TARGETS]
    if given.guided:
        try:
            run_guided(chosen[0], given.seed, given.seconds or 600, given.corpus)
        except ModuleNotFoundError:
            sys.stderr.write(MISSING + "\n")
            return 2
    again = [attempt(TARGETS[name], path.read_bytes()) for name, path in cases() if TARGETS.get(name) in chosen]
    for crash in again:
        if isinstance(crash, Crash):
            tell(TARGETS[crash.target], crash)
    results = [fuzz(target, given.seed, given.inputs, given.seconds) for target in chosen]
    return 0 if all(results) and not any(isinstance(each, Crash) for each in again) else 1


if __name__ == "__main__":
    sys.exit(main())
