"""The double: the same source under ordinary CPython, and the design's example in every combination."""

import itertools
import random

import pytest

from ostraka_contract import CallFailed, ContractError, get
from ostraka_contract.testing import Contract, Shards
from tests.contracts.support import PROGRAMS


def market(shards: Shards, *, stocked: bool = True, allowed: int = 300) -> tuple[Contract, Contract, Contract]:
    shop = shards.deploy(PROGRAMS / "shop.py", shard=0)
    stock = shards.deploy(PROGRAMS / "stock.py", shard=1)
    shards.deploy(PROGRAMS / "prices.py", shard=2)
    wallet = shards.deploy(PROGRAMS / "wallet.py", shard=2)
    if stocked:
        stock.send("fill", "owl").result()
    wallet.send("allow", "shop@0", allowed).result()
    return shop, stock, wallet


def test_a_purchase_over_three_shards_succeeds() -> None:
    shards = Shards()
    shop, stock, wallet = market(shards)
    ticket = shop.send("buy", "owl")
    assert not ticket.done
    shards.settle()
    assert ticket.result() == 300
    assert shards.events == [("shop@0", "Sold", {"item": "owl", "price": 300})]
    assert shop.view("owner_of", "owl") == "alice"
    assert stock.view("free") == []
    assert wallet.get("allowance/alice/shop@0") == 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("stocked", "allowed"), [(True, 299), (False, 300), (False, 0)])
def test_a_purchase_that_fails_is_undone_whatever_the_order_of_deliveries(
    seed: int, stocked: bool, allowed: int
) -> None:
    shards = Shards(random.Random(seed).randrange)
    shop, stock, wallet = market(shards, stocked=stocked, allowed=allowed)
    ticket = shop.send("buy", "owl")
    shards.settle()
    with pytest.raises(CallFailed):
        ticket.result()
    assert stock.view("free") == (["owl"] if stocked else [])
    assert wallet.get("allowance/alice/shop@0") == allowed
    assert shop.view("owner_of", "owl") is None
    assert shards.events == []


def test_the_failure_names_the_line_in_the_other_contract() -> None:
    shards = Shards()
    shop, _, _ = market(shards, allowed=1)
    ticket = shop.send("buy", "owl")
    shards.settle()
    with pytest.raises(CallFailed, match="need 300, allowed 1") as caught:
        ticket.result()
    assert (caught.value.kind, caught.value.error) == ("failed", "InsufficientFunds")
    assert "shard 2 · wallet.py" in caught.value.remote_traceback
    assert "raise InsufficientFunds" in caught.value.remote_traceback


def test_a_call_to_a_halted_shard_expires_there_and_is_compensated() -> None:
    shards = Shards()
    shop, stock, _ = market(shards)
    shards.halted.add(2)
    ticket = shop.send("buy", "owl")
    shards.settle()
    assert not ticket.done
    shards.wait(100)
    shards.halted.clear()
    shards.settle()
    with pytest.raises(CallFailed, match="expired"):
        ticket.result()
    assert stock.view("free") == ["owl"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[:3])
def test_two_buyers_never_get_the_same_item(order: tuple[int, ...]) -> None:
    shards = Shards(lambda count: order[0] % count)
    shop, _, wallet = market(shards)
    wallet.send("allow", "shop@0", 300, sender="bob").result()
    tickets = [shop.send("buy", "owl", sender=who) for who in ("alice", "bob")]
    shards.settle()
    failures = 0
    for ticket in tickets:
        try:
            assert ticket.result() == 300
        except Exception as error:  # noqa: BLE001 - the contract's own exception has no importable name here
            failures += type(error).__name__ == "SoldOut"
    assert failures == 1


def test_value_sent_along_comes_back_when_the_call_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("contracts")
    payer = folder / "payer.py"
    payer.write_text(
        "from ostraka_contract import CallFailed, call, self_balance\n\n\n"
        "async def pay(method):\n"
        "    try:\n"
        "        await call(1, 'payee', method, value=40)\n"
        "    except CallFailed as error:\n"
        "        return [error.returned, self_balance()]\n"
        "    return [0, self_balance()]\n"
    )
    payee = folder / "payee.py"
    payee.write_text("def keep():\n    return 1\n\n\ndef refuse():\n    raise ValueError('no')\n")
    shards = Shards()
    sender, receiver = shards.deploy(payer, value=120), shards.deploy(payee, shard=1)
    kept, refused, missing = (sender.send("pay", method) for method in ("keep", "refuse", "missing"))
    shards.settle()
    assert (kept.result()[0], refused.result()[0], missing.result()[0]) == (0, 40, 40)
    assert (sender.balance, receiver.balance) == (80, 40)


def test_a_contract_function_outside_of_a_call_says_so() -> None:
    with pytest.raises(ContractError, match="no method is being called"):
        get("x")


def test_two_contracts_that_call_each_other_for_ever_are_noticed(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("contracts") / "echo.py"
    path.write_text("from ostraka_contract import call\n\n\ndef ping():\n    call(0, 'echo', 'ping')\n")
    shards = Shards()
    shards.deploy(path).send("ping").result()
    with pytest.raises(RuntimeError, match="for ever"):
        shards.settle()
