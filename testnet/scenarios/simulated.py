"""A scenario in the simulator: the same steps as faults of virtual time, judged by every checker there is."""

from collections.abc import Iterator

from primitives.errors import Refused
from testnet.faults.targets import End, Group, Link, Relay, Shape, Shard, Target, Validator, pairs_of
from testnet.scenarios.reports import ScenarioReport, StepReport, findings_of
from testnet.scenarios.scenario import Scenario, Step
from testnet.simulator import SimulationSettings, run_simulation
from testnet.simulator.faults import Fault, FaultKind, Name, relay_name, validator_name
from testnet.simulator.findings import INVARIANTS

RESTART_MS = 300
"""How long a process that is restarted is down; what a supervisor takes."""


def settings_of(scenario: Scenario, seed: int | None = None) -> SimulationSettings:
    """Settings of the simulation that a scenario asks for.

    Raises:
        Refused: `not_simulated`, when the simulator has no such fault.

    """
    chaos_seconds = _seconds(scenario.chaos_ms)
    return SimulationSettings(
        seed=scenario.seed if seed is None else seed,
        shards=scenario.shape.shards,
        validators=scenario.shape.validators,
        relays=scenario.shape.relays,
        seconds=chaos_seconds + _seconds(scenario.settle_ms),
        chaos_seconds=chaos_seconds,
        transactions_per_second=scenario.transfers_per_second,
        faults=faults_of(scenario),
        byzantine_validators=_liars(scenario),
    )


def _liars(scenario: Scenario) -> dict[Name, str]:
    """Who lies, and how; when is in the faults."""
    liars: dict[Name, str] = {}
    for step in scenario.steps:
        for each in step.validators if step.action == "byzantine" else ():
            if liars.setdefault(_name(each), step.behaviour) != step.behaviour:
                raise Refused("not_simulated", f"{step.text}: {each} lies in one way only here; leave --simulate out")
    return liars


