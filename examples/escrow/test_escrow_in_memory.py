"""The escrow under ordinary Python."""

from pathlib import Path

import pytest

from ostraka_contract.testing import Contract, Shards, address

ESCROW = Path(__file__).parent / "escrow.py"
ALICE, BOB, EVE = address("alice"), address("bob"), address("eve")
OBOL = 10**6


def offered(shards: Shards, seller: str = BOB) -> Contract:
    escrow = shards.deploy(ESCROW)
    assert escrow.send("offer", seller, 3600, sender=ALICE, value=5 * OBOL).result() == 1
    return escrow


def test_the_buyer_releases_the_obols_to_the_seller() -> None:
    shards = Shards()
    escrow = offered(shards)
    assert escrow.send("release", 1, sender=ALICE).result() is True
    assert (shards.paid(BOB), escrow.balance, escrow.view("deal", 1)) == (5 * OBOL, 0, None)
    (_, offered_as, offer), closed = shards.events
    assert (offered_as, offer["number"], offer["buyer"], offer["seller"], offer["amount"]) == (
        "Offered", 1, ALICE, BOB, 5 * OBOL,
    )  # fmt: skip
    assert closed == ("escrow@0", "Closed", {"number": 1, "to": BOB, "amount": 5 * OBOL})


def test_a_seller_on_another_shard_is_paid_there() -> None:
    shards = Shards()
    escrow = offered(shards, seller=f"{BOB}@2")
    released = escrow.send("release", 1, sender=ALICE)
    with pytest.raises(Exception, match="not open"):
        escrow.send("release", 1, sender=ALICE).result()
    shards.settle()
    assert released.result() is True
    assert shards.paid(BOB, shard=2) == 5 * OBOL


def test_a_payment_that_comes_back_opens_the_deal_again() -> None:
    shards = Shards()
    escrow = offered(shards, seller=f"{BOB}@2")
    released = escrow.send("release", 1, sender=ALICE)
    shards.wait(61)
    shards.settle()
    assert released.result() is False
    assert (escrow.balance, escrow.view("deal", 1)["amount"]) == (5 * OBOL, 5 * OBOL)
    again = escrow.send("release", 1, sender=ALICE)
    shards.settle()
    assert again.result() is True


@pytest.mark.parametrize(("who", "after", "allowed"), [(BOB, 0, True), (ALICE, 0, False), (EVE, 3600, True)])
def test_a_refund_is_the_sellers_or_the_deadlines(who: str, after: int, allowed: bool) -> None:
    shards = Shards()
    escrow = offered(shards)
    shards.wait(after)
    refund = escrow.send("refund", 1, sender=who)
    if allowed:
        assert refund.result() is True
    else:
        with pytest.raises(Exception, match="only the seller"):
            refund.result()
    assert shards.paid(ALICE) == (5 * OBOL if allowed else 0)


def test_nobody_else_releases_a_deal() -> None:
    escrow = offered(Shards())
    with pytest.raises(Exception, match="only the buyer"):
        escrow.send("release", 1, sender=BOB).result()


def test_deals_are_numbered_and_kept_apart() -> None:
    shards = Shards()
    escrow = offered(shards)
    assert escrow.send("offer", EVE, 60, sender=BOB, value=OBOL).result() == 2
    assert escrow.send("release", 2, sender=BOB).result() is True
    assert (shards.paid(EVE), escrow.view("deal", 1)["amount"]) == (OBOL, 5 * OBOL)


@pytest.mark.parametrize(("buyer", "seller", "value"), [(ALICE, BOB, 0), (ALICE, "shop@1", 1), ("shop@1", BOB, 1)])
def test_an_offer_that_makes_no_sense_is_refused_and_its_value_comes_back(buyer: str, seller: str, value: int) -> None:
    escrow = Shards().deploy(ESCROW)
    with pytest.raises(ValueError, match=r"send the obols|are accounts"):
        escrow.send("offer", seller, 60, sender=buyer, value=value).result()
    assert escrow.balance == 0
