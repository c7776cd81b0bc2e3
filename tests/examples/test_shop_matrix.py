"""The design's contract, as it was printed and as `examples/shop` has it, through all that can happen to its calls.

Each of quote, reserve, charge and release succeeds, fails, expires, or finds its shard halted for a while, on the
simulator with real validators and the real machine, whose books see that no base unit is made or lost.
"""

from functools import lru_cache
from pathlib import Path

import pytest

from testnet.virtual import Tx
from tests.examples.market import ALLOWED, EXAMPLE, FUNDS, HOPS, PRICE, VERBATIM, Case, Market, combinations, outcomes

SHOPS = {"verbatim": VERBATIM, "example": EXAMPLE / "shop.py"}
SOMETHING_TAKES_S = {"ok": 0, "failed": 0, "-": 0, "halted": 10, "expired": 60}


@lru_cache(maxsize=len(SHOPS))
def market_of(shop: Path) -> Market:
    return Market(shop)


def test_all_combinations_are_there() -> None:
    cases = combinations()
    assert len(cases) == len(set(cases)) == 87
    for place in range(2):
        assert {case[place] for case in cases} == {"ok", "failed", "expired", "halted"}
    for place in range(2, 4):
        assert {case[place] for case in cases} == {"ok", "failed", "expired", "halted", "-"}


@pytest.mark.parametrize("shop", SHOPS)
@pytest.mark.parametrize("case", combinations(), ids="-".join)
def test_a_purchase_is_whole_or_undone_whatever_happens_to_its_calls(case: Case, shop: str) -> None:
    market = market_of(SHOPS[shop])
    market.net.restore(market.ready)
    began = market.net.now
    tx = market.buy(case)
    assert [outcomes(tx).get(hop, "-") for hop in HOPS] == ["ok" if each == "halted" else each for each in case]
    assert max(SOMETHING_TAKES_S[each] for each in case) <= (market.net.now - began) // 1000
    if case.charge in ("ok", "halted"):
        check_sold(market, case, tx)
    else:
        check_undone(market, case, tx, verbatim=shop == "verbatim")
    market.net.check()


def check_sold(market: Market, case: Case, tx: Tx) -> None:
    assert tx.result() == PRICE
    assert tx.events == [("shop", "Sold", {"item": case.item, "price": PRICE})]
    assert market.shop.owner_of(case.item) == market.alice.address
    assert whereabouts(market, case.item) == (False, "shop@0")
    assert money(market) == (FUNDS - PRICE, PRICE, ALLOWED - PRICE)


def check_undone(market: Market, case: Case, tx: Tx, *, verbatim: bool) -> None:
    tx.expect(outcome="failed", error="CallFailed")
    assert tx.events == []
    # As printed, the claim is taken back in the stretch that raises, which undoes it (decision 0011).
    assert market.shop.owner_of(case.item) == (market.alice.address if verbatim else None)
    assert money(market) == (FUNDS, 0, ALLOWED)
    if case.reserve == "failed":
        assert whereabouts(market, case.item) == (False, None)
    elif case.reserve != "expired" and case.release in ("failed", "expired"):
        assert whereabouts(market, case.item) == (False, "shop@0")
    else:
        assert whereabouts(market, case.item) == (True, None)


def whereabouts(market: Market, item: str) -> tuple[bool, object]:
    """(whether it is free, for whom it is reserved)."""
    return item in market.stock.free(), market.stock.storage(f"reserved/{item}")


def money(market: Market) -> tuple[int, int, int]:
    """(the buyer's, the shop's, what the shop may still charge); the wallet holds what it owes."""
    wallet = market.wallet
    owed = wallet.balance_of(market.alice), wallet.balance_of(market.shop)
    assert sum(owed) == wallet.balance == FUNDS
    return *owed, wallet.allowance(market.alice, market.shop)


@pytest.mark.parametrize("shop", SHOPS)
def test_a_purchase_that_waits_is_in_nobodys_way(shop: str) -> None:
    market = market_of(SHOPS[shop])
    market.net.restore(market.ready)
    bob = market.net.account("bob")
    with market.net.fault.halt(1):
        waiting = market.alice.send(market.shop.buy("good"))
        market.net.run_for("5s")
        bob.send(market.shop.buy("good")).settle().expect(outcome="failed", error="SoldOut")
        assert not waiting.settled
    assert waiting.result() == PRICE
    market.net.check()


@pytest.mark.parametrize("case", [Case("ok", "ok", "ok"), Case("ok", "ok", "failed", "ok")], ids="-".join)
def test_a_restart_of_everything_after_each_block_changes_nothing_of_it(case: Case) -> None:
    market = market_of(VERBATIM)
    market.net.restore(market.ready)
    tx = market.alice.send(market.shop.buy(case.item))
    restarts = 0
    while not tx.settled:
        wait_for_a_block(market)
        market.net.fault.restart_all()
        restarts += 1
    assert restarts > len(case)
    assert [outcomes(tx).get(hop, "-") for hop in HOPS] == list(case)
    market.net.check()


def wait_for_a_block(market: Market) -> None:
    heights = [market.net.height(shard) for shard in range(3)]
    market.net.run_until(lambda: heights != [market.net.height(shard) for shard in range(3)])
