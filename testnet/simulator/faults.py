"""What goes wrong in a simulation: an explicit list of faults, each drawn under a key of its own.

A fault is drawn from (seed, kind, target, counter), so that removing one from the list shifts no other; what happens
to single messages while a fault lasts is drawn from (seed, link, counter) in `network`. A list prints as it reads,
one line per fault, and pastes back into a test. Every fault ends when the chaos phase does.
"""

from dataclasses import dataclass
from enum import StrEnum

from primitives.identifiers import ShardId, ValidatorIndex
from testnet.simulator.draws import Draws

Name = str
"""A node's name: "s0v3" is validator 3 of shard 0, "r1" a relay, "c0" the clients of shard 0."""


def validator_name(shard: int, index: int) -> Name:
    """Name of a validator."""
    return f"s{shard}v{index}"


def relay_name(index: int) -> Name:
    """Name of a relay."""
    return f"r{index}"


def client_name(shard: int) -> Name:
    """Name of the clients that live on a shard."""
    return f"c{shard}"


def customers_name(shard: int) -> Name:
    """Name of those who call contracts on a shard."""
    return f"k{shard}"


def place_of(name: Name) -> tuple[ShardId, ValidatorIndex]:
    """Shard and index in a validator's name."""
    shard, index = name[1:].split("v")
    return ShardId(int(shard)), ValidatorIndex(int(index))


class FaultKind(StrEnum):
    """Every kind there is, with what its `target` and `amount` mean."""

    CRASH = "crash"
    """target: validator, which dies at the `amount`-th effect boundary after `start_ms` and restarts at `end_ms`."""
    CRASH_AFTER_SEND = "crash-after-send"
    """target: validator, which dies right after the `amount`-th time it sends; the point where amnesia shows."""
    HALT = "halt"
    """target: shard; more than f of its validators (all of them if `amount` is 1) are down."""
    PAUSE = "pause"
    """target: validator, which handles nothing until the end and then everything at once."""
    CLOCK = "clock"
    """target: validator, whose wall clock is off by `amount` ms (either sign)."""
    SLOW_DISK = "slow-disk"
    """target: validator, each of whose fsyncs takes up to `amount` ms."""
    PARTITION = "partition"
    """target: shard; the validators whose bits are set in `amount` and the others hear nothing of one another."""
    HALF_PARTITION = "half-partition"
    """target: shard; the validators in `amount` hear the others but are not heard by them."""
    ONE_WAY = "one-way"
    """target: link "s0v1>s0v2", which loses everything."""
    LOSSY = "lossy"
    """target: shard, validator or relay; of what its links carry, `amount` in a thousand is lost."""
    DUPLICATING = "duplicating"
    """target: shard, validator or relay; `amount` in a thousand arrive twice."""
    SLOW = "slow"
    """target: validator; what it sends takes up to `amount` ms longer, each message for itself, so order is lost."""
    RELAY_CRASH = "relay-crash"
    """target: relay; dies and restarts from nothing."""
    RELAY_CUT = "relay-cut"
    """target: "r0>s1"; the relay cannot reach that shard."""
    LATE = "late"
    """target: link "s0v1>s0v2", on which everything takes `amount` ms longer."""
    CORRUPTING = "corrupting"
    """target: shard or validator; `amount` in a thousand of what validators say to one another arrive with one bit
    flipped."""
    LANE_CUT = "lane-cut"
    """target: "s0>s2"; no relay fetches what the first sends to the second."""


UNDRAWN = frozenset({FaultKind.LATE, FaultKind.CORRUPTING, FaultKind.LANE_CUT})
"""Kinds that only scenarios ask for."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong from `start_ms` to `end_ms`."""

    kind: FaultKind
    target: str
    start_ms: int
    end_ms: int
    amount: int = 0

    def __repr__(self) -> str:
        """Python that makes this fault again."""
        return f"Fault(FaultKind.{self.kind.name}, {self.target!r}, {self.start_ms}, {self.end_ms}, {self.amount})"

    def __str__(self) -> str:
        return f"{self.start_ms:>7} to {self.end_ms:>6} ms  {self.kind.value:<17} {self.target:<10} {self.amount}"


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
_FOR_LINKS = _Recipe(FaultKind.ONE_WAY, 30, 12_000, 0, 0)
_FOR_RELAY_LINKS = _Recipe(FaultKind.RELAY_CUT, 200, 12_000, 0, 0)

DRAWS_PER_TARGET = 2
"""Chances for each kind and target; with the recipes above about 25 faults in a 3 x 4 seed."""


def draw_faults(
    seed: int, *, shards: int, validators: int, relays: int, chaos_ms: int, intensity: int = 1
) -> tuple[Fault, ...]:
    """Draw the faults of a seed, in order of their start; a greater intensity adds to those of a smaller one."""
    draws = _Drawer(Draws(seed, "faults"), chaos_ms, DRAWS_PER_TARGET * intensity)
    everyone = range(validators)
    subsets = 2**validators - 2
    parting = {FaultKind.PARTITION, FaultKind.HALF_PARTITION}
    faults: list[Fault] = []
    for shard in range(shards):
        for recipe in _FOR_SHARDS:
            if recipe.kind in parting and not subsets:
                continue  # one validator cannot be parted from itself
            faults += draws.draw(recipe, f"s{shard}", most=recipe.most or subsets)
        for index in everyone:
            for recipe in _FOR_VALIDATORS:
                faults += draws.draw(recipe, validator_name(shard, index))
            for other in everyone:
                if other != index:
                    link = f"{validator_name(shard, index)}>{validator_name(shard, other)}"
                    faults += draws.draw(_FOR_LINKS, link)
    for relay in range(relays):
        for recipe in _FOR_RELAYS:
            faults += draws.draw(recipe, relay_name(relay))
        for shard in range(shards):
            faults += draws.draw(_FOR_RELAY_LINKS, f"{relay_name(relay)}>s{shard}")
    return tuple(sorted(faults, key=lambda fault: (fault.start_ms, fault.kind, fault.target, fault.end_ms)))


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


def print_faults(faults: tuple[Fault, ...]) -> str:
    """One line for each fault, for people."""
    return "\n".join(map(str, faults)) or "(no faults)"
