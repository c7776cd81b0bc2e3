"""Files of schedules, and what is played in their place."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from testnet.virtual import Fault, FaultKind
from testnet.virtual.schedules import Plans, Schedule, plans_text, read_plans
from testnet.virtual.strategies import fault_schedules
from tests.virtual.support import make_net

HALT = Fault(FaultKind.HALT, "s0", 0, 1_000, 1)
PAUSE = Fault(FaultKind.PAUSE, "s1v0", 0, 1_000)


@given(plans=st.lists(fault_schedules(shards=2, validators=4), min_size=1, max_size=3))
@settings(deadline=None, max_examples=30)
def test_a_file_holds_what_was_written(plans: list[Schedule]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plans.toml"
        file.write_text(plans_text(plans, {"seed": 5, "shards": 2, "validators": 4}, ("why",)))
        assert read_plans(file) == tuple(plans)


def test_what_is_given_is_played_in_the_order_of_the_calls_and_then_nothing() -> None:
    plans = Plans()
    plans.given = ((HALT,), (PAUSE,))
    assert [plans.next((PAUSE, PAUSE)) for _ in range(3)] == [(HALT,), (PAUSE,), ()]
    assert plans.played == [(HALT,), (PAUSE,), ()]


def test_a_net_plays_what_it_is_given_from_the_time_of_each_call_on() -> None:
    net = make_net()
    net.fault.plans.given = ((HALT,), (PAUSE,))
    net.run_for("2s")
    first = net.fault.chaos(lasts="5s")
    assert not net.world.validators["s0v0"].alive
    net.run_for("3s")
    second = net.fault.play([HALT, HALT])
    assert net.world.validators["s1v0"].paused
    assert [(fault.parts[0].start_ms, len(fault.parts)) for fault in (first, second)] == [(2_002, 1), (5_002, 1)]
