"""Going back in virtual time."""

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testnet.virtual import Misuse, Net, NotSettled
from testnet.virtual.ground import OPENING_BALANCE
from tests.virtual.support import make_net, person


def test_a_restored_net_is_where_it_was_and_goes_on_in_the_same_way_each_time() -> None:
    net = make_net(validators=4)
    alice, bob = person(net), person(net, "bob")
    alice.transfer(bob, 5, to_shard=1).settle()
    snapshot, kept_ms = net.snapshot(), net.now
    digests = []
    for _ in range(3):
        alice.transfer(bob, 7, to_shard=1).settle()
        assert bob.balance(1) == OPENING_BALANCE + 12
        net.run_for("30s")
        digests.append([bytes(net.ledger(shard).commitment.state_root) for shard in range(3)])
        net.check()
        net.restore(snapshot)
        assert bob.balance(1) == OPENING_BALANCE + 5
        assert kept_ms <= net.now < kept_ms + 10
    assert digests[1] == digests[2]
    net.check()


def test_a_snapshot_keeps_messages_that_are_under_way() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    with net.fault.cut(0, 1):
        tx = alice.transfer(bob, 5, to_shard=1, deadline="5m")
        snapshot = net.snapshot()
        assert tx.final
    tx.settle()
    net.restore(snapshot)
    assert not tx.settled
    net.fault.end_all()
    tx.settle().expect(outcome="ok")
    assert bob.balance(1) == OPENING_BALANCE + 5
    net.check()


def test_faults_are_those_of_the_snapshot_again() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    with net.fault.cut(0, 1):
        snapshot = net.snapshot()
    later = net.fault.halt(2)
    net.restore(snapshot)
    assert [fault.text for fault in net.fault.active] == ["cut 0-1"]
    assert not later.active
    later.end()
    tx = alice.transfer(bob, 5, to_shard=1, deadline="5m")
    net.run_for("20s")
    assert not tx.settled
    net.fault.end_all()
    net.settle("20s")


def test_a_fault_that_ends_by_itself_does_so_in_a_restored_net_too() -> None:
    net = make_net()
    cut = net.fault.cut(0, 1, lasts="20s")
    snapshot = net.snapshot()
    net.run_for("30s")
    assert net.fault.active == []
    net.restore(snapshot)
    assert net.fault.active == [cut]
    net.run_for("30s")
    assert net.fault.active == []


def test_what_was_sent_after_the_snapshot_has_never_been() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    before = alice.transfer(bob, 5).settle()
    snapshot = net.snapshot()
    after = alice.transfer(bob, 7).settle()
    net.restore(snapshot)
    assert before.settled
    with pytest.raises(Misuse, match="after the snapshot that was restored"):
        after.settle()
    net.settle()


def test_a_snapshot_waits_for_what_was_sent_and_says_when_it_cannot_become_final() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    alice.transfer(bob, 5)
    snapshot = net.snapshot()
    net.restore(snapshot)
    assert bob.balance() == OPENING_BALANCE + 5
    with net.fault.halt(0):
        alice.transfer(bob, 7)
        with pytest.raises(NotSettled, match=r"(?s)a snapshot waits.*halt 0"):
            net.snapshot()


def test_nested_anchors_undo_what_happened_inside_of_each() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    with net.anchor():
        alice.transfer(bob, 5).settle()
        with net.anchor():
            alice.transfer(bob, 7).settle()
            assert bob.balance() == OPENING_BALANCE + 12
        assert bob.balance() == OPENING_BALANCE + 5
    assert bob.balance() == OPENING_BALANCE


def test_every_use_of_an_anchor_takes_the_same_course() -> None:
    net = make_net(validators=4)
    person(net).transfer(person(net, "bob"), 5, to_shard=1).settle()
    anchor, courses = net.anchor(), []
    for _ in range(3):
        with anchor:
            person(net).transfer(person(net, "bob"), 7, to_shard=1).settle()
            courses.append(net.world.trace.digest())
    assert courses[0] == courses[1] == courses[2]


def test_an_anchor_that_is_entered_again_and_again_is_taken_once() -> None:
    net = make_net()
    anchor = net.anchor()
    with anchor:
        person(net).transfer(person(net, "bob"), 5).settle()
    snapshot = net.snapshot()
    with anchor:
        assert net.snapshot() is snapshot
        net.run_for("1s")
        assert net.snapshot() is not snapshot


@given(amounts=st.lists(st.integers(1, 1000), max_size=3), shard=st.integers(0, 2))
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_example_of_hypothesis_may_begin_from_an_anchor(amounts: list[int], shard: int) -> None:
    net = _shared()
    with net.anchor():
        assert person(net, "bob").balance(shard) == OPENING_BALANCE
        for amount in amounts:
            person(net).transfer(person(net, "bob"), amount, to_shard=shard)
        net.settle()
        assert person(net, "bob").balance(shard) == OPENING_BALANCE + sum(amounts)
        net.check()


@cache
def _shared() -> Net:
    return make_net()
