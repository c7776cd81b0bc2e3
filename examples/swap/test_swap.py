"""The swap on a testnet: gold of shard 0 for silver of shard 1, agreed on shard 2."""

import pytest

from testnet.virtual import Account, Contract, Net


@pytest.fixture
def market(net: Net, alice: Account, bob: Account) -> list[Contract]:
    gold = net.deploy("coin.py", 100, shard=0, name="gold", by=alice)
    silver = net.deploy("coin.py", 100, shard=1, name="silver", by=bob)
    swap = net.deploy("swap.py", shard=2)
    alice.send(gold.allow(swap, 10))
    bob.send(silver.allow(swap, 70))
    assert alice.send(swap.offer([0, "gold", 10], [1, "silver", 70])).result() == 1
    net.settle()
    return [gold, silver, swap]


def holdings(market: list[Contract], *people: Account) -> list[int]:
    gold, silver, swap = market
    return [coin.balance_of(who) for who in (*people, swap) for coin in (gold, silver)]


def test_both_sides_change_hands(market: list[Contract], alice: Account, bob: Account) -> None:
    tx = bob.send(market[2].accept(1))
    assert tx.result() is True
    tx.expect(hop="gold.take", outcome="ok").expect(hop="silver.send", outcome="ok")
    assert holdings(market, alice, bob) == [90, 70, 10, 30, 0, 0]


def test_neither_side_changes_hands_when_one_shard_is_out_of_reach(
    net: Net, market: list[Contract], alice: Account, bob: Account
) -> None:
    with net.fault.cut(1, 2):
        tx = bob.send(market[2].accept(1))
        net.run_for("90s")
    assert tx.result() is False
    assert holdings(market, alice, bob) == [100, 0, 0, 100, 0, 0]


def test_what_cannot_be_handed_over_is_collected_later(
    net: Net, market: list[Contract], alice: Account, bob: Account
) -> None:
    _, silver, swap = market
    tx = bob.send(swap.accept(1))
    net.run_until(lambda: silver.balance_of(swap) == 70)
    net.run_for("50ms")
    with net.fault.halt(1):
        net.run_for("90s")
    assert tx.result() is True
    if swap.owed(1, "silver", alice):
        assert bob.send(swap.collect(1, "silver", alice)).result() == 70
    assert holdings(market, alice, bob) == [90, 70, 10, 30, 0, 0]
