"""The escrow on a testnet: real obols, and real waiting in virtual time."""

import pytest

from testnet.virtual import Account, Net, TransactionFailed

OBOL = 10**6


def test_the_buyer_releases_the_obols(net: Net, alice: Account, bob: Account) -> None:
    escrow = net.deploy("escrow.py")
    number = alice.send(escrow.offer(bob, 3600), value=5 * OBOL).result()
    before = bob.balance()
    assert alice.send(escrow.release(number)).result() is True
    assert (bob.balance() - before, escrow.balance) == (5 * OBOL, 0)


def test_after_the_deadline_anybody_lets_them_go_back(net: Net, alice: Account, bob: Account, carol: Account) -> None:
    escrow = net.deploy("escrow.py")
    number = alice.send(escrow.offer(bob, 60), value=5 * OBOL).result()
    with pytest.raises(TransactionFailed, match="only the seller refunds before"):
        carol.send(escrow.refund(number)).result()
    before = alice.balance()
    net.run_for("61s")
    assert carol.send(escrow.refund(number)).result() is True
    assert alice.balance() - before == 5 * OBOL


def test_a_seller_on_another_shard_is_paid_when_that_shard_is_back(net: Net, alice: Account, bob: Account) -> None:
    escrow = net.deploy("escrow.py")
    number = alice.send(escrow.offer(f"{bob.address}@2", 3600), value=5 * OBOL).result()
    before = bob.balance(2)
    with net.fault.halt(2):
        late = alice.send(escrow.release(number))
        net.run_for("90s")
    assert late.result() is False
    assert escrow.deal(number)["amount"] == escrow.balance == 5 * OBOL
    assert alice.send(escrow.release(number)).result() is True
    assert bob.balance(2) - before == 5 * OBOL
