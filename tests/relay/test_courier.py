"""What a courier achieves in a bad world; the world's `check_order` and `all_done` judge it at the destination."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.lanes import LONGEST_PATIENCE_MS, URGENT_BACKLOG
from relay.settings import CourierSettings
from tests.relay.world import BEHAVIOURS, World


def test_every_message_and_every_reply_arrives_once_and_in_order() -> None:
    world = World(shards=3)
    for source, destination in ((0, 1), (1, 0), (0, 2), (2, 1)):
        world.send(source, destination, 700)
    assert world.run_until(world.all_done) < 3_000
    world.check_order()
    assert len(world.shards[1].streams[0].received) == 1400


def test_the_first_message_of_a_new_chain_does_not_wait_for_the_destination_to_certify_something() -> None:
    world = World(shards=2)
    world.send(0, 1, 1)
    assert world.shards[1].height == 0
    assert world.run_until(lambda: bool(world.shards[1].streams[0].received)) < 500


def test_a_stream_longer_than_one_bundle_is_pipelined_and_not_carried_once_per_block() -> None:
    world = World(shards=2)
    world.send(0, 1, 4096)
    world.run_until(lambda: len(world.shards[1].streams[0].received) == 4096)
    assert world.lane_counts["fetch", 0, 1] == 8
    assert world.shards[1].height <= 5


def test_without_messages_nothing_is_carried() -> None:
    world = World(shards=3)
    world.run(600_000)
    assert (world.counts["Fetch"], world.counts["Deliver"]) == (0, 0)
    # One timer of each shard's watch per silence period, nothing per block.
    assert world.counts["SetTimer"] <= 3 * 600 // 15 * 2 + 3
    assert world.counts["Watch"] == 3 * 2


def test_acknowledgements_flow_until_nothing_is_left_to_acknowledge_and_then_all_is_quiet() -> None:
    world = World(shards=2)
    world.send(0, 1, 10)
    world.run_until(world.all_done)
    # Calls there; replies back, which acknowledge them; one bare acknowledgement of the replies.
    assert (world.lane_counts["deliver", 0, 1], world.lane_counts["deliver", 1, 0]) == (2, 1)
    before = world.counts.copy()
    world.run(300_000)
    assert world.counts["Fetch"] == before["Fetch"]
    assert world.counts["Deliver"] == before["Deliver"]


def test_a_bare_acknowledgement_waits_for_company_unless_the_window_fills() -> None:
    patient = World(shards=2, settings=CourierSettings(ack_delay_ms=60_000))
    patient.send(0, 1, 10)
    patient.run(30_000)
    assert patient.lane_counts["deliver", 0, 1] == 1
    assert not patient.all_done()
    busy = World(shards=2, settings=CourierSettings(ack_delay_ms=60_000))
    busy.send(0, 1, 3_000)
    busy.run(5_000)
    replies = busy.shards[1].streams[0]
    assert len(busy.shards[0].streams[1].received) == len(replies.bodies) == 3_000
    assert len(replies.bodies) - replies.begin < URGENT_BACKLOG


def test_lost_and_doubled_answers_cost_repetitions_only() -> None:
    world = World(shards=3, loss=0.3, duplication=0.3, seed=5)
    for source, destination in ((0, 1), (1, 2), (2, 0)):
        world.send(source, destination, 600)
    world.run_until(world.all_done)
    world.check_order()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 1_500), min_size=1, max_size=6))
def test_a_courier_that_is_killed_at_any_time_resumes_from_what_the_chains_say(seed: int, kills: list[int]) -> None:
    world = World(shards=3, seed=seed, loss=0.1)
    for source, destination in ((0, 1), (1, 0), (2, 0)):
        world.send(source, destination, 300)
    for delay in kills:
        world.run(delay)
        world.kill(0)
        world.send(0, 2, 3, tag=str(delay))
    world.run_until(world.all_done)
    world.check_order()


def test_two_racing_couriers_do_no_harm() -> None:
    world = World(shards=3, couriers=2, duplication=0.2)
    for round_number in range(20):
        world.send(0, 1, 50, tag=f"{round_number} ")
        world.send(1, 2, 50, tag=f"{round_number} ")
        world.run(150)
    world.run_until(world.all_done)
    world.check_order()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("place", [0, 1])
def test_one_faulty_validator_in_every_shard_only_delays(behaviour: str, place: int) -> None:
    world = World(shards=3, seed=place)
    world.behaviour = {(shard, place): behaviour for shard in range(3)}
    for source, destination in ((0, 1), (1, 0), (2, 1)):
        world.send(source, destination, 200)
    assert world.run_until(world.all_done) < 20_000
    world.check_order()


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(BEHAVIOURS)), min_size=3, max_size=3),
    st.booleans(),
    st.sampled_from([0.0, 0.2]),
)
def test_any_mixture_of_faulty_validators_losses_and_restarts_only_delays(
    seed: int, faulty: list[tuple[int, str]], verify: bool, loss: float
) -> None:
    world = World(
        shards=3, seed=seed, loss=loss, duplication=loss, settings=CourierSettings(verify_bundles=verify), couriers=2
    )
    world.behaviour = {(shard, index): name for shard, (index, name) in enumerate(faulty)}
    for source, destination in ((0, 1), (1, 0), (1, 2), (2, 0)):
        world.send(source, destination, 100)
    world.run(700)
    world.kill(0)
    world.run_until(world.all_done)
    world.check_order()


def test_a_hanging_validator_costs_its_timeout_once_and_is_then_the_last_choice() -> None:
    world = World(shards=2)
    world.behaviour = {(0, 0): "hang", (0, 1): "hang"}
    world.send(0, 1, 1)
    world.run_until(world.all_done)
    for number in range(20):
        world.send(0, 1, 1, tag=f"{number} ")
        assert world.run_until(world.all_done) < 1_500


def test_without_verification_a_refused_bundle_is_fetched_elsewhere() -> None:
    world = World(shards=3, settings=CourierSettings(verify_bundles=False))
    world.behaviour = {(0, index): "foreign_bundle" for index in range(3)}
    world.send(0, 1, 5)
    world.send(0, 2, 5)
    assert world.run_until(world.all_done) < 20_000


@pytest.mark.parametrize("how", ["no quorum", "dead"])
def test_a_halted_shard_costs_a_slow_poll_and_delays_no_other_lane(how: str) -> None:
    def latencies(halted: bool) -> tuple[World, list[int]]:
        world = World(shards=4, settings=CourierSettings(max_in_hand=6))
        if halted and how == "dead":
            world.behaviour = {(3, index): "down" for index in range(4)}
        world.shards[3].halted = halted
        for source in range(3):
            world.send(source, 3, 2_000)
        times = []
        for number in range(200):
            world.send(number % 3, (number + 1) % 3, 1, tag=f"{number} ")
            times.append(world.run_until(lambda: world.all_done(but=3)))
        return world, sorted(times)

    _, well = latencies(halted=False)
    world, halted = latencies(halted=True)
    assert halted[100] <= well[100] * 1.1
    assert halted[198] <= well[198] * 1.1
    before, start = world.counts.copy(), world.now
    world.run(60_000)
    polls = world.counts["Fetch"] + world.counts["Watch"] - before["Fetch"] - before["Watch"]
    assert 5 <= polls <= 3 * (world.now - start) // LONGEST_PATIENCE_MS + 2 * 60_000 // 1_000
    if how == "dead":
        assert world.counts["Fetch"] == before["Fetch"]
    world.shards[3].halted = False
    world.behaviour = {}
    assert world.run_until(world.all_done) < 15_000
    assert world.run_until(lambda: world.standing(0, 3)[0] == "open") < 10_000
    world.check_order()


def test_lanes_that_fail_cannot_take_all_hands() -> None:
    world = World(shards=5, settings=CourierSettings(max_in_hand=2))
    world.behaviour = {(4, index): "hang" for index in range(4)}
    for source in range(4):
        world.send(source, 4, 10)
    world.run(30_000)
    for number in range(30):
        world.send(0, 1, 1, tag=f"{number} ")
        assert world.run_until(lambda: world.all_done(but=4)) < 1_500


def test_after_a_long_halt_a_validator_that_drops_deliveries_is_not_asked_for_ever() -> None:
    world = World(shards=2)
    world.behaviour = {(1, 0): "drop_deliveries"}
    world.shards[1].halted = True
    world.send(0, 1, 10)
    world.run(265_000)
    world.shards[1].pool.clear()
    world.shards[1].halted = False
    assert world.run_until(world.all_done) < 12_000


def test_a_validator_that_hands_out_message_by_message_is_soon_the_last_choice() -> None:
    world = World(shards=2)
    world.behaviour = {(0, 1): "drip", (1, 1): "drip"}
    world.send(0, 1, 3_000)
    world.run_until(lambda: len(world.shards[1].streams[0].received) == 3_000)
    assert world.lane_counts["fetch", 0, 1] <= 6 + 4


def test_lanes_share_the_hands_fairly() -> None:
    world = World(shards=5, settings=CourierSettings(max_in_hand=2))
    for source in range(1, 5):
        world.send(source, 0, 5_000)
    world.run(400)
    fetched = [world.lane_counts["fetch", source, 0] for source in range(1, 5)]
    assert sum(fetched) > 8
    assert max(fetched) - min(fetched) <= 1


def test_what_a_courier_remembers_and_says_is_bounded_under_a_flood() -> None:
    world = World(shards=4, settings=CourierSettings(max_in_hand=4))
    world.behaviour = {(shard, 2): "hang" for shard in range(4)} | {(shard, 0): "cry_frozen" for shard in range(4)}
    for shard in world.shards:
        shard.halted = shard.shard == 3
        for peer in range(4):
            if peer != shard.shard:
                world.send(shard.shard, peer, 4_000)
    peak = 0
    for _ in range(300):
        world.run(100)
        courier = world.couriers[0]
        in_hand = [lane for lane in courier._lanes.values() if lane.hand is not None]
        peak = max(peak, len(in_hand))
        assert courier._in_hand == len(in_hand)
        assert courier._failing_in_hand == sum(lane.hand.failing for lane in in_hand if lane.hand is not None)
        assert all(len(lane.ahead) <= 8 and len(lane.problem) <= 200 for lane in courier._lanes.values())
        assert len(courier._queue) <= len(courier._lanes) == 12
        assert len(world.timers[0]) <= 12 + 4
    assert 2 <= peak <= 4
    assert all(len(note.detail) <= 200 for note in world.notes)
    assert world.counts["Note"] < 30_000 // 100
    assert world.counts["SetTimer"] < 4 * (world.counts["Fetch"] + 100)


def test_the_same_events_give_the_same_effects() -> None:
    def transcript() -> list[str]:
        world = World(shards=3, seed=9, loss=0.2, duplication=0.2, couriers=2)
        world.behaviour = {(0, 1): "bad_bundle", (1, 0): "forge_certificate"}
        lines = []
        give = world.give

        def record(index, event):  # type: ignore[no-untyped-def]
            effects = give(index, event)
            lines.append(f"{world.now} {event} {effects}")
            return effects

        world.give = record  # type: ignore[method-assign]
        world.send(0, 1, 100)
        world.send(1, 2, 100)
        world.run(10_000)
        return lines

    assert transcript() == transcript()
