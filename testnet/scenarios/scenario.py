"""A scenario file, checked in full before anything is broken.

name = "a bad minute"
shards = 3                      # and validators, relays: what it is written for
duration = "40s"                # of the chaos; then everything is healed and must settle within `settle`
settle = "30s"
memory_growth = "5%"            # more is a violation, in a run of more than ten minutes on a real testnet

[load]
transfers_per_second = 2        # on each shard, all the time; half of them to other shards

[[step]]
at = "5s"
action = "partition"            # cut, delay, drop, duplicate, corrupt, skew, disk, kill, pause, halt, restart,
                                # byzantine, heal
target = ["s0/v0", "s0/v1"]     # as `ostraka fault` takes it: s0/v1, s0, r0, s0/v1-s0/v2, r0-s1, s0-s2, all
for = "8s"                      # until the end of the chaos when left out
every = "5m"                    # again and again, as long as it is over before the chaos is
share = "10%"                   # of drop, duplicate, corrupt
by = "200ms"                    # of delay, disk slow, and skew ("-900ms")
effect = "slow"                 # of disk: full, eio, slow
behaviour = "equivocate"        # of byzantine
"""

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from primitives.errors import Refused
from primitives.identifiers import MAX_SHARDS, MAX_VALIDATORS
from shards.node.injection.faults import DiskEffect
from testnet.durations import HOW, parse_milliseconds, shown
from testnet.faults.amounts import parse_delay, parse_offset, parse_share
from testnet.faults.targets import End, Shape, Target, Validator
from testnet.lying import check_behaviour
from testnet.manifest import MAX_RELAYS
from testnet.toml_file import read_toml

MAX_FILE_BYTES = 256 * 1024
"""A thousand steps have 100 kB."""

MAX_STEPS = 1000

MIN_EVERY_MS = 1000
"""Nobody can tell apart what happens more often."""

MAX_RUN_MS = 24 * 3_600_000
"""A day: the longest soak that somebody watches."""

Action = Literal[
    "cut", "partition", "delay", "drop", "duplicate", "corrupt", "skew", "disk",
    "kill", "pause", "halt", "restart", "byzantine", "heal",
]  # fmt: skip

_NEEDS: Final[dict[str, frozenset[str]]] = {
    "cut": frozenset({"target"}),
    "partition": frozenset({"target"}),
    "delay": frozenset({"target", "by"}),
    "drop": frozenset({"target", "share"}),
    "duplicate": frozenset({"target", "share"}),
    "corrupt": frozenset({"target", "share"}),
    "skew": frozenset({"target", "by"}),
    "disk": frozenset({"target", "effect"}),
    "kill": frozenset({"target"}),
    "pause": frozenset({"target"}),
    "halt": frozenset({"target"}),
    "restart": frozenset({"target"}),
    "byzantine": frozenset({"target", "behaviour"}),
    "heal": frozenset(),
}
"""What each action must be told."""

_MAY: Final[dict[str, frozenset[str]]] = {
    "delay": frozenset({"jitter", "for"}),
    "disk": frozenset({"by", "for"}),
    "restart": frozenset(),
    "heal": frozenset(),
}
"""And what it may be told beside; `for`, unless said otherwise."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the file's tables."""


class LoadTable(_Table, frozen=True):
    """What users do meanwhile."""

    transfers_per_second: Annotated[int, Meta(ge=1, le=1000)] = 2
    """On each shard."""


class StepTable(_Table, frozen=True, rename={"lasts": "for"}):
    """A step as it is written."""

    at: str
    action: Action
    target: str | Annotated[list[str], Meta(min_length=1, max_length=64)] | None = None
    lasts: str | None = None
    every: str | None = None
    share: str | None = None
    by: str | None = None
    jitter: str | None = None
    effect: DiskEffect | None = None
    behaviour: str | None = None


