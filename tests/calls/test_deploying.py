"""Deploying and upgrading: a contract is there whole or not at all, under the name and owner that were asked for."""

import pytest

from contracts.limits import MAX_SOURCE_BYTES
from contracts.outcomes import code_hash_of
from contracts.values import encode
from primitives.amounts import Amount, pack_amount
from primitives.errors import Refused
from shards.calls.records import code_key, decode_code
from shards.receipts import RunCause, RunState
from shards.transactions import Deploy, parse_transaction
from tests.calls.network import Network, program, result_of
from tests.shards.builders import BALANCE

EMPTY = "def nothing() -> None:\n    pass\n"
ONE = """
from ostraka_contract import call, get, put

def init(first=0):
    put("version", 1)

def version() -> int:
    return 1

async def slow() -> list:
    before = version()
    reply = await call(1, "agent", "say", "x")
    return [before, version(), reply]
"""
TWO = """
from ostraka_contract import call, get, put, msg

def migrate(fail: bool = False) -> None:
    put("version", get("version") + 1)
    put("by", msg.sender)
    if fail:
        raise ValueError("not now")

def version() -> int:
    return 2
"""

SUSPENDING = """
from ostraka_contract import call, put

async def init():
    put("a", 1)
    try:
        await call(1, "c", "m")
    finally:
        raise ValueError
"""


@pytest.fixture
def chain() -> Network:
    return Network(restart=True)


def test_deploying_keeps_the_code_its_methods_and_its_owner(chain: Network) -> None:
    told = chain.deploy(0, "agent", value=7)
    contract = chain.contract(0, "agent")
    assert contract is not None
    assert (contract.owner, contract.deployed, contract.upgrades) == (chain.alice.key, 1, 0)
    code = decode_code(chain.shards[0].ledger.get(code_key(code_hash_of(program("agent")))) or b"")
    assert code.source == program("agent")
    assert {"play", "who", "held"} <= {method.name for method in code.methods}
    assert told.run.cause == RunCause.DEPLOY
    assert chain.held(0, "agent") == 7
    assert chain.balance(0, chain.alice) == BALANCE - 7 - told.fee


def test_init_sees_who_deploys_and_what_came_with_it(chain: Network) -> None:
    chain.deploy(0, "agent", None, "a", 2, value=5)
    sender, value, arguments = chain.stored(0, "agent", "init")
    assert sender == chain.runs(0)[0].sender
    assert (value, arguments) == (5, ["a", 2])


def test_a_contract_without_init_begins_with_its_amount(chain: Network) -> None:
    told = chain.deploy(0, "empty", EMPTY, value=9)
    assert (told.failure, told.runs, told.call_id) == ("", [], b"")
    assert chain.held(0, "empty") == 9


@pytest.mark.parametrize(
    ("source", "arguments", "failure", "said"),
    [
        ("def broken(:\n", [], "compile_error", "line 1: SyntaxError"),
        ("x = 1\n", [], "compile_error", "public functions"),
        ("import socket\n" + EMPTY, [], "compile_error", "cannot import 'socket'"),
        ("1 / 0\n" + EMPTY, [], "compile_error", "ZeroDivisionError"),
        ("while True:\n    pass\n" + EMPTY, [], "compile_error", "gas"),
        (EMPTY, [1], "bad_arguments", "no init"),
        ("def init():\n    raise ValueError('no')\n", [], "raised", "ValueError: no"),
        ("def init():\n    while True: pass\n", [], "out_of_gas", "needs more"),
        ("def init(a):\n    pass\n", [], "raised", "TypeError"),
        (
            "from ostraka_contract import call\nasync def init():\n    await call(1, 'c', 'm')\n",
            [],
            "suspended",
            "init must",
        ),
        (
            SUSPENDING,
            [],
            "suspended",
            "init must",
        ),
        ("from ostraka_contract import put\ndef init():\n    put('a', 1.5)\n", [], "raised", "BadValue"),
        (
            "from ostraka_contract import transfer, msg\ndef init():\n    transfer(msg.sender, 999)\n",
            [],
            "raised",
            "held",
        ),
    ],
)
def test_a_deployment_that_fails_costs_its_gas_and_leaves_nothing(
    chain: Network, source: str, arguments: list[int], failure: str, said: str
) -> None:
    before = {key for key, _ in chain.shards[0].ledger.entries()}
    told = chain.deploy(0, "bad", source, *arguments, value=100)
    assert told.failure == failure
    assert said in told.receipt.detail
    assert chain.contract(0, "bad") is None
    assert {key for key, _ in chain.shards[0].ledger.entries()} == before
    assert chain.balance(0, chain.alice) == BALANCE - told.fee, "its amount is back"
    assert 500 < told.fee == told.receipt.gas_used
    assert chain.deploy(0, "bad", EMPTY).failure == "", "the name is still free"


