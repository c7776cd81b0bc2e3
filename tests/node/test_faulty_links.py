"""What faults do to messages: decided message by message, and done on real links."""

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import Refused
from primitives.identifiers import Milliseconds, ShardId, ValidatorIndex
from primitives.instant import Instant
from shards.node import links as node_links
from shards.node.injection.clock import SkewedClock
from shards.node.injection.desk import ValidatorFaults
from shards.node.injection.faults import (
    MAX_DELAY_MS,
    ClockFault,
    Fault,
    LinkEffect,
    LinkFault,
    Order,
    parse_order,
)
from shards.node.injection.links import DOUBLED_LATER_MS, Copy, Fate, FaultyLinks, flip_a_bit
from tests.node.support import make_context
from tests.node.test_links import ONE, TWO, ZERO, End, committee_of, connected, ends, reached

HOME = ShardId(0)


def fault(effect: LinkEffect, *, permille: int = 1000, delay_ms: int = 0, jitter_ms: int = 0) -> LinkFault:
    return LinkFault(effect=effect, permille=permille, delay_ms=delay_ms, jitter_ms=jitter_ms)


def copies(faults: Sequence[LinkFault], raw: bytes = b"vote", seed: int = 1) -> tuple[Copy, ...]:
    return Fate(tuple(faults)).copies(raw, random.Random(seed))


link_faults = st.builds(
    LinkFault,
    effect=st.sampled_from(["cut", "delay", "drop", "duplicate", "corrupt"]),
    permille=st.integers(0, 1000),
    delay_ms=st.integers(0, MAX_DELAY_MS),
    jitter_ms=st.integers(0, MAX_DELAY_MS),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(link_faults, max_size=4), st.binary(max_size=64), st.integers())
def test_whatever_the_faults_a_message_arrives_at_most_doubled_by_each_and_never_early(
    faults: list[LinkFault], raw: bytes, seed: int
) -> None:
    got = copies(faults, raw, seed)
    kinds = [each.effect for each in faults]
    assert len(got) <= 2 ** kinds.count("duplicate")
    assert all(copy.delay_ms >= sum(each.delay_ms for each in faults if each.effect == "delay") for copy in got)
    if "corrupt" not in kinds:
        assert all(copy.raw == raw for copy in got)
    if "drop" not in kinds and "cut" not in kinds:
        assert got
    if "cut" in kinds:
        assert got == ()


def test_each_fault_does_what_it_is_called() -> None:
    assert copies([]) == (Copy(0, b"vote"),)
    assert copies([fault("delay", delay_ms=70)]) == (Copy(70, b"vote"),)
    assert copies([fault("drop")]) == ()
    doubled = copies([fault("duplicate")])
    assert [copy.raw for copy in doubled] == [b"vote", b"vote"]
    assert 0 <= doubled[1].delay_ms < DOUBLED_LATER_MS
    (changed,) = copies([fault("corrupt")])
    assert changed.raw != b"vote"


@settings(deadline=None, max_examples=100)
@given(st.binary(min_size=1, max_size=100), st.integers())
def test_a_changed_message_differs_in_exactly_one_bit(raw: bytes, seed: int) -> None:
    changed = flip_a_bit(raw, random.Random(seed))
    assert len(changed) == len(raw)
    assert sum((one ^ other).bit_count() for one, other in zip(raw, changed, strict=True)) == 1


def test_a_share_is_a_share_and_jitter_puts_messages_out_of_order() -> None:
    chance = random.Random(7)
    lossy, jumpy = Fate((fault("drop", permille=250),)), Fate((fault("delay", delay_ms=10, jitter_ms=90),))
    assert 650 < sum(bool(lossy.copies(b"", chance)) for _ in range(1000)) < 850
    delays = [jumpy.copies(b"", chance)[0].delay_ms for _ in range(1000)]
    assert (min(delays), max(delays)) == (10, 100)
    assert delays != sorted(delays)


def test_a_cut_is_a_matter_of_direction() -> None:
    def cut(direction: str) -> FaultyLinks:
        made = msgspec.convert(
            {"kind": "link", "effect": "cut", "peers": [[0, 1], [1, 2]], "direction": direction}, LinkFault
        )
        return FaultyLinks(HOME, [made], random.Random(1))

    for direction, reaches, hears in (("out", False, True), ("in", True, False), ("both", False, False)):
        links = cut(direction)
        assert (links.reaches(ONE), links.hears(ONE)) == (reaches, hears)
        assert bool(links.copies(ONE, b"x")) is reaches
        assert (links.reaches(TWO), links.hears(TWO)) == (True, True), "the other peer is of another shard"


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "link", "effect": "melt"},
        {"kind": "link", "effect": "drop", "permille": 1001},
        {"kind": "link", "effect": "delay", "delay_ms": MAX_DELAY_MS + 1},
        {"kind": "link", "effect": "delay", "delay_ms": -1},
        {"kind": "link", "effect": "cut", "peers": [[0, 1]] * 100_000},
        {"kind": "link", "effect": "cut", "peers": [["0", 1]]},
        {"kind": "link", "effect": "cut", "speed": 3},
        {"kind": "disk", "effect": "melt"},
        {"kind": "clock", "offset_ms": 10**15},
        {"kind": "clock"},
        {"kind": "relay"},
    ],
)
def test_a_fault_outside_its_limits_is_refused(order: dict[str, object]) -> None:
    with pytest.raises(Refused, match="malformed"):
        parse_order({"name": "x", "text": "x", "faults": [order]})


