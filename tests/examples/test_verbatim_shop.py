"""The design's contract as it was printed: it sells, and what its last `put` before the `raise` does (0011)."""

from pathlib import Path

import pytest

from ostraka_contract import CallFailed
from ostraka_contract.testing import Contract, Shards, address
from testnet.contract_check import check_files

HERE = Path(__file__).parent
SHOP = HERE / "verbatim_shop.py"
EXAMPLES = HERE.parent.parent / "examples" / "shop"
ALICE = address("alice")
PRICE = 5_000_000


def market(shop: Path, allowed: int) -> tuple[Shards, Contract, Contract]:
    shards = Shards()
    sold = shards.deploy(shop, shard=0, name="shop")
    stock = shards.deploy(EXAMPLES / "stock.py", shard=1)
    stock.send("fill", "owl").result()
    shards.deploy(EXAMPLES / "prices.py", shard=2).send("fix", "owl", PRICE).result()
    wallet = shards.deploy(EXAMPLES / "wallet.py", shard=2)
    wallet.send("deposit", sender=ALICE, value=PRICE).result()
    wallet.send("allow", "shop@0", allowed, sender=ALICE).result()
    return shards, sold, stock


def test_it_sells_as_it_was_printed() -> None:
    shards, shop, stock = market(SHOP, PRICE)
    sale = shop.send("buy", "owl", sender=ALICE)
    shards.settle()
    assert sale.result() == PRICE
    assert (shop.view("owner_of", "owl"), stock.view("free")) == (ALICE, [])


@pytest.mark.parametrize(("shop", "owner"), [(SHOP, ALICE), (EXAMPLES / "shop.py", None)])
def test_its_put_before_the_raise_is_undone_by_the_raise(shop: Path, owner: str | None) -> None:
    shards, contract, stock = market(shop, allowed=0)
    sale = contract.send("buy", "owl", sender=ALICE)
    shards.settle()
    with pytest.raises(CallFailed):
        sale.result()
    assert stock.view("free") == ["owl"]
    assert contract.view("owner_of", "owl") == owner


def test_the_checker_points_at_that_put() -> None:
    found = [(finding.line, finding.code) for finding in check_files([SHOP], types=False)]
    line = 1 + SHOP.read_text().split("\n").index('        put(f"sold:{item}", None)')
    assert found == [(line, "undone-by-raise")]
    assert check_files([EXAMPLES / "shop.py"], types=False) == []