class ScenarioTable(_Table, frozen=True):
    """The whole file."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    description: Annotated[str, Meta(max_length=2000)] = ""
    shards: Annotated[int, Meta(ge=1, le=MAX_SHARDS)] = 3
    validators: Annotated[int, Meta(ge=1, le=MAX_VALIDATORS)] = 4
    relays: Annotated[int, Meta(ge=0, le=MAX_RELAYS)] = 1
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 1
    """Of the simulator, and of who pays whom."""
    duration: str | None = None
    settle: str = "30s"
    memory_growth: str | None = None
    """What the memory of a process may grow by in a long run; on a real testnet only."""
    load: LoadTable = LoadTable()
    step: Annotated[list[StepTable], Meta(max_length=MAX_STEPS)] = []


@dataclass(frozen=True, slots=True)
class Step:
    """A step that can be carried out. Which of the fields mean something depends on the action."""

    at_ms: int
    action: Action
    text: str
    """As a person reads it."""
    targets: tuple[Target, ...]
    """Of faults of links."""
    nodes: tuple[End, ...]
    """Of faults of processes, disks and clocks."""
    lasts_ms: int
    permille: int = 1000
    amount_ms: int = 0
    jitter_ms: int = 0
    effect: DiskEffect = "full"
    behaviour: str = ""

    @property
    def validators(self) -> tuple[Validator, ...]:
        """Those of the nodes that are validators."""
        return tuple(node for node in self.nodes if isinstance(node, Validator))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a file says."""

    name: str
    description: str
    shape: Shape
    seed: int
    chaos_ms: int
    settle_ms: int
    transfers_per_second: int
    memory_growth_permille: int | None
    steps: tuple[Step, ...]
    """In order of time."""


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        Refused: `no_scenario` or `bad_scenario`, naming the file, the step and what is wrong.

    """
    return parse_scenario(read_toml(path, "scenario", MAX_FILE_BYTES), str(path))


def parse_scenario(table: dict[str, Any], source: str) -> Scenario:
    """Check a scenario's content; `source` names it in errors.

    Raises:
        Refused: `bad_scenario`.

    """
    try:
        written = msgspec.convert(table, ScenarioTable)
    except msgspec.ValidationError as error:
        raise Refused("bad_scenario", f"{source}: {_explained(str(error))}") from None
    shape = Shape(written.shards, written.validators, written.relays)
    starts = [_time(step.at, f"{source}: step {number}: at") for number, step in enumerate(written.step, 1)]
    if written.duration is None:
        ends = [
            at + (_time(step.lasts, f"{source}: step {number}: for") if step.lasts else 0)
            for number, (at, step) in enumerate(zip(starts, written.step, strict=True), 1)
        ]
        chaos_ms = max(ends, default=0) + 1000
    else:
        chaos_ms = _time(written.duration, f"{source}: duration")
    steps: list[Step] = []
    for number, (at_ms, step) in enumerate(zip(starts, written.step, strict=True), 1):
        where = f"{source}: step {number} ({step.action} at {step.at})"
        try:
            steps += _repeated(check_step(step, at_ms, chaos_ms, shape), step, chaos_ms)
        except Refused as refused:
            raise Refused("bad_scenario", f"{where}: {refused.detail}") from None
    if len(steps) > MAX_STEPS:
        raise Refused(
            "bad_scenario", f"{source}: with those that repeat these are {len(steps)} steps; {MAX_STEPS} may be"
        )
    return Scenario(
        name=written.name,
        description=written.description,
        shape=shape,
        seed=written.seed,
        chaos_ms=chaos_ms,
        settle_ms=_time(written.settle, f"{source}: settle"),
        transfers_per_second=written.load.transfers_per_second,
        memory_growth_permille=_growth(written.memory_growth, source),
        steps=tuple(sorted(steps, key=lambda step: step.at_ms)),
    )


def _growth(text: str | None, source: str) -> int | None:
    try:
        return None if text is None else parse_share(text)
    except Refused as refused:
        raise Refused("bad_scenario", f"{source}: memory_growth: {refused.detail}") from None


def _explained(error: str) -> str:
    """What msgspec says, with what is allowed in that place."""
    if error.endswith(".action`"):
        return f"{error}; actions are {', '.join(_NEEDS)}"
    unknown = re.search(r"unknown field `([^`]*)`", error)
    if unknown is None:
        return error
    table = StepTable if ".step[" in error else LoadTable if ".load" in error else ScenarioTable
    names = [field.encode_name for field in msgspec.structs.fields(table)]
    near = difflib.get_close_matches(unknown[1], names, n=1)
    return f"{error}; {f'did you mean {near[0]}? ' if near else ''}Allowed there: {', '.join(names)}"


def _time(text: str, where: str) -> int:
    found = parse_milliseconds(text)
    if found is None:
        raise Refused("bad_scenario", f"{where}: {text[:40]!r} is no duration; {HOW}")
    if found > MAX_RUN_MS:
        raise Refused("bad_scenario", f"{where}: {text[:40]} is longer than {shown(MAX_RUN_MS)}, the longest scenario")
    return found


def check_step(step: StepTable, at_ms: int, chaos_ms: int, shape: Shape) -> Step:
    """Check one step on its own.

    Raises:
        Refused: it lacks something, has what its action does not take, or names what is not there.

    """
    _refuse_misfits(step)
    lasts_ms = chaos_ms - at_ms if step.lasts is None else _time(step.lasts, "for")
    if at_ms >= chaos_ms or lasts_ms <= 0 or at_ms + lasts_ms > chaos_ms:
        raise Refused(
            "bad_scenario",
            f"it lasts from {shown(at_ms)} to {shown(at_ms + lasts_ms)}; the chaos is over at {shown(chaos_ms)}",
        )
    written = [step.target] if isinstance(step.target, str) else step.target or []
    targets, nodes = _targets(step.action, written, shape)
    permille = parse_share(step.share) if step.share is not None else 1000
    amount_ms = 0
    if step.by is not None:
        amount_ms = parse_offset(step.by) if step.action == "skew" else parse_delay(step.by)
    words = [step.effect, step.behaviour, " ".join(written), step.share, step.by, step.jitter and f"± {step.jitter}"]
    return Step(
        at_ms=at_ms,
        action=step.action,
        text=" ".join([step.action, *(word for word in words if word)]),
        targets=targets,
        nodes=nodes,
        lasts_ms=lasts_ms,
        permille=permille,
        amount_ms=amount_ms,
        jitter_ms=parse_delay(step.jitter) if step.jitter is not None else 0,
        effect=step.effect or "full",
        behaviour=check_behaviour(step.behaviour) if step.behaviour is not None else "",
    )


def _repeated(step: Step, written: StepTable, chaos_ms: int) -> list[Step]:
    """A step as often as it happens."""
    if written.every is None:
        return [step]
    every_ms = _time(written.every, "every")
    ends = written.lasts is not None or step.action in {"restart", "heal"}
    if every_ms < MIN_EVERY_MS or not ends:
        raise Refused("bad_scenario", f"what repeats says for how long, and begins at most every {shown(MIN_EVERY_MS)}")
    lasts_ms = step.lasts_ms if written.lasts is not None else 1
    starts = range(step.at_ms, chaos_ms - lasts_ms + 1, every_ms)
    return [replace(step, at_ms=at_ms, lasts_ms=min(step.lasts_ms, chaos_ms - at_ms)) for at_ms in starts]


def _refuse_misfits(step: StepTable) -> None:
    """Refuse what an action lacks, and what it would not look at."""
    given = {
        field.encode_name
        for field in msgspec.structs.fields(StepTable)
        if field.name not in {"at", "action", "every"} and getattr(step, field.name) is not None
    }
    needs = _NEEDS[step.action]
    may = needs | _MAY.get(step.action, frozenset({"for"}))
    missing, odd = sorted(needs - given), sorted(given - may)
    if step.action == "disk" and step.effect == "slow" and step.by is None:
        missing.append("by")
    if missing:
        raise Refused("bad_scenario", f"{step.action} needs {' and '.join(missing)}")
    if odd:
        raise Refused(
            "bad_scenario", f"{step.action} has no {' or '.join(odd)}; it takes {', '.join(sorted(may)) or 'nothing'}"
        )


def _targets(action: Action, written: list[str], shape: Shape) -> tuple[tuple[Target, ...], tuple[End, ...]]:
    match action:
        case "partition":
            return (shape.group(written),), ()
        case "cut" | "delay" | "drop" | "duplicate" | "corrupt":
            return tuple(shape.parse(each) for each in written), ()
        case "skew" | "disk" | "byzantine":
            return (), tuple(validator for each in written for validator in shape.validator(each))
        case _:
            return (), tuple(node for each in written for node in shape.nodes(each))
