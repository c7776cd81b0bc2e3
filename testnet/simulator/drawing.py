"""The faults of a seed: an explicit list, each of them drawn under a key of its own.

A fault is drawn from (seed, kind, target, counter), so that removing one from the list shifts no other. Every fault
ends when the chaos phase does.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import permutations

from testnet.simulator.draws import Draws
from testnet.simulator.faults import Fault, FaultKind, Name, relay_name, validator_name


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How often a kind is drawn for each target, how long it lasts and how bad it is."""

    kind: FaultKind
    chance_permille: int
    """That each of the two draws for each target gives a fault."""
    longest_ms: int
    least: int
    most: int


_FOR_VALIDATORS = (
    _Recipe(FaultKind.CRASH, 250, 9_000, 0, 60),
    _Recipe(FaultKind.CRASH_AFTER_SEND, 200, 3_000, 0, 20),
    _Recipe(FaultKind.PAUSE, 80, 5_000, 0, 0),
    _Recipe(FaultKind.CLOCK, 80, 20_000, -900, 900),
    _Recipe(FaultKind.SLOW_DISK, 80, 10_000, 20, 300),
    _Recipe(FaultKind.SLOW, 100, 10_000, 50, 1_500),
)
_FOR_SHARDS = (
    _Recipe(FaultKind.HALT, 150, 9_000, 0, 1),
    _Recipe(FaultKind.PARTITION, 300, 9_000, 1, 0),
    _Recipe(FaultKind.HALF_PARTITION, 200, 8_000, 1, 0),
    _Recipe(FaultKind.LOSSY, 400, 12_000, 20, 300),
    _Recipe(FaultKind.DUPLICATING, 300, 12_000, 50, 500),
)
_FOR_RELAYS = (
    _Recipe(FaultKind.RELAY_CRASH, 500, 6_000, 0, 0),
    _Recipe(FaultKind.LOSSY, 250, 12_000, 50, 500),
)
_FOR_LINKS = (_Recipe(FaultKind.ONE_WAY, 30, 12_000, 0, 0),)
_FOR_RELAY_LINKS = (_Recipe(FaultKind.RELAY_CUT, 200, 12_000, 0, 0),)

DRAWS_PER_TARGET = 2
"""Chances for each kind and target; with the recipes above about 25 faults in a 3 x 4 seed."""

# Of the whole catalogue, beside the usual ones:
_MORE_FOR_VALIDATORS = (
    _Recipe(FaultKind.BANDWIDTH, 50, 10_000, 2_000, 40_000),
    _Recipe(FaultKind.CORRUPTING, 50, 10_000, 20, 200),
    _Recipe(FaultKind.FULL, 60, 6_000, 0, 10),
    _Recipe(FaultKind.EIO, 60, 6_000, 0, 10),
)
_MORE_FOR_SHARDS = (
    _Recipe(FaultKind.BRIDGE, 150, 9_000, 0, 0),
    _Recipe(FaultKind.RING, 150, 9_000, 0, 0),
    _Recipe(FaultKind.CORRUPTING, 80, 8_000, 20, 200),
    _Recipe(FaultKind.BANDWIDTH, 50, 8_000, 4_000, 40_000),
)
_MORE_FOR_RELAYS = (
    _Recipe(FaultKind.CORRUPTING, 150, 12_000, 50, 500),
    _Recipe(FaultKind.BANDWIDTH, 100, 12_000, 2_000, 40_000),
    _Recipe(FaultKind.SLOW, 100, 12_000, 50, 1_500),
)
_MORE_FOR_LINKS = (
    _Recipe(FaultKind.LOSSY, 8, 12_000, 100, 900),
    _Recipe(FaultKind.DUPLICATING, 8, 12_000, 100, 900),
    _Recipe(FaultKind.CORRUPTING, 8, 12_000, 50, 500),
    _Recipe(FaultKind.SLOW, 8, 12_000, 50, 1_500),
    _Recipe(FaultKind.LATE, 8, 12_000, 50, 1_500),
    _Recipe(FaultKind.BANDWIDTH, 8, 12_000, 1_000, 20_000),
)
_FOR_LANES = (
    _Recipe(FaultKind.LANE_CUT, 80, 9_000, 0, 0),
    _Recipe(FaultKind.LATE, 80, 9_000, 50, 2_000),
)
_FOR_ALL = (_Recipe(FaultKind.RESTART_ALL, 150, 2_000, 0, 0),)
_FOR_THE_FORGETFUL = (
    _Recipe(FaultKind.TORN, 200, 8_000, 0, 10),
    _Recipe(FaultKind.FLIP, 200, 8_000, 0, 999),
    _Recipe(FaultKind.LYING_SYNC, 200, 8_000, 0, 0),
    _Recipe(FaultKind.OLD_BACKUP, 200, 8_000, 0, 0),
)
"""Of each shard f validators, those that lie included."""


