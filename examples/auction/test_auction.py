"""The auction on a testnet, with bidders on several shards."""

import pytest

from testnet.virtual import Account, Net, TransactionFailed

OBOL = 10**6


def test_the_highest_bid_wins_and_the_others_go_back(
    net: Net, alice: Account, bob: Account, carol: Account, dave: Account
) -> None:
    auction = net.deploy("auction.py", 60, by=dave)
    for bidder, shard, obols in ((alice, 0, 5), (bob, 1, 7), (carol, 2, 9)):
        bidder.send(auction.bid(), value=obols * OBOL, shard=shard).settle().expect(outcome="ok")
    with pytest.raises(TransactionFailed, match="bid more than 9000000"):
        alice.send(auction.bid(), value=8 * OBOL).result()
    net.run_for("61s")
    assert alice.send(auction.close()).result() == {"bidder": f"{carol.address}@2", "amount": 9 * OBOL}
    before = bob.balance(1)
    for who, shard, obols in ((dave, 0, 9), (alice, 0, 5), (bob, 1, 7)):
        assert who.send(auction.withdraw(), shard=shard).result() == obols * OBOL
    assert 6 * OBOL < bob.balance(1) - before < 7 * OBOL  # less the fee of asking for it
    assert auction.balance == 0


def test_a_refund_that_cannot_be_delivered_is_owed_again(net: Net, alice: Account, bob: Account) -> None:
    auction = net.deploy("auction.py", 3600)
    bob.send(auction.bid(), value=5 * OBOL, shard=1).settle()
    alice.send(auction.bid(), value=6 * OBOL).settle()
    fetched = bob.send(auction.withdraw(), shard=1)
    net.run_until(lambda: auction.owed(f"{bob.address}@1") == 0)
    with net.fault.halt(1):
        net.run_for("90s")
        alice.send(auction.bid(), value=8 * OBOL).settle().expect(outcome="ok")  # nobody's way is barred
    fetched.settle()
    if fetched.result() == 0:
        assert bob.send(auction.withdraw(), shard=1).result() == 5 * OBOL
    assert auction.owed(f"{bob.address}@1") == 0
    assert auction.balance == 14 * OBOL
