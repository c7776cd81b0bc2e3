"""The token under ordinary Python: whatever happens, units are neither made nor lost."""

import random
from pathlib import Path

import pytest

from ostraka_contract.testing import Contract, Shards

TOKEN = Path(__file__).parent / "token.py"
SUPPLY = 1000


def issued(shards: Shards, count: int = 3) -> list[Contract]:
    tokens = [shards.deploy(TOKEN, shard=n, args=(0 if n else SUPPLY,)) for n in range(count)]
    for token in tokens:
        token.send("trust", list(range(count))).result()
    return tokens


def test_units_move_to_another_shard() -> None:
    shards = Shards()
    tokens = issued(shards)
    sent = tokens[0].send("send", "bob", 2, 300)
    assert tokens[0].view("supply") == 700
    shards.settle()
    assert sent.result() is True
    assert tokens[2].view("balance_of", "bob") == 300
    assert [token.view("supply") for token in tokens] == [700, 0, 300]


def test_units_move_on_one_shard() -> None:
    token, *_ = issued(Shards())
    assert token.send("send", "bob", 0, 1).result() is True
    assert (token.view("balance_of", "alice"), token.view("balance_of", "bob")) == (999, 1)


def test_a_holder_may_send_everything() -> None:
    token, *_ = issued(Shards())
    token.send("send", "bob", 0, SUPPLY).result()
    assert [token.view("balance_of", who) for who in ("alice", "bob")] == [0, SUPPLY]
    assert token.get("balance/alice") is None


def test_who_names_no_supply_issues_none() -> None:
    assert Shards().deploy(TOKEN).view("supply") == 0


def test_what_cannot_arrive_comes_back() -> None:
    shards = Shards()
    tokens = issued(shards)
    sent = tokens[0].send("send", "bob", 2, 300)
    shards.halted.add(2)
    shards.wait(61)
    shards.halted.clear()
    shards.settle()
    assert sent.result() is False
    assert tokens[0].view("balance_of", "alice") == SUPPLY
    _, event, data = shards.events[-1]
    assert data.pop("why").startswith("expired: ")
    assert (event, data) == ("Returned", {"to": "bob", "shard": 2, "amount": 300})


@pytest.mark.parametrize("stranger", ["mallory", "osk1xyz@1", "forged@1", "token@7", "token@0"])
def test_only_siblings_create_units(stranger: str) -> None:
    token, *_ = issued(Shards())
    with pytest.raises(Exception, match=f"^{stranger} is no sibling"):
        token.send("receive", "mallory", 1, sender=stranger).result()


def test_the_same_source_under_another_name_is_another_token() -> None:
    shards = Shards()
    token, *_ = issued(shards)
    forged = [shards.deploy(TOKEN, shard=n, name="forged", args=(SUPPLY,)) for n in range(2)]
    forged[1].send("trust", [0]).result()
    sent = forged[1].send("send", "alice", 0, 5)
    shards.settle()
    assert sent.result() is False
    assert token.view("supply") == SUPPLY


@pytest.mark.parametrize("amount", [0, -1, True, "1", None, SUPPLY + 1])
def test_an_amount_that_is_none_is_refused(amount: int) -> None:
    token, *_ = issued(Shards())
    with pytest.raises(Exception, match=r"positive int|need"):
        token.send("send", "bob", 1, amount).result()
    assert token.view("supply") == SUPPLY


def test_a_shard_without_a_sibling_is_refused() -> None:
    token, *_ = issued(Shards())
    with pytest.raises(Exception, match="no token on shard 7"):
        token.send("send", "bob", 7, 1).result()


def test_only_the_issuer_names_siblings() -> None:
    token, *_ = issued(Shards())
    with pytest.raises(Exception, match="only the issuer"):
        token.send("trust", [0, 9], sender="mallory").result()


@pytest.mark.parametrize("seed", range(10))
def test_the_supply_is_the_same_in_any_order_of_events(seed: int) -> None:
    chance = random.Random(seed)
    shards = Shards(chance.randrange)
    tokens = issued(shards)
    for _ in range(40):
        sender, to = chance.sample(["alice", "bob", "carol"], 2)
        token = chance.choice([token for token in tokens if token.account.shard not in shards.halted])
        held = token.view("balance_of", sender)
        if held:
            token.send("send", to, chance.randrange(3), chance.randint(1, held), sender=sender)
        chance.choice([shards.step, shards.step, lambda: shards.wait(20)])()
        if chance.random() < 0.1:
            shards.halted ^= {2}
    shards.wait(61)
    shards.halted.clear()
    shards.settle()
    assert sum(token.view("supply") for token in tokens) == SUPPLY
    balances = [token.view("balance_of", who) for token in tokens for who in ("alice", "bob", "carol")]
    assert sum(balances) == SUPPLY