def draw_faults(
    seed: int,
    *,
    shards: int,
    validators: int,
    relays: int,
    chaos_ms: int,
    intensity: int = 1,
    whole: bool = False,
    liars: Collection[Name] = (),
) -> tuple[Fault, ...]:
    """Draw the faults of a seed, in order of their start: the usual ones, or of the `whole` catalogue.

    The latter adds to the former, and a greater intensity to those of a smaller one, which may end earlier then.
    """
    draws = _Drawer(Draws(seed, "faults"), chaos_ms, DRAWS_PER_TARGET * intensity)
    faults = list(_usual(draws, shards, validators, relays))
    if whole:
        faults += _more(draws, shards, validators, relays)
        for shard in range(shards):
            for name in _forgetful(Draws(seed, f"forgetful/{shard}"), shard, validators, liars):
                faults += draws.draw_all(_FOR_THE_FORGETFUL, name)
    return tuple(_apart(sorted(faults, key=lambda fault: (fault.start_ms, fault.kind, fault.target, fault.end_ms))))


def _usual(draws: "_Drawer", shards: int, validators: int, relays: int) -> Iterator[Fault]:
    subsets = 2**validators - 2
    parting = {FaultKind.PARTITION, FaultKind.HALF_PARTITION}
    for shard in range(shards):
        for recipe in _FOR_SHARDS:
            if recipe.kind in parting and not subsets:
                continue  # one validator cannot be parted from itself
            yield from draws.draw(recipe, f"s{shard}", most=recipe.most or subsets)
        for index in range(validators):
            yield from draws.draw_all(_FOR_VALIDATORS, validator_name(shard, index))
        for link in _links(shard, validators):
            yield from draws.draw_all(_FOR_LINKS, link)
    for relay in range(relays):
        yield from draws.draw_all(_FOR_RELAYS, relay_name(relay))
        for shard in range(shards):
            yield from draws.draw_all(_FOR_RELAY_LINKS, f"{relay_name(relay)}>s{shard}")


def _more(draws: "_Drawer", shards: int, validators: int, relays: int) -> Iterator[Fault]:
    for shard in range(shards):
        for recipe in _MORE_FOR_SHARDS:
            yield from draws.draw(recipe, f"s{shard}", most=recipe.most or validators - 1)
        for index in range(validators):
            yield from draws.draw_all(_MORE_FOR_VALIDATORS, validator_name(shard, index))
        for link in _links(shard, validators):
            yield from draws.draw_all(_MORE_FOR_LINKS, link)
    for relay in range(relays):
        yield from draws.draw_all(_MORE_FOR_RELAYS, relay_name(relay))
        for shard in range(shards):
            for index in range(validators):
                for way in permutations((relay_name(relay), validator_name(shard, index))):
                    yield from draws.draw_all(_MORE_FOR_LINKS, ">".join(way))
    for one, other in permutations(range(shards), 2):
        yield from draws.draw_all(_FOR_LANES, f"s{one}>s{other}")
    yield from draws.draw_all(_FOR_ALL, "all")


def _links(shard: int, validators: int) -> list[str]:
    """Directions between the validators of a shard."""
    return [
        f"{validator_name(shard, one)}>{validator_name(shard, two)}" for one, two in permutations(range(validators), 2)
    ]


def _forgetful(draws: Draws, shard: int, validators: int, liars: Collection[Name]) -> list[Name]:
    """Whose disks may lose what it signed: so many that with the liars there are f."""
    names = [validator_name(shard, index) for index in range(validators)]
    honest = [name for name in names if name not in liars]
    honest.sort(key=lambda name: (draws.number(names.index(name), 0, 2**32), name))
    return honest[: max(0, (validators - 1) // 3 - (validators - len(honest)))]


class _Drawer:
    """Draws for one run: where chaos ends and how many chances each kind has at each target."""

    def __init__(self, draws: Draws, chaos_ms: int, tries: int) -> None:
        self._draws = draws
        self._chaos_ms = chaos_ms
        self._tries = tries

    def draw(self, recipe: _Recipe, target: str, *, most: int | None = None) -> list[Fault]:
        """Draw the faults of one kind for one target."""
        found = []
        own = self._draws.under(f"{recipe.kind}/{target}")
        for counter in range(self._tries):
            each = own.under(str(counter))
            if not each.chance(0, recipe.chance_permille):
                continue
            start = each.number(1, 0, self._chaos_ms)
            end = min(self._chaos_ms, start + each.number(2, 1, recipe.longest_ms))
            amount = each.number(3, recipe.least, recipe.most if most is None else most)
            found.append(Fault(recipe.kind, target, start, end, amount))
        return found

    def draw_all(self, recipes: tuple[_Recipe, ...], target: str) -> Iterator[Fault]:
        """Draw the faults of several kinds for one target."""
        for recipe in recipes:
            yield from self.draw(recipe, target)


_RELIEVING = frozenset(
    {FaultKind.CLOCK, FaultKind.SLOW_DISK, FaultKind.PAUSE, FaultKind.LOSSY, FaultKind.DUPLICATING, FaultKind.SLOW}
)
"""Of these kinds one drawn fault relieves another on the same target."""


def _apart(faults: list[Fault]) -> Iterator[Fault]:
    """Let no two of such a kind last on one target at a time, given all in the order in which they are planned.

    Recorded seeds mean this: the next one that begins relieves the one that lasts, and the first of both to end ends
    both. (A shard and its validator are two targets.)
    """
    for place, fault in enumerate(faults):
        moments = [
            moment
            for other, each in enumerate(faults)
            if other != place and (each.kind, each.target) == (fault.kind, fault.target) and fault.kind in _RELIEVING
            for moment in (each.start_ms, each.end_ms)
            if (moment, other) > (fault.start_ms, place)
        ]
        yield replace(fault, end_ms=min([fault.end_ms, *moments]))
