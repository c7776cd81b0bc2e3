"""The token on three shards, with the network broken on purpose."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testnet.virtual import Account, Contract, Net, TransactionFailed

SUPPLY = 1_000


@pytest.fixture
def tokens(net: Net, alice: Account) -> list[Contract]:
    tokens = [net.deploy("token.py", 0 if shard else SUPPLY, shard=shard) for shard in range(3)]
    for token in tokens:
        alice.send(token.trust([0, 1, 2])).settle().expect(outcome="ok")
    return tokens


def supply(tokens: list[Contract]) -> int:
    return sum(token.supply() for token in tokens)


def test_units_move_to_another_shard(tokens: list[Contract], alice: Account, bob: Account) -> None:
    tx = alice.send(tokens[0].send(bob, 2, 300))
    assert tx.result() is True
    tx.expect(hop="token.receive", outcome="ok", shard=2)
    assert (tokens[0].balance_of(alice), tokens[2].balance_of(bob), supply(tokens)) == (700, 300, SUPPLY)


def test_what_cannot_arrive_comes_back(net: Net, tokens: list[Contract], alice: Account, bob: Account) -> None:
    with net.fault.halt(2):
        tx = alice.send(tokens[0].send(bob, 2, 300))
        net.run_for("90s")
        assert supply(tokens[:2]) == SUPPLY - 300
    assert tx.result() is False
    tx.expect(hop="token.receive", outcome="expired")
    assert (tokens[0].balance_of(alice), supply(tokens)) == (SUPPLY, SUPPLY)


def test_a_contract_of_another_name_is_no_sibling(net: Net, tokens: list[Contract], alice: Account) -> None:
    forged = net.deploy("token.py", SUPPLY, shard=1, name="forged")
    alice.send(forged.trust([0])).settle()
    assert alice.send(forged.send(alice, 0, 5)).result() is False
    with pytest.raises(TransactionFailed, match="is no sibling"):
        alice.send(tokens[0].receive(alice, 5), shard=1).result()
    assert supply(tokens) == SUPPLY


moves = st.tuples(
    st.sampled_from("ab"), st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 2), st.integers(1, 600)
)


@given(orders=st.lists(moves, max_size=6), cut=st.booleans())
@settings(max_examples=10, deadline=None)
def test_the_supply_never_changes(net: Net, tokens: list[Contract], orders: list[tuple], cut: bool) -> None:
    people = {"a": net.account("alice"), "b": net.account("bob")}
    if cut:
        net.fault.cut(0, 2, lasts="90s")
    for giver, taker, source, destination, amount in orders:
        people[giver].send(tokens[source].send(people[taker], destination, amount))
    net.settle()
    assert supply(tokens) == SUPPLY
    assert sum(token.balance_of(who) for token in tokens for who in people.values()) == SUPPLY
