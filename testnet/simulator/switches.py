"""How each kind of fault begins in a world, and how it ends.

Faults of a kind may overlap on one target: the worst of them acts, and each ends what it began alone. Only a kill that
is armed for later (`CRASH`, `CRASH_AFTER_SEND`) is forgotten when any of them ends.
"""

from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, TypeVar

from testnet.simulator.byzantine_validator import ByzantineValidator
from testnet.simulator.faults import STORAGE, Fault, FaultKind, Name, validator_name
from testnet.simulator.levels import Levels, LinkLevels
from testnet.simulator.relays import SimulatedRelay
from testnet.simulator.storage_faults import storage_switches

if TYPE_CHECKING:
    from testnet.simulator.world import World

Switch = Callable[[], None]
Both = tuple[Switch, Switch]
"""How something begins and how it ends."""

Direction = tuple[Name, Name]

K = TypeVar("K")


class Switches:
    """The switches of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._network = world.network
        self._clocks: Levels[Name] = Levels(sum)
        self._disks: Levels[Name] = Levels()
        self._pauses: Levels[Name] = Levels()
        self._lies: Levels[Name] = Levels()
        self._levels = {
            FaultKind.LOSSY: world.network.loss,
            FaultKind.DUPLICATING: world.network.doubling,
            FaultKind.CORRUPTING: world.network.corruption,
            FaultKind.BANDWIDTH: world.network.bandwidth,
            FaultKind.SLOW: world.network.slowness_ms,
        }

    def of(self, fault: Fault) -> Both:
        """How a fault begins and how it ends."""
        match fault.kind:
            case FaultKind.CRASH | FaultKind.CRASH_AFTER_SEND | FaultKind.PAUSE | FaultKind.HALT:
                return self._of_process(fault)
            case FaultKind.CLOCK:
                return self._attribute(self._clocks, fault, "skew_ms")
            case FaultKind.SLOW_DISK:
                return self._attribute(self._disks, fault, "slow_disk_ms")
            case FaultKind.RESTART_ALL:
                return self._restart_all()
            case FaultKind.LYING:
                return self._lying(fault.target)
            case FaultKind.RELAY_CRASH:
                relay = next(each for each in self._world.relays if each.name == fault.target)
                return relay.crash, partial(_restart, relay)
            case FaultKind.LANE_CUT:
                return _count(self._world.lanes_cut, [_lane(fault.target)], 1)
            case FaultKind.LATE if _is_lane(fault.target):
                return _count(self._world.lanes_late_ms, [_lane(fault.target)], fault.amount)
            case FaultKind.LATE:
                return _count(self._network.delays_ms, self._directions(fault.target), fault.amount)
            case _ if fault.kind in STORAGE:
                return storage_switches(self._world, fault)
            case _ if fault.kind in self._levels:
                return self._level(self._levels[fault.kind], fault)
            case _:
                return self._cut(self._cut_by(fault))

    # Processes

    def _of_process(self, fault: Fault) -> Both:
        world = self._world
        if fault.kind is FaultKind.HALT:
            members = [world.validators[name] for name in self._members(fault.target)]
            down = members if fault.amount else members[: (len(members) - 1) // 3 + 1]
            return partial(world.halt, down), partial(world.release, down)
        validator = world.validators[fault.target]
        if fault.kind is FaultKind.PAUSE:
            return self._pause(fault.target)

        def arm() -> None:
            world.hold_down(validator, 1)
            if fault.kind is FaultKind.CRASH:
                validator.crash_at = validator.boundaries + 1 + fault.amount
            else:
                validator.crash_after_sends = fault.amount

        return arm, partial(world.release, [validator])

    def _restart_all(self) -> Both:
        world = self._world
        down: list[Name] = sorted(world.validators)

        def begin() -> None:
            for relay in world.relays:
                relay.crash()
            world.halt([world.validators[name] for name in down])

        def end() -> None:
            world.release([world.validators[name] for name in down])
            for relay in world.relays:
                _restart(relay)

        return begin, end

    def _pause(self, name: Name) -> Both:
        validator = self._world.validators[name]

        def begin() -> None:
            self._pauses.begin(name, 1)
            validator.paused = True

        def end() -> None:
            self._pauses.end(name, 1)
            if not self._pauses.at(name):
                validator.resume()

        return begin, end

    def _lying(self, name: Name) -> Both:
        def switch(change: Callable[[Name, int], None]) -> None:
            change(name, 1)
            liar = self._world.validators[name]
            if isinstance(liar, ByzantineValidator):
                liar.lying = bool(self._lies.at(name))

        return partial(switch, self._lies.begin), partial(switch, self._lies.end)

    def _attribute(self, levels: Levels[Name], fault: Fault, attribute: str) -> Both:
        validator = self._world.validators[fault.target]

        def switch(change: Callable[[Name, int], None]) -> None:
            change(fault.target, fault.amount)
            setattr(validator, attribute, levels.at(fault.target))

        return partial(switch, levels.begin), partial(switch, levels.end)

    # Links

    def _level(self, levels: LinkLevels, fault: Fault) -> Both:
        places: list[Name | Direction] = []
        places += self._directions(fault.target) if ">" in fault.target else self._members(fault.target)

        def switch(change: Callable[[Name | Direction, int], None]) -> None:
            for place in places:
                change(place, fault.amount)

        return partial(switch, levels.begin), partial(switch, levels.end)

    def _cut_by(self, fault: Fault) -> list[Direction]:
        """Directions that carry nothing."""
        if fault.kind is FaultKind.ONE_WAY:
            return self._directions(fault.target)
        if fault.kind is FaultKind.RELAY_CUT:
            return [link for way in self._directions(fault.target) for link in (way, way[::-1])]
        members = self._members(fault.target)
        if fault.kind is FaultKind.RING:
            return _apart(members, lambda one, other: (one - other) % len(members) not in {1, len(members) - 1})
        if fault.kind is FaultKind.BRIDGE:
            rest = [place for place in range(len(members)) if place != fault.amount]
            half = set(rest[: len(rest) // 2])
            return _apart(
                members, lambda one, other: fault.amount not in {one, other} and (one in half) != (other in half)
            )
        group = [name for index, name in enumerate(members) if fault.amount >> index & 1]
        links = [(one, other) for one in group for other in members if other not in group]
        if fault.kind is FaultKind.PARTITION:
            links += [(other, one) for one, other in links]
        return links

    def _cut(self, links: list[Direction]) -> Both:
        def switch(*, cut: bool) -> None:
            for link in links:
                self._network.hold(*link, cut=cut)

        return partial(switch, cut=True), partial(switch, cut=False)

    # Targets

    def _members(self, target: str) -> list[Name]:
        """A node itself, or the validators of a shard."""
        if target.startswith("r") or "v" in target:
            return [target]
        return [validator_name(int(target[1:]), index) for index in range(self._world.settings.validators)]

    def _directions(self, target: str) -> list[Direction]:
        """What a link's target means: a shard at an end is each of its validators."""
        senders, receivers = map(self._members, _ends(target))
        return [(sender, receiver) for sender in senders for receiver in receivers if sender != receiver]


def _apart(members: list[Name], hear_nothing: Callable[[int, int], bool]) -> list[Direction]:
    """Directions among members whose places are such that they hear nothing of one another."""
    places = permutations(range(len(members)), 2)
    return [(members[one], members[other]) for one, other in places if hear_nothing(one, other)]


def _restart(relay: SimulatedRelay) -> None:
    if relay.courier is None:
        relay.start()


def _count(table: dict[K, int], keys: list[K], amount: int) -> Both:
    def switch(change: int) -> None:
        for key in keys:
            table[key] = table.get(key, 0) + change

    return partial(switch, amount), partial(switch, -amount)


def _is_lane(target: str) -> bool:
    return all(end.startswith("s") and "v" not in end for end in _ends(target))


def _lane(target: str) -> tuple[int, int]:
    """Source and destination of a lane between shards."""
    one, other = _ends(target)
    return int(one[1:]), int(other[1:])


def _ends(target: str) -> tuple[Name, Name]:
    """Both ends of a link or lane."""
    one, other = target.split(">")
    return one, other