def _seconds(milliseconds: int) -> int:
    return -(-milliseconds // 1000)


def run_simulated(scenario: Scenario, source: str, seed: int | None = None) -> ScenarioReport:
    """Run a scenario in the simulator; equal seeds give equal reports.

    Raises:
        Refused: as `settings_of`.

    """
    settings = settings_of(scenario, seed)
    report = run_simulation(settings)
    return ScenarioReport(
        name=scenario.name,
        world="simulated",
        seed=settings.seed,
        passed=report.passed,
        seconds=float(settings.seconds),
        steps=tuple(StepReport(step.at_ms, step.lasts_ms, step.text, "done") for step in scenario.steps),
        judged=tuple(name for name in INVARIANTS if name != "C1"),  # it is about contracts; here are none
        findings=findings_of(report.violations),
        heights=report.blocks,
        counts=dict(report.counts),
        again=f"ostraka scenario run {source} --simulate --seed {settings.seed}",
    )


def faults_of(scenario: Scenario) -> tuple[Fault, ...]:
    """The faults of the steps; a step that heals ends what began before it.

    Raises:
        Refused: `not_simulated`, naming the step.

    """
    heals = [step.at_ms for step in scenario.steps if step.action == "heal"]
    faults = []
    for step in scenario.steps:
        end_ms = min([step.at_ms + step.lasts_ms, *(at for at in heals if at >= step.at_ms)])
        try:
            faults += [
                Fault(kind, target, step.at_ms, end_ms if kind_lasts else step.at_ms + RESTART_MS, amount)
                for kind, target, amount, kind_lasts in parts_of(step, scenario.shape)
            ]
        except Refused as refused:
            raise Refused(
                "not_simulated", f"{step.text}: {refused.detail}; leave --simulate out, or the step"
            ) from None
    return tuple(faults)


Part = tuple[FaultKind, str, int, bool]
"""Kind, target and amount of a fault, and whether it lasts as long as its step."""


def parts_of(step: Step, shape: Shape) -> Iterator[Part]:
    """What a step is in the simulator.

    Raises:
        Refused: `not_simulated`, when the simulator has no such fault.

    """
    for target in step.targets:
        yield from _of_links(step, target, shape)
    match step.action:
        case "skew":
            yield from ((FaultKind.CLOCK, _name(each), step.amount_ms, True) for each in step.validators)
        case "disk" if step.effect == "slow":
            yield from ((FaultKind.SLOW_DISK, _name(each), step.amount_ms, True) for each in step.validators)
        case "disk":
            fails = FaultKind.FULL if step.effect == "full" else FaultKind.EIO
            yield from ((fails, _name(each), 0, True) for each in step.validators)
        case "byzantine":
            yield from ((FaultKind.LYING, _name(each), 0, True) for each in step.validators)
        case "kill" | "halt" | "restart":
            yield from _down(step.nodes, shape, lasts=step.action != "restart")
        case "pause":
            for each in step.nodes:
                if isinstance(each, Validator):
                    yield FaultKind.PAUSE, _name(each), 0, True
                else:
                    yield from _cut(each, shape)
        case _:
            return


def _of_links(step: Step, target: Target, shape: Shape) -> Iterator[Part]:
    match step.action:
        case "cut" | "partition":
            yield from _cut(target, shape)
        case "delay":
            yield from _delay(step, target, shape)
        case "drop":
            yield from ((FaultKind.LOSSY, place, step.permille, True) for place in places_of(target, shape))
        case "duplicate":
            yield from ((FaultKind.DUPLICATING, place, step.permille, True) for place in places_of(target, shape))
        case "corrupt":
            yield from ((FaultKind.CORRUPTING, place, step.permille, True) for place in places_of(target, shape))
        case _:
            return


def _down(nodes: tuple[End, ...], shape: Shape, *, lasts: bool) -> Iterator[Part]:
    """Processes that die, at one moment."""
    whole = [shard for shard in range(shape.shards) if set(shape.members(shard)) <= set(nodes)]
    yield from ((FaultKind.HALT, f"s{shard}", 1, lasts) for shard in whole)
    for each in nodes:
        if isinstance(each, Relay):
            yield FaultKind.RELAY_CRASH, relay_name(each.number), 0, lasts
        elif isinstance(each, Validator) and each.shard not in whole:
            yield FaultKind.HALT, _name(each), 1, lasts


def _cut(target: Target, shape: Shape) -> Iterator[Part]:
    match target:
        case Validator() | Group():
            members = (target,) if isinstance(target, Validator) else target.members
            yield FaultKind.PARTITION, f"s{members[0].shard}", sum(1 << each.index for each in members), True
        case Relay(number):
            yield from ((FaultKind.RELAY_CUT, f"{relay_name(number)}>s{to}", 0, True) for to in range(shape.shards))
        case Link(Relay() as relay, other):
            yield FaultKind.RELAY_CUT, f"{name_of(relay)}>{name_of(other)}", 0, True
        case Link(Shard(one), Shard(other), one_way):
            yield FaultKind.LANE_CUT, f"s{one}>s{other}", 0, True
            if not one_way:
                yield FaultKind.LANE_CUT, f"s{other}>s{one}", 0, True
        case _:
            yield from ((FaultKind.ONE_WAY, link, 0, True) for link in _ways(target, shape))


def _delay(step: Step, target: Target, shape: Shape) -> Iterator[Part]:
    match target:
        case Link(Shard(one), Shard(other), one_way):
            if step.jitter_ms:
                raise Refused("not_simulated", "what relays carry between shards has no jitter here; leave it out")
            yield FaultKind.LATE, f"s{one}>s{other}", step.amount_ms, True
            if not one_way:
                yield FaultKind.LATE, f"s{other}>s{one}", step.amount_ms, True
        case _:
            ways = _ways(target, shape)
            yield from ((FaultKind.LATE, way, step.amount_ms, True) for way in ways)
            if step.jitter_ms:
                yield from ((FaultKind.SLOW, way, step.jitter_ms, True) for way in ways)


def places_of(target: Target, shape: Shape) -> list[str]:
    """A node with all of its links, a shard with all of its validators, or single directions."""
    return [name_of(target)] if isinstance(target, Shard | Validator | Relay) else _ways(target, shape)


def _ways(target: Target, shape: Shape) -> list[str]:
    """Directions that a target means."""
    match target:
        case Link(Shard(), Shard()):
            raise Refused("not_simulated", "what relays carry between shards is cut or late here, nothing else")
        case Relay():
            far = [f"s{shard}" for shard in range(shape.shards)]
            return [way for each in far for way in (f"{name_of(target)}>{each}", f"{each}>{name_of(target)}")]
        case Link(Relay() as relay, other):
            return [f"{name_of(relay)}>{name_of(other)}", f"{name_of(other)}>{name_of(relay)}"]
        case _:
            return [f"{_name(sender)}>{_name(receiver)}" for sender, receiver in pairs_of(target, shape)]


def name_of(end: End) -> Name:
    """Name in the simulator."""
    match end:
        case Validator():
            return _name(end)
        case Relay(number):
            return relay_name(number)
        case Shard(number):
            return f"s{number}"


def _name(validator: Validator) -> Name:
    return validator_name(validator.shard, validator.index)
