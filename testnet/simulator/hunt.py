"""`python -m testnet.simulator.hunt`: look for a witness of every mutant, and print the table for `mutants.py`."""

import sys
from argparse import ArgumentParser
from multiprocessing import Pool

from testnet.simulator.mutants import MUTANTS, mutant_named
from testnet.simulator.mutation import hunt

SEEDS = 40
"""A mutant that so many seeds do not catch needs other settings, or is no bug."""


def row(name: str) -> str:
    """One line of the table."""
    found = hunt(mutant_named(name), range(1, SEEDS + 1))
    if found is None:
        return f"    # {name}: not caught by {SEEDS} seeds"
    witness, violation = found
    return f'    "{name}": ({witness.seed}, "{witness.invariant}"),  # {violation.detail[:60]}'


def main() -> int:
    """Hunt in parallel, in the order of the list."""
    parser = ArgumentParser(prog="python -m testnet.simulator.hunt", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants; all when left out")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    names = given.names or [mutant.name for mutant in MUTANTS]
    with Pool(given.processes) as pool:
        for line in pool.imap(row, names):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
