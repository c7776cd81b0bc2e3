"""Every fault of the catalogue in a net: what it does, to what, and that it is over when it ends."""

import pytest

from testnet.simulator.faults import STORAGE, Fault, FaultKind
from testnet.virtual import Misuse, Net
from testnet.virtual.ground import OPENING_BALANCE
from testnet.virtual.ongoing import Ongoing
from tests.virtual.support import make_net, person


def pay(net: Net, to_shard: int = 0) -> int:
    """Virtual milliseconds that a payment takes."""
    before = net.now
    person(net).transfer(person(net, "bob"), 5, to_shard=to_shard, deadline="10m").settle("3m")
    return net.now - before


def count(net: Net, what: str) -> int:
    return net.world.network.counts[what]


def stands_still(net: Net, fault: Ongoing) -> None:
    """Nothing becomes final on shard 0 while it lasts; afterwards everything does."""
    tx = person(net).transfer(person(net, "bob"), 5)
    net.run_for("20s")
    assert not tx.final
    fault.end()
    tx.settle("30s")
    net.check()


def test_of_messages_some_or_all_are_dropped() -> None:
    net = make_net(validators=4)
    with net.fault.drop("s0", "10%"):
        pay(net)
    assert count(net, "lost") > 0
    stands_still(net, net.fault.drop(0, "100%"))
    lost = count(net, "lost")
    with net.fault.drop("s0/v1", "s0/v2", "50%"), net.fault.drop("r0", "0.5%"):
        pay(net)
    net.run_for("5s")
    assert count(net, "lost") > lost


def test_what_arrives_twice_or_damaged_changes_nothing_and_nobody_is_blamed() -> None:
    net = make_net(validators=4)
    with net.fault.duplicate("s0", "50%"), net.fault.corrupt("s0/v1", "20%"):
        for _ in range(3):
            pay(net, to_shard=1)
    assert count(net, "doubled") > 0
    assert count(net, "corrupted") > 0
    assert person(net, "bob").balance(1) == OPENING_BALANCE + 15
    assert net.world.judge.blamed == {}
    net.check()


def test_a_clock_is_off_until_it_is_mended() -> None:
    net = make_net(validators=4)
    with net.fault.skew("s0/v0", "-900ms"), net.fault.skew("s0/v0", "+200ms"):
        assert net.world.validators["s0v0"].skew_ms == -700
        pay(net)
    assert net.world.validators["s0v0"].skew_ms == 0


def test_a_slow_disk_is_waited_for_and_one_that_fails_stops_its_validator() -> None:
    net = make_net()
    plain = pay(net)
    with net.fault.disk("slow", 0, by="400ms"):
        assert pay(net) > plain + 100
    net.fault.disk("full", "s0/v0")
    tx = person(net).transfer(person(net, "bob"), 5)
    net.run_for("10s")
    assert not net.world.validators["s0v0"].alive
    net.fault.restart("s0/v0")
    tx.settle("20s")
    net.check()


@pytest.mark.parametrize("effect", ["eio", "torn", "flip", "lying-sync", "old-backup"])
def test_a_disk_may_fail_or_forget_and_the_others_go_on(effect: str) -> None:
    net = make_net(validators=4)
    with net.fault.disk(effect, "s0/v1"):
        for _ in range(4):
            pay(net)
            net.run_for("1s")
    for _ in range(4):
        pay(net)
    net.run_for("30s")
    heights = [validator.core.ledger.height for validator in net.world.validators.values() if validator.core]
    assert len(heights) == 12
    assert abs(heights[0] - heights[1]) <= 1
    net.check()


def test_a_disk_that_forgets_is_for_nets_that_can_do_without_it() -> None:
    net = make_net()
    with pytest.raises(Misuse, match=r"whoever forgets its votes is one of the f; .*validators=4"):
        net.fault.disk("torn", "s0/v0")
    with pytest.raises(Misuse, match="'wet' is nothing that disks do; there are slow, full, eio, torn, flip"):
        net.fault.disk("wet", "s0/v0")


def test_a_parted_shard_stands_still_and_never_forks() -> None:
    net = make_net(validators=4)
    stands_still(net, net.fault.partition("s0/v0", "s0/v1"))
    stands_still(net, net.fault.partition("s0/v2", "s0/v1", one_way=True))
    with net.fault.cut("s0/v3"), net.fault.cut("s1/v0>s1/v1"):
        pay(net, to_shard=1)


