"""`python -m testnet.simulator --seed 7`: run one simulation, print its faults and the verdict."""

import sys
from argparse import ArgumentParser, Namespace

from testnet.simulator.byzantine import BYZANTINE_RELAYS, BYZANTINE_VALIDATORS
from testnet.simulator.settings import SimulationSettings
from testnet.simulator.shrink import shrink
from testnet.simulator.world import run_simulation


def make_parser() -> ArgumentParser:
    """Make the parser of the command line."""
    plain = SimulationSettings(0)
    parser = ArgumentParser(prog="python -m testnet.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="decides everything")
    parser.add_argument("--shards", type=int, default=plain.shards)
    parser.add_argument("--validators", type=int, default=plain.validators, help="of each shard")
    parser.add_argument("--relays", type=int, default=plain.relays)
    parser.add_argument("--seconds", type=int, default=plain.seconds, help="of virtual time")
    parser.add_argument("--chaos-seconds", type=int, default=None, help="half of the run when left out")
    parser.add_argument("--transactions-per-second", type=int, default=plain.transactions_per_second)
    parser.add_argument("--calls-per-minute", type=int, default=plain.calls_per_minute, help="of contracts")
    parser.add_argument("--accounts", type=int, default=plain.accounts, help="of each shard")
    parser.add_argument("--flush-blocks", type=int, default=plain.flush_blocks, help="between writes of the state")
    parser.add_argument("--intensity", type=int, default=plain.intensity, help="multiplies the chances of faults")
    parser.add_argument("--catalogue", default=plain.catalogue, choices=("usual", "whole"), help="of faults")
    parser.add_argument("--byzantine-relay", action="append", default=[], choices=sorted(BYZANTINE_RELAYS))
    parser.add_argument(
        "--byzantine-validator",
        action="append",
        default=[],
        metavar="s0v1:BEHAVIOUR",
        help=" ".join(BYZANTINE_VALIDATORS),
    )
    parser.add_argument("--crash", default=None, metavar="s0v1:57", help="kill a validator at an effect boundary")
    parser.add_argument("--shrink", action="store_true", help="if it fails, look for the few faults that matter")
    parser.add_argument("--no-faults", action="store_true", help="nothing goes wrong")
    return parser


def settings_of(given: Namespace) -> SimulationSettings:
    """Settings from a parsed command line; `SimulationSettings.command` writes one."""
    crash = None
    if given.crash is not None:
        name, boundary = given.crash.split(":")
        crash = (name, int(boundary))
    return SimulationSettings(
        seed=given.seed,
        shards=given.shards,
        validators=given.validators,
        relays=given.relays,
        seconds=given.seconds,
        chaos_seconds=given.chaos_seconds,
        transactions_per_second=given.transactions_per_second,
        calls_per_minute=given.calls_per_minute,
        accounts=given.accounts,
        flush_blocks=given.flush_blocks,
        intensity=given.intensity,
        catalogue=given.catalogue,
        byzantine_relays=tuple(given.byzantine_relay),
        byzantine_validators=dict(word.split(":") for word in given.byzantine_validator),
        crash_boundary=crash,
        faults=() if given.no_faults else None,
    )


def main() -> int:
    """Run, print, and return 0 if every invariant held."""
    given = make_parser().parse_args()
    report = run_simulation(settings_of(given))
    if given.shrink and not report.passed:
        report = shrink(report)
        sys.stdout.write(f"shrunk to faults=({', '.join(map(repr, report.faults()))},)\n")
    sys.stdout.write(report.text() + "\n")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