def test_init_may_pay_and_call_without_awaiting(chain: Network) -> None:
    chain.deploy(1, "agent")
    source = (
        "from ostraka_contract import call, msg, transfer\n"
        "def init():\n    transfer(msg.sender, 3)\n    call(1, 'agent', 'keep', 'told', 5, value=2)\n"
    )
    told = chain.deploy(0, "payer", source, value=10)
    assert told.run.calls[0].sent is not None
    assert chain.held(0, "payer") == 5
    chain.quiesce()
    assert chain.stored(1, "agent", "told") == 5
    contract = chain.contract(0, "payer")
    assert contract is not None
    assert contract.open_calls == 0
    assert chain.held(0, "payer") > 5, "the gas that its call left comes to the contract, since nobody awaits it"


def test_a_name_is_given_once_on_each_shard(chain: Network) -> None:
    chain.deploy(0, "empty", EMPTY)
    told = chain.deploy(0, "empty", ONE, value=50, who=chain.bob)
    assert (told.failure, told.receipt.fee) == ("name_taken", told.receipt.fee)
    assert "choose another name" in told.receipt.detail
    assert chain.balance(0, chain.bob) == BALANCE - told.fee
    assert chain.deploy(1, "empty", ONE).failure == ""


@pytest.mark.parametrize("name", ["", "A", "a b", "a@1", "osk1" + "q" * 58, "a" * 27, "ä", "1a"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(chain: Network, name: str) -> None:
    operation = Deploy(name, EMPTY, b"", encode([]), pack_amount(Amount(0)), 100_000)
    with pytest.raises(Refused, match=r"bad_name|malformed"):
        parse_transaction(chain.transaction(0, chain.alice, [operation]))


@pytest.mark.parametrize("gas", [0, 1, 2_499, 10_000, 20_000])
def test_a_deployment_never_takes_more_gas_than_it_was_given(chain: Network, gas: int) -> None:
    source = EMPTY + "#" * (MAX_SOURCE_BYTES - len(EMPTY))
    told = chain.deploy(0, "long", source, gas=gas)
    assert told.failure == "compile_error"
    assert told.fee == 600 + MAX_SOURCE_BYTES + 1 + gas, "transaction, operation, source, arguments, and the gas"


def test_only_the_owner_upgrades(chain: Network) -> None:
    chain.deploy(0, "one", ONE)
    told = chain.upgrade(0, "one", TWO, who=chain.bob)
    assert (told.failure, "owner" in told.receipt.detail) == ("not_owner", True)
    assert result_of(chain.call(0, "one", "version").run) == 1
    assert chain.upgrade(0, "nobody", TWO).failure == "no_contract"


def test_without_an_owner_nobody_upgrades(chain: Network) -> None:
    chain.deploy(0, "one", ONE, owner=b"")
    told = chain.upgrade(0, "one", TWO)
    assert (told.failure, told.receipt.detail) == ("not_owner", "this contract is never upgraded")


def test_an_upgrade_runs_migrate_once_on_the_state_that_is_there(chain: Network) -> None:
    chain.deploy(0, "one", ONE)
    told = chain.upgrade(0, "one", TWO)
    assert (told.failure, told.run.cause, told.run.method) == ("", RunCause.UPGRADE, "migrate")
    assert chain.stored(0, "one", "version") == 2
    assert result_of(chain.call(0, "one", "version").run) == 2
    contract = chain.contract(0, "one")
    assert contract is not None
    assert contract.upgrades == 1


def test_an_upgrade_whose_migration_fails_changes_nothing(chain: Network) -> None:
    chain.deploy(0, "one", ONE)
    told = chain.upgrade(0, "one", TWO, True)
    assert (told.failure, told.receipt.detail) == ("raised", "ValueError: not now")
    assert chain.stored(0, "one", "version") == 1
    assert chain.stored(0, "one", "by") is None
    assert result_of(chain.call(0, "one", "version").run) == 1
    assert chain.upgrade(0, "one", "def (\n").failure == "compile_error"
    assert result_of(chain.call(0, "one", "version").run) == 1


@pytest.mark.parametrize("method", ["init", "migrate", "_play", "__init__"])
def test_entry_points_and_private_names_cannot_be_called(chain: Network, method: str) -> None:
    chain.deploy(0, "agent")
    chain.deploy(0, "one", TWO.replace("get(", "int, ("))
    told = chain.call(0, "agent", method, value=3)
    assert told.failure == "no_method"
    assert chain.held(0, "agent") == 0
    chain.call_remotely(1, 0, "agent", method, value=3)
    chain.quiesce()
    assert chain.held(0, "agent") == 0
    assert chain.balance(1, chain.alice) > BALANCE - GAS_AND_FEES


GAS_AND_FEES = 10_000


def test_a_call_under_way_finishes_on_the_code_that_it_began_with(chain: Network) -> None:
    chain.deploy(0, "one", ONE)
    chain.deploy(1, "agent")
    told = chain.call(0, "one", "slow")
    assert told.run.state == RunState.SUSPENDED
    chain.upgrade(0, "one", TWO)
    assert result_of(chain.call(0, "one", "version").run) == 2
    chain.quiesce()
    end = chain.end_of(told.call_id)
    assert result_of(end) == [1, 1, "x"]
    assert end.code_hash == code_hash_of(ONE)
