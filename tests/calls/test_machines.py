"""Where a contract runs changes nothing: in this process, in a worker of its own, or again after it failed."""

from collections.abc import Iterator
from typing import Any

import pytest

from consensus.block import Block
from contracts.machine.local import LocalMachine
from contracts.worker.client import WorkerMachine
from primitives.errors import InvariantViolated
from shards.items import ItemKind, pack_item
from tests.calls.network import Network, contract_call, result_of
from tests.calls.test_calling import ask
from tests.calls.test_waiting import LOOPS
from tests.shards.builders import next_block


@pytest.fixture(scope="module")
def workers() -> Iterator[list[WorkerMachine]]:
    machines = [WorkerMachine(), WorkerMachine()]
    yield machines
    for machine in machines:
        machine.close()


def history(chain: Network) -> None:
    """A little of everything."""
    for shard in range(2):
        chain.deploy(shard, "agent", value=1_000)
    chain.deploy(0, "loops", LOOPS)
    chain.deploy(0, "bad", "def init():\n    1 / 0\n")
    steps: list[Any] = [
        ["put", "a/1", [1, "x", None]],
        ask(1, "play", [ask(0, "keep", "b", 2, gas=30_000), ["fail", "x"]], gas=100_000, value=5),
    ]
    chain.call(0, "agent", "play", [["try", steps], ["keys", ""], ["get", "b"], ["held"]], gas=900_000)
    batch = [
        chain.transaction(0, chain.alice, [contract_call("agent", "add", "k", 1)]),
        chain.transaction(0, chain.bob, [contract_call("agent", "burn", gas=30_000)]),
        chain.transaction(0, chain.carol, [contract_call("agent", "add", "k", 2)]),
        chain.transaction(0, chain.accounts[3], [contract_call("loops", "try_door")]),
    ]
    chain.run(0, batch)
    chain.call(0, "loops", "heavy", 20_000, gas=900_000)
    big: list[Any] = [["call", n, n % 2, "agent", "say", ["z" * 1_500], {"gas": 40_000}] for n in range(8)]
    chain.call(0, "agent", "play", [*big, ["gather_calls", list(range(8))], ["delete", "b"]], gas=1_400_000)
    chain.quiesce()


def test_a_worker_commits_to_what_the_machine_in_this_process_commits_to(workers: list[WorkerMachine]) -> None:
    here, there = Network(restart=True), Network()
    for node, worker in zip(there.shards, workers, strict=True):
        node.ledger.machine = worker
    for chain in (here, there):
        history(chain)
    assert len(here.runs()) > 20
    for node, other in zip(here.shards, there.shards, strict=True):
        assert [e.commitment for e in node.executions] == [e.commitment for e in other.executions]
        assert [e.receipts for e in node.executions] == [e.receipts for e in other.executions]
        assert [e.notes for e in node.executions] == [e.notes for e in other.executions]


def test_what_an_execution_wrote_that_was_not_applied_is_forgotten(workers: list[WorkerMachine]) -> None:
    chain = Network()
    node = chain.shards[0]
    node.ledger.machine = workers[0]
    chain.deploy(0, "agent")
    chain.call(0, "agent", "add", "k", 1)
    other = chain.transaction(0, chain.alice, [contract_call("agent", "add", "k", 10)])
    items = [pack_item(ItemKind.TRANSACTION, other)]
    block = next_block(node.ledger, chain.context, node.shard, items, chain.time_ms + 50)
    first = node.ledger.execute(block)
    assert node.ledger.execute(block).commitment == first.commitment
    assert result_of(chain.call(0, "agent", "add", "k", 100).run) == 101


def test_a_block_that_fails_half_way_leaves_no_trace(workers: list[WorkerMachine]) -> None:
    for machine in (LocalMachine(), workers[0]):
        chain = Network()
        node = chain.shards[0]
        node.ledger.machine = machine
        chain.deploy(0, "agent")
        good = pack_item(
            ItemKind.TRANSACTION, chain.transaction(0, chain.alice, [contract_call("agent", "add", "k", 1)])
        )
        entries = dict(node.ledger.entries())
        bad: Block = next_block(node.ledger, chain.context, node.shard, [good, b"\xff"], chain.time_ms + 50)
        with pytest.raises(InvariantViolated):
            node.ledger.execute(bad)
        assert dict(node.ledger.entries()) == entries
        assert result_of(chain.call(0, "agent", "add", "k", 5).run) == 5
