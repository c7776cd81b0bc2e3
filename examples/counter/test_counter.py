"""The counter on a testnet of three shards, in virtual time."""

import pytest

from testnet.virtual import Account, Net, TransactionFailed


def test_everybody_moves_it(net: Net, alice: Account, bob: Account) -> None:
    counter = net.deploy("counter.py", 10)
    assert alice.send(counter.increment()).result() == 11
    tx = bob.send(counter.increment(5))
    assert tx.result() == 16
    assert tx.events == [("counter", "Incremented", {"by": 5, "count": 16})]
    assert (counter.count(), counter.moved_by(bob)) == (16, 5)


def test_a_mover_on_another_shard_is_somebody_else(net: Net, alice: Account) -> None:
    counter = net.deploy("counter.py")
    alice.send(counter.increment(2), shard=1).settle().expect(outcome="ok")
    assert counter.movers() == [f"{alice.address}@1"]


def test_it_never_goes_back(net: Net, alice: Account) -> None:
    counter = net.deploy("counter.py")
    with pytest.raises(TransactionFailed, match="ValueError: a counter moves forward, not by -1"):
        alice.send(counter.increment(-1)).result()
    assert counter.count() == 0
