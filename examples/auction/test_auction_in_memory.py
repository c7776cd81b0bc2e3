"""The auction under ordinary Python."""

from pathlib import Path

import pytest

from ostraka_contract.testing import Contract, Shards, address

AUCTION = Path(__file__).parent / "auction.py"
SELLER, ALICE, BOB = address("seller"), address("alice"), address("bob")
BIDDER = """
from ostraka_contract import call, get, msg, put

async def raise_to(amount):
    await call(0, "auction", "bid", value=amount)

async def fetch():
    return await call(0, "auction", "withdraw")

def refunded():
    if get("broken"):
        raise RuntimeError("cannot take money")
    put("got", msg.value)

def break_down():
    put("broken", True)

def repair():
    put("broken", None)
"""


def opened(shards: Shards) -> Contract:
    return shards.deploy(AUCTION, args=(3600,), sender=SELLER)


@pytest.fixture
def bidder(tmp_path: Path) -> Path:
    path = tmp_path / "bidder.py"
    path.write_text(BIDDER)
    return path


def test_the_highest_bid_wins_and_every_other_can_be_fetched() -> None:
    shards = Shards()
    auction = opened(shards)
    assert auction.view("highest") == {"bidder": "", "amount": 0}
    for who, amount in ((ALICE, 5), (BOB, 7), (ALICE, 9)):
        auction.send("bid", sender=who, value=amount).result()
    shards.wait(3600)
    assert auction.send("close").result() == {"bidder": ALICE, "amount": 9}
    assert [(name, data["bidder"], data["amount"]) for _, name, data in shards.events] == [
        ("Bid", ALICE, 5), ("Bid", BOB, 7), ("Bid", ALICE, 9), ("Won", ALICE, 9),
    ]  # fmt: skip
    paid = [auction.send("withdraw", sender=who).result() for who in (SELLER, BOB, ALICE)]
    assert paid == [9, 7, 5]
    assert [shards.paid(who) for who in (SELLER, BOB, ALICE)] == [9, 7, 5]
    assert auction.balance == 0


def test_a_bid_that_is_too_low_or_too_late_comes_back() -> None:
    shards = Shards()
    auction = opened(shards)
    auction.send("bid", sender=ALICE, value=5).result()
    with pytest.raises(Exception, match="bid more than 5"):
        auction.send("bid", sender=BOB, value=5).result()
    with pytest.raises(Exception, match="is open until"):
        auction.send("close").result()
    shards.wait(3600)
    with pytest.raises(Exception, match="auction ended"):
        auction.send("bid", sender=BOB, value=50).result()
    assert auction.balance == 5


def test_an_auction_is_closed_once() -> None:
    shards = Shards()
    auction = opened(shards)
    auction.send("bid", sender=ALICE, value=5).result()
    shards.wait(3600)
    auction.send("close").result()
    with pytest.raises(Exception, match="closed before"):
        auction.send("close").result()
    assert auction.view("owed", SELLER) == 5


def test_a_bidder_that_cannot_be_paid_is_in_nobodys_way(bidder: Path) -> None:
    shards = Shards()
    auction, robot = opened(shards), shards.deploy(bidder, shard=2, value=100)
    robot.send("raise_to", 20)
    shards.settle()
    robot.send("break_down").result()
    auction.send("bid", sender=ALICE, value=30).result()
    fetched = robot.send("fetch")
    shards.settle()
    assert fetched.result() == 0
    assert auction.view("owed", "bidder@2") == 20
    robot.send("repair").result()
    fetched = robot.send("fetch")
    shards.settle()
    assert (fetched.result(), robot.get("got"), robot.balance) == (20, 20, 100)
    assert auction.view("highest") == {"bidder": ALICE, "amount": 30}


def test_nothing_is_paid_twice_while_a_payment_is_under_way() -> None:
    shards = Shards()
    auction = opened(shards)
    remote = f"{ALICE}@1"
    auction.send("bid", sender=remote, value=5).result()
    auction.send("bid", sender=BOB, value=6).result()
    fetched = [auction.send("withdraw", sender=remote) for _ in range(2)]
    shards.settle()
    assert [ticket.result() for ticket in fetched] == [5, 0]
    assert shards.paid(ALICE, shard=1) == 5


def test_who_is_owed_nothing_is_sent_nothing() -> None:
    shards = Shards()
    asked = opened(shards).send("withdraw", sender=f"{ALICE}@1")
    assert asked.result() == 0  # at once: no message is under way
    assert not shards.step()
