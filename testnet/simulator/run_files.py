"""A run as a TOML file: its settings and an explicit list of faults, to be kept and to be run again.

    seed = 7
    seconds = 30

    [[faults]]
    kind = "crash"
    target = "s0v1"
    start_ms = 4000
    end_ms = 5000
    amount = 3

What is left out is as in a run of that seed; `testnet.simulator.faults` says what targets and amounts mean.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import msgspec

from primitives.errors import Refused
from testnet.simulator.byzantine import BYZANTINE_RELAYS, BYZANTINE_VALIDATORS
from testnet.simulator.faults import TARGETS, Fault, FaultKind, place_of, relay_name, shape_of, validator_name
from testnet.simulator.settings import SimulationSettings
from testnet.toml_file import read_toml, toml_lines

MAX_FILE_BYTES: Final = 1 << 20
"""Some ten thousand faults."""

MAX_NUMBER: Final = 2**53
"""Of a time or an amount."""


def run_text(settings: SimulationSettings, comments: tuple[str, ...] = ()) -> str:
    """The file of a run, its faults as an explicit list; `comments` stand above, a line each."""
    settings = settings.expanded()
    plain = msgspec.to_builtins(SimulationSettings(settings.seed))
    table: dict[str, Any] = msgspec.to_builtins(settings)
    faults = table.pop("faults")
    lines = [f"# {line}" for text in comments for line in text.splitlines()]
    kept = {name: value for name, value in table.items() if value is not None and value != plain[name]}
    tables = {name: value for name, value in kept.items() if isinstance(value, dict)}
    lines += toml_lines({"seed": settings.seed} | {name: value for name, value in kept.items() if name not in tables})
    if not faults:
        lines.append("faults = []")
    for name, value in tables.items():
        lines += ["", f"[{name}]", *toml_lines(value)]
    for fault in faults:
        lines += ["", "[[faults]]", *toml_lines(fault)]
    return "\n".join(lines) + "\n"


def load_run(path: Path) -> SimulationSettings:
    """Read the file of a run.

    Raises:
        Refused: `no_run` or `bad_run`, saying what is wrong with it.

    """
    table = read_toml(path, "run", MAX_FILE_BYTES)
    try:
        return parse_run(table)
    except Refused as refused:
        raise Refused("bad_run", f"{path}: {refused.detail}") from None


def parse_run(table: dict[str, Any]) -> SimulationSettings:
    """Check the content of a run's file.

    Raises:
        Refused: `bad_run`.

    """
    known = {each.name for each in fields(SimulationSettings)}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise Refused("bad_run", f"{unknown[0][:60]}: unknown key; there are {', '.join(sorted(known))}")
    try:
        settings = msgspec.convert(table, SimulationSettings)
    except msgspec.ValidationError as error:
        raise Refused("bad_run", str(error)) from None
    places = _places(settings)
    _check_liars(settings, places)
    for number, fault in enumerate(settings.faults or (), 1):
        _check(fault, number, places)
        if fault.kind is FaultKind.LYING and settings.byzantine_validators.get(fault.target) in {None, "twins"}:
            raise Refused(
                "bad_run", f"fault {number} (lying): byzantine_validators says nothing of {fault.target}, or twins"
            )
    return settings


def _places(settings: SimulationSettings) -> frozenset[str]:
    sizes = (settings.shards, settings.validators, settings.relays)
    if not (1 <= sizes[0] <= 64 and 1 <= sizes[1] <= 32 and 0 <= sizes[2] <= 64):
        raise Refused("bad_run", f"there cannot be {sizes[0]} shards of {sizes[1]} validators with {sizes[2]} relays")
    shards = [f"s{shard}" for shard in range(settings.shards)]
    validators = [
        validator_name(shard, index) for shard in range(settings.shards) for index in range(settings.validators)
    ]
    relays = [relay_name(relay) for relay in range(settings.relays + len(settings.byzantine_relays))]
    return frozenset([*shards, *validators, *relays])


def _check_liars(settings: SimulationSettings, places: frozenset[str]) -> None:
    odd = [name for name in settings.byzantine_relays if name not in BYZANTINE_RELAYS]
    odd += [what for what in settings.byzantine_validators.values() if what not in BYZANTINE_VALIDATORS]
    named = [*settings.byzantine_validators, *([settings.crash_boundary[0]] if settings.crash_boundary else [])]
    odd += [name for name in named if "v" not in name or name not in places]
    if odd:
        raise Refused("bad_run", f"{odd[0][:40]!r} is no behaviour, or no validator of this run")


def _check(fault: Fault, number: int, places: frozenset[str]) -> None:
    ends = fault.target.split(">")
    inside = shape_of(fault.target) != "validator>validator" or place_of(ends[0])[0] == place_of(ends[1])[0]
    exist = fault.target == "all" or (places.issuperset(ends) and len(set(ends)) == len(ends) and inside)
    if not exist or shape_of(fault.target) not in TARGETS[fault.kind]:
        raise Refused("bad_run", f"fault {number} ({fault.kind}): {fault.target[:40]!r} is no target of it in this run")
    if not 0 <= fault.start_ms <= fault.end_ms <= MAX_NUMBER or abs(fault.amount) > MAX_NUMBER:
        raise Refused("bad_run", f"fault {number} ({fault.kind}): it begins at 0 or later and ends after it begins")
