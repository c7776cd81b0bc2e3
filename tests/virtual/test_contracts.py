"""Contracts on a virtual testnet: deployed, called, viewed, upgraded, broken."""

import re
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.values import BadValue
from testnet.virtual import Account, Contract, Misuse, Net, NotTaken, TransactionFailed, Unexpected
from testnet.virtual.contracts import find_source, name_for
from tests.virtual.support import COUNTER, counter, deploy_shop, make_net, person


def test_a_method_is_called_by_its_name_and_a_view_answers_at_once() -> None:
    net = make_net()
    contract = counter(net, start=5)
    tx = person(net).send(contract.add(2))
    assert tx.result() == 7
    assert (contract.count(), contract.view.count(), contract.storage("count")) == (7, 7, 7)
    assert tx.outcome == "ok"
    assert tx.events == [("counter", "Added", {"number": 2})]
    assert tx.log == ["adding 2"]
    assert tx.gas > 2_500
    net.check()


def test_a_call_to_another_shard_is_one_story_with_one_traceback() -> None:
    net = make_net()
    near, far = counter(net), counter(net, shard=2)
    assert person(net).send(near.add_at(2, 3)).result() == 3
    tx = person(net).send(near.add_at(2, 300)).settle()
    tx.expect(outcome="failed", error="TooMuch").expect(hop="counter.add", shard=2, outcome="failed", error="TooMuch")
    with pytest.raises(TransactionFailed) as caught:
        tx.result()
    text = str(caught.value)
    assert "return await call(shard" in text
    assert 'raise TooMuch(f"{number} is too much")' in text
    assert (near.count(), far.count()) == (0, 3)
    net.check()


def test_an_account_calls_a_contract_of_another_shard_with_its_money_there_or_here() -> None:
    net = make_net()
    contract, alice = counter(net, shard=2), person(net)
    tx = alice.send(contract.add(4), shard=1, value=70)
    assert tx.result() == 4
    tx.expect(hop="counter.add", shard=2, outcome="ok")
    assert contract.balance == contract.held() == 70
    failed = alice.send(contract.add(400), shard=1, value=70).settle()
    failed.expect(outcome="failed", error="TooMuch")
    with pytest.raises(TransactionFailed, match="TooMuch") as caught:
        failed.result()
    assert caught.value.kind == "raised"
    assert contract.balance == 70
    with net.fault.halt(2):
        late = alice.send(contract.add(1), shard=1, deadline="10s")
        net.run_for("30s")
    late.settle().expect(outcome="expired")
    assert contract.count() == 4
    net.check()


def test_accounts_and_contracts_are_arguments_and_stand_for_their_addresses() -> None:
    net = make_net()
    contract, bob = counter(net), person(net, "bob")
    said = bob.send(contract.greet(person(net, "carol"))).result()
    assert said == f"{bob.address} greets {person(net, 'carol').address}"
    assert bob.send(contract.greet(contract)).result() == f"{bob.address} greets counter@0"
    assert contract.greet([bob, {"x": contract}]).arguments == [[bob.address, {"x": "counter@0"}]]


def test_value_goes_in_and_comes_out() -> None:
    net = make_net()
    contract, bob = counter(net), person(net, "bob")
    person(net).send(contract.add(1), value=500).settle()
    assert contract.balance == 500
    before = bob.balance()
    tx = bob.send(contract.pay_out(200)).settle()
    assert contract.balance == 300
    fee = before + 200 - bob.balance()
    assert 2_500 < fee < 20_000
    assert tx.outcome == "ok"
    net.check()


@pytest.mark.parametrize("bad", [1.5, {1, 2}, object(), 1 << 300])
def test_an_argument_that_is_no_plain_data_is_refused_where_it_is_written(bad: object) -> None:
    contract = counter(make_net())
    with pytest.raises(BadValue):
        contract.add(bad)


def test_what_a_contract_has_not_is_said_with_what_it_has() -> None:
    net = make_net()
    contract = counter(net)
    with pytest.raises(AttributeError, match=r"counter@0 has no method 'substract'; its methods are .*add"):
        contract.substract(1)
    with pytest.raises(AttributeError, match="no view 'add'"):
        contract.view.add(1)
    with pytest.raises(Misuse, match="no contract ghost on shard 1"):
        net.contract("ghost", 1).methods()
    with pytest.raises(TransactionFailed, match="views fail too"):
        contract.broken()


def test_a_deployment_that_fails_says_why() -> None:
    net = make_net()
    with pytest.raises(TransactionFailed, match=r"compile_error.*line 1"):
        net.deploy("def broken(:\n    pass\n", name="broken")
    counter(net)
    with pytest.raises(TransactionFailed, match="name_taken"):
        counter(net)
    with pytest.raises(TransactionFailed, match="init is not ready"):
        net.deploy("def init():\n    raise ValueError('init is not ready')\n", name="eager")
    with pytest.raises(Misuse, match="say under which name"):
        net.deploy("def one():\n    return 1\n")
    with pytest.raises(Misuse, match="at most 65536"):
        net.deploy("def one():\n    return 1\n" + "#" * 65_536, name="long")
    with pytest.raises(NotTaken, match="1500000"):
        net.deploy(COUNTER, 0, name="counter", shard=1, gas=19_000_000)
    net.check()


