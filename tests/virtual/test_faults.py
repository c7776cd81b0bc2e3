"""What tests break on purpose, and what the chain makes of it."""

import pytest

from testnet.virtual import Misuse, NotSettled
from testnet.virtual.ground import OPENING_BALANCE
from tests.virtual.support import make_net, person


def test_nothing_passes_between_shards_that_are_cut_and_other_shards_do_not_notice() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    with net.fault.cut(0, 2) as cut:
        assert net.fault.active == [cut]
        stuck = alice.transfer(bob, 5, to_shard=2, deadline="5m")
        passing = alice.transfer(bob, 7, to_shard=1)
        passing.settle("10s")
        net.run_for("60s")
        assert not stuck.settled
        assert bob.balance(2) == OPENING_BALANCE
    assert net.fault.active == []
    stuck.settle("20s").expect(outcome="ok")
    assert bob.balance(2) == OPENING_BALANCE + 5
    net.check()


def test_what_a_cut_held_up_for_too_long_expires_and_comes_back() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    with net.fault.cut(2, 0):
        tx = alice.transfer(bob, 5_000, to_shard=2, deadline="30s")
        net.run_for("60s")
    tx.settle().expect(outcome="expired")
    assert bob.balance(2) == OPENING_BALANCE
    assert alice.balance() > OPENING_BALANCE - 5_000
    net.check()


def test_a_fault_may_end_by_itself() -> None:
    net = make_net()
    cut = net.fault.cut(0, 1, lasts="20s")
    tx = person(net).transfer(person(net, "bob"), 5, to_shard=1, deadline="5m")
    net.run_for("19s")
    assert net.fault.active == [cut]
    assert not tx.settled
    net.run_for("2s")
    assert net.fault.active == []
    tx.settle("20s")
    cut.end()


def test_a_halted_shard_comes_back_with_everything_it_knew() -> None:
    net = make_net(validators=4)
    alice, bob = person(net), person(net, "bob")
    alice.transfer(bob, 5).settle()
    with net.fault.halt(0):
        with pytest.raises(Misuse, match="shard 0 is down: halt 0"):
            bob.balance()
        waiting = alice.transfer(bob, 7)
        net.run_for("30s")
        assert not waiting.final
    waiting.settle("30s")
    assert bob.balance() == OPENING_BALANCE + 12
    net.check()


def test_a_transaction_for_a_shard_that_stays_down_is_reported_with_the_fault() -> None:
    net = make_net()
    net.fault.halt(0)
    tx = person(net).transfer(person(net, "bob"), 5)
    with pytest.raises(NotSettled, match=r"(?s)not settled after 5s.*broken on purpose: halt 0"):
        tx.settle("5s")


def test_a_shard_with_one_dead_and_one_paused_validator_stands_still_and_goes_on() -> None:
    net = make_net(validators=4)
    alice, bob = person(net), person(net, "bob")
    net.fault.kill("s0/v1")
    alice.transfer(bob, 5).settle("20s")
    pause = net.fault.pause("s0/v2")
    tx = alice.transfer(bob, 7)
    net.run_for("30s")
    assert not tx.settled
    pause.end()
    tx.settle("30s")
    net.fault.restart("s0/v1")
    assert net.fault.active == []
    net.run_for("20s")
    heights = {name: each.core.ledger.height for name, each in net.world.validators.items() if each.core is not None}
    assert len(heights) == 12
    assert heights["s0v1"] == heights["s0v0"]
    net.check()


def test_who_forgot_a_transaction_when_it_died_takes_the_next_one_after_it() -> None:
    net = make_net(validators=4)
    alice, bob = person(net), person(net, "bob")
    with net.fault.drop("s0", "100%"):
        first = alice.transfer(bob, 5)
        net.run_for("2s")
        net.fault.restart("s0")
        second = alice.transfer(bob, 7)
    assert not first.final
    for tx in (first, second):
        tx.settle("1m")
    assert bob.balance() == OPENING_BALANCE + 12


def test_everything_may_restart_between_a_transfer_and_its_credit() -> None:
    net = make_net()
    tx = person(net).transfer(person(net, "bob"), 5, to_shard=1)
    net.run_until(lambda: tx.final)
    for _ in range(5):
        net.fault.restart_all()
        net.run_for("20ms")
    tx.settle("30s").expect(outcome="ok")
    net.check()


def test_without_relays_nothing_settles_across_shards() -> None:
    net = make_net()
    with net.fault.relay_down(), net.fault.cut(0, 1):
        both = [person(net).transfer(person(net, "bob"), 5, to_shard=shard, deadline="5m") for shard in (1, 2)]
        net.run_for("20s")
        assert not any(tx.settled for tx in both)
    net.settle("20s")


def test_faults_that_overlap_end_one_by_one() -> None:
    net = make_net()
    first, second = net.fault.cut(0, 1), net.fault.cut(1, 0)
    tx = person(net).transfer(person(net, "bob"), 5, to_shard=1, deadline="5m")
    first.end()
    net.run_for("20s")
    assert not tx.settled
    second.end()
    tx.settle("20s")


def test_a_delay_between_shards_or_validators_is_felt() -> None:
    def settled_after_ms(*, delayed: bool) -> int:
        net = make_net(validators=4)
        if delayed:
            net.fault.delay(0, 1, "150ms")
        tx = person(net).transfer(person(net, "bob"), 5, to_shard=1).settle()
        net.check()
        return tx.trace.elapsed_ms

    plain = settled_after_ms(delayed=False)
    assert settled_after_ms(delayed=True) >= plain + 150
    net = make_net(validators=2)
    net.fault.delay("s0/v0", "s0/v1", "150ms")
    before = net.now
    person(net).transfer(person(net, "bob"), 5).settle()
    assert net.now - before >= 150


def test_end_all_mends_everything() -> None:
    net = make_net()
    net.fault.cut(0, 1)
    net.fault.halt(2)
    net.fault.relay_down()
    net.fault.delay(0, 2, "50ms")
    net.fault.end_all()
    assert net.fault.active == []
    person(net).transfer(person(net, "bob"), 5, to_shard=2).settle("20s")


def test_a_node_that_is_not_there_is_answered_with_how_nodes_are_named() -> None:
    net = make_net()
    with pytest.raises(Misuse, match=r"no node s0/v1.*1 validators.*for more: @pytest.mark.ostraka\(validators=4\)"):
        net.fault.kill("s0/v1")
    with pytest.raises(Misuse, match="there is no link between s1 and s1"):
        net.fault.cut(1, 1)
    with pytest.raises(Misuse, match="there is no link between s0/v0 and s1/v0"):
        net.fault.cut("s0/v0", "s1/v0")
    with pytest.raises(Misuse, match="there is no shard s7"):
        net.fault.cut(0, 7)
    with pytest.raises(Misuse, match=r"is nothing that can be broken; write a validator \(s0/v1\)"):
        net.fault.pause("validator 1")
