"""The swap under ordinary Python: gold of shard 0 for silver of shard 1, agreed on shard 2."""

import random
from pathlib import Path

import pytest

from ostraka_contract.testing import Contract, Shards

FOLDER = Path(__file__).parent


def market(shards: Shards, *, gold: int = 10, silver: int = 70) -> tuple[Contract, Contract, Contract]:
    mint_gold = shards.deploy(FOLDER / "coin.py", shard=0, name="gold", args=(100,), sender="alice")
    mint_silver = shards.deploy(FOLDER / "coin.py", shard=1, name="silver", args=(100,), sender="bob")
    mint_gold.send("allow", "swap@2", gold, sender="alice").result()
    mint_silver.send("allow", "swap@2", silver, sender="bob").result()
    swap = shards.deploy(FOLDER / "swap.py", shard=2)
    assert swap.send("offer", [0, "gold", 10], [1, "silver", 70], sender="alice").result() == 1
    return mint_gold, mint_silver, swap


def holdings(gold: Contract, silver: Contract) -> list[int]:
    return [coin.view("balance_of", who) for who in ("alice", "bob", "swap@2") for coin in (gold, silver)]


def test_both_sides_change_hands() -> None:
    shards = Shards()
    gold, silver, swap = market(shards)
    accepted = swap.send("accept", 1, sender="bob")
    shards.settle()
    assert accepted.result() is True
    assert holdings(gold, silver) == [90, 70, 10, 30, 0, 0]
    assert shards.events == [("swap@2", "Swapped", {"number": 1, "maker": "alice", "taker": "bob"})]


@pytest.mark.parametrize(("allowed_gold", "allowed_silver"), [(9, 70), (10, 69), (0, 0)])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_changes_hands_when_one_side_cannot_be_had(allowed_gold: int, allowed_silver: int, seed: int) -> None:
    shards = Shards(random.Random(seed).randrange)
    gold, silver, swap = market(shards, gold=allowed_gold, silver=allowed_silver)
    accepted = swap.send("accept", 1, sender="bob")
    shards.settle()
    assert accepted.result() is False
    assert holdings(gold, silver) == [100, 0, 0, 100, 0, 0]
    assert [swap.view("owed", 0, "gold", "alice"), swap.view("owed", 1, "silver", "bob")] == [0, 0]


def test_a_shard_that_is_halted_at_first_undoes_the_swap() -> None:
    shards = Shards()
    gold, silver, swap = market(shards)
    shards.halted.add(1)
    accepted = swap.send("accept", 1, sender="bob")
    shards.settle()
    shards.wait(61)
    shards.halted.clear()
    shards.settle()
    assert accepted.result() is False
    assert holdings(gold, silver) == [100, 0, 0, 100, 0, 0]


def test_a_shard_that_halts_in_the_middle_delays_the_swap_and_loses_nothing() -> None:
    shards = Shards()
    gold, silver, swap = market(shards)
    accepted = swap.send("accept", 1, sender="bob")
    while not (silver.view("balance_of", "swap@2") and gold.view("balance_of", "swap@2")):
        shards.step()
    shards.halted.add(1)
    shards.settle()
    shards.wait(61)
    shards.halted.clear()
    shards.settle()
    assert accepted.result() is True
    assert swap.view("owed", 1, "silver", "alice") == 70
    shards.halted.add(1)
    too_early = swap.send("collect", 1, "silver", "alice", sender="carol")
    shards.wait(61)
    shards.halted.clear()
    shards.settle()
    assert (too_early.result(), swap.view("owed", 1, "silver", "alice")) == (0, 70)
    collected = [swap.send("collect", 1, "silver", "alice", sender="carol") for _ in range(2)]
    shards.settle()
    assert [ticket.result() for ticket in collected] == [70, 0]
    assert swap.view("owed", 1, "silver", "alice") == 0
    assert holdings(gold, silver) == [90, 70, 10, 30, 0, 0]


def test_offers_are_numbered_and_their_maker_may_withdraw_them() -> None:
    shards = Shards()
    gold, silver, swap = market(shards)
    assert swap.send("offer", [0, "gold", 1], [1, "silver", 1], sender="alice").result() == 2
    swap.send("cancel", 1, sender="alice").result()
    with pytest.raises(Exception, match="offer 1 is not open"):
        swap.send("accept", 1, sender="bob").result()
    accepted = swap.send("accept", 2, sender="bob")
    shards.settle()
    assert accepted.result() is True
    assert holdings(gold, silver) == [99, 1, 1, 99, 0, 0]


def test_a_coin_moves_what_its_owner_has_and_allows() -> None:
    coin = Shards().deploy(FOLDER / "coin.py", args=(10,), sender="alice")
    with pytest.raises(Exception, match="bob may take 0, not 1"):
        coin.send("take", "alice", 1, sender="bob").result()
    coin.send("allow", "bob", 4, sender="alice").result()
    coin.send("take", "alice", 3, sender="bob").result()
    with pytest.raises(Exception, match="bob may take 1, not 2"):
        coin.send("take", "alice", 2, sender="bob").result()
    for amount in (0, -1, 8):
        with pytest.raises(Exception, match=f"need {amount}, have 7"):
            coin.send("send", "bob", amount, sender="alice").result()
    coin.send("send", "bob", 1, sender="alice").result()
    coin.send("send", "bob", 6, sender="alice").result()
    assert [coin.view("balance_of", who) for who in ("alice", "bob")] == [0, 10]


def test_an_offer_is_accepted_once_and_cancelled_by_its_maker_only() -> None:
    shards = Shards()
    _, _, swap = market(shards)
    with pytest.raises(PermissionError):
        swap.send("cancel", 1, sender="bob").result()
    first, second = (swap.send("accept", 1, sender="bob") for _ in range(2))
    shards.settle()
    assert first.result() is True
    with pytest.raises(Exception, match="not open"):
        second.result()
    with pytest.raises(Exception, match="not open"):
        swap.send("cancel", 1, sender="alice").result()


@pytest.mark.parametrize("side", [[0, "gold", 0], [0, "gold", "1"], ["0", "gold", 1], [0, 1, 1]])
def test_a_side_that_is_none_is_refused(side: list[object]) -> None:
    swap = Shards().deploy(FOLDER / "swap.py")
    with pytest.raises(ValueError, match="a side is"):
        swap.send("offer", side, [1, "silver", 1]).result()  # type: ignore[arg-type]  # the point of the test
