"""What a test breaks on purpose. A fault begins at once and ends with its `with` block, by `end()`, or after `lasts`.

The names are those of `ostraka fault`, and so is what they take: "s0/v1" is validator 1 of shard 0, "s0" a shard (0
too), "r0" the relay, "s0/v1-s0/v2" a link, "s0/v1>s0/v2" one direction of it, 0, 2 what passes between two shards.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, overload

from primitives.errors import Refused
from testnet.simulator.drawing import draw_faults
from testnet.simulator.draws import Draws
from testnet.simulator.faults import FORGETTING, Fault, FaultKind, Name
from testnet.simulator.validators import SimulatedValidator
from testnet.simulator.world import World
from testnet.virtual.durations import Duration, milliseconds
from testnet.virtual.errors import Misuse
from testnet.virtual.ongoing import FOREVER_MS, Lying, Ongoing
from testnet.virtual.schedules import Plans, check_schedule, later

if TYPE_CHECKING:
    from testnet.faults.targets import Shape
    from testnet.scenarios.scenario import Action, Step
    from testnet.virtual.net import Net

Target = int | str
"""What is broken; a number is a shard."""

MAX_CHAOS_SEED = 2**53

DISK_EFFECTS = ("slow", "full", "eio")
"""What a disk does that nothing is lost by; as `ostraka fault disk` has it."""


class Faults:
    """`net.fault`."""

    def __init__(self, net: "Net") -> None:
        self._net = net
        self.active: list[Ongoing] = []
        self.plans = Plans()
        """What `play` and `chaos` were asked for, and what they are to do instead."""

    @property
    def world(self) -> World:
        """The world that is broken now; another one after a restore."""
        return self._net.world

    # Links

    def cut(self, one: Target, other: Target | None = None, *, lasts: Duration | None = None) -> Ongoing:
        """Nothing passes: between two ends, or all that connects one."""
        return self._do("cut", [one] if other is None else [f"{one}-{other}"], lasts)

    def partition(self, *members: str, one_way: bool = False, lasts: Duration | None = None) -> Ongoing:
        """These validators and the others of their shard hear nothing of one another; with `one_way`, they do hear."""
        step = self._step("partition", members, lasts)
        kind = FaultKind.HALF_PARTITION if one_way else FaultKind.PARTITION
        parts = [(kind, target, amount) for _, target, amount in self._parts(step)]
        return self._begin(f"{'one-way ' if one_way else ''}{step.text}", parts, lasts)

    def bridge(self, node: str, *, lasts: Duration | None = None) -> Ongoing:
        """The halves of a shard hear nothing of one another, but this validator hears both and is heard by both."""
        bridge, *more = self._step("skew", [node], lasts, by="1ms").validators
        if more:
            raise Misuse(f"{node!r}: one validator is the bridge, name it")
        return self._begin(f"bridge {bridge}", [(FaultKind.BRIDGE, f"s{bridge.shard}", bridge.index)], lasts)

    def ring(self, shard: Target, *, lasts: Duration | None = None) -> Ongoing:
        """Each validator of a shard hears its two neighbours only."""
        number = self._step("halt", [shard], lasts).validators[0].shard
        return self._begin(f"ring {number}", [(FaultKind.RING, f"s{number}", 0)], lasts)

    def bandwidth(self, *where_and_bytes: Target, lasts: Duration | None = None) -> Ongoing:
        """Links carry so many bytes a second: `bandwidth("s0/v1", 20_000)`."""
        from testnet.scenarios.simulated import places_of  # noqa: PLC0415 - not for tests that break nothing

        where, amount = _where("bandwidth", where_and_bytes, "20_000")
        if type(amount) is not int or amount < 1:
            raise Misuse(f"{amount!r} is no bandwidth: a number of bytes per second, at least 1")
        (target,) = self._step("cut", where, lasts).targets
        text = f"bandwidth {target} {amount} B/s"
        with _as_misuse(text):
            parts = [(FaultKind.BANDWIDTH, place, amount) for place in places_of(target, self._shape())]
        return self._begin(text, parts, lasts)

    @overload
    def delay(
        self, where: Target, by: Duration, /, *, jitter: Duration | None = ..., lasts: Duration | None = ...
    ) -> Ongoing: ...
    @overload
    def delay(
        self,
        one: Target,
        other: Target,
        by: Duration,
        /,
        *,
        jitter: Duration | None = ...,
        lasts: Duration | None = ...,
    ) -> Ongoing: ...
    def delay(self, *words: Any, jitter: Duration | None = None, lasts: Duration | None = None) -> Ongoing:
        """What passes takes so much longer, and with `jitter` up to so much more, each message for itself."""
        target, by = _where("delay", words, "200ms")
        return self._do("delay", target, lasts, by=_text(by), jitter=None if jitter is None else _text(jitter))

    def drop(self, *where_and_share: Target, lasts: Duration | None = None) -> Ongoing:
        """Some messages are lost: `drop("s0", "10%")`, `drop("s0/v1", "s0/v2", "10%")`."""
        return self._some("drop", where_and_share, lasts)

    def duplicate(self, *where_and_share: Target, lasts: Duration | None = None) -> Ongoing:
        """Some messages arrive twice."""
        return self._some("duplicate", where_and_share, lasts)

    def corrupt(self, *where_and_share: Target, lasts: Duration | None = None) -> Ongoing:
        """Some messages between validators arrive with one bit flipped."""
        return self._some("corrupt", where_and_share, lasts)

    # Processes, clocks and disks

    def kill(self, node: Target, *, lasts: Duration | None = None) -> Ongoing:
        """A process dies with all that is not on its disk, and stays down until the fault ends."""
        return self._do("kill", [node], lasts)

    def halt(self, shard: Target, *, lasts: Duration | None = None) -> Ongoing:
        """All validators of a shard are down; they start again from their disks when it ends."""
        return self._do("halt", [shard], lasts)

    def pause(self, node: Target, *, lasts: Duration | None = None) -> Ongoing:
        """A process is there and does nothing; what came meanwhile it handles at the end."""
        return self._do("pause", [node], lasts)

    def resume(self, node: Target) -> None:
        """End every pause of these."""
        self._end_of(("pause",), _names(self._step("kill", [node], None)))

    def restart(self, node: Target) -> None:
        """A process dies and starts again at once; one that was killed comes back."""
        names = _names(self._step("restart", [node], None))
        self._end_of(("kill", "halt", "disk full", "disk eio"), names)
        for validator in [each for each in self.world.validators.values() if each.name in names]:
            _restart(validator)
        for relay in [each for each in self.world.relays if each.name in names]:
            relay.crash()
            relay.start()

    def restart_all(self) -> None:
        """All validators and relays die and start again from what is on their disks, those that are down excepted."""
        for validator in self.world.validators.values():
            if validator.alive:
                _restart(validator)
        for relay in self.world.relays:
            if relay.courier is not None:
                relay.crash()
                relay.start()

    def relay_down(self, *, lasts: Duration | None = None) -> Ongoing:
        """No relay carries anything between any shards."""
        parts = [(FaultKind.RELAY_CRASH, relay.name, 0) for relay in self.world.relays]
        return self._begin("relay down", parts, lasts)

    def skew(self, node: Target, by: str, *, lasts: Duration | None = None) -> Ongoing:
        """The wall clock of a validator is off, "+900ms" or "-2s"."""
        return self._do("skew", [node], lasts, by=by)

    def disk(self, effect: str, node: Target, *, by: Duration = "200ms", lasts: Duration | None = None) -> Ongoing:
        """A validator's disk is "slow": each commit takes `by` longer; "full" or "eio": the next one fails.

        Or it loses what it has: it tears the next commit ("torn"), flips a bit ("flip"), syncs nothing ("lying-sync"),
        or is put back to what it holds now when the fault ends ("old-backup").
        """
        step = self._step("disk", [node], lasts, effect=effect, by=_text(by) if effect == "slow" else None)
        if effect in DISK_EFFECTS:
            return self._begin(step.text, self._parts(step), lasts, _names(step))
        if effect not in FORGETTING:
            raise Misuse(f"{effect!r} is nothing that disks do; there are {', '.join((*DISK_EFFECTS, *FORGETTING))}")
        names = sorted(_names(step))
        if len(names) > (self._net.validators - 1) // 3:
            raise Misuse(f"{step.text}: whoever forgets its votes is one of the f; @pytest.mark.ostraka(validators=4)")
        return self._begin(step.text, [(FaultKind(effect), name, 0) for name in names], lasts)

    def byzantine(self, node: str, behaviour: str, *, lasts: Duration | None = None) -> Ongoing:
        """Restart a validator as a liar, which is honest again at the end. The checkers believe it nothing any more."""
        step = self._step("byzantine", [node], lasts, behaviour=behaviour)
        parts = self._parts(step)
        for other in self.active:
            busy = [name for _, name, _ in parts if any(name == part.target for part in other.parts)]
            if busy:
                raise Misuse(f"{step.text}: end {other.text!r} first, {busy[0]} is restarted as a liar")
        return self._start(Lying(self, step.text, self._timed(parts, lasts), behaviour))

    # Many at once

    def play(self, schedule: Sequence[Fault]) -> Ongoing:
        """Let faults happen whose times count from now, as `fault_schedules` makes them."""
        return self._play(f"a schedule of {len(schedule)} faults", tuple(schedule))

    def chaos(
        self, *, lasts: Duration = "30s", seed: int | None = None, intensity: int = 1, whole: bool = False
    ) -> Ongoing:
        """What the simulator draws goes wrong in the time to come: crashes, partitions, losses, clocks.

        It is decided by `seed`, or by the net's and the time that it is. A greater intensity adds to a smaller one;
        `whole` draws from the whole catalogue: narrow links, bridges, disks that fail and that forget as well.
        """
        lasts_ms = milliseconds(lasts)
        if seed is None:
            seed = Draws(self._net.seed, "chaos").number(self.world.heap.now_us, 0, MAX_CHAOS_SEED)
        faults = draw_faults(
            seed,
            shards=self._net.shards,
            validators=self._net.validators,
            relays=len(self.world.relays),
            chaos_ms=lasts_ms,
            intensity=intensity,
            whole=whole,
        )
        return self._play(f"chaos for {_text(lasts)}", faults)

    def end_all(self) -> None:
        """Mend everything, the last fault first."""
        for fault in reversed(self.active.copy()):
            fault.end()

    # How they work

    def attach(self, active: Sequence[Ongoing]) -> None:
        """Begin these again, in a world that is new; others are over."""
        self.active = list(active)
        for fault in self.active:
            fault.begin(self.world)

    def _do(self, action: "Action", targets: Sequence[Target], lasts: Duration | None, **more: str | None) -> Ongoing:
        __tracebackhide__ = True
        step = self._step(action, targets, lasts, **more)
        return self._begin(step.text, self._parts(step), lasts, _names(step))

    def _some(self, action: "Action", words: tuple[Target, ...], lasts: Duration | None) -> Ongoing:
        target, share = _where(action, words, "10%")
        return self._do(action, target, lasts, share=str(share))

    def _step(self, action: "Action", targets: Sequence[Target], lasts: Duration | None, **more: str | None) -> "Step":
        """What a scenario's step would be, checked as those are."""
        __tracebackhide__ = True
        from testnet.scenarios.scenario import StepTable, check_step  # noqa: PLC0415 - not for tests that break nothing

        written = StepTable(
            at="0s", action=action, target=list(map(str, targets)), lasts=None if lasts is None else _text(lasts),
            **more,  # type: ignore[arg-type]  # checked by hand below, as words of a test
        )  # fmt: skip
        try:
            return check_step(written, 0, FOREVER_MS, self._shape())
        except Refused as refused:
            more_of_them = "; for more: @pytest.mark.ostraka(validators=4)" if self._net.validators == 1 else ""
            raise Misuse(refused.detail + (more_of_them if refused.code == "unknown_node" else "")) from None

    def _parts(self, step: "Step") -> list[tuple[FaultKind, str, int]]:
        __tracebackhide__ = True
        from testnet.scenarios.simulated import parts_of  # noqa: PLC0415 - as above

        with _as_misuse(step.text):
            return [(kind, target, amount) for kind, target, amount, _ in parts_of(step, self._shape())]

    def _shape(self) -> "Shape":
        from testnet.faults.targets import Shape  # noqa: PLC0415 - as above

        return Shape(self._net.shards, self._net.validators, len(self.world.relays))

    def _timed(self, parts: Sequence[tuple[FaultKind, str, int]], lasts: Duration | None) -> list[Fault]:
        now_ms = self.world.heap.now_ms
        end_ms = FOREVER_MS if lasts is None else now_ms + milliseconds(lasts)
        return [Fault(kind, target, now_ms, end_ms, amount) for kind, target, amount in parts]

    def _begin(
        self,
        text: str,
        parts: Sequence[tuple[FaultKind, str, int]],
        lasts: Duration | None,
        nodes: frozenset[Name] = frozenset(),
    ) -> Ongoing:
        return self._start(Ongoing(self, text, self._timed(parts, lasts), nodes))

    def _play(self, text: str, faults: tuple[Fault, ...]) -> Ongoing:
        __tracebackhide__ = True
        played = self.plans.next(faults)
        with _as_misuse(text):
            check_schedule(played, self._net.shards, self._net.validators)
        return self._start(Ongoing(self, text, later(played, self.world.heap.now_ms)))

    def _start(self, fault: Ongoing) -> Ongoing:
        self.active.append(fault)
        fault.begin(self.world)
        return fault

    def _end_of(self, actions: tuple[str, ...], names: frozenset[Name]) -> None:
        """End what these actions have done to no other processes than these."""
        for fault in [each for each in self.active if each.nodes and each.nodes <= names]:
            if fault.text.startswith(actions):
                fault.end()


def _names(step: "Step") -> frozenset[Name]:
    """Names of the processes that a step is about."""
    from testnet.scenarios.simulated import name_of  # noqa: PLC0415 - as above

    return frozenset(name_of(node) for node in step.nodes)


@contextmanager
def _as_misuse(text: str) -> Iterator[None]:
    """Tell whoever wrote the test what is wrong with what it asked for."""
    try:
        yield
    except Refused as refused:
        raise Misuse(f"{text}: {refused.detail}") from None


def _restart(validator: SimulatedValidator) -> None:
    validator.crash()
    if not validator.alive:
        validator.start()


def _text(duration: Duration) -> str:
    return f"{milliseconds(duration)}ms" if isinstance(duration, timedelta) else duration


def _where(action: str, words: tuple[Any, ...], example: str) -> tuple[list[Target], Any]:
    """One target of one word or two, and how much."""
    if len(words) not in {2, 3}:
        raise Misuse(f'{action} takes where and how much: {action}("s0/v1", "{example}"), {action}(0, 2, "{example}")')
    *ends, amount = words
    return ["-".join(map(str, ends))], amount
