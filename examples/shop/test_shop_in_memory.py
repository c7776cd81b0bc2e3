"""The shop under ordinary Python, through every combination of success, failure, expiry and a halted shard."""

import itertools
import random
from pathlib import Path

import pytest

from ostraka_contract import CallFailed
from ostraka_contract.testing import Contract, Shards, address

FOLDER = Path(__file__).parent
ALICE, BOB = address("alice"), address("bob")
OBOL = 10**6
PRICE = 5 * OBOL


class Market:
    """Shop, stock, prices and wallet on three shards, with an owl to sell and two buyers."""

    def __init__(self, seed: int = 0, *, stocked: bool = True, priced: bool = True, allowed: int = PRICE) -> None:
        self.shards = Shards(random.Random(seed).randrange)
        self.shop = self.shards.deploy(FOLDER / "shop.py", shard=0)
        self.stock = self.shards.deploy(FOLDER / "stock.py", shard=1)
        self.prices = self.shards.deploy(FOLDER / "prices.py", shard=2)
        self.wallet = self.shards.deploy(FOLDER / "wallet.py", shard=2)
        if stocked:
            self.stock.send("fill", "owl").result()
        if priced:
            self.prices.send("fix", "owl", PRICE).result()
        for buyer in (ALICE, BOB):
            self.wallet.send("deposit", sender=buyer, value=2 * PRICE).result()
            self.wallet.send("allow", "shop@0", allowed, sender=buyer).result()

    def is_sold(self, buyer: str = ALICE) -> bool:
        """Whether the owl was sold for its price; else everything has to be as before."""
        paid = self.wallet.view("balance_of", "shop@0")
        left = [self.wallet.view("balance_of", who) for who in (ALICE, BOB)]
        assert sum(left) + paid == self.wallet.balance == 4 * PRICE
        owner = self.shop.view("owner_of", "owl")
        if owner is None:
            assert (paid, left, self.shards.events) == (0, [2 * PRICE, 2 * PRICE], [])
            return False
        assert (owner, paid, self.stock.view("free")) == (buyer, PRICE, [])
        assert self.shards.events == [("shop@0", "Sold", {"item": "owl", "price": PRICE})]
        return True


def test_a_purchase_over_three_shards_succeeds() -> None:
    market = Market()
    sale = market.shop.send("buy", "owl", sender=ALICE)
    assert not sale.done
    market.shards.settle()
    assert sale.result() == PRICE
    assert market.is_sold()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("stocked", "priced", "allowed"),
    [
        case
        for case in itertools.product([True, False], [True, False], [PRICE, PRICE - 1])
        if case != (True, True, PRICE)
    ],
)
def test_whatever_fails_the_purchase_is_undone(seed: int, stocked: bool, priced: bool, allowed: int) -> None:
    market = Market(seed, stocked=stocked, priced=priced, allowed=allowed)
    sale = market.shop.send("buy", "owl", sender=ALICE)
    market.shards.settle()
    with pytest.raises(CallFailed) as caught:
        sale.result()
    assert caught.value.error in {"NotInStock", "NoPrice", "NotAllowed"}
    assert not market.is_sold()
    assert market.stock.view("free") == (["owl"] if stocked else [])
    market.stock.send("fill", "owl").result()
    market.prices.send("fix", "owl", PRICE).result()
    market.wallet.send("allow", "shop@0", PRICE, sender=ALICE).result()
    market.shop.send("buy", "owl", sender=ALICE)
    market.shards.settle()
    assert market.is_sold(), "what was undone can be done again"


@pytest.mark.parametrize("shard", [1, 2])
@pytest.mark.parametrize("deliveries", range(9))
@pytest.mark.parametrize("expires", [True, False])
def test_a_shard_that_halts_at_any_moment_delays_or_undoes_the_purchase(
    shard: int, deliveries: int, expires: bool
) -> None:
    market = Market()
    sale = market.shop.send("buy", "owl", sender=ALICE)
    for _ in range(deliveries):
        market.shards.step()
    market.shards.halted.add(shard)
    market.shards.settle()
    market.shards.wait(61 if expires else 1)
    market.shards.halted.clear()
    market.shards.settle()
    assert sale.done
    sold = market.is_sold()
    assert sold or expires
    if not sold:
        with pytest.raises(CallFailed, match="expired"):
            sale.result()


