"""Nets for tests, and contracts to deploy on them."""

from testnet.virtual import Account, Contract, Net
from tests.contracts.support import PROGRAMS

COUNTER = """
from ostraka_contract import call, emit, get, msg, put, self_balance, transfer, view

class TooMuch(Exception):
    pass

def init(start: int = 0) -> None:
    put("count", start)

def add(number: int) -> int:
    if number > 100:
        raise TooMuch(f"{number} is too much")
    put("count", get("count") + number)
    emit("Added", number=number)
    print("adding", number)
    return get("count")

async def add_at(shard: int, number: int, deadline: int = 60) -> int:
    return await call(shard, "counter", "add", number, deadline=deadline)

def greet(whom: str) -> str:
    return f"{msg.sender} greets {whom}"

def pay_out(amount: int) -> None:
    transfer(msg.sender, amount)

@view
def count() -> int:
    return get("count")

@view
def held() -> int:
    return self_balance()

@view
def broken() -> int:
    raise TooMuch("views fail too")
"""


def make_net(*, shards: int = 3, validators: int = 1, seed: int = 7) -> Net:
    """A net that finds the contracts of the tests."""
    return Net(shards=shards, validators=validators, seed=seed, folders=[PROGRAMS])


def person(net: Net, name: str = "alice") -> Account:
    return net.account(name)


def counter(net: Net, shard: int = 0, start: int = 0) -> Contract:
    return net.deploy(COUNTER, start, name="counter", shard=shard)


def deploy_shop(net: Net) -> Contract:
    """The shop of the design with one owl in stock and alice's allowance; see tests/contracts/programs."""
    alice = net.account("alice")
    shop, stock = net.deploy("shop.py"), net.deploy("stock.py", shard=1)
    net.deploy("prices.py", shard=2)
    wallet = net.deploy("wallet.py", shard=2)
    alice.send(stock.fill("owl"))
    alice.send(wallet.allow(shop, 1_000))
    net.settle()
    return shop