def test_an_order_outside_its_limits_is_refused() -> None:
    whole = {"name": "x-1", "text": "x", "faults": [{"kind": "clock", "offset_ms": 5}], "lasts_ms": 10}
    assert parse_order(whole).faults == (ClockFault(offset_ms=5),)
    changes: list[dict[str, object]] = [
        {"name": "../x"},
        {"name": ""},
        {"text": "x" * 201},
        {"faults": []},
        {"lasts_ms": 0},
        {"more": 1},
    ]
    for change in changes:
        with pytest.raises(Refused, match="malformed"):
            parse_order(whole | change)


def faults_of(end: End, index: ValidatorIndex) -> ValidatorFaults:
    return ValidatorFaults((HOME, index), 3, end.links, (), SkewedClock(lambda: Instant(0, Milliseconds(0))))


def order(name: str, *faults: Fault) -> Order:
    return Order(name=name, text=name, faults=faults)


async def test_on_real_links_a_cut_stops_everything_and_its_end_lets_everything_through(tmp_path: Path) -> None:
    async with ends(tmp_path, [committee_of(make_context(validators=3))] * 3) as made:
        await connected(made)
        desk = faults_of(made[0], ZERO)
        desk.board.put(order("cut", LinkFault(effect="cut", peers=((0, 1),), direction="both")))
        assert made[0].links.connected() == (TWO,), "who is cut off does not count for a quorum"
        made[0].links.broadcast(b"lost to one")
        made[1].links.broadcast(b"lost to zero")
        await reached(lambda: made[2].received == [(0, b"lost to one"), (1, b"lost to zero")])
        desk.board.heal("cut")
        assert made[0].links.connected() == (ONE, TWO)
        made[0].links.broadcast(b"heard")
        made[1].links.broadcast(b"heard")
        await reached(lambda: made[0].received and made[1].received)
        assert (made[0].received, made[1].received) == ([(1, b"heard")], [(0, b"heard")])


async def test_on_real_links_messages_are_late_doubled_and_changed(tmp_path: Path) -> None:
    async with ends(tmp_path, [committee_of(make_context(validators=3))] * 3) as made:
        await connected(made)
        desk = faults_of(made[0], ZERO)
        to_one: tuple[tuple[int, int], ...] = ((0, 1),)
        desk.board.put(order("late", LinkFault(effect="delay", peers=to_one, delay_ms=60)))
        made[0].links.send(ONE, b"late")
        desk.board.heal("late")
        made[0].links.send(ONE, b"now")
        await reached(lambda: len(made[1].received) == 2)
        assert [raw for _, raw in made[1].received] == [b"now", b"late"]
        desk.board.put(order("twice", LinkFault(effect="duplicate", peers=to_one)))
        made[0].links.send(ONE, b"twice")
        await reached(lambda: [raw for _, raw in made[1].received].count(b"twice") == 2)
        desk.board.heal("twice")
        desk.board.put(order("changed", LinkFault(effect="corrupt", peers=to_one)))
        made[0].links.send(ONE, b"right")
        await reached(lambda: len(made[1].received) == 5)
        assert made[1].received[-1][1] != b"right"


async def test_what_delays_keep_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_links, "MAX_HELD_BACK", 3)
    async with ends(tmp_path, [committee_of(make_context(validators=3))] * 3) as made:
        await connected(made)
        faults_of(made[0], ZERO).board.put(order("late", LinkFault(effect="delay", peers=((0, 1),), delay_ms=30)))
        for number in range(5):
            made[0].links.send(ONE, bytes([number]))
        await reached(lambda: len(made[1].received) == 3)
        made[0].links.send(ONE, b"there is room again")
        await reached(lambda: len(made[1].received) == 4)
        lost = made[0].metrics.registry.get_sample_value("ostraka_link_dropped_messages_total", {"peer": "1"})
        assert lost == 2


@pytest.mark.parametrize("peers", [((0, 0),), ((0, 3),), ((1, 1),)])
async def test_a_validator_refuses_faults_of_links_that_it_has_not(
    tmp_path: Path, peers: tuple[tuple[int, int], ...]
) -> None:
    async with ends(tmp_path, [committee_of(make_context(validators=3))] * 3) as made:
        board = faults_of(made[0], ZERO).board
        with pytest.raises(Refused, match="no_such_link"):
            board.put(order("x", LinkFault(effect="cut", peers=peers)))
        with pytest.raises(Refused, match="serves no lanes"):
            board.put(order("x", LinkFault(effect="cut", lanes=((0, 1),))))
        assert board.listing() == ()