def test_validators_that_hear_a_neighbour_or_a_bridge_only_go_on() -> None:
    net = make_net(validators=4)
    for fault in (net.fault.bridge("s0/v2"), net.fault.ring("s0"), net.fault.ring(0)):
        cut = count(net, "cut")
        with fault:
            pay(net)
            net.run_for("5s")
        assert count(net, "cut") > cut
        pay(net)
    with pytest.raises(Misuse, match="'s0': one validator is the bridge, name it"):
        net.fault.bridge("s0")
    net.check()


def test_a_narrow_link_makes_everything_late() -> None:
    net = make_net(validators=4)
    plain = pay(net)
    with net.fault.bandwidth("s0", 10_000), net.fault.bandwidth("s1/v0", "s1/v1", 1_000):
        assert pay(net) > plain + 50
    with pytest.raises(Misuse, match="'2kB' is no bandwidth: a number of bytes per second"):
        net.fault.bandwidth("s0", "2kB")
    with pytest.raises(Misuse, match="bandwidth s0-s1 100 B/s: what relays carry between shards is cut or late"):
        net.fault.bandwidth(0, 1, 100)
    net.check()


@pytest.mark.parametrize("breaking", ["cut", "kill", "pause"])
def test_a_relay_that_is_broken_carries_nothing(breaking: str) -> None:
    net = make_net()
    with getattr(net.fault, breaking)("r0"):
        tx = person(net).transfer(person(net, "bob"), 5, to_shard=1, deadline="10m")
        net.run_for("20s")
        assert not tx.settled
    tx.settle("30s").expect(outcome="ok")
    with net.fault.cut("r0-s2"), net.fault.delay("r0", "100ms"):
        pay(net, to_shard=1)
    net.fault.restart("r0")
    pay(net, to_shard=1)


def test_a_relay_stays_down_until_the_last_of_what_has_it_down_is_over() -> None:
    net = make_net()
    first, second = net.fault.relay_down(), net.fault.kill("r0", lasts="5s")
    net.run_for("6s")
    assert not second.active
    assert net.world.relays[0].courier is None
    net.fault.restart_all()
    assert net.world.relays[0].courier is None
    first.end()
    pay(net, to_shard=1)


def test_a_delay_with_jitter_mixes_up_what_validators_say() -> None:
    net = make_net(validators=4)
    with net.fault.delay("s0", "100ms", jitter="300ms", lasts="20s") as delay:
        assert delay.text == "delay s0 100ms ± 300ms"
        assert pay(net) >= 200
    assert count(net, "slowed") > 0


def test_a_liar_is_blamed_and_harmless_and_honest_again_when_it_ends() -> None:
    net = make_net(validators=4)
    pay(net)
    with net.fault.byzantine("s0/v1", "equivocate") as lie:
        snapshot = net.snapshot()
        for _ in range(12):
            pay(net)
        assert net.world.judge.blamed.keys() == {"s0v1"}
        net.restore(snapshot)
        assert lie.active
        for _ in range(12):
            pay(net)
        assert net.world.judge.blamed.keys() == {"s0v1"}
    blamed = net.world.validators["s0v1"].lies  # type: ignore[attr-defined]  # a liar's
    for _ in range(8):
        pay(net)
    assert net.world.validators["s0v1"].lies == blamed  # type: ignore[attr-defined]  # as above
    net.run_for("5s")
    heights = [validator.core.ledger.height for validator in net.world.validators.values() if validator.core][:4]
    assert heights[0] == heights[1]
    net.check()


def test_a_liar_lies_for_a_time_and_again_and_not_while_something_else_is_wrong_with_it() -> None:
    net = make_net(validators=4)
    net.fault.byzantine("s0/v1", "withhold-votes", lasts="5s")
    net.run_for("6s")
    assert net.fault.active == []
    with net.fault.kill("s0/v1"), pytest.raises(Misuse, match=r"end 'kill s0/v1' first, s0v1 is restarted as a liar"):
        net.fault.byzantine("s0/v1", "equivocate")
    with net.fault.byzantine("s0/v1", "double-vote"):
        pay(net)
    with pytest.raises(Misuse, match=r"'lazy' is no behaviour; there are censoring-leader, double-vote"):
        net.fault.byzantine("s0/v1", "lazy")
    net.check()


def test_what_was_paused_is_resumed_and_what_was_killed_is_restarted_by_name() -> None:
    net = make_net(validators=4)
    net.fault.pause("s0/v1")
    net.fault.pause("s0/v2")
    other = net.fault.pause("s1/v0")
    net.fault.resume("s0")
    assert net.fault.active == [other]
    net.fault.kill("s0/v3")
    net.fault.halt(2)
    net.fault.restart("all")
    assert net.fault.active == [other]
    assert all(validator.alive for validator in net.world.validators.values())
    pay(net, to_shard=2)


