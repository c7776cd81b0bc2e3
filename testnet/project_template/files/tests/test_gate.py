"""The gate on a testnet of three shards, in virtual time: `net`, `alice` and `bob` are fixtures of Ostraka's plugin."""

import pytest

from testnet.virtual import Account, Contract, Net, TransactionFailed


@pytest.fixture
def gate(net: Net) -> Contract:
    """Two tickets, counted on shard 1 and given out on shard 0."""
    net.deploy("counter.py", 2, shard=1)
    return net.deploy("gate.py", shard=0)


def test_tickets_are_numbered(gate: Contract, alice: Account, bob: Account) -> None:
    """Both at once: the calls run concurrently, and each gets a number of its own."""
    entered = [person.send(gate.enter()) for person in (alice, bob)]
    assert [tx.result() for tx in entered] in ([1, 2], [2, 1])
    assert {gate.holder_of(1), gate.holder_of(2)} == {alice.address, bob.address}


def test_when_all_are_taken_the_failure_names_both_contracts(gate: Contract, alice: Account) -> None:
    """One traceback over both shards: print it with `print(tx)`."""
    for _ in range(2):
        alice.send(gate.enter()).result()
    with pytest.raises(TransactionFailed, match="Full: all 2 are taken"):
        alice.send(gate.enter()).result()


def test_nobody_enters_while_the_network_between_the_shards_is_cut(net: Net, gate: Contract, alice: Account) -> None:
    """A minute of virtual time passes in a few milliseconds."""
    with net.fault.cut(0, 1):
        tx = alice.send(gate.enter())
        net.run_for("60s")
    tx.settle().expect(hop="counter.increment", outcome="expired").expect(outcome="failed", error="CallFailed")
    assert gate.holder_of(1) is None
    assert alice.send(gate.enter()).result() == 1


@pytest.mark.seeds(3)
def test_no_number_is_given_out_twice_whatever_goes_wrong(
    net: Net, gate: Contract, alice: Account, bob: Account
) -> None:
    """Three seeds, three kinds of bad luck. Were it to fail, the report would show the few faults that it takes."""
    with net.fault.chaos(lasts="20s"):
        entered = [person.send(gate.enter()) for person in (alice, bob)]
        net.run_for("20s")
    net.settle()
    numbers = [tx.result() for tx in entered if tx.outcome == "ok"]
    assert len(set(numbers)) == len(numbers)
