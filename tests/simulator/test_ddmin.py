"""The few of many things that a failure needs."""

from hypothesis import given
from hypothesis import strategies as st

from testnet.simulator.ddmin import fewest


@given(needed=st.sets(st.integers(0, 39), max_size=4))
def test_exactly_what_is_needed_is_left_in_its_order(needed: set[int]) -> None:
    asked: list[tuple[int, ...]] = []

    def fails(some: tuple[int, ...]) -> bool:
        asked.append(some)
        return needed <= set(some)

    assert fewest(range(40), fails, lambda: True) == tuple(sorted(needed))
    assert all(list(some) == sorted(some) for some in asked)
    assert len(asked) < 150


def test_a_single_thing_among_many_is_found_in_few_steps() -> None:
    asked = 0

    def fails(some: tuple[int, ...]) -> bool:
        nonlocal asked
        asked += 1
        return 17 in some

    assert fewest(range(32), fails, lambda: True) == (17,)
    assert asked <= 12


def test_what_is_left_when_there_is_no_time_still_fails() -> None:
    asked = 0

    def fails(some: tuple[int, ...]) -> bool:
        nonlocal asked
        asked += 1
        return {3, 30} <= set(some)

    left = fewest(range(32), fails, lambda: asked < 5)
    assert asked == 5
    assert {3, 30} <= set(left)
    assert len(left) < 32


def test_of_nothing_nothing_is_left() -> None:
    assert fewest((), lambda _some: True, lambda: True) == ()
