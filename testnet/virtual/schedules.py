"""Faults that are planned together, their times counted from when they are played; and files of them.

seed = 7
shards = 3
validators = 4

[[plan]]                # of the first `net.fault.chaos()` or `play()` of a test; the next is that of the second

[[plan.faults]]         # as in the file of a simulation
kind = "crash"
target = "s0v1"
start_ms = 4000
end_ms = 5000
amount = 3
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from primitives.errors import Refused
from testnet.simulator.faults import Fault
from testnet.simulator.run_files import MAX_FILE_BYTES, parse_run
from testnet.toml_file import read_toml, toml_lines

Schedule = tuple[Fault, ...]
"""Faults whose times count from when they are played."""

SIZE: Final = ("seed", "shards", "validators")
"""What a file says of the net that the plans are for."""

RELAYS: Final = 1
"""Of every virtual testnet."""


class Plans:
    """Schedules in the order in which a test plays them: those that it asked for, or others in their place."""

    def __init__(self) -> None:
        self.given: tuple[Schedule, ...] | None = None
        """What is played instead of what is asked for; nothing, when there are no more of them."""
        self.played: list[Schedule] = []

    def next(self, asked: Schedule) -> Schedule:
        """What to play."""
        if self.given is not None:
            number = len(self.played)
            asked = self.given[number] if number < len(self.given) else ()
        self.played.append(asked)
        return asked


def later(schedule: Iterable[Fault], by_ms: int) -> list[Fault]:
    """The same faults, so much later."""
    return [replace(each, start_ms=each.start_ms + by_ms, end_ms=each.end_ms + by_ms) for each in schedule]


def check_schedule(schedule: Sequence[Fault], shards: int, validators: int) -> None:
    """Refuse faults that cannot be in a net of this size.

    Raises:
        Refused: `bad_run`, naming the first.

    """
    _parse([msgspec.to_builtins(each) for each in schedule], {"shards": shards, "validators": validators})


def _parse(faults: Any, size: dict[str, Any]) -> Schedule:
    return parse_run({"seed": 0, **size, "relays": RELAYS, "faults": faults}).faults or ()


def plans_text(plans: Iterable[Schedule], size: dict[str, int], comments: Iterable[str] = ()) -> str:
    """The file of a test's plans; `size` is the net's seed, shards and validators, `comments` stand above."""
    lines = [*(f"# {line}" for line in comments), *toml_lines(size)]
    for plan in plans:
        lines += ["", "[[plan]]"] if plan else ["", "[[plan]]", "faults = []"]
        for fault in plan:
            lines += ["", "[[plan.faults]]", *toml_lines(msgspec.to_builtins(fault))]
    return "\n".join(lines) + "\n"


def read_plans(path: Path) -> tuple[Schedule, ...]:
    """Read such a file.

    Raises:
        Refused: `no_run` or `bad_run`, saying what is wrong with it.

    """
    table = read_toml(path, "run", MAX_FILE_BYTES)
    plans, size = table.pop("plan", None), {name: table[name] for name in SIZE if name in table}
    if set(table) - set(SIZE) or not isinstance(plans, list) or not all(isinstance(each, dict) for each in plans):
        raise Refused("bad_run", f"{path}: it has [[plan]] tables and {', '.join(SIZE)}, nothing else")
    try:
        return tuple(_parse(plan.get("faults", []), size | {"seed": size.get("seed", 0)}) for plan in plans)
    except Refused as refused:
        raise Refused("bad_run", f"{path}: {refused.detail}") from None