def test_only_its_owner_upgrades_a_contract() -> None:
    net = make_net()
    contract, again = counter(net, start=3), COUNTER + "\ndef twice() -> int:\n    return 2 * get('count')\n"
    net.upgrade(contract, again, by=person(net, "bob")).settle().expect(outcome="failed", error="not_owner")
    net.upgrade(contract, again).settle().expect(outcome="ok")
    assert person(net).send(contract.twice()).result() == 6
    fixed = net.deploy(COUNTER, 0, name="fixed", owner=None)
    net.upgrade(fixed, again).settle().expect(outcome="failed", error="never upgraded")
    hers = net.deploy(COUNTER, 0, name="hers", owner=person(net, "bob"))
    net.upgrade(hers, again, by=person(net, "bob")).settle().expect(outcome="ok")
    net.check()


def test_the_shop_sells_refuses_and_undoes() -> None:
    net = make_net()
    shop, alice, bob = deploy_shop(net), person(net), person(net, "bob")
    refused = bob.send(shop.buy("owl")).settle()
    refused.expect(outcome="failed", error="CallFailed").expect(hop="wallet.charge", error="InsufficientFunds")
    refused.expect(hop="stock.release", outcome="ok", times=1).expect(hop="stock.reserve", outcome="ok", shard=1)
    assert shop.owner_of("owl") is None
    assert alice.send(shop.buy("owl")).result() == 300
    assert shop.owner_of("owl") == alice.address
    alice.send(shop.buy("owl")).settle().expect(outcome="failed", error="SoldOut: owl")
    net.check()


def test_refund_when_the_wallet_shard_is_cut_off() -> None:
    net = make_net()
    shop, alice = deploy_shop(net), person(net)
    with net.fault.cut(0, 2):
        tx = alice.send(shop.buy("owl"))
        net.run_for("90s")
        assert tx.outcome == "pending"
        with pytest.raises(Unexpected, match="not everything is settled"):
            tx.expect(outcome="failed")
    tx.settle().expect(hop="prices.quote", outcome="expired").expect(hop="stock.release", outcome="ok")
    assert shop.owner_of("owl") is None
    net.check()


@pytest.mark.parametrize("validators", [1, 4])
def test_a_suspended_call_survives_a_restart_of_everything_between_any_two_blocks(validators: int) -> None:
    net = make_net(validators=validators)
    shop, alice = deploy_shop(net), person(net)
    tx = alice.send(shop.buy("owl"))
    for _ in range(60):
        net.run_for("30ms")
        net.fault.restart_all()
        if tx.settled:
            break
    assert tx.result() == 300
    net.check()


def test_a_snapshot_keeps_contracts_and_calls_under_way() -> None:
    net = make_net()
    shop, alice = deploy_shop(net), person(net)
    with net.fault.cut(0, 2):
        tx = alice.send(shop.buy("owl"))
        net.run_until(lambda: any(call.outcome == "ok" for call in tx.story()))
        snapshot = net.snapshot()
    assert tx.result() == 300
    net.restore(snapshot)
    assert tx.outcome == "pending"
    net.fault.end_all()
    assert tx.result() == 300
    net.check()


@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.integers(0, 130)), max_size=4))
@settings(deadline=None, max_examples=12)
def test_counters_count_what_was_not_too_much(steps: list[tuple[str, int, int]]) -> None:
    net = make_net()
    contracts = [counter(net, shard) for shard in range(3)]
    for _, shard, number in steps:
        person(net).send(contracts[0].add_at(shard, number))
    net.settle()
    counts = [sum(number for _, at, number in steps if at == shard and number <= 100) for shard in range(3)]
    assert [contract.count() for contract in contracts] == counts
    net.check()


def test_a_net_that_deploys_nothing_loads_no_engine(pytester: pytest.Pytester) -> None:
    script = pytester.makepyfile("""
        import sys
        from testnet.virtual import Net

        net = Net()
        net.account("alice").transfer(net.account("bob"), 5, to_shard=1).settle()
        assert "wasmtime" not in sys.modules
    """)
    assert pytester.run(sys.executable, script).ret == 0


def test_contract_files_are_found_by_path_module_and_folder(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "My Shop.py").write_text("def one(): return 1\n")
    (tmp_path / "near.py").write_text("def two(): return 2\n")
    assert find_source("near.py", (tmp_path,)) == ("def two(): return 2\n", "near")
    assert find_source("My Shop.py", (tmp_path,))[1] == "My Shop"
    assert find_source(tmp_path / "near.py", ())[1] == "near"
    module = ModuleType("near")
    module.__file__ = str(tmp_path / "near.py")
    assert find_source(module, ())[1] == "near"
    with pytest.raises(Misuse, match=re.escape(f"no contract file far.py; looked for {tmp_path / 'far.py'}")):
        find_source("far.py", (tmp_path,))
    assert name_for("My Shop") == "my-shop"
    with pytest.raises(Misuse):
        name_for("7shops")


def test_decimals_and_wide_integers_come_back_as_they_are() -> None:
    net = make_net()
    echo = net.deploy("def echo(value: object) -> object:\n    return value\n", name="echo")
    for value in (Decimal("1.50"), 1 << 200, {"a": [None, True, b"x"]}):
        assert person(net).send(echo.echo(value)).result() == value


def test_things_show_who_they_are() -> None:
    net = make_net()
    contract = counter(net)
    account: Account = person(net)
    assert isinstance(contract, Contract)
    assert isinstance(net, Net)
    assert (str(contract), repr(contract), str(contract.add(2))) == (
        "counter@0",
        "<contract counter@0>",
        "counter.add(2)",
    )
    assert repr(account).startswith("<account alice osk1")


pytest_plugins = ["pytester"]
