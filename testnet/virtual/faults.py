"""What a test breaks on purpose. A fault begins at once and ends with its `with` block, by `end()`, or after `lasts`.

Nodes are named as in `ostraka fault`: "s0/v1" is validator 1 of shard 0. Shards are numbers.
"""

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shards.bundles import decode_bundle
from testnet.simulator.faults import Name, validator_name
from testnet.simulator.heap import MICROSECONDS_PER_MS
from testnet.simulator.post import BundlePost, Forward
from testnet.simulator.validators import SimulatedValidator
from testnet.simulator.world import World
from testnet.virtual.durations import Duration, milliseconds
from testnet.virtual.errors import Misuse

if TYPE_CHECKING:
    from testnet.virtual.net import Net

Switch = Callable[[World], None]
Lane = tuple[int, int]


class Fault:
    """One thing that is broken, from its making until it ends."""

    def __init__(self, faults: "Faults", text: str, begin: Switch, end: Switch, nodes: tuple[Name, ...] = ()) -> None:
        self._faults = faults
        self.text = text
        self.begin = begin
        self._end = end
        self.nodes = nodes
        self.until_ms: int | None = None
        """Virtual time at which it ends by itself."""

    @property
    def active(self) -> bool:
        """Whether it lasts."""
        return self in self._faults.active

    def end(self) -> None:
        """Mend it; nothing happens when it has ended."""
        if self.active:
            self._faults.active.remove(self)
            self._end(self._faults.world)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<fault {self.text}{'' if self.active else ' (ended)'}>"


class LanePost(BundlePost):
    """Hands bundles on, late where a lane is delayed."""

    def __init__(self, world: World, delays_ms: dict[Lane, int]) -> None:
        self._world = world
        self._delays_ms = delays_ms

    def carry(self, raw: bytes, forward: Forward) -> None:
        """See `BundlePost`."""
        delay_ms = 0
        if self._delays_ms:
            head = decode_bundle(raw).head
            delay_ms = self._delays_ms.get((head.source, head.destination), 0)
        if delay_ms:
            self._world.heap.after(delay_ms * MICROSECONDS_PER_MS, partial(forward, raw))
        else:
            forward(raw)


