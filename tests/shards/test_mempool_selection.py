"""How transactions leave the mempool, and in which order it offers them."""

import pytest

from primitives.identifiers import Nonce, PublicKey, ShardId
from shards import mempool as module
from shards.transactions import SignedTransaction, parse_transaction
from tests.shards.builders import TestAccount
from tests.support.mempool_world import ALICE, BOB, CAROL, NOW, World, local, make, remote

# --- leaving ----------------------------------------------------------------------------------------------------------


def test_what_an_executed_block_included_is_forgotten_and_the_rest_stays() -> None:
    world = World()
    waiting = [world.submit(make(nonce=each)) for each in range(4)]
    world.accounts[ALICE.key] = world.at(2)
    world.pool.on_executed(waiting[:2], now_ms=NOW)
    assert world.select() == waiting[2:]
    assert world.pool.next_nonce(ALICE.key) == 4


def test_what_lost_its_nonce_to_another_transaction_is_forgotten() -> None:
    world = World()
    world.submit(make(fee=1))
    world.accounts[ALICE.key] = world.at(1)
    world.pool.on_executed([parse_transaction(make(fee=2))], now_ms=NOW)
    assert len(world.pool) == 0


def test_what_the_balance_no_longer_covers_is_forgotten_from_the_end() -> None:
    world = World()
    waiting = [world.submit(make(nonce=each)) for each in range(4)]
    world.accounts[ALICE.key] = world.at(1, balance=2 * 605 + 1)
    world.pool.on_executed([parse_transaction(make(operations=[local(amount=99)]))], now_ms=NOW)
    assert world.select() == waiting[1:3]


def test_executed_blocks_close_the_gap_before_what_was_parked() -> None:
    world = World()
    parked = world.submit(make(nonce=3), from_client=False)
    world.accounts[ALICE.key] = world.at(3)
    world.pool.on_executed([parse_transaction(make(nonce=each)) for each in range(3)], now_ms=NOW)
    assert world.select() == [parked]
    assert world.pool.next_nonce(ALICE.key) == 4


def test_the_expired_are_forgotten_to_the_millisecond() -> None:
    world = World()
    for sender, late in ((ALICE, 0), (BOB, 1), (CAROL, 40_000)):
        world.submit(make(sender, valid_until_ms=NOW + 20_000 + late))
    world.pool.drop_expired(NOW + 20_000)
    assert len(world.pool) == 3
    world.pool.drop_expired(NOW + 20_001)
    assert len(world.pool) == 2
    world.pool.on_executed([], now_ms=NOW + 60_001)
    assert len(world.pool) == 0
    assert world.pool.size_bytes == 0


def test_when_one_expires_what_follows_is_parked() -> None:
    world = World()
    first = world.submit(make(nonce=0, valid_until_ms=NOW + 5))
    second = world.submit(make(nonce=1))
    world.pool.drop_expired(NOW + 6)
    assert world.select(time_ms=NOW + 6) == []
    assert world.pool.next_nonce(ALICE.key) == 0
    again = world.submit(make(nonce=0))
    assert world.select() == [again, second]
    assert world.pool.get(first.id) is None


# --- selection --------------------------------------------------------------------------------------------------------


def test_senders_take_turns() -> None:
    world = World()
    of = {each.name: [world.submit(make(each, nonce)) for nonce in range(3)] for each in (ALICE, BOB, CAROL)}
    a, b, c = of.values()
    assert world.select() == [a[0], b[0], c[0], a[1], b[1], c[1], a[2], b[2], c[2]]


def test_who_had_no_turn_comes_first_next_time() -> None:
    world = World()
    a, b, c = (world.submit(make(each)) for each in (ALICE, BOB, CAROL))
    assert world.select(max_items=2) == [a, b]
    assert world.select(max_items=2) == [c, a]


def test_what_pending_blocks_hold_is_passed_over_and_offered_again_if_they_come_to_nothing() -> None:
    world = World()
    waiting = [world.submit(make(nonce=each)) for each in range(3)]
    assert world.select(pending=waiting[:2]) == waiting[2:]
    assert world.select(pending=waiting) == []
    assert world.select() == waiting


def test_selection_keeps_to_gas_bytes_and_items() -> None:
    world = World()
    waiting = [world.submit(make(nonce=each)) for each in range(5)]
    assert world.select(max_gas=3 * 600 + 599) == waiting[:3]
    assert world.select(max_bytes=2 * len(waiting[0].raw) + 1) == waiting[:2]
    assert world.select(max_items=4) == waiting[:4]
    assert world.select(max_items=0) == []


def test_something_too_large_for_the_rest_of_the_block_does_not_stop_the_others() -> None:
    world = World()
    large = world.submit(make(ALICE, operations=[local()] * 16))
    small = world.submit(make(BOB))
    assert world.select(max_gas=700) == [small]
    assert world.select() == [large, small]


def test_a_full_stream_stops_its_senders_and_nobody_else() -> None:
    world = World()
    first = world.submit(make(ALICE, 0))
    to_one = world.submit(make(ALICE, 1, [remote(1)]))
    after = world.submit(make(ALICE, 2))
    to_two = world.submit(make(BOB, 0, [local(), remote(2)]))
    assert set(world.select(blocked=[1])) == {first, to_two}
    assert set(world.select(blocked=[1, 2])) == {first}
    assert set(world.select()) == {first, to_one, after, to_two}


def test_what_expires_before_the_block_is_not_selected() -> None:
    world = World()
    world.submit(make(ALICE, valid_until_ms=NOW + 5))
    kept = world.submit(make(BOB, valid_until_ms=NOW + 6))
    assert world.select(time_ms=NOW + 6) == [kept]


def test_a_selection_costs_what_it_selects_however_many_wait_in_vain() -> None:
    world = World()
    senders = [TestAccount(f"idle{number}") for number in range(300)]
    pending = [world.submit(make(sender)) for sender in senders]
    calls = 0
    in_blocks = {each.body.sender for each in pending}

    def next_nonce(key: PublicKey) -> Nonce:
        nonlocal calls
        calls += 1
        return Nonce(1 if key in in_blocks else 0)

    def one(blocked: frozenset[ShardId] = frozenset()) -> list[SignedTransaction]:
        return world.pool.select(
            max_gas=10**9, max_bytes=10**9, max_items=1, time_ms=NOW, next_nonce=next_nonce, blocked=blocked
        )

    assert one() == []
    calls = 0
    assert one() == []
    assert calls <= module.MIN_REVISITED
    fresh = world.submit(make(BOB))
    assert one() == [fresh]
    assert calls <= 3 * module.MIN_REVISITED + 2
    in_blocks = {BOB.key}
    assert one()


def test_the_oldest_are_said_again_first() -> None:
    world = World()
    waiting = [world.submit(make(nonce=each)) for each in range(5)]
    assert world.pool.oldest(3) == waiting[:3]


def test_a_waiting_transaction_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    transaction = world.submit(make())
    other = make(BOB)
    assert world.pool.parse(other).raw == other
    monkeypatch.setattr(module, "parse_transaction", None)
    assert world.pool.parse(transaction.raw) is transaction