def test_a_reservation_that_could_not_be_released_is_no_obstacle() -> None:
    market = Market(allowed=0)
    sale = market.shop.send("buy", "owl", sender=ALICE)
    while market.stock.view("free"):
        market.shards.step()
    market.shards.halted.add(1)
    market.shards.settle()
    market.shards.wait(61)
    market.shards.halted.clear()
    market.shards.settle()
    with pytest.raises(CallFailed, match="expired"):
        sale.result()
    assert market.stock.view("free") == []  # still reserved for the shop
    market.wallet.send("allow", "shop@0", PRICE, sender=BOB).result()
    market.shop.send("buy", "owl", sender=BOB)
    market.shards.settle()
    assert market.is_sold(BOB)


@pytest.mark.parametrize(("seconds", "sold"), [(29, True), (30, False)])
def test_a_charge_waits_for_thirty_seconds(seconds: int, sold: bool) -> None:
    market = Market()
    sale = market.shop.send("buy", "owl", sender=ALICE)
    for _ in range(4):  # quote and reserve, there and back
        market.shards.step()
    market.shards.halted.add(2)
    market.shards.wait(seconds)
    market.shards.halted.clear()
    market.shards.settle()
    assert sale.done
    assert market.is_sold() is sold


@pytest.mark.parametrize("seed", range(20))
def test_two_buyers_never_get_the_same_item(seed: int) -> None:
    market = Market(seed)
    sales = [market.shop.send("buy", "owl", sender=who) for who in (ALICE, BOB)]
    market.shards.settle()
    assert sales[0].result() == PRICE
    with pytest.raises(Exception, match="owl"):
        sales[1].result()
    assert market.is_sold()


def test_the_failure_names_the_line_in_the_other_contract() -> None:
    market = Market(allowed=1)
    sale = market.shop.send("buy", "owl", sender=ALICE)
    market.shards.settle()
    with pytest.raises(CallFailed, match=f"shop@0 may charge 1, not {PRICE}") as caught:
        sale.result()
    assert "shard 2 · wallet.py" in caught.value.remote_traceback
    assert "raise NotAllowed" in caught.value.remote_traceback


def test_an_allowance_is_for_one_spender_and_is_used_up(tmp_path: Path) -> None:
    market = Market()
    thief = market.shards.deploy(FOLDER / "shop.py", shard=1, name="shop")
    market.stock.send("release", "owl", sender="shop@1").result()
    sale = thief.send("buy", "owl", sender=ALICE)
    market.shards.settle()
    with pytest.raises(CallFailed, match="shop@1 may charge 0"):
        sale.result()
    market.shop.send("buy", "owl", sender=ALICE)
    market.shards.settle()
    assert market.wallet.view("allowance", ALICE, "shop@0") == 0


def test_money_is_withdrawn_by_its_owner_only() -> None:
    market = Market()
    assert market.wallet.send("withdraw", OBOL, ALICE, sender=ALICE).result() == 2 * PRICE - OBOL
    assert market.shards.paid(ALICE, shard=2) == OBOL
    for amount in (-1, 0, 2 * PRICE):
        with pytest.raises(Exception, match="need"):
            market.wallet.send("withdraw", amount, BOB, sender=ALICE).result()
    with pytest.raises(Exception, match="may charge 0"):
        market.wallet.send("charge", ALICE, 1, sender=BOB).result()


def test_a_wallet_adds_up() -> None:
    wallet = Shards().deploy(FOLDER / "wallet.py")
    for amount in (5, 3):
        wallet.send("deposit", sender=ALICE, value=amount).result()
    wallet.send("allow", BOB, 4, sender=ALICE).result()
    for amount in (1, 2):
        wallet.send("charge", ALICE, amount, sender=BOB).result()
    assert [wallet.view("balance_of", who) for who in (ALICE, BOB)] == [5, 3]
    assert wallet.view("allowance", ALICE, BOB) == 1
    wallet.send("allow", BOB, 0, sender=ALICE).result()
    assert wallet.view("allowance", ALICE, BOB) == 0
    assert wallet.send("withdraw", 5, ALICE, sender=ALICE).result() == 0
    assert (wallet.view("balance_of", ALICE), wallet.balance) == (0, 3)


def keepers(market: Market) -> list[tuple[Contract, str, tuple[str | int, ...]]]:
    return [(market.stock, "fill", ("owl",)), (market.prices, "fix", ("owl", 1))]


@pytest.mark.parametrize("index", [0, 1])
def test_shelves_and_prices_are_their_owners(index: int) -> None:
    contract, method, args = keepers(Market())[index]
    with pytest.raises(Exception, match="only the"):
        contract.send(method, *args, sender="mallory").result()
