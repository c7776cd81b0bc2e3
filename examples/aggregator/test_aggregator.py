"""The aggregator asks five shards; one of them is halted, and one has no oracle."""

import pytest

from testnet.virtual import Account, Net, TransactionFailed

pytestmark = pytest.mark.ostraka(shards=5)


def test_a_shard_that_does_not_answer_costs_its_own_answer(net: Net, alice: Account) -> None:
    for shard, number in enumerate([10, 11, 500, 12]):
        net.deploy("oracle.py", number, shard=shard)
    aggregator = net.deploy("aggregator.py", [0, 1, 2, 3, 4])
    with net.fault.halt(3):
        update = alice.send(aggregator.update(10))
        net.run_for("30s")
    assert update.result() == 11
    update.expect(hop="oracle.read", outcome="expired", times=1).expect(hop="oracle.read", outcome="refused", times=1)
    assert update.events[-1][2] == {"median": 11, "answers": 3, "missing": {3: "expired", 4: "refused"}}
    assert aggregator.latest()["median"] == 11


def test_half_of_the_answers_are_too_few(net: Net, alice: Account) -> None:
    for shard in range(2):
        net.deploy("oracle.py", 7, shard=shard)
    aggregator = net.deploy("aggregator.py", [0, 1, 2, 3])
    with pytest.raises(TransactionFailed, match="TooFewAnswers: 2 of 4"):
        alice.send(aggregator.update()).result()
