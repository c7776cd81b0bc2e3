"""Schedules of faults that Hypothesis makes: what they may hold, and what they shrink to."""

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from testnet.simulator.faults import place_of
from testnet.virtual import Fault, FaultKind, Misuse
from testnet.virtual.schedules import Schedule, check_schedule
from testnet.virtual.strategies import DOWN, fault_schedules
from tests.virtual.support import make_net, person

NAMES = {"Fault": Fault, "FaultKind": FaultKind}


def most_down(schedule: Schedule, shard: int) -> int:
    """The most validators of a shard that are down at one moment."""
    downs = [
        each for each in schedule if each.kind in DOWN and "v" in each.target and place_of(each.target)[0] == shard
    ]
    at_once = [{each.target for each in downs if each.start_ms <= at.start_ms < each.end_ms} for at in downs]
    return max(map(len, at_once), default=0)


@given(data=st.data(), shards=st.integers(1, 3), validators=st.integers(1, 7), beyond_f=st.booleans())
@settings(deadline=None, max_examples=60)
def test_schedules_fit_the_net_are_over_in_time_and_leave_it_its_quorum(
    data: st.DataObject, shards: int, validators: int, beyond_f: bool
) -> None:
    schedule = data.draw(fault_schedules(shards=shards, validators=validators, lasts="10s", beyond_f=beyond_f))
    check_schedule([each for each in schedule if ">" not in each.target], shards, validators)
    assert all(0 <= each.start_ms < each.end_ms <= 10_000 for each in schedule)
    assert list(schedule) == sorted(schedule, key=lambda each: each.start_ms)
    if not beyond_f:
        assert all(most_down(schedule, shard) <= (validators - 1) // 3 for shard in range(shards))
        assert not any(each.kind is FaultKind.HALT and "v" not in each.target for each in schedule)


@given(schedule=fault_schedules(shards=1, validators=4, lasts="2s", kinds=DOWN))
@settings(deadline=None, max_examples=60)
def test_of_four_validators_one_is_down_at_a_time(schedule: Schedule) -> None:
    assert most_down(schedule, 0) <= 1


def test_one_after_another_may_be_down() -> None:
    schedules = fault_schedules(shards=1, validators=4, lasts="2s", kinds=DOWN)
    only = settings(phases=[Phase.generate], database=None, deadline=None)
    assert find(schedules, lambda schedule: len({each.target for each in schedule}) > 1, settings=only)


@given(schedule=fault_schedules(shards=2, validators=4))
@settings(deadline=None, max_examples=20)
def test_a_schedule_prints_as_python_that_makes_it_again(schedule: Schedule) -> None:
    assert eval(repr(schedule), NAMES) == schedule


def test_a_schedule_shrinks_to_the_fewest_shortest_and_simplest_faults() -> None:
    only = settings(phases=[Phase.generate, Phase.shrink], database=None, deadline=None, max_examples=2_000)
    schedules = fault_schedules(shards=2, validators=4, lasts="10s")
    assert find(schedules, lambda _schedule: True, settings=only) == ()

    def pauses_for_a_second(schedule: Schedule) -> bool:
        return any(each.kind is FaultKind.PAUSE and each.end_ms - each.start_ms >= 1_000 for each in schedule)

    assert find(schedules, pauses_for_a_second, settings=only) == (Fault(FaultKind.PAUSE, "s0v0", 0, 1_000, 0),)


def test_beyond_f_more_than_f_are_down_and_whole_shards() -> None:
    schedules = fault_schedules(shards=1, validators=4, beyond_f=True, kinds={FaultKind.HALT})
    only = settings(phases=[Phase.generate], database=None, deadline=None)
    assert most_down(find(schedules, lambda schedule: most_down(schedule, 0) > 1, settings=only), 0) > 1
    assert find(schedules, lambda schedule: any(each.target == "s0" for each in schedule), settings=only)


def test_kinds_that_a_net_has_not_are_refused() -> None:
    with pytest.raises(Misuse, match="nothing can go wrong in 10s with 1 shards of 1 validators"):
        fault_schedules(shards=1, validators=1, kinds={FaultKind.PARTITION})


@given(schedule=fault_schedules(shards=2, validators=4, lasts="4s", max_faults=4))
@settings(deadline=None, max_examples=5)
def test_whatever_a_schedule_does_a_payment_arrives(schedule: Schedule) -> None:
    net = make_net(shards=2, validators=4)
    net.fault.play(schedule)
    person(net).transfer(person(net, "bob"), 5, to_shard=1, deadline="10m").settle("5m")
    net.check()