class Faults:
    """`net.fault`."""

    def __init__(self, net: "Net") -> None:
        self._net = net
        self.active: list[Fault] = []
        self._delays_ms: dict[Lane, int] = {}

    @property
    def world(self) -> World:
        """The world that is broken now; another one after a restore."""
        return self._net.world

    # The catalogue

    def cut(self, one: int | str, other: int | str, *, lasts: Duration | None = None) -> Fault:
        """Nothing passes between two shards, or between two validators of one shard."""
        if isinstance(one, int) and isinstance(other, int):
            lanes = self._lanes(one, other)
            return self._begin(f"cut {one} {other}", _recut(self), _recut(self), lasts, lanes=lanes)
        links = self._links(one, other)

        def hold(world: World, *, cut: bool) -> None:
            for link in links:
                world.network.hold(*link, cut=cut)

        return self._begin(f"cut {one} {other}", partial(hold, cut=True), partial(hold, cut=False), lasts)

    def delay(self, one: int | str, other: int | str, by: Duration, *, lasts: Duration | None = None) -> Fault:
        """What passes between two shards, or two validators of one shard, takes so much longer."""
        delay_ms = milliseconds(by)
        if isinstance(one, int) and isinstance(other, int):
            lanes = self._lanes(one, other)

            def slow_lanes(_world: World, sign: int) -> None:
                for lane in lanes:
                    self._delays_ms[lane] = self._delays_ms.get(lane, 0) + sign * delay_ms

            begin, end = partial(slow_lanes, sign=1), partial(slow_lanes, sign=-1)
        else:
            links = self._links(one, other)

            def slow_links(world: World, sign: int) -> None:
                for link in links:
                    world.network.delays_ms[link] = world.network.delays_ms.get(link, 0) + sign * delay_ms

            begin, end = partial(slow_links, sign=1), partial(slow_links, sign=-1)
        return self._begin(f"delay {one} {other} {by}", begin, end, lasts)

    def halt(self, shard: int, *, lasts: Duration | None = None) -> Fault:
        """All validators of a shard are down; they start again from their disks when it ends."""
        names = [validator_name(self._net.known_shard(shard), index) for index in range(self._net.validators)]
        return self._begin_down(f"halt {shard}", tuple(names), lasts)

    def kill(self, node: str, *, lasts: Duration | None = None) -> Fault:
        """A validator dies with all that is not on its disk, and stays down until the fault ends."""
        return self._begin_down(f"kill {node}", (self._name(node),), lasts)

    def pause(self, node: str, *, lasts: Duration | None = None) -> Fault:
        """A validator is there and does nothing; what came meanwhile it handles at the end."""
        name = self._name(node)

        def pause(world: World) -> None:
            world.validators[name].paused = True

        return self._begin(f"pause {node}", pause, lambda world: world.validators[name].resume(), lasts)

    def relay_down(self, *, lasts: Duration | None = None) -> Fault:
        """No relay carries anything between any shards."""
        return self._begin("relay down", _recut(self), _recut(self), lasts, lanes=None)

    def restart(self, node: str) -> None:
        """A validator dies and starts again at once; one that was killed comes back."""
        name = self._name(node)
        for fault in [fault for fault in self.active if fault.nodes == (name,)]:
            fault.end()
        self._restart(self.world.validators[name])

    def restart_all(self) -> None:
        """All validators and relays die and start again from what is on their disks, those that are down excepted."""
        for validator in self.world.validators.values():
            if validator.alive:
                self._restart(validator)
        _recut(self)(self.world)

    def end_all(self) -> None:
        """Mend everything, the last fault first."""
        for fault in reversed(self.active.copy()):
            fault.end()

    # How they work

    def attach(self, active: list[Fault]) -> None:
        """Begin these again, in a world that is new; others are over."""
        self._delays_ms.clear()
        self.active = active.copy()
        for fault in self.active:
            fault.begin(self.world)
            if fault.until_ms is not None:
                self.world.heap.at_ms(fault.until_ms, fault.end)
        for relay in self.world.relays:
            relay.post = LanePost(self.world, self._delays_ms)

    def _begin(
        self,
        text: str,
        begin: Switch,
        end: Switch,
        lasts: Duration | None,
        *,
        lanes: "frozenset[Lane] | None" = frozenset(),
        nodes: tuple[Name, ...] = (),
    ) -> Fault:
        fault = (
            LaneFault(self, text, begin, end, lanes) if lanes != frozenset() else Fault(self, text, begin, end, nodes)
        )
        self.active.append(fault)
        begin(self.world)
        if lasts is not None:
            fault.until_ms = self.world.heap.now_ms + milliseconds(lasts)
            self.world.heap.at_ms(fault.until_ms, fault.end)
        return fault

    def _begin_down(self, text: str, names: tuple[Name, ...], lasts: Duration | None) -> Fault:
        def down(world: World) -> None:
            world.halt([world.validators[name] for name in names])

        def up(world: World) -> None:
            world.release([world.validators[name] for name in names])

        return self._begin(text, down, up, lasts, nodes=names)

    def _restart(self, validator: SimulatedValidator) -> None:
        validator.crash()
        if not validator.alive:
            validator.start()

    def _lanes(self, one: int, other: int) -> frozenset[Lane]:
        if self._net.known_shard(one) == self._net.known_shard(other):
            raise Misuse(f"shard {one} and shard {other} are the same; name two shards, or two validators of one")
        return frozenset({(one, other), (other, one)})

    def _links(self, one: int | str, other: int | str) -> list[tuple[Name, Name]]:
        first, second = self._name(one), self._name(other)
        if first.partition("v")[0] != second.partition("v")[0] or first == second:
            raise Misuse(f"{one} and {other} have no link: links connect two validators of one shard")
        return [(first, second), (second, first)]

    def _name(self, node: int | str) -> Name:
        shards, validators = self._net.shards, self._net.validators
        known = {
            f"s{shard}/v{index}": validator_name(shard, index) for shard in range(shards) for index in range(validators)
        }
        name = known.get(str(node))
        if name is None:
            size = f"this net has {shards} shards of {validators} validator{'s' if validators > 1 else ''}"
            more = "; for more: @pytest.mark.ostraka(validators=4)" if validators == 1 else ""
            raise Misuse(f'{node!r} is no validator; they are named "s0/v0", and {size}{more}')
        return name


class LaneFault(Fault):
    """Closes lanes between shards at the relays; all of them when `lanes` is None."""

    def __init__(self, faults: Faults, text: str, begin: Switch, end: Switch, lanes: frozenset[Lane] | None) -> None:
        super().__init__(faults, text, begin, end)
        self.lanes = lanes


def _recut(faults: Faults) -> Switch:
    """A relay keeps nothing, so that it begins anew with the lanes that are open now, or stays down with none."""

    def recut(world: World) -> None:
        closing = [fault.lanes for fault in faults.active if isinstance(fault, LaneFault)]
        closed = frozenset().union(*(lanes for lanes in closing if lanes is not None))
        for relay in world.relays:
            relay.crash()
            relay.closed = closed  # type: ignore[assignment]  # numbers are shard ids
            if None not in closing:
                relay.start()

    return recut
