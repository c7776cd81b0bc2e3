"""The shop on three shards, with the network broken on purpose: the demo of the project."""

import pytest

from testnet.virtual import Account, Contract, Net, TransactionFailed

PRICE = 5_000_000  # base units: 1 obol = 10**6


@pytest.fixture
def shop(net: Net, alice: Account) -> Contract:
    shop, stock = net.deploy("shop.py"), net.deploy("stock.py", shard=1)
    prices, wallet = net.deploy("prices.py", shard=2), net.deploy("wallet.py", shard=2)
    for call in (stock.fill("owl"), prices.fix("owl", PRICE), wallet.allow(shop, PRICE)):
        alice.send(call)
    alice.send(wallet.deposit(), value=2 * PRICE)
    net.settle()
    return shop


def is_sold(net: Net, alice: Account) -> bool:
    """Whether alice has the owl and the shop her money; otherwise nothing may have changed at all."""
    shop, stock, wallet = (net.contract(name, shard) for name, shard in (("shop", 0), ("stock", 1), ("wallet", 2)))
    sold = shop.owner_of("owl") == alice.address
    assert wallet.balance_of(shop) == (PRICE if sold else 0)
    assert wallet.balance_of(alice) == (PRICE if sold else 2 * PRICE)
    assert wallet.balance == 2 * PRICE
    assert not (sold and stock.free())
    return sold


def test_a_purchase_over_three_shards(net: Net, shop: Contract, alice: Account) -> None:
    tx = alice.send(shop.buy("owl"))
    assert tx.result() == PRICE
    tx.expect(hop="stock.reserve", outcome="ok", shard=1).expect(hop="wallet.charge", outcome="ok", shard=2)
    assert is_sold(net, alice)


def test_a_buyer_who_allowed_nothing_reads_one_traceback(
    net: Net, shop: Contract, alice: Account, bob: Account
) -> None:
    with pytest.raises(TransactionFailed) as caught:
        bob.send(shop.buy("owl")).result()
    text = str(caught.value)
    assert text.index("shop.py") < text.index("wallet.py")
    assert f"NotAllowed: shop@0 may charge 0, not {PRICE}" in text
    assert not is_sold(net, alice)
    assert net.contract("stock", 1).free() == ["owl"]


@pytest.mark.parametrize("missing", ["cat", "dog"])
def test_what_is_not_in_stock_cannot_be_bought(net: Net, shop: Contract, alice: Account, missing: str) -> None:
    alice.send(net.contract("prices", 2).fix("cat", 1)).settle()
    tx = alice.send(shop.buy(missing)).settle()
    tx.expect(outcome="failed").expect(hop="stock.release", outcome="ok", times=1)
    assert shop.owner_of(missing) is None
    assert not is_sold(net, alice)


def test_refund_when_the_wallet_shard_is_cut_off(net: Net, shop: Contract, alice: Account) -> None:
    tx = alice.send(shop.buy("owl"))
    net.run_until(lambda: net.contract("stock", 1).free() == [])
    with net.fault.cut(0, 2):
        net.run_for("90s")
    tx.settle()
    assert is_sold(net, alice) == (tx.outcome == "ok")


@pytest.mark.parametrize("shard", [1, 2])
@pytest.mark.parametrize("after", ["0s", "20ms", "40ms", "60ms", "80ms", "100ms", "150ms"])
@pytest.mark.parametrize("down", ["5s", "90s"])
def test_a_shard_that_halts_at_any_moment(
    net: Net, shop: Contract, alice: Account, shard: int, after: str, down: str
) -> None:
    tx = alice.send(shop.buy("owl"))
    net.run_for(after)
    with net.fault.halt(shard):
        net.run_for(down)
    tx.settle()
    assert is_sold(net, alice) == (tx.outcome == "ok")
    if down == "5s":
        tx.expect(outcome="ok")


@pytest.mark.parametrize("after", ["0s", "30ms", "60ms", "90ms", "120ms"])
def test_a_purchase_survives_a_restart_of_every_validator(net: Net, shop: Contract, alice: Account, after: str) -> None:
    tx = alice.send(shop.buy("owl"))
    net.run_until(lambda: tx.final)
    net.run_for(after)
    net.fault.restart_all()
    assert tx.result() == PRICE
    assert is_sold(net, alice)


def test_of_two_buyers_one_gets_the_owl(net: Net, shop: Contract, alice: Account, bob: Account) -> None:
    sales = [who.send(shop.buy("owl")) for who in (alice, bob)]
    net.settle()
    assert [sale.outcome for sale in sales] == ["ok", "failed"]
    assert is_sold(net, alice)