def test_what_cannot_be_broken_is_said_in_the_words_of_the_command() -> None:
    net = make_net(validators=4)
    with pytest.raises(Misuse, match=r"'some' is no share of the messages; write 10% or 0.5%"):
        net.fault.drop("s0", "some")
    with pytest.raises(Misuse, match=r"drop takes where and how much: drop\(\"s0/v1\", \"10%\"\)"):
        net.fault.drop("s0")
    with pytest.raises(Misuse, match="names validators of several shards"):
        net.fault.partition("s0/v0", "s1/v0")
    with pytest.raises(Misuse, match="drop 0-2 10%: "):
        net.fault.drop(0, 2, "10%")
    with pytest.raises(Misuse, match="'soon' is no duration"):
        net.fault.kill("s0/v1", lasts="soon")
    with pytest.raises(Misuse, match="r0 is a relay, which has no disk"):
        net.fault.disk("slow", "r0")
    assert net.fault.active == []


SCHEDULE = (
    Fault(FaultKind.HALT, "s0", 1_000, 4_000, 1),
    Fault(FaultKind.PAUSE, "s1v0", 2_000, 3_000),
    Fault(FaultKind.LATE, "s0>s1", 0, 6_000, 50),
)


def broken(net: Net) -> tuple[bool, bool]:
    return not net.world.validators["s0v0"].alive, net.world.validators["s1v0"].paused


def test_a_schedule_is_played_from_now_on() -> None:
    net = make_net()
    net.run_for("7s")
    played = net.fault.play(SCHEDULE)
    seen = []
    for _ in range(7):
        seen.append(broken(net))
        net.run_for("1s")
    assert [down for down, _ in seen] == [False, True, True, True, False, False, False]
    assert [paused for _, paused in seen] == [False, False, True, False, False, False, False]
    assert not played.active
    pay(net, to_shard=1)


def test_a_schedule_that_is_ended_is_over_with_all_that_it_had_in_store() -> None:
    net = make_net()
    with net.fault.play(SCHEDULE):
        net.run_for("1500ms")
        assert broken(net) == (True, False)
    assert broken(net) == (False, False)
    net.run_for("1s")
    assert broken(net) == (False, False)
    assert net.fault.active == []


def test_a_schedule_goes_on_in_a_restored_net() -> None:
    net = make_net()
    net.fault.play(SCHEDULE)
    net.run_for("1500ms")
    snapshot = net.snapshot()
    for _ in range(2):
        assert broken(net) == (True, False)
        net.run_for("1s")
        assert broken(net) == (True, True)
        net.run_for("5s")
        assert broken(net) == (False, False)
        assert net.fault.active == []
        net.restore(snapshot)


def test_a_schedule_names_what_is_there() -> None:
    net = make_net(shards=1)
    with pytest.raises(Misuse, match="s1v0"):
        net.fault.play(SCHEDULE)
    assert net.fault.active == []


def test_chaos_is_the_same_again_and_over_when_it_is_said_to_be() -> None:
    def run(seed: int, chaos_seed: int | None = None) -> tuple[tuple[Fault, ...], str]:
        net = make_net(shards=2, validators=4, seed=seed)
        chaos = net.fault.chaos(lasts="10s", seed=chaos_seed)
        net.run_for("10s")
        assert not chaos.active
        pay(net, to_shard=1)
        net.check()
        return chaos.parts, net.world.trace.digest()

    first = run(7)
    assert len(first[0]) > 4
    assert first == run(7)
    assert first[0] != run(8)[0]
    assert run(8, chaos_seed=1)[0] == run(7, chaos_seed=1)[0]


def test_chaos_of_the_whole_catalogue_has_disks_that_fail_and_forget() -> None:
    net = make_net(shards=2, validators=4)
    chaos = net.fault.chaos(lasts="10s", intensity=2, whole=True)
    assert {part.kind for part in chaos.parts} & STORAGE
    net.run_for("10s")
    assert net.fault.active == []
    pay(net, to_shard=1)
    net.check()


@pytest.mark.parametrize(("seed", "validators"), [(309, 1), (311, 1), (106, 4)])
def test_payments_in_the_midst_of_chaos_are_all_made_once(seed: int, validators: int) -> None:
    """Seeds in which shards were down between what was final and what their disks had of it, or forgot payments."""
    net = make_net(shards=2, validators=validators, seed=seed)
    alice, bob = person(net), person(net, "bob")
    net.fault.chaos(lasts="15s", intensity=2, whole=True)
    for number in range(8):
        alice.transfer(bob, 1, to_shard=number % 2, deadline="10m")
        net.run_for("2s")
    net.settle("5m")
    assert bob.balance(0) + bob.balance(1) == 2 * OPENING_BALANCE + 8
    net.check()
