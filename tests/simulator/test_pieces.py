"""The parts that the simulator is made of: disk, heap, network, faults, schemes, lists that print."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.identifiers import SecretSeed
from primitives.storage import Write
from testnet.simulator.__main__ import make_parser, settings_of
from testnet.simulator.disk import SimulatedDisk
from testnet.simulator.drawing import draw_faults
from testnet.simulator.draws import Draws
from testnet.simulator.faults import UNDRAWN, Fault, FaultKind, print_faults
from testnet.simulator.heap import Heap
from testnet.simulator.network import Network
from testnet.simulator.scheme import CheapScheme
from testnet.simulator.settings import SimulationSettings

_KEYS = st.binary(min_size=1, max_size=2)


def test_writes_that_were_not_synced_are_invisible_and_a_crash_loses_them() -> None:
    disk = SimulatedDisk()
    disk.stage([Write("t", b"a", b"1")])
    disk.sync()
    disk.stage([Write("t", b"a", b"2"), Write("t", b"b", b"2")])
    disk.stage([Write("t", b"c", b"3")])
    assert (disk.get("t", b"a"), disk.get("t", b"b")) == (b"1", None)
    disk.crash(keep=0)
    assert list(disk.scan("t")) == [(b"a", b"1")]
    assert disk.lost_batches == 2


def test_a_crash_in_the_middle_of_a_sync_keeps_whole_batches_only() -> None:
    disk = SimulatedDisk()
    disk.stage([Write("t", b"a", b"1"), Write("u", b"a", b"1")])
    disk.stage([Write("t", b"b", b"2")])
    disk.crash(keep=1)
    assert list(disk.scan("t")) == list(disk.scan("u")) == [(b"a", b"1")]


@given(st.lists(st.tuples(_KEYS, st.none() | _KEYS)), _KEYS, st.none() | _KEYS, st.booleans())
@settings(deadline=None, max_examples=150)
def test_a_scan_gives_what_a_sorted_dictionary_would(
    writes: list[tuple[bytes, bytes | None]], start: bytes, end: bytes | None, reverse: bool
) -> None:
    disk = SimulatedDisk()
    model: dict[bytes, bytes] = {}
    for key, value in writes:
        disk.stage([Write("t", key, value)])
        disk.sync()
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value
    expected = [pair for pair in sorted(model.items()) if pair[0] >= start and (end is None or pair[0] < end)]
    assert list(disk.scan("t", start, end, reverse=reverse)) == (expected[::-1] if reverse else expected)


def test_events_at_the_same_moment_happen_in_the_order_in_which_they_were_planned() -> None:
    heap, seen = Heap(), []
    for name in "abc":
        heap.after(5, lambda name=name: seen.append(name))  # type: ignore[misc]  # a default binds the name
    heap.after(1, lambda: heap.after(4, lambda: seen.append("late")))
    heap.run_until(1, stop=lambda: False)
    assert seen == ["a", "b", "c", "late"]


def _delays(seed: int, *, others: int) -> list[int]:
    heap, times = Heap(), []
    network = Network(seed, heap)
    network.loss.begin("a", 300)
    network.doubling.begin("b", 300)
    for _ in range(50):
        network.send("a", "b", lambda: times.append(heap.now_us))
        for _ in range(others):
            network.send("a", "c", lambda: None)
    heap.run_until(1000, stop=lambda: False)
    return times


def test_what_happens_on_one_link_does_not_depend_on_the_traffic_of_another() -> None:
    assert _delays(7, others=0) == _delays(7, others=5)
    assert _delays(7, others=0) != _delays(8, others=0)


def test_messages_are_lost_doubled_and_overtake_each_other() -> None:
    heap, arrived = Heap(), []
    network = Network(1, heap)
    network.loss.begin("a", 300)
    network.doubling.begin("b", 300)
    for number in range(200):
        network.send("a", "b", lambda number=number: arrived.append(number))  # type: ignore[misc]
    heap.run_until(1000, stop=lambda: False)
    assert len(set(arrived)) < 200
    assert len(arrived) > len(set(arrived))
    assert arrived != sorted(arrived)


def test_a_cut_direction_carries_nothing_until_every_reason_for_the_cut_is_gone() -> None:
    heap, arrived = Heap(), []
    network = Network(1, heap)
    for cut in (True, True, False):
        network.hold("a", "b", cut=cut)
    network.send("a", "b", lambda: arrived.append("cut"))
    network.send("b", "a", lambda: arrived.append("back"))
    network.hold("a", "b", cut=False)
    network.send("a", "b", lambda: arrived.append("healed"))
    heap.run_until(1000, stop=lambda: False)
    assert sorted(arrived) == ["back", "healed"]


def test_taking_one_fault_away_shifts_no_other() -> None:
    small = draw_faults(3, shards=2, validators=4, relays=1, chaos_ms=30_000)
    large = draw_faults(3, shards=3, validators=4, relays=2, chaos_ms=30_000)
    assert small
    assert set(map(repr, small)) < set(map(repr, large))
    intense = draw_faults(3, shards=2, validators=4, relays=1, chaos_ms=30_000, intensity=3)
    ends = {fault: other.end_ms for fault in small for other in intense if _same_but_for_its_end(fault, other)}
    assert set(ends) == set(small)
    assert all(ends[fault] <= fault.end_ms for fault in small)
    assert len(intense) > len(small)


def _same_but_for_its_end(one: Fault, other: Fault) -> bool:
    return replace(one, end_ms=0) == replace(other, end_ms=0)


def test_no_two_drawn_faults_of_a_kind_that_has_one_strength_last_on_a_target_at_a_time() -> None:
    for seed in range(20):
        drawn = draw_faults(seed, shards=2, validators=4, relays=2, chaos_ms=30_000, intensity=3)
        for kind in (FaultKind.LOSSY, FaultKind.SLOW, FaultKind.CLOCK):
            for target in {fault.target for fault in drawn if fault.kind is kind}:
                times = [(each.start_ms, each.end_ms) for each in drawn if (each.kind, each.target) == (kind, target)]
                assert all(end <= start for (_, end), (start, _) in pairwise(times))


def test_every_kind_of_fault_is_drawn_and_all_of_them_end_with_the_chaos() -> None:
    faults = [
        fault for seed in range(30) for fault in draw_faults(seed, shards=3, validators=4, relays=2, chaos_ms=30_000)
    ]
    assert {fault.kind for fault in faults} == set(FaultKind) - UNDRAWN
    assert all(0 <= fault.start_ms <= fault.end_ms <= 30_000 for fault in faults)


def test_a_printed_fault_list_pastes_back_into_a_test() -> None:
    faults = draw_faults(5, shards=2, validators=4, relays=2, chaos_ms=20_000)
    assert eval(repr(faults), {"Fault": Fault, "FaultKind": FaultKind}) == faults
    assert len(print_faults(faults).splitlines()) == len(faults)
    assert print_faults(()) == "(no faults)"


def test_draws_are_the_same_on_every_machine() -> None:
    draws = Draws(7, "link").under("s0v0>s0v1")
    assert [draws.number(counter, 0, 999) for counter in range(5)] == [250, 682, 263, 472, 362]


def test_the_cheap_scheme_tells_keys_and_messages_apart() -> None:
    scheme = CheapScheme()
    one, other = SecretSeed(b"1" * 32), SecretSeed(b"2" * 32)
    signature = scheme.sign(one, b"message")
    items = [(scheme.public_key(one), b"message", signature), (scheme.public_key(other), b"message", signature)]
    assert scheme.verify_many([*items, (scheme.public_key(one), b"another", signature)]) == [True, False, False]
    assert len(signature) == 64


def test_the_replay_command_leads_to_the_same_settings() -> None:
    chosen = SimulationSettings(
        9,
        shards=2,
        seconds=30,
        chaos_seconds=5,
        relays=1,
        intensity=2,
        byzantine_relays=("forging",),
        crash_boundary=("s0v1", 5),
    )
    for each in (chosen, replace(chosen, faults=()), SimulationSettings(4)):
        words = each.command().split()
        assert words[:3] == ["python", "-m", "testnet.simulator"]
        assert settings_of(make_parser().parse_args(words[3:])) == each


def test_the_command_prints_its_faults_and_the_verdict() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "testnet.simulator", "--seed", "3", "--shards", "1", "--seconds", "10"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "every invariant held" in run.stdout
    assert print_faults(SimulationSettings(3, shards=1, seconds=10).expanded().faults or ()) in run.stdout
