"""Accounts, time and transactions of a virtual testnet."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import Refused
from testnet.development_keys import account_key
from testnet.durations import shown
from testnet.simulator.books import Books
from testnet.virtual import InvariantBroken, Misuse, NotSettled, NotTaken, Unexpected
from testnet.virtual.durations import milliseconds
from testnet.virtual.ground import NAMES, OPENING_BALANCE
from testnet.virtual.scheme import RememberingScheme
from tests.virtual.support import make_net, person


def test_everyone_has_the_address_and_the_money_of_development_testnets_on_every_shard() -> None:
    net = make_net()
    for name in NAMES:
        assert net.account(name).key == account_key(name)
        assert [net.account(name).balance(shard) for shard in range(3)] == [OPENING_BALANCE] * 3
    assert net.account("somebody").balance() == 0


def test_a_transfer_to_another_shard_is_settled_when_its_reply_is_home() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    tx = alice.transfer(bob, 5, shard=1, to_shard=2)
    assert not tx.settled
    tx.settle().expect(outcome="ok").expect(hop="transfer", shard=2, outcome="ok")
    assert bob.balance(2) == OPENING_BALANCE + 5
    assert alice.balance(1) == OPENING_BALANCE - 5 - tx.trace.root.gas - 500  # type: ignore[union-attr]  # it has one
    assert "credited" in tx.tree()
    net.check()


def test_transactions_that_are_sent_together_have_consecutive_nonces() -> None:
    net = make_net()
    alice, bob = person(net), person(net, "bob")
    for amount in range(1, 6):
        alice.transfer(bob, amount)
    net.settle()
    assert bob.balance() == OPENING_BALANCE + 15


def test_a_transaction_that_is_refused_is_refused_at_once_and_disturbs_nothing() -> None:
    net = make_net()
    alice, poor = person(net), net.account("poor")
    with pytest.raises(NotTaken, match=r"balance|funds|pay|afford"):
        poor.transfer(alice, 1)
    alice.transfer(poor, 1_000_000).settle()
    net.run_for("5s")
    assert poor.balance() == 1_000_000
    poor.transfer(alice, 1).settle().expect(outcome="ok")


def test_virtual_time_passes_only_when_it_is_asked_to() -> None:
    net = make_net()
    before = net.now
    assert net.now == before
    net.run_for("90s")
    assert net.now == before + 90_000
    assert net.block_time_ms(0) > before + 70_000
    net.run_for(timedelta(minutes=1))
    assert net.now == before + 150_000


def test_run_until_stops_when_it_is_so_and_says_when_it_never_was() -> None:
    net = make_net()
    before = net.now
    net.run_until(lambda: net.height(1) >= 2, limit="60s")
    assert before < net.now <= before + 60_000
    with pytest.raises(NotSettled, match="not so within 3s of virtual time"):
        net.run_until(lambda: False, limit="3s")


@pytest.mark.parametrize("wrong", [60, "60", "1 day", "-1s", "1.5s", ""])
def test_a_duration_without_a_unit_is_refused(wrong: str) -> None:
    with pytest.raises(Misuse, match="is no duration"):
        milliseconds(wrong)


@given(st.integers(0, 10**9))
@settings(deadline=None, max_examples=50)
def test_durations_read_back_what_they_show(duration_ms: int) -> None:
    assert milliseconds(shown(duration_ms)) == duration_ms


@pytest.mark.parametrize("shard", [3, -1, True, "0"])
def test_a_shard_that_is_not_there_is_named(shard: int) -> None:
    net = make_net()
    with pytest.raises(Misuse, match="this net has 0 to 2"):
        person(net).balance(shard)
    with pytest.raises(Misuse, match="this net has 0 to 2"):
        person(net).transfer(person(net, "bob"), 1, to_shard=shard if shard != 0 else 9)


@pytest.mark.parametrize("amount", [-1, 1.5, True, None])
def test_amounts_are_whole_base_units(amount: int) -> None:
    net = make_net()
    with pytest.raises(Misuse, match="whole base units"):
        person(net).transfer(person(net, "bob"), amount)


def test_a_net_has_a_size_that_can_be_simulated() -> None:
    with pytest.raises(Refused, match="1 to 64 shards"):
        make_net(shards=0)
    with pytest.raises(Refused, match="1 to 32 validators"):
        make_net(validators=33)


def test_equal_seeds_give_equal_runs_and_others_do_not() -> None:
    def run(seed: int) -> str:
        net = make_net(validators=4, seed=seed)
        person(net).transfer(person(net, "bob"), 5, to_shard=1).settle()
        return net.world.trace.digest()

    assert run(3) == run(3) != run(4)


def test_an_expectation_that_fails_shows_the_tree_the_seed_and_how_to_see_it_again() -> None:
    net = make_net()
    net.replay = "pytest this"
    tx = person(net).transfer(person(net, "bob"), 5, to_shard=2).settle()
    with pytest.raises(Unexpected) as caught:
        tx.expect(hop="transfer", outcome="expired", shard=2)
    text = str(caught.value)
    assert "expected transfer on shard 2 to end expired, but" in text
    assert "on shard 2 it is ok" in text
    assert "✓ settled in" in text
    assert "seed 7" in text
    assert text.endswith("again: pytest this")


def test_an_expectation_of_a_hop_that_never_was_names_those_that_were() -> None:
    tx = person(net := make_net()).transfer(person(net, "bob"), 5).settle()
    with pytest.raises(Unexpected, match=r"wallet.debit to be called, but it was never called; called were transfer"):
        tx.expect(hop="wallet.debit")
    tx.expect(hop="wallet.debit", times=0)


def test_a_broken_invariant_ends_the_test_with_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    net = make_net()
    monkeypatch.setattr(Books, "conservation", lambda _books: "an obol is missing")
    with pytest.raises(InvariantBroken, match=r"(?s)VIOLATED V1.*an obol is missing.*seed 7"):
        person(net).transfer(person(net, "bob"), 5).settle()


def test_state_that_differs_from_the_books_is_found_at_the_end() -> None:
    net = make_net()
    person(net).transfer(person(net, "bob"), 5).settle()
    net.check()
    net.world.judge.books.shards[0].balances[person(net, "bob").key] += 1
    with pytest.raises(InvariantBroken, match="VIOLATED V1"):
        net.check()


def test_a_remembered_verdict_is_the_real_one() -> None:
    scheme, real = RememberingScheme(), make_net().account("alice")
    seed = real._seed
    signature = scheme.sign(seed, b"message")
    good, bad = (real.key, b"message", signature), (real.key, b"massage", signature)
    for _ in range(2):
        assert scheme.verify_many([good, bad, good]) == [True, False, True]
        assert scheme.verify_many([bad]) == [False]
