"""Schedules of faults for tests of Hypothesis, which imports this and nothing else does: it needs Hypothesis.

    @given(schedule=fault_schedules(shards=2, validators=4, lasts="10s"))
    def test_it(net, schedule):
        net.fault.play(schedule)

What it shrinks towards is no fault, then few of them that begin at once, are over soon, and are of a simple kind.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from hypothesis import strategies as st

from testnet.simulator.faults import Fault, FaultKind, Name, place_of, relay_name, validator_name
from testnet.virtual.durations import Duration, milliseconds
from testnet.virtual.errors import Misuse
from testnet.virtual.schedules import Schedule

MAX_FAULTS = 8
"""Of a schedule, unless said otherwise; what needs more than a few is found by `net.fault.chaos` as well."""

LONGEST_MS = 20_000
"""Of one fault: longer than everything that waits in the protocol of an idle shard."""

DOWN = frozenset({FaultKind.HALT, FaultKind.CRASH, FaultKind.CRASH_AFTER_SEND, FaultKind.PAUSE})
"""Kinds that keep a validator from doing anything."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """One kind of fault at any of its targets, with the amounts that it may have."""

    kind: FaultKind
    targets: tuple[str, ...]
    least: int = 0
    most: int = 0


def fault_schedules(
    *,
    shards: int = 3,
    validators: int = 1,
    lasts: Duration = "10s",
    max_faults: int = MAX_FAULTS,
    kinds: Collection[FaultKind] | None = None,
    beyond_f: bool = False,
) -> st.SearchStrategy[Schedule]:
    """Schedules for `net.fault.play` in a net of this size, all of them over after `lasts`.

    At most f validators of a shard are down or paused at a time, so that it goes on meanwhile; with `beyond_f` any
    number, and whole shards. `kinds` are those to choose from, in place of everything that there is.
    """
    lasts_ms = milliseconds(lasts)
    choices = [
        each
        for each in _choices(shards, validators, beyond_f=beyond_f)
        if each.targets and each.most >= each.least and (kinds is None or each.kind in kinds)
    ]
    if not choices or lasts_ms < 1:
        raise Misuse(f"nothing can go wrong in {lasts} with {shards} shards of {validators} validators and these kinds")
    schedules = st.lists(_faults(choices, lasts_ms), max_size=max_faults).map(_in_order)
    if beyond_f:
        return schedules
    return schedules.map(lambda schedule: _at_most(schedule, (validators - 1) // 3))


def _choices(shards: int, validators: int, *, beyond_f: bool) -> Iterator[_Choice]:
    everywhere = tuple(f"s{shard}" for shard in range(shards))
    everyone = tuple(validator_name(shard, index) for shard in range(shards) for index in range(validators))
    links = tuple(
        f"{validator_name(shard, one)}>{validator_name(shard, other)}"
        for shard in range(shards)
        for one, other in permutations(range(validators), 2)
    )
    lanes = tuple(f"s{one}>s{other}" for one, other in permutations(range(shards), 2))
    relay = relay_name(0)
    subsets = 2**validators - 2
    if beyond_f or validators > 3:
        yield _Choice(FaultKind.HALT, everyone, 1, 1)
        yield _Choice(FaultKind.PAUSE, everyone)
        yield _Choice(FaultKind.CRASH, everyone, 0, 60)
        yield _Choice(FaultKind.CRASH_AFTER_SEND, everyone, 0, 20)
    if beyond_f:
        yield _Choice(FaultKind.HALT, everywhere, 1, 1)
    yield _Choice(FaultKind.LANE_CUT, lanes)
    yield _Choice(FaultKind.LATE, lanes + links, 1, 2_000)
    yield _Choice(FaultKind.RELAY_CRASH, (relay,))
    yield _Choice(FaultKind.RELAY_CUT, tuple(f"{relay}>{shard}" for shard in everywhere))
    yield _Choice(FaultKind.LOSSY, (*(everywhere if validators > 1 else ()), relay), 10, 500)
    yield _Choice(FaultKind.SLOW_DISK, everyone, 1, 500)
    yield _Choice(FaultKind.CLOCK, everyone, -900, 900)
    if validators > 1:
        yield _Choice(FaultKind.ONE_WAY, links)
        yield _Choice(FaultKind.DUPLICATING, everywhere, 10, 500)
        yield _Choice(FaultKind.CORRUPTING, everywhere, 10, 300)
        yield _Choice(FaultKind.SLOW, everyone, 1, 1_500)
        yield _Choice(FaultKind.PARTITION, everywhere, 1, subsets)
        yield _Choice(FaultKind.HALF_PARTITION, everywhere, 1, subsets)
        yield _Choice(FaultKind.BRIDGE, everywhere, 0, validators - 1)
    if validators > 3:
        yield _Choice(FaultKind.RING, everywhere)


@st.composite
def _faults(draw: st.DrawFn, choices: Sequence[_Choice], lasts_ms: int) -> Fault:
    # Few numbers for each fault: Hypothesis takes away what consists of five of them at most, the list's own included.
    most = max(len(each.targets) for each in choices)
    kind, place = divmod(draw(st.integers(0, len(choices) * most - 1)), most)
    choice = choices[kind]
    start_ms = draw(st.integers(0, lasts_ms - 1))
    end_ms = min(lasts_ms, start_ms + draw(st.integers(1, min(lasts_ms, LONGEST_MS))))
    amount = choice.least if choice.least == choice.most else draw(st.integers(choice.least, choice.most))
    return Fault(choice.kind, choice.targets[place % len(choice.targets)], start_ms, end_ms, amount)


def _in_order(faults: list[Fault]) -> Schedule:
    return tuple(sorted(faults, key=lambda each: (each.start_ms, each.kind, each.target, each.end_ms)))


def _at_most(schedule: Schedule, most: int) -> Schedule:
    """Leave out whatever would have more validators of a shard down at a time."""
    kept: list[Fault] = []
    for fault in schedule:
        if fault.kind not in DOWN or len(_down_at_its_begin(fault, kept) | {fault.target}) <= most:
            kept.append(fault)
    return tuple(kept)


def _down_at_its_begin(fault: Fault, earlier: list[Fault]) -> set[Name]:
    """Validators of the same shard that are down when this fault begins: those that are so later begin later."""
    shard = place_of(fault.target)[0]
    return {
        each.target
        for each in earlier
        if each.kind in DOWN and each.end_ms > fault.start_ms and place_of(each.target)[0] == shard
    }
