"""A suspended call keeps all that it has while everything restarts, whatever order replies come in."""

from functools import lru_cache
from itertools import permutations
from typing import Any

import pytest

from contracts.limits import MAX_CALL_GAS
from testnet.virtual import Contract, Net, TransactionFailed, Tx
from tests.contracts.support import PROGRAMS

WALKER = PROGRAMS / "walker.py"

ECHO = """
def say(number: int) -> int:
    return number
"""

MANY = """
from ostraka_contract import call

async def awaits(count: int) -> int:
    total = 0
    for number in range(count):
        total += await call(1 + number % 2, "echo", "say", number)
    return total
"""

EXPECTED: dict[str, tuple[list[Any], Any]] = {
    "loop": ([9], [72, 9]),
    "helpers": ([3], [*(f"{n} down" for n in (3, 2, 1, 0)), "bottom", *(f"{n} up" for n in (0, 1, 2, 3))]),
    "branches": ([], [18, 2, 8, "CallFailed"]),
    "failures": ([], ["after Wrong: there / CallFailed", "failed", "refused"]),
    "cleaning": ([], ("CallFailed", "failed: Wrong: deep")),
    "contexts": ([], [0, 2, 8, 18, 16]),
}
"""Arguments and result of each method; of one that fails, the error and its message."""


def walkers(shards: int = 3, validators: int = 1) -> tuple[Net, list[Contract]]:
    net = Net(shards=shards, validators=validators)
    return net, [net.deploy(WALKER, shard=shard) for shard in range(shards)]


def end_of(tx: Tx) -> Any:
    try:
        return tx.result()
    except TransactionFailed as failed:
        return failed.error, failed.message


def restart_after_every_block(net: Net, tx: Tx) -> int:
    """Until it is settled; how often."""
    for restarts in range(1000):
        if tx.settled:
            return restarts
        wait_for_a_block(net)
        net.fault.restart_all()
    raise AssertionError("it does not end")


def wait_for_a_block(net: Net) -> None:
    heights = [net.height(shard) for shard in range(net.shards)]
    net.run_until(lambda: heights != [net.height(shard) for shard in range(net.shards)])


@lru_cache(maxsize=1)
def undisturbed() -> dict[str, tuple[Any, list[Any], list[Any]]]:
    """End, events and storage of every method when nothing is broken."""
    found = {}
    for method, (arguments, _) in EXPECTED.items():
        net, contracts = walkers()
        tx = net.account("alice").send(contracts[0].method(method)(*arguments))
        found[method] = (end_of(tx), sorted(map(str, tx.events)), [contract.kept() for contract in contracts])
    return found


@pytest.mark.parametrize("method", EXPECTED)
def test_every_way_to_wait_ends_as_it_is_written(method: str) -> None:
    assert undisturbed()[method][0] == EXPECTED[method][1]


@pytest.mark.parametrize("method", EXPECTED)
def test_a_restart_of_all_validators_between_any_two_awaits_changes_nothing(method: str) -> None:
    net, contracts = walkers()
    tx = net.account("alice").send(contracts[0].method(method)(*EXPECTED[method][0]))
    assert restart_after_every_block(net, tx) > 6
    assert (
        end_of(tx), sorted(map(str, tx.events)), [contract.kept() for contract in contracts]
    ) == undisturbed()[method]  # fmt: skip
    net.check()


def test_four_validators_a_shard_restart_together_between_any_two_awaits() -> None:
    net, contracts = walkers(validators=4)
    tx = net.account("alice").send(contracts[0].branches())
    assert restart_after_every_block(net, tx) > 6
    assert end_of(tx) == EXPECTED["branches"][1]
    net.check()


def test_sixty_four_awaits_in_one_call_with_a_restart_of_everything_between_any_two() -> None:
    net = Net()
    for shard in (1, 2):
        net.deploy(ECHO, name="echo", shard=shard)
    tx = net.account("alice").send(net.deploy(MANY, name="many").awaits(64), gas=MAX_CALL_GAS)
    assert restart_after_every_block(net, tx) >= 64
    assert tx.result() == sum(range(64))
    net.check()


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))), ids=str)
def test_replies_come_in_every_order_and_results_stand_in_that_of_the_calls(order: tuple[int, ...]) -> None:
    net, contracts = walkers(shards=4)
    for rank, shard in enumerate(order):
        net.fault.delay(0, shard, f"{1 + 400 * rank}ms")
    tx = net.account("alice").send(contracts[0].race())
    assert tx.result() == [2, 4, 6]
    assert contracts[0].storage("order") == list(order)
    net.check()
